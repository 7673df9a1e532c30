//! Builds for what a program does: one that counts, one that uses the counts. What they compute is the same.

#[path = "emulator.rs"]
mod emulator;
#[path = "memory_store.rs"]
mod memory_store;

use aot_compiler::{Config, Profile, wasi};
use memory_store::MemoryStore;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A loop of a thousand rounds with a way that is rarely taken, a switch, and an indirect call that is nearly always of `$often`;
/// then, if it is started with an argument, a trap.
const PROGRAM: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (type $step (func (param i32) (result i32)))
    (table funcref (elem $rare $often $trap))
    (func $rare (type $step) (i32.add (local.get 0) (i32.const 7)))
    (func $often (type $step) (i32.rotl (local.get 0) (i32.const 3)))
    (func $trap (type $step) unreachable)
    (func $never (param i32) (result i32) (i32.div_u (i32.const 5) (local.get 0)))
    (func $switch (param i32) (result i32)
        (block $default (block $two (block $one (block $zero
            (br_table $zero $one $two $one $zero $two $default (local.get 0)))
            (return (i32.const 11))) (return (i32.const 13))) (return (i32.const 17)))
        (i32.const 19))
    (func $run (param $rounds i32) (result i32) (local $sum i32) (local $i i32)
        (loop $next
            (if (i32.eq (i32.rem_u (local.get $i) (i32.const 500)) (i32.const 499))
                (then (local.set $sum (i32.add (local.get $sum) (call $never (local.get $i)))))
                (else (local.set $sum (i32.add (local.get $sum)
                    (call $switch (i32.rem_u (local.get $i) (i32.const 8)))))))
            (local.set $sum (call_indirect (type $step) (local.get $sum)
                (i32.ne (i32.rem_u (local.get $i) (i32.const 10)) (i32.const 0))))
            (br_if $next (i32.lt_u
                (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $rounds))))
        (local.get $sum))
    (func (export "_start") (local $sum i32)
        (local.set $sum (call $run (i32.const 1000)))
        (drop (call $sizes (i32.const 0) (i32.const 4)))
        (if (i32.gt_u (i32.load (i32.const 0)) (i32.const 1))
            (then (drop (call_indirect (type $step) (i32.const 0) (i32.const 2)))))
        (call $exit (i32.and (local.get $sum) (i32.const 63)))))"#;

/// What it counts: the calls of each function, and the ways from there on, in the order of the text. Of eight indices of the
/// switch, five have two ways; index 7 is beyond its table.
const COUNTS: [u64; 20] = [
    100, 900, 0, 2, // $rare, $often, $trap, $never
    998, 125, 125, 125, 124, 125, 125, 249, // $switch: its start, six ways, the default
    1, 1000, 2, 998, 999, 1, // $run: start, loop, then, else, again, out
    1, 0, // _start, and its `if`; the other way of that follows
];

struct Sandbox(PathBuf);

impl Sandbox {
    fn new() -> Sandbox {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("aot-profile-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Sandbox(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn aot(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aot"));
        command.args(words).current_dir(&self.0).env("AOT_CACHE_DIR", self.path("cache"));
        command.stdin(Stdio::null()).output().unwrap()
    }

    #[track_caller]
    fn build(&self, words: &[&str]) -> String {
        let output = self.aot(&[&["build"], words].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{words:?}: {stderr}");
        stderr
    }

    #[track_caller]
    fn refuses(&self, words: &[&str], code: i32, part: &str) {
        let output = self.aot(&[&["build"], words].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(part), "{words:?}: {stderr}");
    }

    /// Runs an executable here.
    fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(self.path(program));
        command.args(args).current_dir(&self.0).stdin(Stdio::null()).output().unwrap()
    }

    fn profile(&self, name: &str) -> Profile {
        Profile::read(&fs::read(self.path(name)).unwrap()).unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The counters of a file, by its documented layout.
fn counters(file: &Path, is_big_endian: bool) -> Vec<u64> {
    let bytes = fs::read(file).unwrap();
    let (words, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty());
    let word =
        |word: &[u8; 8]| if is_big_endian { u64::from_be_bytes(*word) } else { u64::from_le_bytes(*word) };
    let first = 5 + word(&words[2]) as usize / 8;
    words[first..][..word(&words[3]) as usize].iter().map(word).collect()
}

fn program(text: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("program.wat"), text).unwrap();
    sandbox
}

#[test]
fn counts_are_exact_and_add_up() {
    let sandbox = program(PROGRAM);
    sandbox.build(&["program.wat", "-o", "plain"]);
    for level in ["0", "2"] {
        let level = format!("opt-level={level}");
        sandbox.build(&["program.wat", "-O", &level, "--profile-generate=some.aotprof", "-o", "counting"]);
        let plain = sandbox.run("plain", &[]);
        assert_eq!(sandbox.run("counting", &[]), plain);
        assert_eq!(counters(&sandbox.path("some.aotprof"), false)[..COUNTS.len()], COUNTS);
        // Programs that end at once wait for each other.
        std::thread::scope(|scope| {
            for _ in 0..7 {
                scope.spawn(|| assert_eq!(sandbox.run("counting", &[]), plain));
            }
        });
        let sums = counters(&sandbox.path("some.aotprof"), false);
        assert_eq!(sums[..COUNTS.len()], COUNTS.map(|count| 8 * count));
        // So does a program that traps, and what is in the way is replaced.
        fs::write(sandbox.path("other"), "something else").unwrap();
        let mut command = Command::new(sandbox.path("counting"));
        let traps = command.arg("x").env("AOT_PROFILE_FILE", sandbox.path("other")).output().unwrap();
        assert_eq!(traps.status.code(), Some(134));
        assert_eq!(counters(&sandbox.path("other"), false)[2], 1);
        fs::remove_file(sandbox.path("some.aotprof")).unwrap();
    }
    // A sealed program writes where it was told to when it was built.
    sandbox.build(&["program.wat", "--sealed", "--profile-generate=some.aotprof", "-o", "sealed"]);
    fs::remove_file(sandbox.path("other")).unwrap();
    let mut command = Command::new(sandbox.path("sealed"));
    command.current_dir(&sandbox.0).env("AOT_PROFILE_FILE", sandbox.path("other"));
    assert_eq!(command.output().unwrap(), sandbox.run("plain", &[]));
    assert_eq!(counters(&sandbox.path("some.aotprof"), false)[..COUNTS.len()], COUNTS);
    assert!(!sandbox.path("other").exists());
    // What cannot be written is told, and changes nothing else.
    let mut command = Command::new(sandbox.path("counting"));
    let output = command.env("AOT_PROFILE_FILE", "/nowhere/file").output().unwrap();
    assert_eq!(output.status, sandbox.run("plain", &[]).status);
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("warning: cannot write the profile"));
}

#[test]
fn counts_decide_about_the_code() {
    let sandbox = program(PROGRAM);
    sandbox.build(&["program.wat", "--profile-generate", "-o", "counting"]);
    let expected = sandbox.run("counting", &[]);
    let with = ["program.wat", "--profile-use", "default.aotprof"];
    assert_eq!(sandbox.build(&with), "");
    assert_eq!(sandbox.run("program", &[]), expected);
    assert_eq!(sandbox.run("program", &["x"]).status.code(), Some(134));
    sandbox.build(&[&with[..], &["--emit", "clif", "-o", "with.clif"]].concat());
    sandbox.build(&["program.wat", "--emit", "clif", "-o", "without.clif"]);
    let [with, without] =
        ["with.clif", "without.clif"].map(|name| fs::read_to_string(sandbox.path(name)).unwrap());
    let counts = |text: &str| [" cold:", "rotl"].map(|what| text.matches(what).count());
    let ([cold, rotations], [cold_without, _]) = (counts(&with), counts(&without));
    assert!(cold > cold_without, "{with}");
    // The function that the table nearly always leads to is also in place of its call.
    assert_eq!((rotations, counts(&without)[1]), (2, 1), "{with}");
}

#[test]
fn profiles_of_other_versions_do_no_harm() {
    let sandbox = program(PROGRAM);
    sandbox.build(&["program.wat", "--profile-generate", "-o", "counting"]);
    sandbox.run("counting", &[]);
    let use_it = ["--profile-use", "default.aotprof", "-v", "-o", "used"];
    let build = |text: &str| {
        fs::write(sandbox.path("new.wat"), text).unwrap();
        sandbox.build(&["new.wat", "-o", "plain"]);
        let told = sandbox.build(&[&["new.wat"], &use_it[..]].concat());
        assert_eq!(sandbox.run("used", &[]), sandbox.run("plain", &[]));
        let known = told.lines().find_map(|line| line.strip_prefix("of which the profile knows "));
        known.unwrap().split(' ').next().unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(build(PROGRAM), 7);
    // Another constant: known by its name. Another way: not known any more. The others are.
    assert_eq!(build(&PROGRAM.replace("i32.const 19", "i32.const 23")), 7);
    assert_eq!(build(&PROGRAM.replace("$two $default", "$two $two $default")), 6);
    // Other places in the table, another type of the function that is called.
    assert_eq!(build(&PROGRAM.replace("elem $rare $often", "elem $often $rare")), 7);
    let other = PROGRAM.replace("(func $often (type $step) (i32.rotl", "(func $often (type $step) (i32.sub");
    assert_eq!(build(&other), 7);
    let warns = |text: &str, start: &str| {
        fs::write(sandbox.path("new.wat"), text).unwrap();
        let told = sandbox.build(&["new.wat", "--profile-use", "default.aotprof"]);
        assert!(told.starts_with(start), "{told}");
    };
    warns("(module (func (export \"_start\")))", "warning: the profile knows none of the functions");
    // A function that runs 900 times, of 6,001 that were counted.
    let shared = "(func (export \"_start\")) (func $often (param i32) (result i32) (i32.rotl (local.get 0) (i32.const 3)))";
    warns(&format!("(module {shared})"), "warning: only 14 % of what the profile counted");
}

#[test]
fn bad_profiles_are_refused() {
    let sandbox = program(PROGRAM);
    sandbox.build(&["program.wat", "--profile-generate", "-o", "counting"]);
    sandbox.run("counting", &[]);
    let good = fs::read(sandbox.path("default.aotprof")).unwrap();
    sandbox.refuses(&["program.wat", "--profile-use", "missing"], 1, "cannot read `missing`");
    for (bytes, part) in [
        (&good[..good.len() - 8], "cut off"),
        (&good[..20], "cut off"),
        (b"", "starts with something else"),
        (b"\0asm\x01\0\0\0", "starts with something else"),
        (&[0; 64], "was stopped"),
    ] {
        fs::write(sandbox.path("bad"), bytes).unwrap();
        sandbox.refuses(&["program.wat", "--profile-use", "bad"], 1, part);
    }
    fs::write(sandbox.path("other.wat"), "(module (func (export \"_start\")))").unwrap();
    sandbox.build(&["other.wat", "--profile-generate=other.aotprof", "-o", "other"]);
    sandbox.run("other", &[]);
    let uses = ["--profile-use", "default.aotprof", "--profile-use", "other.aotprof"];
    sandbox.refuses(&[&["program.wat"], &uses[..]].concat(), 1, "profiles are of different modules");
    sandbox.refuses(&["program.wat", "--profile-generate", "--profile-use", "bad"], 2, "cannot be used with");
    for others in [&["--emit", "cwasm"][..], &["--emit", "obj"], &["--pie"], &["-C", "model=instance"]] {
        let generate = ["program.wat", "--profile-generate"];
        sandbox.refuses(&[&generate, others].concat(), 1, "only an executable of the static model counts");
    }
    assert!(!sandbox.path("program").exists() && !sandbox.path("program.cwasm").exists());
}

#[test]
fn other_machines_count_the_same() {
    let sandbox = program(PROGRAM);
    for target in emulator::FOREIGN.into_iter().filter(|target| emulator::is_ready(target)) {
        sandbox.build(&["program.wat", "--target", target, "--profile-generate", "-o", "counting"]);
        let mut command = emulator::command(target, &sandbox.path("counting"));
        command.current_dir(&sandbox.0).output().unwrap();
        let file = sandbox.path("default.aotprof");
        assert_eq!(counters(&file, target == "s390x-linux")[..COUNTS.len()], COUNTS, "{target}");
        // The profile of one machine is good for any.
        assert_eq!(sandbox.build(&["program.wat", "--profile-use", "default.aotprof"]), "", "{target}");
        assert_eq!(sandbox.run("program", &["x"]).status.code(), Some(134));
        fs::remove_file(&file).unwrap();
    }
}

/// Programs that nobody here wrote: they compute the same, whoever counts, and code that is kept is that which would be made.
#[test]
fn real_programs_compute_the_same() {
    let programs = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("programs");
    let sandbox = Sandbox::new();
    let input: String =
        (0..40_000u32).map(|line| format!("{} words\n", line.wrapping_mul(2_654_435_761) >> 12)).collect();
    fs::write(sandbox.path("input"), &input).unwrap();
    fs::write(
        sandbox.path("script.js"),
        "let s = 0; for (let i = 0; i < 3e5; i++) s += [i].map(x => x ^ 5)[0]; console.log(s)",
    )
    .unwrap();
    for (name, args) in
        [("bzip2", &["-c", "input"][..]), ("zstd", &["levels", "input"]), ("quickjs", &["script.js"])]
    {
        let wasm = programs.join(format!("{name}.wasm"));
        if !wasm.exists() {
            assert!(std::env::var_os("CI").is_none(), "{name} isn't built");
            println!("SKIPPED: {name} isn't built; `cargo xtask programs` does it");
            continue;
        }
        let path = wasm.to_str().unwrap();
        sandbox.build(&[path, "--dir", ".", "-o", "plain"]);
        sandbox.build(&[path, "--dir", ".", "--profile-generate=profile", "-o", "counting-1"]);
        sandbox.build(&[
            path,
            "--dir",
            ".",
            "--profile-generate=profile",
            "-o",
            "counting-2",
            "-C",
            "inlining=n",
        ]);
        let plain = sandbox.run("plain", args);
        assert!(plain.status.success() && !plain.stdout.is_empty(), "{name}: {plain:?}");
        assert_eq!(sandbox.run("counting-1", args), plain, "{name}");
        let once = counters(&sandbox.path("profile"), false);
        // What is inlined where makes no difference for what is counted. (Nor do names of programs that have equal lengths.)
        assert_eq!(sandbox.run("counting-2", args), plain, "{name}");
        let twice = counters(&sandbox.path("profile"), false);
        let doubled: Vec<u64> = once.iter().map(|count| 2 * count).collect();
        assert!(
            doubled == twice,
            "{name}: {:?}",
            doubled.iter().zip(&twice).enumerate().find(|(_, (x, y))| x != y)
        );
        sandbox.build(&[path, "--dir", ".", "--profile-use", "profile", "-o", "used"]);
        assert_eq!(sandbox.run("used", args), plain, "{name}");
        let profile = Some(Arc::new(sandbox.profile("profile")));
        let target = "x86_64-linux".parse().unwrap();
        let config = Config { profile, ..Config::executable(target, wasi::executable_import) };
        let wasm = fs::read(&wasm).unwrap();
        let store = Arc::new(MemoryStore::default());
        let cached = Config { code_store: Some(store), ..config.clone() };
        let object = |config: &Config| aot_compiler::compile(&wasm, config).unwrap().object().unwrap();
        let cold = object(&config);
        assert!(cold == object(&cached) && cold == object(&cached), "{name}");
        fs::remove_file(sandbox.path("profile")).unwrap();
    }
}
