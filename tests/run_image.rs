//! `aot run` in its own process: images, and programs that are stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn aot(dir: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aot"));
    command.current_dir(dir).args(words).output().expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A directory with a module as `x.wat` and, unless it can't be one, as image `x.cwasm`.
fn directory(wat: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_path_buf();
    fs::write(path.join("x.wat"), wat).unwrap();
    let built = aot(&path, &["build", "x.wat", "--emit", "cwasm", "-o", "x.cwasm"]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    (directory, path)
}

const PROGRAM: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 100) "hello\n")
    (func $deep (param i32) (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else unreachable)))
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 100))
        (i32.store (i32.const 4) (i32.const 6))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (drop (call $args (i32.const 16) (i32.const 20)))
        (drop (call $environ (i32.const 24) (i32.const 28)))
        (call $exit (i32.add (i32.load (i32.const 16)) (i32.mul (i32.const 10) (i32.load (i32.const 24))))))
    (func (export "trap") (call $deep (i32.const 2)))
    (func (export "add") (param i32 i64) (result i64 f32)
        (i64.add (i64.extend_i32_s (local.get 0)) (local.get 1)) (f32.const 1.5))
    (func (export "grow") (result i32) (memory.grow (i32.const 100)))
    (func (export "forever") (loop (br 0))))"#;

#[test]
fn images_run_when_they_are_trusted() {
    let (_directory, path) = directory(PROGRAM);
    let refused = aot(&path, &["run", "x.cwasm"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--allow-precompiled"), "{}", text(&refused.stderr));
    let run =
        aot(&path, &["run", "--allow-precompiled", "--env", "A=1", "--env", "B=2", "x.cwasm", "one", "two"]);
    assert_eq!(text(&run.stdout), "hello\n");
    assert_eq!(run.status.code(), Some(23), "{}", text(&run.stderr));
}

/// An image does what the executable of the same module does.
#[test]
fn images_behave_as_executables() {
    let (_directory, path) = directory(PROGRAM);
    for words in [
        &["--invoke", "add", "FILE", "-3", "0x10"][..],
        &["--invoke", "add", "FILE", "1"],
        &["--invoke", "add", "FILE", "1", "x"],
        &["--invoke", "none", "FILE"],
        &["--invoke", "trap", "FILE"],
        &["-W", "max-memory-size=1M", "--invoke", "grow", "FILE"],
        &["--invoke", "grow", "FILE"],
        &["--dir", "no-such-directory", "FILE"],
        &["FILE"],
    ] {
        let with = |file: &'static str| -> Vec<&str> {
            let words = words.iter().map(|word| if *word == "FILE" { file } else { *word });
            // What is inlined is missing in the functions of a trap.
            ["run", "--allow-precompiled", "-C", "inlining=n"].into_iter().chain(words).collect()
        };
        let [executable, image] = ["x.wat", "x.cwasm"].map(|file| aot(&path, &with(file)));
        assert_eq!(text(&image.stdout), text(&executable.stdout), "{words:?}");
        assert_eq!(text(&image.stderr), text(&executable.stderr), "{words:?}");
        assert_eq!(image.status.code(), executable.status.code(), "{words:?}");
    }
}

#[test]
fn programs_are_stopped_by_time_and_fuel() {
    let (_directory, path) = directory(PROGRAM);
    let stopped = aot(&path, &["run", "-W", "timeout=200ms", "--invoke", "forever", "x.wat"]);
    assert_eq!(stopped.status.code(), Some(134));
    assert!(
        text(&stopped.stderr).starts_with("error: wasm trap: interrupted\n"),
        "{}",
        text(&stopped.stderr)
    );
    let stopped = aot(&path, &["run", "-W", "fuel=100000", "--invoke", "forever", "x.wat"]);
    assert_eq!(stopped.status.code(), Some(134));
    assert!(text(&stopped.stderr).contains("all fuel consumed"), "{}", text(&stopped.stderr));
    let enough = aot(&path, &["run", "-W", "fuel=100000,timeout=1m", "--invoke", "add", "x.wat", "1", "2"]);
    assert_eq!(text(&enough.stdout), "3\n1.5\n", "{}", text(&enough.stderr));
    // An image has what it was built with.
    let refused = aot(&path, &["run", "--allow-precompiled", "-W", "fuel=5", "x.cwasm"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("was not built to count fuel"), "{}", text(&refused.stderr));
    for emit in ["exe", "obj"] {
        let refused = aot(&path, &["build", "-W", "epoch-interruption", "x.wat", "--emit", emit, "-o", "y"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains("--emit cwasm"), "{}", text(&refused.stderr));
        assert!(!path.join("y").exists());
    }
}

#[test]
fn what_cannot_run_is_refused() {
    let (_directory, path) =
        directory(r#"(module (import "env" "f" (func $f)) (func (export "_start") (call $f)))"#);
    let refused = aot(&path, &["run", "--allow-precompiled", "x.cwasm"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("unknown import: `env` `f`"), "{}", text(&refused.stderr));
    let trapped = aot(&path, &["run", "--allow-precompiled", "-W", "unknown-imports-trap", "x.cwasm"]);
    assert_eq!(trapped.status.code(), Some(134));
    let bytes = fs::read(path.join("x.cwasm")).unwrap();
    let mut damaged = bytes.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    for (name, bytes) in [("cut.cwasm", &bytes[..bytes.len() / 2]), ("bit.cwasm", &damaged)] {
        fs::write(path.join(name), bytes).unwrap();
        let refused = aot(&path, &["run", "--allow-precompiled", name]);
        assert_eq!(refused.status.code(), Some(1), "{name}");
        assert!(text(&refused.stderr).starts_with("error: "), "{}", text(&refused.stderr));
    }
}
