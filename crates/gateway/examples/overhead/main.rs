//! The parts of `cargo xtask bench-gateway`, each a process of its own:
//!
//! - `overhead stub`: an upstream that answers at once.
//! - `overhead gateway FOLDER UPSTREAM`: the gateway in front of it, with keys, prices, limits,
//!   reservation and ledger on. `settle` on its standard input prints what its ledger says.
//! - `overhead rate ADDRESS KEY CONNECTIONS SECONDS RATE`: asks so many times a second, however
//!   long the answers take.
//! - `overhead closed ADDRESS KEY CONNECTIONS SECONDS`: each connection asks again as soon as it is
//!   answered.
//!
//! The first two print where they listen; the others print what they measured, as JSON. Asking and
//! answering share the machine with what is measured, so both are threads that block: nothing is
//! cheaper, and unlike a timer of a runtime a thread wakes within a tenth of a millisecond.

mod client;
mod gateway;
mod load;
mod stub;

use std::time::Duration;

use load::Load;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["stub"] => stub::serve(),
        ["gateway", folder, upstream] => gateway::run(folder, upstream),
        ["rate", address, key, connections, seconds, rate] => {
            println!("{}", load(address, key, connections, seconds).at_rate(number(rate)));
        }
        ["closed", address, key, connections, seconds] => {
            println!("{}", load(address, key, connections, seconds).closed());
        }
        _ => panic!("see the top of main.rs for what there is"),
    }
}

fn load(address: &str, key: &str, connections: &str, seconds: &str) -> Load {
    let connections = connections.parse().expect("a number of connections");
    Load::new(address, key, connections, Duration::from_secs_f64(number(seconds)))
}

fn number(text: &str) -> f64 {
    text.parse().expect("a number")
}
