//! The example `examples/codec`, made as its README says: libbz2 in a sandbox, called by a C program.
//!
//! The library as wasm is `target/programs/guests/bz2.wasm` (`cargo xtask guests`). Without it the test is skipped by name; when
//! `CI` is set, a skip is a failure.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}

fn codec(program: &Path, how: &str, input: &[u8]) -> Output {
    let mut command = Command::new(program);
    command.arg(how).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the example starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // One that has failed does not read all of it.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the example ends");
    writer.join().expect("no panic");
    output
}

fn good(program: &Path, how: &str, input: &[u8]) -> Vec<u8> {
    let output = codec(program, how, input);
    assert!(output.status.success(), "{how}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The program, made of the guest.
fn build(wasm: &Path, directory: &Path) -> PathBuf {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/codec");
    fs::copy(wasm, directory.join("bz2.wasm")).expect("a copy");
    let mut aot = Command::new(env!("CARGO_BIN_EXE_aot"));
    run(aot.current_dir(directory).args(["build", "bz2.wasm", "--no-cache", "--emit", "lib,header"]));
    let program = directory.join("codec");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-I"]).arg(directory).arg(example.join("main.c"));
    run(cc.arg(directory.join("libbz2.a")).arg("-o").arg(&program));
    program
}

#[test]
fn a_library_in_a_sandbox_compresses() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a directory in target/");
    let wasm = target.join("programs/guests/bz2.wasm");
    if !wasm.is_file() {
        assert!(std::env::var_os("CI").is_none(), "bz2.wasm is not there: `cargo xtask guests`");
        println!("codec: SKIPPED, `cargo xtask guests` builds bz2.wasm");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let program = build(&wasm, directory.path());

    let text = include_bytes!("programs/data/license.txt").as_slice();
    let noise: Vec<u8> = (0u32..300_000).map(|n| (n.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
    // It grows 16,000 times: the room for it has to be found.
    let zeros = vec![0; 3_000_000];
    for input in [&b""[..], b"a", text, &noise, &zeros] {
        let packed = good(&program, "compress", input);
        assert!(packed.starts_with(b"BZh9"));
        assert!(good(&program, "decompress", &packed) == input, "{} bytes", input.len());
    }

    let packed = good(&program, "compress", text);
    assert!(packed.len() < text.len() / 2, "{} of {} bytes", packed.len(), text.len());
    let mut damaged = packed.clone();
    damaged[packed.len() / 2] ^= 0x55;
    for (input, status) in [(&damaged[..], "-4"), (text, "-5"), (&packed[..packed.len() / 2], "-7")] {
        let output = codec(&program, "decompress", input);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("codec: libbz2 says {status}\n"));
        assert!(output.stdout.is_empty());
    }

    // A few hundred bytes that unpack to too much are an error, and not the end of the memory.
    let bomb = good(&program, "compress", &vec![0; 100_000_000]);
    let output = codec(&program, "decompress", &bomb);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "codec: libbz2 says -8\n");
}

/// The README has what `build` above does.
#[test]
fn the_commands_are_those_of_the_readme() {
    let readme = include_str!("../examples/codec/README.md");
    for part in ["aot build bz2.wasm --emit lib,header", "cc -O2 main.c libbz2.a -o codec", "@clang.rsp"] {
        assert!(readme.contains(part), "{part}");
    }
}
