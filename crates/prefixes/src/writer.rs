//! The thread that changes files, so that nobody waits for a disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::SystemTime;

use phial_engine::{BlockName, TokenId};

use crate::block_file::{Label, head};

/// Bytes that wait to be written at most: as long as a disk keeps up this is hardly used.
const PENDING_BYTES_MAX: usize = 256 << 20;

/// What is to be done.
enum Order {
    Write {
        path: PathBuf,
        name: BlockName,
        tokens: Vec<TokenId>,
        contents: Vec<u8>,
    },
    /// Notes that the file was of use now.
    Touch(PathBuf),
    Remove(PathBuf),
}

/// The way to the thread; dropping it waits until everything is done.
pub(crate) struct Writer {
    orders: Option<Sender<Order>>,
    pending_bytes: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start(fingerprint: [u8; 32]) -> io::Result<Self> {
        let (orders, inbox) = channel();
        let pending_bytes = Arc::new(AtomicUsize::new(0));
        let pending = Arc::clone(&pending_bytes);
        let thread = std::thread::Builder::new()
            .name("prefixes".to_owned())
            .spawn(move || work(&fingerprint, &inbox, &pending))?;
        Ok(Self { orders: Some(orders), pending_bytes, thread: Some(thread) })
    }

    /// False if too much is waiting already.
    pub fn write(
        &self,
        path: PathBuf,
        name: BlockName,
        tokens: &[TokenId],
        contents: Vec<u8>,
    ) -> bool {
        let bytes = contents.len();
        let pending = self.pending_bytes.fetch_add(bytes, Ordering::AcqRel);
        if pending > 0 && pending + bytes > PENDING_BYTES_MAX {
            self.pending_bytes.fetch_sub(bytes, Ordering::AcqRel);
            return false;
        }
        self.send(Order::Write { path, name, tokens: tokens.to_vec(), contents });
        true
    }

    pub fn touch(&self, path: PathBuf) {
        self.send(Order::Touch(path));
    }

    pub fn remove(&self, path: PathBuf) {
        self.send(Order::Remove(path));
    }

    fn send(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // Without the thread nothing is kept, which is no reason to stop.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been told of already.
            let _ = thread.join();
        }
    }
}

fn work(fingerprint: &[u8; 32], inbox: &Receiver<Order>, pending_bytes: &AtomicUsize) {
    // A full disk fails every time; once is enough in the log.
    let mut failing = false;
    for order in inbox {
        match order {
            Order::Write { path, name, tokens, contents } => {
                let label = Label { fingerprint, name: &name, tokens: &tokens };
                let written = write(&path, &head(&label, &contents), &contents);
                pending_bytes.fetch_sub(contents.len(), Ordering::AcqRel);
                if let Err(error) = &written
                    && !failing
                {
                    let path = path.display();
                    tracing::warn!(%path, %error, "cannot keep a prefix; it will be read again");
                }
                failing = written.is_err();
            }
            // A file that is gone, or was never written, is as good as untouched.
            Order::Touch(path) => drop(touch(&path)),
            Order::Remove(path) => drop(fs::remove_file(path)),
        }
    }
}

/// Beside its place, then renamed. Not flushed to the disk: what a power cut leaves of it is
/// noticed by its checksum.
fn write(path: &Path, head: &[u8], contents: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = File::create(&part)?;
    let written = file.write_all(head).and_then(|()| file.write_all(contents));
    // The system's own time of a write is coarser than that of a touch.
    let _ = file.set_modified(SystemTime::now());
    drop(file);
    let renamed = written.and_then(|()| fs::rename(&part, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&part);
    }
    renamed
}

fn touch(path: &Path) -> io::Result<()> {
    File::options().write(true).open(path)?.set_modified(SystemTime::now())
}
