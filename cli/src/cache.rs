//! Results that were built before: whole ones, and the functions that they are made of. Whatever is wrong with a store
//! costs a warning and a compilation.

use crate::report;
use crate::server::{Server, ServerArgs};
use aot_cache::{Found, Key, Limits, Lookup, Store};
use aot_compiler::{CodeStore, Config, Imports};
use std::env;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

/// Flags of commands that use the store.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct CacheArgs {
    /// Neither look for the result among those of earlier builds, nor keep it
    #[arg(long, help_heading = "Cache")]
    pub no_cache: bool,

    #[command(flatten)]
    server: ServerArgs,
}

/// The variable that names the directory.
const DIRECTORY: &str = "AOT_CACHE_DIR";

/// How long a command waits at its end for what is still being sent to a server.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the store is: `AOT_CACHE_DIR`, or a directory of the user's caches. Nothing if the user has none.
pub fn directory() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(DIRECTORY)
        .or_else(|| Some(set("XDG_CACHE_HOME").filter(|path| path.is_absolute())?.join("aot")))
        .or_else(|| Some(set("HOME").filter(|path| path.is_absolute())?.join(".cache/aot")))
}

/// The bounds of the store: `AOT_CACHE_SIZE` in bytes with `K`, `M` or `G`, `AOT_CACHE_DAYS`.
pub fn limits() -> Limits {
    let defaults = Limits::default();
    let variable = |name| env::var(name).ok();
    let size = variable("AOT_CACHE_SIZE").and_then(|text| crate::groups::size(&text).ok());
    let days = variable("AOT_CACHE_DAYS").and_then(|text| text.parse::<u32>().ok());
    Limits {
        size: size.unwrap_or(defaults.size),
        age: days.map_or(defaults.age, |days| Duration::from_secs(u64::from(days) * 24 * 3600)),
    }
}

/// A result, where it is.
pub enum Artifact {
    Memory(Vec<u8>),
    /// In the store; checked.
    Stored(Found),
}

impl Artifact {
    /// Bytes that it has.
    pub fn size(&self) -> u64 {
        match self {
            Artifact::Memory(bytes) => bytes.len() as u64,
            Artifact::Stored(found) => found.len(),
        }
    }

    /// Writes it to a new file, by sharing blocks with the store where the file system can.
    pub fn write_to(&self, file: &mut File) -> io::Result<()> {
        match self {
            Artifact::Memory(bytes) => file.write_all(bytes),
            Artifact::Stored(found) => found.copy_to(file),
        }
    }

    pub fn into_bytes(self) -> io::Result<Vec<u8>> {
        match self {
            Artifact::Memory(bytes) => Ok(bytes),
            Artifact::Stored(found) => found.read(),
        }
    }
}

/// The stores, opened for one command.
pub struct Cache {
    store: Option<Store>,
    server: Option<Server>,
    tool: String,
    results: Counts,
    functions: Counts,
    warned: Once,
}

/// How often something was there.
#[derive(Default)]
struct Counts {
    here: AtomicU64,
    server: AtomicU64,
    missing: AtomicU64,
}

impl Counts {
    /// As text, such as `12 here, 3 from the server, 1 missing`; nothing if nothing was looked for.
    fn text(&self) -> Option<String> {
        let counts = [(&self.here, "here"), (&self.server, "from the server"), (&self.missing, "missing")];
        let counts = counts.map(|(count, place)| (count.load(Ordering::Relaxed), place));
        let parts = counts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = parts.map(|(count, place)| format!("{count} {place}")).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Cache {
    /// Opens the stores, unless they are not wanted.
    pub fn open(args: &CacheArgs, wanted: bool) -> Arc<Cache> {
        let mut cache = Cache {
            store: None,
            server: None,
            tool: String::new(),
            results: Counts::default(),
            functions: Counts::default(),
            warned: Once::new(),
        };
        if args.no_cache || !wanted {
            return Arc::new(cache);
        }
        if let Some(directory) = directory() {
            match Store::open(&directory, limits()) {
                Ok(store) => cache.store = Some(store),
                // Where there is no place for a cache by default, there is none. What was asked for, or looks like an
                // attack, should not go unnoticed.
                Err(error) if env::var_os(DIRECTORY).is_some() || error.get_ref().is_some() => {
                    report::warn(&format!("the cache is not used: {error}"));
                }
                Err(_) => {}
            }
        }
        cache.server = Server::open(&args.server);
        if cache.is_on() {
            match cache.tool() {
                Ok(tool) => cache.tool = tool,
                Err(error) => {
                    report::warn(&format!("the cache is not used: `aot` cannot read itself: {error}"));
                    (cache.store, cache.server) = (None, None);
                }
            }
        }
        Arc::new(cache)
    }

    /// Where the compiler looks for code of functions.
    pub fn code_store(self: &Arc<Cache>) -> Option<Arc<dyn CodeStore>> {
        self.is_on().then(|| Arc::clone(self) as Arc<dyn CodeStore>)
    }

    /// Whether anything can be found or kept.
    pub fn is_on(&self) -> bool {
        self.store.is_some() || self.server.is_some()
    }

    /// Which `aot` this is, on every machine: a rebuilt one may make other code under the same version.
    fn tool(&self) -> io::Result<String> {
        let open = File::open("/proc/self/exe").or_else(|_| File::open(env::current_exe()?));
        let mut file = open?;
        let metadata = file.metadata()?;
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        let state = format!("{} {} {} {times:?}", metadata.dev(), metadata.ino(), metadata.len());
        // Its hash takes longer than all else that a start from the cache does.
        let key = Key::of(&[("hash of aot", state.as_bytes())]);
        if let Some(store) = &self.store
            && let Lookup::Hit(hash) = store.get(&key)
            && let Ok(hash) = String::from_utf8(hash)
        {
            return Ok(hash);
        }
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut file, &mut hasher)?;
        let hash = hasher.finalize().to_hex().to_string();
        self.keep(&key, hash.as_bytes());
        Ok(hash)
    }

    /// The key of a result: everything that it depends on. `None` without a store, or if it cannot be told.
    pub fn key(&self, kind: &str, wasm: &[u8], config: &Config, rest: &[(&str, String)]) -> Option<Key> {
        if !self.is_on() {
            return None;
        }
        // All of them: an option that is added does not compile before it is part of the key, or named as one that
        // changes nothing.
        let Config {
            target,
            opt_level,
            inlining,
            passes,
            features,
            imports,
            model,
            stack_check,
            typed_entries,
            interruptible,
            fuel,
            libcalls_by_symbol,
            debug_info,
            profile_to,
            profile,
            verify_clif: _,
            keep_clif: _,
            keep_asm: _,
            code_store: _,
            progress: _,
        } = config;
        let imports = match imports {
            Imports::AtInstantiation => String::from("at instantiation"),
            Imports::Library { resolve, prefix } => {
                let is_wasi = resolve("wasi_snapshot_preview1", "proc_exit").is_some();
                format!("wasi {is_wasi}, of a program that calls {prefix}")
            }
            Imports::AtBuild { resolve, unknown_trap } => {
                // The function itself has no name that lasts: what it says does.
                let is_wasi = resolve("wasi_snapshot_preview1", "proc_exit").is_some();
                format!("wasi {is_wasi}, unknown trap {unknown_trap}")
            }
        };
        let options = [
            ("target", target.name()),
            ("cpu", aot_compiler::used_cpu_features(target).ok()?.join(",")),
            ("optimisation", format!("{opt_level:?}")),
            ("code", format!("{model:?} {inlining} {passes:?} {typed_entries}")),
            ("checks", format!("{stack_check} {libcalls_by_symbol} {interruptible} {fuel}")),
            ("debug", format!("{debug_info:?}")),
            ("features", format!("{features:?}")),
            ("imports", imports),
            ("counts for", format!("{profile_to:?}")),
            ("profile", format!("{:?}", profile.as_ref().map(|profile| profile.hash()))),
        ];
        let inputs: Vec<(&str, &[u8])> =
            [("tool", self.tool.as_bytes()), ("kind", kind.as_bytes()), ("module", wasm)]
                .into_iter()
                .chain(options.iter().chain(rest).map(|(name, value)| (*name, value.as_bytes())))
                .collect();
        Some(Key::of(&inputs))
    }

    /// A result that was built before.
    pub fn get(&self, key: &Option<Key>) -> Option<Artifact> {
        let key = key.as_ref()?;
        let found = self.store.as_ref().and_then(|store| self.sound(store.find(key)));
        if let Some(found) = found {
            count(&self.results.here);
            return Some(Artifact::Stored(found));
        }
        self.fetch(key, &self.results).map(Artifact::Memory)
    }

    /// Keeps a result.
    pub fn put(&self, key: &Option<Key>, bytes: &[u8]) {
        let Some(key) = key else { return };
        self.keep(key, bytes);
        if let Some(server) = &self.server {
            server.put(key, bytes);
        }
    }

    /// Asks the server, and keeps here what it has.
    fn fetch(&self, key: &Key, counts: &Counts) -> Option<Vec<u8>> {
        let value = self.server.as_ref().and_then(|server| server.get(key));
        count(if value.is_some() { &counts.server } else { &counts.missing });
        self.keep(key, value.as_deref()?);
        value
    }

    fn sound<T>(&self, lookup: Lookup<T>) -> Option<T> {
        match lookup {
            Lookup::Hit(value) => Some(value),
            Lookup::Miss => None,
            Lookup::Damaged => {
                report::warn("a damaged entry of the cache was removed");
                None
            }
        }
    }

    fn keep(&self, key: &Key, bytes: &[u8]) {
        if let Some(store) = &self.store
            && let Err(error) = store.put(key, bytes)
        {
            // A disk that is full is so for all that follows.
            self.warned.call_once(|| report::warn(&format!("the result was not kept in the cache: {error}")));
        }
    }

    /// Waits for what is being sent, warns of what went wrong with the server, and says how it went if that is wanted.
    pub fn finish(&self, verbose: bool) {
        let problem = self.server.as_ref().map(|server| server.finish(PATIENCE));
        if verbose {
            for (what, counts) in [("results", &self.results), ("groups of functions", &self.functions)] {
                if let Some(text) = counts.text() {
                    // Nobody listens: nothing is lost.
                    drop(writeln!(io::stderr(), "cache: {what}: {text}"));
                }
            }
        }
        if let Some((summary, warning)) = problem {
            if verbose {
                drop(writeln!(io::stderr(), "cache: {}", report::printable(&summary)));
            }
            if let Some(warning) = warning {
                report::warn(&warning);
            }
        }
    }
}

/// The keys of code are those of the compiler, which knows itself: they are the same for every build of its sources.
impl CodeStore for Cache {
    fn announce(&self, keys: &[[u8; 32]]) {
        if let Some(server) = &self.server {
            let is_here = |key: &Key| self.store.as_ref().is_some_and(|store| store.has(key));
            let keys = keys.iter().map(|key| Key::from_bytes(*key)).filter(|key| !is_here(key));
            server.announce(&keys.collect::<Vec<_>>());
        }
    }

    fn load(&self, key: &[u8; 32]) -> Option<Vec<u8>> {
        let key = Key::from_bytes(*key);
        match self.store.as_ref().and_then(|store| self.sound(store.get(&key))) {
            Some(found) => {
                count(&self.functions.here);
                Some(found)
            }
            None => self.fetch(&key, &self.functions),
        }
    }

    fn save(&self, key: &[u8; 32], value: &[u8]) {
        self.put(&Some(Key::from_bytes(*key)), value);
    }
}
