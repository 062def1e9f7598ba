//! The command line: flags are checked here and nothing is done.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use phial_model::KvElement;

/// Serve the Phi-4-mini family from this machine's CPU.
///
/// A model is named by a short name (phi-4-mini, starter), by a hub repository (owner/name), or by
/// a GGUF file or a folder of safetensors on this machine.
#[derive(Parser)]
#[command(name = "phial", version, arg_required_else_help = true, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Serve a model over an OpenAI-compatible HTTP API
    Serve(Serve),
    /// Serve other servers of the API behind accounts and keys, without a model of its own
    Gateway(Gateway),
    /// Look after the accounts of `serve --accounts`
    Accounts(Accounts),
    /// Ask one question, or chat
    Run(Run),
    /// Download a model into the local store
    Pull(Pull),
    /// List the models in the store
    List,
    /// Remove a model from the store
    Rm(Remove),
    /// Show what is in a model file, and the memory it needs
    Inspect(Inspect),
    /// Encode a model's weights anew, as GGUF
    Quantize(Quantize),
    /// Make a file of a real model's shape with random weights
    Synth(Synth),
    /// Turn text into token ids
    Tokenize(Tokenize),
    /// Print the logits of a prompt, to look into a model or to test
    Logits(Logits),
    /// Measure the speed of a model, beside what this machine can do
    Bench(Bench),
    /// Show what this machine can do, what to expect of each model, and what is in the way
    Doctor(Doctor),
}

/// Where a model is and what runs it.
#[derive(Args)]
pub struct ModelArguments {
    /// Name in the store, hub repository, GGUF file or folder
    #[arg(long, short, value_name = "MODEL")]
    pub model: Option<String>,
    /// Threads; all cores that this process may use when not given
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Type of stored keys and values; when not given, f16 where those of the whole context fit
    /// in 512 MiB (4096 tokens of Phi-4-mini), int8 beyond
    #[arg(long, value_name = "TYPE")]
    pub kv: Option<Kv>,
    /// Folder where packed weights are kept for the next start, as large as the model again;
    /// `packed` beside the models of the store when not given
    #[arg(long, value_name = "DIR")]
    pub pack_cache: Option<PathBuf>,
    /// Pack weights in memory at each start, and write no file
    #[arg(long, conflicts_with = "pack_cache")]
    pub no_pack_cache: bool,
    /// Never use the network
    #[arg(long)]
    pub offline: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kv {
    /// 32-bit floats
    F32,
    /// 16-bit floats
    F16,
    /// 8-bit codes
    Int8,
    /// 4-bit codes: small, and less exact
    Int4,
}

impl ModelArguments {
    /// The type of keys and values that was asked for.
    pub fn kv_element(&self) -> Option<KvElement> {
        self.kv.map(|kv| match kv {
            Kv::F32 => KvElement::F32,
            Kv::F16 => KvElement::F16,
            Kv::Int8 => KvElement::Int8,
            Kv::Int4 => KvElement::Int4,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// An object a line
    Json,
}

#[derive(Args)]
pub struct Serve {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 takes a free one
    #[arg(long, short, default_value_t = 8080)]
    pub port: u16,
    /// Name under which the model is served; that of --model when not given
    #[arg(long, value_name = "NAME")]
    pub served_name: Option<String>,
    /// Longest sequence in tokens; as much as the model and the memory allow when not given
    #[arg(long, value_name = "TOKENS")]
    pub context: Option<usize>,
    /// Requests that are answered together; further ones wait for their turn
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: u16,
    /// Folder in which the beginnings of prompts outlive a restart. Whoever can read it can learn
    /// what was asked
    #[arg(long, value_name = "DIR")]
    pub prefix_cache: Option<PathBuf>,
    /// What the folder of --prefix-cache may take; the least recently used go first
    #[arg(long, value_name = "SIZE", default_value = "10GB", value_parser = crate::memory::parse)]
    pub prefix_cache_size: u64,
    /// Guesses of the next tokens that are checked at once where that makes answers faster; 0 is
    /// off. Answers stay the same
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(0..=15))]
    pub draft_tokens: u16,
    /// Let web pages of every origin call the API
    #[arg(long)]
    pub cors: bool,
    /// TOML file that names servers of tools (MCP), for requests that ask for them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Longest time from a request to the end of its answer; as long as it takes when not given
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub request_timeout: Option<u32>,
    /// Longest time that a request waits for its turn; as long as it takes when not given
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub queue_timeout: Option<u32>,
    /// Log a line for each request, without what is asked or answered; only warnings are logged
    /// when not given
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Send traces of requests to this collector of OpenTelemetry (http://127.0.0.1:4318); to that
    /// of OTEL_EXPORTER_OTLP_ENDPOINT when not given, or to none
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// Put what is asked and answered into traces
    #[arg(long)]
    pub trace_content: bool,
    /// Folder for /v1/files and /v1/batches, which are refused when not given
    #[arg(long, value_name = "DIR")]
    pub files: Option<PathBuf>,
    /// Ask for keys, and keep accounts, usage and a ledger in this folder or PostgreSQL database
    /// (postgres://…); without it everybody who reaches the port is served
    #[arg(long, value_name = "DIR|URL")]
    pub accounts: Option<String>,
    /// Folder of this node when accounts are in PostgreSQL
    #[arg(long, value_name = "DIR", requires = "accounts")]
    pub accounts_folder: Option<PathBuf>,
    /// Where people reach the service, as `https://example.org`. With https, cookies travel over
    /// encrypted connections only
    #[arg(long, value_name = "URL", requires = "accounts")]
    pub public_url: Option<String>,
}

#[derive(Args)]
pub struct Accounts {
    /// Folder of the accounts, or their PostgreSQL database (postgres://…)
    #[arg(long, value_name = "DIR|URL", global = true, default_value = "phial-accounts")]
    pub accounts: String,
    /// Folder of this node when accounts are in PostgreSQL
    #[arg(long, value_name = "DIR", global = true)]
    pub accounts_folder: Option<PathBuf>,
    /// The configuration file of the server, whose table `[gateway]` says where its accounts are
    #[arg(long, value_name = "FILE", global = true, conflicts_with_all = ["accounts", "accounts_folder"])]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: AccountsCommand,
}

#[derive(Subcommand)]
pub enum AccountsCommand {
    /// Print a new link by which an administrator is made, once, within a day
    SetupLink {
        /// Where people reach the console; `public_url` of --config, or http://127.0.0.1:8080, when
        /// not given
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Write a copy of all accounts, also while a server runs
    Backup {
        /// The copy, which must not be there yet; the secret is put beside it
        file: PathBuf,
    },
    /// Put a copy into the place of the accounts, while no server runs
    Restore {
        /// What `backup` wrote
        file: PathBuf,
    },
    /// Give a user another password, read from standard input
    ResetPassword {
        /// The user
        name: String,
    },
}

#[derive(Args)]
pub struct Gateway {
    /// TOML file with a table `[gateway]` (docs/gateway.md)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Form of the log
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    pub model: ModelArguments,
    /// The question; a chat when not given
    pub prompt: Option<String>,
    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// 0 always takes the likeliest token
    #[arg(long, default_value_t = 0.0, value_name = "T", allow_negative_numbers = true)]
    pub temperature: f32,
    /// Sample from the likeliest tokens that make up this share
    #[arg(long, default_value_t = 1.0, value_name = "P", allow_negative_numbers = true)]
    pub top_p: f32,
    /// The same seed gives the same text
    #[arg(long)]
    pub seed: Option<u64>,
    /// Longest answer in tokens
    #[arg(long, value_name = "TOKENS")]
    pub max_tokens: Option<usize>,
    /// Folder of a LoRA adapter in PEFT layout
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
}

#[derive(Args)]
pub struct Pull {
    /// phi-4-mini, starter, owner/name, or owner/name/file.gguf
    pub name: String,
    /// Precision of the weights that are kept; `original` keeps the publisher's files
    #[arg(long = "type", value_name = "TYPE")]
    pub recipe: Option<String>,
    /// Only look whether it is here
    #[arg(long)]
    pub offline: bool,
}

#[derive(Args)]
pub struct Remove {
    /// Name as `phial list` shows it
    pub name: String,
}

#[derive(Args)]
pub struct Inspect {
    /// GGUF file, folder of safetensors, or name in the store
    pub path: String,
    /// Context in tokens that memory is computed for; the model's own when not given
    #[arg(long, value_name = "TOKENS")]
    pub context: Option<usize>,
    /// List every tensor
    #[arg(long)]
    pub tensors: bool,
}

#[derive(Args)]
pub struct Quantize {
    /// GGUF file or folder of safetensors
    pub input: PathBuf,
    /// The GGUF file to make
    pub output: PathBuf,
    /// q4_k_m, q4_0, q8_0, q6_k, bf16, …
    #[arg(long = "type", value_name = "TYPE")]
    pub recipe: String,
    /// The same type for every matrix
    #[arg(long)]
    pub pure: bool,
    /// Threads; all cores that this process may use when not given
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

#[derive(Args)]
pub struct Synth {
    /// The GGUF file to make
    pub output: PathBuf,
    /// phi-4-mini (2.5 GB in q4_k_m) or phi-4-mini-nano (a few MB)
    #[arg(long, default_value = "phi-4-mini")]
    pub preset: String,
    /// q4_k_m, q4_0, q8_0, q6_k, bf16, …
    #[arg(long = "type", value_name = "TYPE", default_value = "q4_k_m")]
    pub recipe: String,
    /// Other random weights
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[derive(Args)]
pub struct Tokenize {
    /// Name in the store, GGUF file, or folder with a tokenizer.json
    #[arg(long, short, value_name = "MODEL")]
    pub model: String,
    /// Recognise control tokens in the text
    #[arg(long)]
    pub special: bool,
    /// The text; `-` reads standard input
    #[arg(allow_hyphen_values = true)]
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// Weights decoded to 32-bit floats, everything in 32 bits
    F32,
    /// As the server runs the model
    Auto,
    /// As the server runs models wider than 1024, whatever the width
    Large,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("input").required(true))]
pub struct Logits {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Token ids, separated by commas
    #[arg(long, group = "input", value_delimiter = ',', value_name = "IDS")]
    pub ids: Vec<u32>,
    /// Text, in which control tokens are recognised
    #[arg(long, group = "input")]
    pub prompt: Option<String>,
    /// Folder of a LoRA adapter in PEFT layout
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// For how many positions, counted from the end
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub last: usize,
    /// How products are made
    #[arg(long, default_value = "auto")]
    pub precision: Precision,
    /// Print JSON with every logit rather than a table of the largest
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Bench {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Tokens of the prompt
    #[arg(long, short = 'p', default_value_t = 512, value_name = "TOKENS")]
    pub prompt: usize,
    /// Tokens to generate
    #[arg(long, short = 'n', default_value_t = 32, value_name = "TOKENS")]
    pub generate: usize,
    /// Tokens that are in the cache before generation is measured
    #[arg(long, default_value_t = 0, value_name = "TOKENS")]
    pub depth: usize,
    /// Sequences that generate together
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub streams: usize,
    /// How often each is measured; the median counts
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub repeat: u16,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Doctor {
    /// Threads; all cores that this process may use when not given
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
