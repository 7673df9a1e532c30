//! Where the library is, and how C programs of it are built and run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// How a program is linked with the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Static,
    Shared,
}

pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository")
}

pub fn headers() -> PathBuf {
    root().join("runtime-lib/capi/include")
}

/// The C programs of the tests.
pub fn source(name: &str) -> PathBuf {
    root().join("tests/capi").join(name)
}

/// The directory with `libaot.a` and `libaot.so`: cargo builds them beside the tests.
pub fn library_dir() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let dir = test.parent().expect("a directory").to_path_buf();
    assert!(dir.join("libaot.so").is_file(), "cargo has built the library into {}", dir.display());
    dir
}

/// The directory that `cargo xtask` fills.
pub fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a directory in target/").to_path_buf()
}

/// Whether something that a test needs is there.
///
/// # Panics
/// On CI, if it is not.
pub fn is_there(what: &str, found: bool) -> bool {
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{what} is not there: `cargo xtask setup`");
        println!("SKIPPED: {what} is not there, `cargo xtask setup` installs it");
    }
    found
}

pub fn has_command(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

/// A command that finds the library where it was linked with it: cargo's own path would come first.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_remove("LD_LIBRARY_PATH").env_remove("AOT_DEBUG");
    command
}

/// Runs a command that has to succeed.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let Output { status, stdout, stderr } = &output;
    let (stdout, stderr) = (String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    output
}

/// C programs, built in a directory that goes away.
pub struct Programs {
    pub dir: TempDir,
    library: PathBuf,
}

impl Programs {
    pub fn new() -> Programs {
        Programs { dir: tempfile::tempdir().expect("a directory"), library: library_dir() }
    }

    /// As `new`, with another library.
    pub fn of(library: &Path) -> Programs {
        Programs { dir: tempfile::tempdir().expect("a directory"), library: library.to_path_buf() }
    }

    /// Builds a program in C99 with a few extensions of its system, or C++.
    pub fn build(&self, source: &Path, link: Link, flags: &[&str]) -> PathBuf {
        let name = source.file_stem().expect("a file");
        let program = self.dir.path().join(format!("{}-{link:?}", name.display()));
        let is_cxx = source.extension().is_some_and(|extension| extension == "cc");
        let mut compiler = Command::new(if is_cxx { "c++" } else { "cc" });
        compiler.arg(if is_cxx { "-std=c++11" } else { "-std=gnu99" });
        compiler.args(["-g", "-O1"]).args(flags).arg("-I").arg(headers()).arg(source).arg("-o").arg(&program);
        match link {
            Link::Static => {
                compiler.arg(self.library.join("libaot.a")).args(["-lpthread", "-ldl", "-lm"]);
            }
            Link::Shared => {
                compiler.arg("-L").arg(&self.library).args(["-laot", "-lpthread"]);
                compiler.arg(format!("-Wl,-rpath,{}", self.library.display()));
            }
        }
        succeed(&mut compiler);
        program
    }

    /// Runs a program that has to succeed, in its directory; gives what it printed.
    pub fn run(&self, program: &Path, args: &[&str]) -> String {
        let output = succeed(command(program).args(args).current_dir(self.dir.path()));
        String::from_utf8(output.stdout).expect("text")
    }

    /// A file with an image of a module in the text format.
    pub fn image(&self, name: &str, text: &str) -> PathBuf {
        self.image_for(name, text, aot_compiler::Target::host().expect("this machine is a target"), false)
    }

    pub fn image_for(
        &self,
        name: &str,
        text: &str,
        target: aot_compiler::Target,
        interruptible: bool,
    ) -> PathBuf {
        let wasm = aot_compiler::parse_text(text.as_bytes(), name).expect("the text is right");
        let mut config = aot_compiler::Config::image(target);
        config.interruptible = interruptible;
        let image = aot_compiler::compile(&wasm, &config).and_then(|compiled| compiled.cwasm());
        let path = self.dir.path().join(name);
        std::fs::write(&path, image.expect("the module is valid")).expect("a file");
        path
    }
}
