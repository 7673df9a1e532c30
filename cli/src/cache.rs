//! Executables and objects that were built before. Whatever is wrong with the store costs a warning and a compilation.

use crate::report;
use aot_cache::{Key, Limits, Lookup, Store};
use aot_compiler::{Config, Imports};
use std::env;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

/// Flags of commands that use the store.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct CacheArgs {
    /// Neither look for the result among those of earlier builds, nor keep it
    #[arg(long)]
    pub no_cache: bool,
}

/// The variable that names the directory.
const DIRECTORY: &str = "AOT_CACHE_DIR";

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

/// The store, opened for one command.
pub struct Cache {
    store: Option<Store>,
    tool: String,
}

impl Cache {
    /// Opens the store, unless it is not wanted.
    pub fn open(args: CacheArgs) -> Cache {
        let off = Cache { store: None, tool: String::new() };
        let (false, Some(tool), Some(directory)) = (args.no_cache, tool(), directory()) else { return off };
        match Store::open(&directory, limits()) {
            Ok(store) => Cache { store: Some(store), tool },
            Err(error) => {
                // Where there is no place for a cache by default, there is none. What was asked for, or looks like an
                // attack, should not go unnoticed.
                if env::var_os(DIRECTORY).is_some() || error.get_ref().is_some() {
                    report::warn(&format!("the cache is not used: {error}"));
                }
                off
            }
        }
    }

    /// The key of a result: everything that it depends on. `None` without a store, or if it cannot be told.
    pub fn key(&self, kind: &str, wasm: &[u8], config: &Config, rest: &[(&str, String)]) -> Option<Key> {
        self.store.as_ref()?;
        // All of them: an option that is added does not compile before it is part of the key, or named as one that
        // changes nothing.
        let Config {
            target,
            opt_level,
            inlining,
            schedule,
            dispatch,
            epilogue,
            features,
            imports,
            model,
            stack_check,
            typed_entries,
            interruptible,
            fuel,
            libcalls_by_symbol,
            debug_info,
            verify_clif: _,
            keep_clif: _,
            keep_asm: _,
            code_store: _,
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
            ("code", format!("{model:?} {inlining} {schedule} {dispatch} {epilogue} {typed_entries}")),
            ("checks", format!("{stack_check} {libcalls_by_symbol} {interruptible} {fuel}")),
            ("debug", format!("{debug_info:?}")),
            ("features", format!("{features:?}")),
            ("imports", imports),
        ];
        let inputs: Vec<(&str, &[u8])> =
            [("tool", self.tool.as_bytes()), ("kind", kind.as_bytes()), ("module", wasm)]
                .into_iter()
                .chain(options.iter().chain(rest).map(|(name, value)| (*name, value.as_bytes())))
                .collect();
        Some(Key::of(&inputs))
    }

    pub fn get(&self, key: &Option<Key>) -> Option<Vec<u8>> {
        match self.store.as_ref()?.get(key.as_ref()?) {
            Lookup::Hit(bytes) => Some(bytes),
            Lookup::Miss => None,
            Lookup::Damaged => {
                report::warn("a damaged entry of the cache was removed");
                None
            }
        }
    }

    pub fn put(&self, key: &Option<Key>, bytes: &[u8]) {
        if let (Some(store), Some(key)) = (&self.store, key)
            && let Err(error) = store.put(key, bytes)
        {
            report::warn(&format!("the result was not kept in the cache: {error}"));
        }
    }
}

/// Which `aot` this is: a rebuilt one may make other code under the same version.
fn tool() -> Option<String> {
    let metadata = env::current_exe().ok()?.metadata().ok()?;
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    Some(format!("{} {} {seconds}.{nanoseconds}", env!("CARGO_PKG_VERSION"), metadata.len()))
}
