//! A store of artifacts that many machines share, on a server that nobody has to trust: S3-compatible, Redis, WebDAV or
//! plain HTTP. It knows no wasm.
//!
//! An entry is a file `v1/KEY`: a seal, then the value ([`keys`]). What a trusted key has not signed for just this key is
//! a miss. No failure of the server is a failure of the caller: after some of them, or when one has taken too long, the
//! server is left alone until the end ([`health`]).
#![forbid(unsafe_code)]

mod health;
mod keys;
mod location;

pub use health::Report;
pub use keys::{BadKey, PublicKey, SecretKey};
pub use location::{BadLocation, Location};

use aot_cache::Key;
use futures::TryStreamExt as _;
use health::Health;
use keys::Seal;
use location::Backend;
use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Bytes of values that may wait to be written; more are not written.
const MAX_QUEUE: usize = 64 << 20;

/// How many requests are under way at once.
const PARALLEL: usize = 16;

/// Slower than this is slower than compiling, in bytes per second.
const SLOWEST: u64 = 512 * 1024;

/// How a remote store is used.
#[derive(Clone, Debug)]
pub struct Options {
    pub location: Location,
    /// Signs what is written; without it nothing is.
    pub sign: Option<SecretKey>,
    /// Whose entries are read, beside those of `sign`; without both, nothing is.
    pub trust: Vec<PublicKey>,
    pub read_only: bool,
    /// How long the server may take to begin an answer.
    pub timeout: Duration,
    /// Bytes that a value may have: larger ones are neither read nor written.
    pub max_value: usize,
}

/// A remote store. Nothing is sent before it is used for the first time.
pub struct Remote {
    options: Options,
    shared: Arc<Shared>,
    connection: OnceLock<Option<Connection>>,
    uploads: Mutex<Vec<JoinHandle<()>>>,
    /// What is being read before anyone asks for it.
    announced: Mutex<HashMap<Key, JoinHandle<Result<Entry, Failed>>>>,
}

/// What uploads know of it.
struct Shared {
    health: Health,
    timeout: Duration,
    max_value: usize,
    permits: Semaphore,
    queued: Mutex<usize>,
}

/// A request has failed, after some time.
struct Failed {
    problem: String,
    time: Duration,
}

/// What was read.
enum Entry {
    Whole(Vec<u8>),
    TooLarge,
    Missing,
}

struct Connection {
    runtime: Option<Runtime>,
    backend: Backend,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A name that is still being looked up would hold the process.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Remote {
    pub fn new(mut options: Options) -> Remote {
        options.trust.extend(options.sign.as_ref().map(SecretKey::public));
        let shared = Shared {
            health: Health::new(options.timeout),
            timeout: options.timeout,
            max_value: options.max_value,
            permits: Semaphore::new(PARALLEL),
            queued: Mutex::new(0),
        };
        Remote {
            options,
            shared: Arc::new(shared),
            connection: OnceLock::new(),
            uploads: Mutex::new(Vec::new()),
            announced: Mutex::default(),
        }
    }

    /// Whether entries can be read: someone has to be trusted.
    pub fn reads(&self) -> bool {
        !self.options.trust.is_empty()
    }

    /// Whether entries are written: someone has to sign them.
    pub fn writes(&self) -> bool {
        self.options.sign.is_some() && !self.options.read_only
    }

    /// The value of a key, if a trusted key has signed it.
    pub fn get(&self, key: &Key) -> Option<Vec<u8>> {
        if !self.reads() || self.shared.health.is_off() {
            return None;
        }
        let connection = self.connection()?;
        let runtime = connection.runtime.as_ref()?;
        let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        let entry = match announced {
            Some(task) => runtime.block_on(task).ok()?,
            None => runtime.block_on(self.shared.read(&connection.backend, &path(key))),
        };
        match entry {
            Ok(Entry::Whole(entry)) => match keys::open(entry, key, &self.options.trust) {
                Some(value) => {
                    self.shared.health.hit();
                    Some(value)
                }
                None => {
                    self.shared.health.bad_entry();
                    None
                }
            },
            Ok(Entry::TooLarge) => {
                self.shared.health.bad_entry();
                None
            }
            Ok(Entry::Missing) => {
                self.shared.health.miss();
                None
            }
            Err(Failed { problem, time }) => {
                self.shared.health.failed(problem, time);
                None
            }
        }
    }

    /// Begins to read what [`Remote::get`] will ask for.
    pub fn announce(&self, keys: &[Key]) {
        if !self.reads() || self.shared.health.is_off() || keys.is_empty() {
            return;
        }
        let Some(connection) = self.connection() else { return };
        let Some(runtime) = connection.runtime.as_ref() else { return };
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let (shared, backend) = (Arc::clone(&self.shared), connection.backend.clone());
            let path = path(key);
            let read = || runtime.spawn(async move { shared.read(&backend, &path).await });
            announced.entry(*key).or_insert_with(read);
        }
    }

    /// Signs a value and sends it, while the caller goes on.
    pub fn put(&self, key: &Key, value: &[u8]) {
        let Some(sign) = self.options.sign.as_ref().filter(|_| self.writes()) else { return };
        if self.shared.health.is_off() || value.len() > self.options.max_value {
            return;
        }
        let Some(connection) = self.connection() else { return };
        let Some(runtime) = connection.runtime.as_ref() else { return };
        if !self.shared.enqueue(value.len()) {
            self.shared.health.unsent();
            return;
        }
        let seal = Seal::new(sign, key, value);
        let entry = [seal.as_bytes(), value].concat();
        let (shared, backend, path, len) =
            (Arc::clone(&self.shared), connection.backend.clone(), path(key), value.len());
        let task = runtime.spawn(async move {
            shared.write(&backend, &path, entry).await;
            shared.dequeue(len);
        });
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.retain(|task| !task.is_finished());
        uploads.push(task);
    }

    /// Waits until all is written, but no longer than `patience`; the rest is given up. Tells how it went.
    pub fn finish(&self, patience: Duration) -> Report {
        let uploads = mem::take(&mut *self.uploads.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(Some(Connection { runtime: Some(runtime), .. })) = self.connection.get() {
            let deadline = tokio::time::Instant::now() + patience;
            runtime.block_on(async {
                for mut upload in uploads {
                    if tokio::time::timeout_at(deadline, &mut upload).await.is_err() {
                        upload.abort();
                        self.shared.health.unsent();
                    }
                }
            });
        }
        self.shared.health.report()
    }

    /// The connection; made at the first use.
    fn connection(&self) -> Option<&Connection> {
        let connect = || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(1).thread_name("remote cache").enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string());
            let connected = runtime.and_then(|runtime| {
                let entered = runtime.enter();
                let backend = self.options.location.connect(self.options.timeout)?;
                drop(entered);
                Ok(Connection { runtime: Some(runtime), backend })
            });
            connected.map_err(|problem| self.shared.health.give_up(problem)).ok()
        };
        self.connection.get_or_init(connect).as_ref()
    }
}

impl Shared {
    /// Reads an entry.
    async fn read(&self, backend: &Backend, path: &str) -> Result<Entry, Failed> {
        let _permit = self.permits.acquire().await;
        if self.health.is_off() {
            return Ok(Entry::Missing);
        }
        let start = Instant::now();
        let entry = self.try_read(backend, path).await;
        entry.map_err(|problem| Failed { problem, time: start.elapsed() })
    }

    async fn try_read(&self, backend: &Backend, path: &str) -> Result<Entry, String> {
        let limit = keys::SEAL + self.max_value;
        let start = tokio::time::Instant::now();
        let deadline = |len: usize| start + self.timeout + pace(len);
        let timed_out = |_| self.too_slow();
        let opened = tokio::time::timeout_at(deadline(0), backend.open(path, limit));
        let mut stream = match opened.await.map_err(timed_out)? {
            Ok(Some(stream)) => stream,
            Ok(None) => return Ok(Entry::TooLarge),
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => return Ok(Entry::Missing),
            Err(error) => return Err(location::reason(&error)),
        };
        let mut entry = Vec::new();
        loop {
            let part = tokio::time::timeout_at(deadline(entry.len()), stream.try_next()).await;
            match part.map_err(timed_out)? {
                Ok(Some(part)) => {
                    if entry.len() + part.len() > limit {
                        return Ok(Entry::TooLarge);
                    }
                    part.for_each(|bytes| entry.extend_from_slice(&bytes));
                }
                Ok(None) => return Ok(Entry::Whole(entry)),
                Err(error) if error.kind() == opendal::ErrorKind::NotFound => return Ok(Entry::Missing),
                Err(error) => return Err(location::reason(&error)),
            }
        }
    }

    async fn write(&self, backend: &Backend, path: &str, entry: Vec<u8>) {
        let Ok(_permit) = self.permits.acquire().await else { return };
        if self.health.is_off() {
            self.health.unsent();
            return;
        }
        let start = Instant::now();
        let limit = self.timeout + pace(entry.len());
        let problem = match tokio::time::timeout(limit, backend.write(path, entry)).await {
            Ok(Ok(())) => return self.health.stored(),
            Ok(Err(error)) => location::reason(&error),
            Err(_) => self.too_slow(),
        };
        self.health.unsent();
        self.health.failed(problem, start.elapsed());
    }

    fn too_slow(&self) -> String {
        format!("it has not answered in {} s", self.timeout.as_secs_f64())
    }

    fn enqueue(&self, len: usize) -> bool {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is larger than the queue is sent if nothing else is.
        if *queued > 0 && *queued + len > MAX_QUEUE {
            return false;
        }
        *queued += len;
        true
    }

    fn dequeue(&self, len: usize) {
        *self.queued.lock().unwrap_or_else(PoisonError::into_inner) -= len;
    }
}

/// How long so many bytes may take.
fn pace(len: usize) -> Duration {
    Duration::from_secs_f64(len as f64 / SLOWEST as f64)
}

fn path(key: &Key) -> String {
    format!("v1/{key}")
}
