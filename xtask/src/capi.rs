//! The C library as a directory that C programs are built with: `include`, `lib`, `lib/pkgconfig`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{command, repo};

/// Builds the library, optimised, and lays it out.
///
/// # Errors
/// The options are unknown, the build fails, or the directory can't be written.
pub fn run(options: &[&str]) -> Result<()> {
    let (mut dir, mut lean) = (None, false);
    for option in options {
        match *option {
            "--no-compiler" => lean = true,
            option if option.starts_with('-') => bail!("unknown option `{option}`; --no-compiler is one"),
            path if dir.is_none() => dir = Some(PathBuf::from(path)),
            path => bail!("one directory is enough; what is `{path}`?"),
        }
    }
    let target = repo::target_dir()?;
    let dir = dir.unwrap_or_else(|| target.join("release/capi"));
    let mut cargo = repo::cargo();
    cargo.args(["build", "--release", "--locked", "-p", "aot-capi"]);
    if lean {
        cargo.arg("--no-default-features");
    }
    command::run(&mut cargo)?;

    let (include, lib) = (dir.join("include"), dir.join("lib"));
    for header in ["wasm.h", "aot.h"] {
        copy(&repo::root().join("runtime-lib/capi/include").join(header), &include)?;
    }
    for library in ["libaot.a", "libaot.so"] {
        copy(&target.join("release").join(library), &lib)?;
    }
    let pkgconfig = lib.join("pkgconfig");
    fs::create_dir_all(&pkgconfig).with_context(|| format!("can't make {}", pkgconfig.display()))?;
    let file = pkgconfig.join("aot.pc");
    fs::write(&file, description()).with_context(|| format!("can't write {}", file.display()))?;
    println!("capi: headers and libraries are in {}", dir.display());
    Ok(())
}

/// What `pkg-config` reads. The directory can be moved.
fn description() -> String {
    format!(
        "prefix=${{pcfiledir}}/../..\n\
         Name: aot\n\
         Description: WebAssembly modules as native code, inside of a C program\n\
         Version: {}\n\
         Cflags: -I${{prefix}}/include\n\
         Libs: -L${{prefix}}/lib -laot\n\
         Libs.private: -lpthread -ldl -lm\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn copy(file: &Path, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
    let name = file.file_name().context("a file has a name")?;
    // Not written over: a program may have the old one open.
    let (new, temporary) = (dir.join(name), dir.join(format!(".{}.tmp", name.display())));
    fs::copy(file, &temporary).with_context(|| format!("can't copy {}", file.display()))?;
    fs::rename(&temporary, &new).with_context(|| format!("can't write {}", new.display()))
}
