//! `aot cache`: what the store of earlier results holds.

use crate::report::{Failure, Result};
use crate::{cache, output};
use aot_cache::Store;
use std::io;
use std::time::SystemTime;

/// Look at the cache of earlier results, or clean it
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Where it is, its entries and their size
    Stats,
    /// List the entries, the least recently used first
    Ls,
    /// Check every entry, and remove the damaged ones
    Verify,
    /// Remove what is too old, and what is beyond the bound
    Gc,
    /// Remove all entries
    Clear,
}

pub fn run(args: &Args) -> Result<()> {
    let directory = cache::directory().ok_or_else(|| {
        Failure::new("there is no place for a cache: neither HOME nor XDG_CACHE_HOME is set")
            .with_help("name a directory in AOT_CACHE_DIR")
    })?;
    let limits = cache::limits();
    let failure = |error: io::Error| Failure::new(format!("the cache: {error}"));
    let store = Store::open(&directory, limits).map_err(failure)?;
    let (json, text) = match args.action {
        Action::Stats => {
            let stats = store.stats();
            let directory = directory.display().to_string();
            let days = limits.age.as_secs() / (24 * 3600);
            (
                serde_json::json!({
                    "directory": directory, "entries": stats.entries, "bytes": stats.size,
                    "max_bytes": limits.size, "max_age_days": days,
                }),
                format!(
                    "directory: {directory}\nentries:   {}\nbytes:     {} of {}\nmaximum age: {days} days\n",
                    stats.entries, stats.size, limits.size
                ),
            )
        }
        Action::Ls => {
            let entries = store.entries();
            let used =
                |time: SystemTime| SystemTime::now().duration_since(time).map_or(0, |age| age.as_secs());
            let list: Vec<_> = entries
                .iter()
                .map(|entry| {
                    serde_json::json!({
                        "key": entry.key.to_string(), "bytes": entry.len, "unused_seconds": used(entry.used),
                    })
                })
                .collect();
            let lines = entries.iter().map(|entry| {
                format!("{} {:>10} bytes, used {} s ago\n", entry.key, entry.len, used(entry.used))
            });
            (serde_json::json!(list), lines.collect())
        }
        Action::Verify => {
            let verified = store.verify();
            (
                serde_json::json!({ "sound": verified.sound, "damaged": verified.damaged }),
                format!("{} sound, {} damaged and removed\n", verified.sound, verified.damaged),
            )
        }
        Action::Gc => removed(store.collect().map_err(failure)?),
        Action::Clear => removed(store.clear().map_err(failure)?),
    };
    output::print(&if args.json { format!("{json}\n") } else { text })
}

fn removed(count: u64) -> (serde_json::Value, String) {
    (serde_json::json!({ "removed": count }), format!("{count} removed\n"))
}
