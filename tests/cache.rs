//! The cache as its users meet it: many builds at once, machines that share a server, and all that can be wrong with
//! either. Whatever it is, every build succeeds, and makes the same bytes.

mod servers;

use servers::{Server, free_port, redis};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const AOT: &str = env!("CARGO_BIN_EXE_aot");

/// A module that no other number has.
fn module(number: u32) -> String {
    format!(
        r#"(module (func (export "_start")) (func (export "f") (param i32) (result i32)
             local.get 0 i32.const {number} i32.add))"#
    )
}

/// A user on a machine: files, a store and settings of their own.
struct User(TempDir);

impl User {
    fn new() -> User {
        let user = User(TempDir::new().unwrap());
        for number in 0..8 {
            fs::write(user.path(&format!("{number}.wat")), module(number)).unwrap();
        }
        user
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn store(&self) -> PathBuf {
        self.path("store")
    }

    fn command(&self, program: impl AsRef<Path>, words: &[&str]) -> Command {
        let mut command = Command::new(program.as_ref());
        command.args(words).current_dir(self.0.path()).stdin(Stdio::null());
        for name in ["AOT_RUN", "AOT_CACHE_REMOTE", "AOT_CACHE_TRUST", "AOT_CACHE_SIGN_KEY", "AOT_CACHE_SIZE"]
        {
            command.env_remove(name);
        }
        command.env("AOT_CACHE_DIR", self.store()).env("XDG_CONFIG_HOME", self.path("settings"));
        command
    }

    fn aot(&self, words: &[&str]) -> Command {
        self.command(AOT, words)
    }

    /// Builds a module, and returns what was made and what was said.
    fn build(&self, number: u32, words: &[&str]) -> (Vec<u8>, String) {
        let file = format!("{number}.wat");
        let words = [&["build", &file, "-o", "out"], words].concat();
        let said = succeeded(self.aot(&words).output().unwrap());
        (fs::read(self.path("out")).unwrap(), said)
    }
}

/// What a command said, which must have succeeded.
#[track_caller]
fn succeeded(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("a check failed"), "{said}");
    said
}

/// What was made without a cache.
fn expected(user: &User, number: u32) -> Vec<u8> {
    user.build(number, &["--no-cache"]).0
}

#[test]
fn thirty_two_builds_at_once() {
    let user = User::new();
    let expected: Vec<_> = (0..8).map(|number| expected(&user, number)).collect();
    // So small that they drive each other's entries out.
    let bound = 4 * expected[0].len() as u64;
    let builds: Vec<_> = (0..32)
        .map(|n| {
            let (file, out) = (format!("{}.wat", n % 8), format!("out{n}"));
            let mut build = user.aot(&["build", &file, "-o", &out]);
            build.env("AOT_CACHE_SIZE", bound.to_string()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for build in builds {
        assert_eq!(succeeded(build.wait_with_output().unwrap()), "");
    }
    for n in 0..32 {
        assert!(fs::read(user.path(&format!("out{n}"))).unwrap() == expected[n % 8], "build {n}");
    }
    let stats = user.aot(&["cache", "stats", "--json"]).output().unwrap();
    let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
    assert!(stats["bytes"].as_u64().unwrap() <= bound, "{stats}");
    let verified = user.aot(&["cache", "verify"]).output().unwrap();
    assert!(String::from_utf8_lossy(&verified.stdout).contains(" 0 damaged"));
}

/// A program is the same one wherever it lies, and another one if a byte of it is different.
#[test]
fn two_compilers_share_a_store() {
    let user = User::new();
    let (made, _) = user.build(0, &[]);
    let build = |program: &Path| {
        let output = user.command(program, &["build", "0.wat", "-v", "-o", "out"]).output().unwrap();
        let said = succeeded(output);
        assert!(fs::read(user.path("out")).unwrap() == made);
        said.contains("in the cache")
    };
    let other = user.path("aot");
    fs::copy(AOT, &other).unwrap();
    assert!(build(Path::new(AOT)) && build(&other));
    // What follows the file's last section means nothing, but it is another build.
    fs::OpenOptions::new().append(true).open(&other).unwrap().write_all(b"2").unwrap();
    assert!(!build(&other) && build(&other) && build(Path::new(AOT)));
}

/// What a hit hands over belongs to the user: it may be changed, and the next hit is what it was.
#[test]
fn results_are_not_tied_to_entries() {
    let user = User::new();
    let (made, _) = user.build(0, &[]);
    for _ in 0..2 {
        let (found, said) = user.build(0, &["-v"]);
        assert!(found == made && said.contains("in the cache"), "{said}");
        let path = user.path("out");
        assert_eq!(
            (fs::metadata(&path).unwrap().nlink(), Command::new(&path).status().unwrap().code()),
            (1, Some(0))
        );
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    // The same to standard output.
    let output = user.aot(&["build", "0.wat", "-o", "-"]).output().unwrap();
    assert!(output.stdout == made);
}

/// The store's disk is full; the result goes elsewhere.
#[test]
fn a_full_disk_is_no_failure() {
    let user = User::new();
    let expected = expected(&user, 0);
    // The limit on files stands for the disk; a pipe has none.
    let mut shell =
        user.command("sh", &["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" build 0.wat -o -", AOT]);
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && output.stdout == expected, "{said}");
    assert_eq!(said.matches("warning").count(), 1, "{said}");
    assert!(said.contains("was not kept in the cache"), "{said}");
    // A real one, where this user can have one.
    let script = "mount -t tmpfs -o size=48k,mode=700 none store && exec \"$0\" build 0.wat -o out";
    fs::remove_dir_all(user.store()).unwrap();
    fs::create_dir(user.store()).unwrap();
    let mut unshare = user.command("unshare", &["-rm", "sh", "-c", script, AOT]);
    match unshare.output() {
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("unshare") => {
            println!("SKIPPED: this machine lets nobody mount a small disk; the limit above stands for it");
        }
        Ok(output) => {
            let said = succeeded(output);
            assert!(said.contains("not kept in the cache: No space left"), "{said}");
            assert!(fs::read(user.path("out")).unwrap() == expected);
        }
        Err(error) => println!("SKIPPED: a small disk: unshare: {error}"),
    }
}

/// Others have filled it, and nothing can be written any more: what is there is used.
#[test]
fn a_directory_that_cannot_be_written_is_read() {
    let user = User::new();
    let (made, _) = user.build(0, &[]);
    let script = "mount --bind store store && mount -o remount,ro,bind store && \
                  \"$0\" build 0.wat -v -o found && \"$0\" build 1.wat -v -o made";
    let mut unshare = user.command("unshare", &["-rm", "sh", "-c", script, AOT]);
    let output = match unshare.output() {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("unshare") => output,
        _ => return println!("SKIPPED: this machine lets nobody mount anything"),
    };
    let said = succeeded(output);
    assert!(said.contains("found `found` in the cache") && said.contains("not kept in the cache"), "{said}");
    assert!(fs::read(user.path("found")).unwrap() == made);
    assert!(fs::read(user.path("made")).unwrap() == expected(&user, 1));
}

#[test]
fn keys_are_made_and_shown() {
    let user = User::new();
    let run = |words: &[&str]| user.aot(words).output().unwrap();
    let made = run(&["key", "new"]);
    assert!(made.status.success() && made.stdout.starts_with(b"aot-public-"));
    assert_eq!(run(&["key", "show"]).stdout, made.stdout);
    let path = user.path("settings/aot/key");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    // A key that is there is never lost.
    let secret = fs::read(&path).unwrap();
    let again = run(&["key", "new"]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.code() == Some(1) && said.contains("is there already"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), secret);
    // One for somewhere else.
    let other = run(&["key", "new", "ci.key"]);
    assert!(other.status.success() && other.stdout != made.stdout);
    assert_eq!(run(&["key", "show", "ci.key"]).stdout, other.stdout);
    let shown = user.aot(&["key", "show"]).env("AOT_CACHE_SIGN_KEY", user.path("ci.key")).output().unwrap();
    assert_eq!(shown.stdout, other.stdout);
    assert_eq!(run(&["key", "show", "0.wat"]).status.code(), Some(1));
    fs::remove_file(&path).unwrap();
    assert_eq!(run(&["key", "show"]).status.code(), Some(1));
}

/// Makes the user's key, and returns its public part.
fn make_key(user: &User) -> String {
    let output = user.aot(&["key", "new"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn machines_share_what_is_signed() {
    let Some(server) = redis(&[]) else { return };
    let url = format!("redis://127.0.0.1:{}", server.port);
    let (ci, developer) = (User::new(), User::new());
    let public = make_key(&ci);
    let (made, said) = ci.build(0, &["-v", "--cache-remote", &url]);
    assert!(said.contains("sent, 0 not sent") && !said.contains("warning"), "{said}");

    // Nobody is trusted by default.
    let (own, said) = developer.build(0, &["-v", "--cache-remote", &url]);
    assert!(own == made && !said.contains("in the cache"), "{said}");
    assert!(said.contains("warning: the cache at redis:") && said.contains("no key is trusted"), "{said}");

    let developer = User::new();
    let (found, said) = developer.build(0, &["-v", "--cache-remote", &url, "--trust", &public]);
    assert!(found == made && said.contains("in the cache") && said.contains("1 from the server"), "{said}");
    // It is here now.
    server_is_not_needed(&developer, &made);

    // By settings instead of flags.
    let developer = User::new();
    let mut build = developer.aot(&["build", "0.wat", "-v", "-o", "out"]);
    build.env("AOT_CACHE_REMOTE", &url).env("AOT_CACHE_TRUST", &public);
    assert!(succeeded(build.output().unwrap()).contains("1 from the server"));
    let developer = User::new();
    fs::create_dir_all(developer.path("settings/aot")).unwrap();
    fs::write(developer.path("settings/aot/trust"), format!("# ours\n\n{public} CI\n")).unwrap();
    let mut run = developer.aot(&["build", "0.wat", "-v", "-o", "out"]);
    assert!(succeeded(run.env("AOT_CACHE_REMOTE", &url).output().unwrap()).contains("1 from the server"));
    // Without a key it sends nothing; with one it does, unless it is told not to.
    let sent = |user: &User, words: &[&str]| {
        let (_, said) = user.build(3, &[&["-v", "--cache-remote", &url, "--trust", &public], words].concat());
        !said.contains(" 0 sent")
    };
    assert!(!sent(&User::new(), &[]));
    let developer = User::new();
    make_key(&developer);
    assert!(!sent(&developer, &["--cache-read-only"]));
    assert!(!sent(&developer, &[]), "it came from the store");
    let other = User::new();
    make_key(&other);
    assert!(sent(&other, &[]));
}

fn server_is_not_needed(user: &User, made: &[u8]) {
    let (found, said) = user.build(0, &["-v"]);
    assert!(found == made && said.contains("in the cache"), "{said}");
}

/// Whoever can write to the server, but has no key, can make it useless, and no more.
#[test]
fn a_server_that_was_tampered_with_is_no_failure() {
    let Some(server) = redis(&[]) else { return };
    let url = format!("redis://127.0.0.1:{}", server.port);
    let ci = User::new();
    let public = make_key(&ci);
    let (made, _) = ci.build(0, &["--cache-remote", &url]);
    tamper(&server);
    let developer = User::new();
    let (own, said) = developer.build(0, &["-v", "--cache-remote", &url, "--trust", &public]);
    assert!(own == made && !said.contains("in the cache"), "{said}");
    assert!(said.contains("are not what a trusted key has signed"), "{said}");
    // `aot run` too: it runs what it has made itself.
    let run = User::new();
    let output = run.aot(&["run", "--cache-remote", &url, "--trust", &public, "0.wat"]).output().unwrap();
    succeeded(output);
}

/// Changes a byte of every entry.
fn tamper(server: &Server) {
    let script = "for _, key in ipairs(redis.call('KEYS', '*')) do \
                  local len = redis.call('STRLEN', key); redis.call('SETRANGE', key, len - 1, '?') end";
    let request = format!("*3\r\n$4\r\nEVAL\r\n${}\r\n{script}\r\n$1\r\n0\r\n", script.len());
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 3];
    std::io::Read::read_exact(&mut stream, &mut answer).unwrap();
    assert_eq!(&answer, b"$-1");
}

#[test]
fn a_server_that_is_down_is_no_failure() {
    let user = User::new();
    make_key(&user);
    let expected = expected(&user, 0);
    let url = format!("redis://user:s3cret@127.0.0.1:{}", free_port());
    let (made, said) = user.build(0, &["--cache-remote", &url]);
    assert!(made == expected);
    assert_eq!(said.matches("warning").count(), 1, "{said}");
    assert!(said.contains("Connection refused") && !said.contains("s3cret"), "{said}");
    // What makes no sense is said: with a flag as a wrong use, in the settings as a warning.
    let output = user.aot(&["build", "0.wat", "--cache-remote", "ftp://x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let mut build = user.aot(&["build", "0.wat", "-o", "out"]);
    let said =
        succeeded(build.env("AOT_CACHE_REMOTE", "ftp://x").env("AOT_CACHE_TRUST", "x").output().unwrap());
    assert!(said.contains("AOT_CACHE_REMOTE is ignored") && !said.contains("error"), "{said}");
}

/// Where there is neither a store nor a home.
#[test]
fn without_any_place_everything_works() {
    let user = User::new();
    let expected = expected(&user, 0);
    let mut build = user.aot(&["build", "0.wat", "-o", "out"]);
    for name in ["AOT_CACHE_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HOME"] {
        build.env_remove(name);
    }
    assert_eq!(succeeded(build.output().unwrap()), "");
    assert!(fs::read(user.path("out")).unwrap() == expected);
    // A home that is not there, and cannot be made.
    let mut build = user.aot(&["build", "0.wat", "-o", "out"]);
    build.env_remove("AOT_CACHE_DIR").env_remove("XDG_CACHE_HOME").env("HOME", "/proc/nowhere");
    assert_eq!(succeeded(build.output().unwrap()), "");
}

/// A module with so many functions that several machines have something to do.
fn large_module() -> String {
    let functions = (0..1500u32).map(|number| {
        let callee = number / 2;
        format!(
            "(func $f{number} (param i32 i32) (result i32) (local i32)
               (loop (local.set 2 (i32.xor (i32.mul (local.get 2) (i32.const {number})) (local.get 0)))
                 (br_if 0 (i32.lt_u (local.get 2) (i32.load (local.get 1)))))
               (if (i32.eq (local.get 1) (i32.const {number}))
                 (then (return (call $f{callee} (local.get 2) (i32.const 1)))))
               (i32.div_u (local.get 2) (local.get 1)))"
        )
    });
    let functions: String = functions.collect();
    format!(
        "(module (memory 1) {functions} (func (export \"_start\") (drop (call $f1499 (i32.const 1) (i32.const 2)))))"
    )
}

/// The number before some words.
#[track_caller]
fn number_before(said: &str, words: &str) -> u32 {
    let before = said.split(words).next().filter(|before| before.len() < said.len());
    let number = before.and_then(|before| before.rsplit([' ', '\n']).find(|word| !word.is_empty()));
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no number before {words:?}: {said}"))
}

/// Processes stand for machines: what they have in common is the server and the key of CI.
#[test]
fn a_fleet_compiles_one_module() {
    const MACHINES: u32 = 5;
    let Some(server) = redis(&[]) else { return };
    let url = format!("redis://127.0.0.1:{}", server.port);
    let (wat, ci) = (large_module(), User::new());
    let public = make_key(&ci);
    let secret = fs::read_to_string(ci.path("settings/aot/key")).unwrap();
    let machines: Vec<User> = (0..MACHINES).map(|_| User::new()).collect();
    let shards: Vec<_> = (1..)
        .zip(&machines)
        .map(|(number, machine)| {
            fs::write(machine.path("large.wat"), &wat).unwrap();
            let shard = format!("{number}/{MACHINES}");
            let mut build = machine.aot(&["build", "large.wat", "-v", "--shard", &shard]);
            build.env("AOT_CACHE_REMOTE", &url).env("AOT_CACHE_SIGN_KEY", secret.trim());
            build.stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut functions = 0;
    for (shard, machine) in shards.into_iter().zip(&machines) {
        let said = succeeded(shard.wait_with_output().unwrap());
        let own = number_before(&said, " functions of this share, of 1501 in all");
        assert_eq!(number_before(&said, " of the "), own, "{said}");
        assert!(own > 0 && said.contains(", 0 not sent") && !machine.path("large").exists(), "{said}");
        functions += own;
    }
    assert_eq!(functions, 1501);

    let last = User::new();
    fs::write(last.path("large.wat"), &wat).unwrap();
    let build = |words: &[&str]| {
        let words = [&["build", "large.wat", "-v", "-o", "out"], words].concat();
        let said = succeeded(last.aot(&words).output().unwrap());
        (fs::read(last.path("out")).unwrap(), said)
    };
    let (made, said) = build(&["--cache-remote", &url, "--trust", &public]);
    assert_eq!(number_before(&said, " of them from the cache"), 1501, "{said}");
    let (alone, said) = build(&["--no-cache"]);
    assert!(!said.contains("from the cache"), "{said}");
    assert!(made == alone);
    // Without a cache there is nothing to compile a share into.
    for words in [&["--shard", "1/2", "--no-cache"][..], &["--shard", "3/2"], &["--shard", "0/2"]] {
        let output = last.aot(&[&["build", "large.wat"], words].concat()).output().unwrap();
        assert!(!output.status.success() && output.stderr.starts_with(b"error: "), "{words:?}");
    }
}

/// What was edited is compiled, and nothing else; the result is that of a build from nothing.
#[test]
fn an_edit_compiles_what_it_changes() {
    let user = User::new();
    let wat = large_module();
    let build = |wat: &str, words: &[&str]| {
        fs::write(user.path("large.wat"), wat).unwrap();
        let words = [&["build", "large.wat", "-v", "-o", "out"], words].concat();
        let said = succeeded(user.aot(&words).output().unwrap());
        let found = match said.contains("from the cache") {
            true => number_before(&said, " of them from the cache"),
            false => 0,
        };
        (fs::read(user.path("out")).unwrap(), 1501 - found, said)
    };
    assert_eq!(build(&wat, &[]).1, 1501);
    let edited = wat.replacen("(i32.const 700)) (local.get 0)", "(i32.const 701)) (local.get 0)", 1);
    assert!(edited != wat);
    let (made, compiled, said) = build(&edited, &[]);
    assert!((1..=256).contains(&compiled), "{said}");
    assert!(said.contains("cache: groups of functions: "), "{said}");
    assert!(made == build(&edited, &["--no-cache"]).0);
    // Entries that are damaged are compiled again.
    for entry in walk(&user.store().join("v1")) {
        let mut bytes = fs::read(&entry).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&entry, bytes).unwrap();
    }
    let (again, compiled, said) = build(&edited, &[]);
    assert!(again == made && compiled == 1501 && said.contains("damaged entry"), "{said}");
}

/// All files below a directory.
fn walk(directory: &Path) -> Vec<PathBuf> {
    let items = fs::read_dir(directory).unwrap().map(|item| item.unwrap().path());
    items.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
