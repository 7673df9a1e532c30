//! Where `core` and `alloc` for a target come from.

use crate::{Target, variable};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's compiler, and the source of the standard library that comes with it.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust";
/// A file of the source that must be there.
const CORE: &str = "library/core/Cargo.toml";

/// Files that change when a toolchain changes; and if a target is missing, when it could have been added: what `rustup`
/// and Debian have installed. Cargo takes a file that is not there for one that has changed, so only those that are.
pub fn watched(is_missing: bool) -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from(DEBIAN_RUSTC), Path::new(DEBIAN_SOURCE).join(CORE)];
    if is_missing {
        let sysroot = print(&variable("RUSTC"), &["--print", "sysroot"]);
        files.extend(sysroot.map(|root| root.join("lib/rustlib/components")));
        files.push(PathBuf::from("/var/lib/dpkg/status"));
    }
    files.retain(|file| file.exists());
    files
}

/// A way to compile for a target.
pub enum Toolchain {
    /// The toolchain in use is for this machine: its name of it.
    Host(String),
    /// The toolchain in use has the target installed.
    Installed,
    /// The toolchain in use has the standard library's source, at this place.
    Source(PathBuf),
    /// Debian's compiler, with its source.
    Debian,
}

impl Toolchain {
    /// The best one for a target, or what to do to get one.
    pub fn find(target: &Target) -> Result<Toolchain, String> {
        let host = variable("HOST");
        // Any C library will do (gnu, musl): the runtime library uses none.
        if host.split('-').next() == Some(target.architecture) && host.contains("-linux-") {
            return Ok(Toolchain::Host(host));
        }
        let rustc = variable("RUSTC");
        let libdir = print(&rustc, &["--print", "target-libdir", "--target", target.triple]);
        if libdir.is_some_and(|path| path.exists()) {
            return Ok(Toolchain::Installed);
        }
        let source = print(&rustc, &["--print", "sysroot"]).map(|root| root.join("lib/rustlib/src/rust"));
        if let Some(source) = source.filter(|source| has_core(source)) {
            return Ok(Toolchain::Source(source));
        }
        if Path::new(DEBIAN_RUSTC).exists() && has_core(Path::new(DEBIAN_SOURCE)) {
            return Ok(Toolchain::Debian);
        }
        Err(format!(
            "`rustup target add {}` (on Debian also: `apt-get install rustc-web rust-web-src`), then build aot again",
            target.triple
        ))
    }

    pub fn is_for_host(&self) -> bool {
        matches!(self, Toolchain::Host(_))
    }

    /// What the compiler calls the target.
    pub fn triple(&self, target: &Target) -> String {
        match self {
            Toolchain::Host(host) => host.clone(),
            _ => target.triple.to_owned(),
        }
    }

    /// Where the standard library's source is, if it is compiled too.
    pub fn source(&self) -> Option<&Path> {
        match self {
            Toolchain::Host(_) | Toolchain::Installed => None,
            Toolchain::Source(source) => Some(source),
            Toolchain::Debian => Some(Path::new(DEBIAN_SOURCE)),
        }
    }

    /// Makes cargo use it.
    pub fn configure(&self, cargo: &mut Command) {
        if let Toolchain::Debian = self {
            cargo.env("RUSTC", DEBIAN_RUSTC);
        }
        if self.source().is_some() {
            // Lets a release compiler build the standard library.
            cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=core,alloc,compiler_builtins");
        }
    }
}

fn has_core(source: &Path) -> bool {
    source.join(CORE).exists()
}

/// A path that rustc prints.
fn print(rustc: &str, args: &[&str]) -> Option<PathBuf> {
    let output = Command::new(rustc).args(args).output().ok().filter(|output| output.status.success())?;
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
