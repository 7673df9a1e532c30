//! Linked modules: they do what the same modules do that a host links when it runs them; what they become runs everywhere;
//! mistakes are explained.

#[path = "../emulator.rs"]
mod emulator;
mod errors;
mod outputs;
mod program;

mod semantics;
mod suite;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A directory that goes away with the test, and a store beside it.
struct Sandbox(tempfile::TempDir);

impl Sandbox {
    fn new() -> Sandbox {
        let sandbox = Sandbox(tempfile::tempdir().unwrap());
        fs::create_dir(sandbox.0.path().join("work")).unwrap();
        sandbox
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("work").join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn command(&self, program: impl AsRef<Path>, words: &[&str]) -> Command {
        let mut command = Command::new(program.as_ref());
        command.args(words).current_dir(self.path("")).stdin(Stdio::null());
        command.env_remove("AOT_RUN").env("AOT_CACHE_DIR", self.0.path().join("cache"));
        command
    }

    fn aot(&self, words: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_aot"), words).output().unwrap()
    }

    /// Runs `aot`, which has to succeed without a word on standard error.
    #[track_caller]
    fn succeeds(&self, words: &[&str]) -> Output {
        let output = self.aot(words);
        assert_eq!((output.status.code(), &*stderr(&output)), (Some(0), ""), "{words:?}");
        output
    }

    fn files(&self) -> Vec<String> {
        let items = fs::read_dir(self.path("")).unwrap();
        let mut names: Vec<String> =
            items.map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
