//! Gets the starter into the store, with the progress on standard error.

fn main() -> phial_hub::Result<()> {
    let store = phial_hub::Store::open()?;
    let model = phial_hub::starter::pull(&store, false, &mut |progress| {
        eprint!("\r{} {} of {:?}", progress.file, progress.bytes_done, progress.bytes_total);
    })?;
    eprintln!();
    println!("{}", model.path().display());
    Ok(())
}
