//! The user's keys for caches on servers: the one that signs, and those that are trusted.

use crate::report::{self, Failure, Result};
use aot_cache_remote::{PublicKey, SecretKey};
use std::env;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The variable with the secret key, or with the name of its file.
const SIGN: &str = "AOT_CACHE_SIGN_KEY";
/// The variable with the trusted keys.
const TRUST: &str = "AOT_CACHE_TRUST";

/// Where the user's settings are. Nothing if the user has none.
pub fn directory() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(base.join("aot"))
}

/// The key that signs: that of `AOT_CACHE_SIGN_KEY`, or of the file `key` among the user's settings.
pub fn signing() -> Option<SecretKey> {
    let ignored =
        |what: &str, why: &dyn std::fmt::Display| report::warn(&format!("{what} is ignored: {why}"));
    if let Ok(text) = env::var(SIGN)
        && !text.is_empty()
    {
        let key = match text.parse::<SecretKey>() {
            Ok(key) => Ok(key),
            Err(_) => read(Path::new(&text)).map_err(|failure| failure.message().to_owned()),
        };
        return key.map_err(|why| ignored(&format!("the variable {SIGN}"), &why)).ok();
    }
    let path = directory()?.join("key");
    match path.exists() {
        true => read(&path).map_err(|failure| ignored("your key", &failure.message())).ok(),
        false => None,
    }
}

/// The keys that are trusted: those of `AOT_CACHE_TRUST`, and of the file `trust` among the user's settings. There, a line
/// that starts with `#` is a comment.
pub fn trusted() -> Vec<PublicKey> {
    let mut keys = Vec::new();
    let mut add = |text: &str, place: &str| match text.parse() {
        Ok(key) => keys.push(key),
        Err(error) => report::warn(&format!("a key in {place} is ignored: {error}")),
    };
    let variable = env::var(TRUST).unwrap_or_default();
    let words = variable.split([' ', ',', '\n']).filter(|word| !word.is_empty());
    words.for_each(|word| add(word, &format!("the variable {TRUST}")));
    if let Some(path) = directory().map(|directory| directory.join("trust"))
        && let Ok(text) = fs::read_to_string(&path)
    {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        // What follows the key is a name for people.
        lines.for_each(|line| {
            add(line.split_whitespace().next().unwrap_or_default(), &format!("`{}`", path.display()))
        });
    }
    keys
}

/// Reads a secret key.
pub fn read(path: &Path) -> Result<SecretKey> {
    let text = fs::read_to_string(path).map_err(|error| Failure::io("cannot read", path, &error))?;
    let key = text.parse().map_err(|error| {
        Failure::new(format!("`{}` has no secret key: {error}", path.display()))
            .with_help("`aot key new` makes one")
    })?;
    if fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0) {
        report::warn(&format!("others can read the secret key `{}`", path.display()));
    }
    Ok(key)
}

/// Writes a new secret key to a file that only the user can read, and that was not there.
pub fn write(path: &Path, key: &SecretKey) -> Result<()> {
    let failure = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(format!("`{}` is there already, and may be a key in use", path.display()))
                .with_help("name another file, or remove it yourself")
        }
        _ => Failure::io("cannot write", path, &error),
    };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failure)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failure)?;
    let written = writeln!(file, "{}", key.reveal()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        drop(fs::remove_file(path));
        failure(error)
    })
}
