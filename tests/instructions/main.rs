//! How many instructions the machine executes for small programs of different kinds: a change of code generation that costs more of
//! them is seen here, on any machine and however busy it is.
//!
//! In: the modules beside this file, and `counts.txt`, which has the numbers that are known. `BLESS=1` writes it anew.
//! The process is run step by step, which takes some dozens of microseconds each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// More than this much above what is known is a failure; below, something to be proud of, and to be kept.
const TOLERANCE_PERCENT: u64 = 3;

#[test]
fn programs_take_no_more_instructions_than_they_did() {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        println!("SKIPPED: the known numbers are of x86-64 Linux");
        return;
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/instructions");
    let dir = std::env::temp_dir().join(format!("aot-instructions-{}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    let mut names: Vec<PathBuf> =
        fs::read_dir(&sources).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "wat"));
    names.sort();
    assert!(names.len() > 5);
    let mut counts = BTreeMap::new();
    for source in &names {
        let name = source.file_stem().unwrap().to_str().unwrap();
        let program = dir.join(name);
        let mut build = Command::new(env!("CARGO_BIN_EXE_aot"));
        build.args(["build", "--no-cache", "-o"]).arg(&program).arg(source);
        assert!(build.status().unwrap().success(), "{name}");
        // What it computes is its exit code, so that a program that stops early is not taken for a quick one.
        let (status, count) = steps(&program).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(status, 42, "{name}");
        counts.insert(name.to_owned(), count);
    }
    fs::remove_dir_all(&dir).unwrap();
    let file = sources.join("counts.txt");
    if std::env::var_os("BLESS").is_some() {
        let text = counts.iter().fold(String::new(), |mut text, (name, count)| {
            writeln!(text, "{name} {count}").expect("strings take all text");
            text
        });
        fs::write(&file, text).unwrap();
        return;
    }
    let text = fs::read_to_string(&file).unwrap();
    let known: BTreeMap<String, u64> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, count)| (name.to_owned(), count.parse().unwrap()))
        .collect();
    let mut worse = Vec::new();
    for (name, count) in &counts {
        let Some(known) = known.get(name) else {
            panic!("{name} is not in counts.txt: run this with BLESS=1")
        };
        let change = *count as f64 / *known as f64 - 1.0;
        println!("{name}: {count} instructions, {:+.1} %", change * 100.0);
        if *count * 100 > *known * (100 + TOLERANCE_PERCENT) {
            worse.push(format!("{name}: {count} instructions instead of {known}"));
        }
    }
    assert!(worse.is_empty(), "{}\nif that is what it costs, run this with BLESS=1", worse.join("\n"));
}

/// Runs a program instruction by instruction. Returns its exit code, and how many there were.
fn steps(program: &Path) -> io::Result<(i32, u64)> {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).env_clear();
    // SAFETY: it only makes a system call.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        })
    };
    // It stops at its first instruction.
    let child = command.spawn()?.id() as libc::pid_t;
    let mut count = 0;
    loop {
        let mut status = 0;
        // SAFETY: the status is this function's own.
        if unsafe { libc::waitpid(child, &mut status, 0) } == -1 {
            return Err(io::Error::last_os_error());
        }
        if libc::WIFEXITED(status) {
            return Ok((libc::WEXITSTATUS(status), count));
        }
        if !libc::WIFSTOPPED(status) || libc::WSTOPSIG(status) != libc::SIGTRAP {
            return Err(io::Error::other(format!("it ends with status {status:#x}")));
        }
        // SAFETY: the child is stopped.
        if unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, child, 0, 0) } == -1 {
            return Err(io::Error::last_os_error());
        }
        count += 1;
    }
}
