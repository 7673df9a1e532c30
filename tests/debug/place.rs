//! A directory for the files of a test, and the tools that work on them.

use crate::emulator;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub const AOT: &str = env!("CARGO_BIN_EXE_aot");
pub const LLDB: &str = "lldb-19";

/// Whether tools are there; on CI they have to be.
pub fn has_tools(names: &[&str]) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&paths).any(|path| path.join(name).is_file());
    let Some(missing) = names.iter().find(|name| !is_there(name)) else { return true };
    assert!(std::env::var_os("CI").is_none(), "`{missing}` is missing: `cargo xtask setup`");
    println!("SKIPPED: `{missing}` is missing");
    false
}

/// Checks that texts are in an output, one after the other.
#[track_caller]
pub fn expect(output: &str, wanted: &[&str]) {
    let mut rest = output;
    for wanted in wanted {
        let Some(at) = rest.find(wanted) else { panic!("no `{wanted}`, or not in its place, in\n{output}") };
        rest = &rest[at + wanted.len()..];
    }
}

/// Where the contents of a module's sections are, as far as a loader of modules looks. Nothing if these are no sections.
fn sections(bytes: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut found = Vec::new();
    let mut at = 8;
    while at < bytes.len() {
        at += 1;
        let (mut len, mut shift) = (0u64, 0);
        loop {
            let byte = bytes.get(at)?;
            at += 1;
            len |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 || shift > 28 {
                break;
            }
        }
        found.push(at..at + len as usize);
        at += len as usize;
    }
    (at == bytes.len()).then_some(found)
}

/// Whether bytes are sections one after the other.
pub fn is_module(bytes: &[u8]) -> bool {
    sections(bytes).is_some()
}

pub struct Place(PathBuf);

impl Place {
    pub fn new(name: &str) -> Place {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debug-{name}"));
        // What a run before has left.
        drop(fs::remove_dir_all(&place));
        fs::create_dir_all(&place).unwrap();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/debug");
        fs::create_dir_all(place.join("shop/src")).unwrap();
        for file in ["list.c", "shapes.cc", "guest.c", "host.c", "shop/src/main.rs"] {
            fs::copy(sources.join(file), place.join(file)).unwrap();
        }
        Place(place)
    }

    pub fn join(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// A module that was built before the tests; nothing if it was not, but on CI.
    pub fn guest(&self, file: &str) -> Option<String> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory");
        let path = target.join("programs/guests").join(file);
        if path.is_file() {
            return Some(path.to_str().expect("a path of our own").to_owned());
        }
        assert!(std::env::var_os("CI").is_none(), "{file} is not there: `cargo xtask guests`");
        println!("SKIPPED: `cargo xtask guests` builds {file}");
        None
    }

    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.join(file), text).unwrap();
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let program = match program.strip_prefix("./") {
            Some(own) => self.join(own),
            None => PathBuf::from(program),
        };
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .env("AOT_CACHE_DIR", self.0.join("cache"));
        command.env("DEBUGINFOD_URLS", "");
        command
    }

    /// Standard output and standard error of a command that has to succeed.
    pub fn both(&self, program: &str, args: &[&str]) -> (String, String) {
        let output = self.command(program, args).output();
        let output = output.unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (out, said) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{program} {args:?}: {}\n{said}{out}", output.status);
        (out, said)
    }

    pub fn run(&self, program: &str, args: &[&str]) -> String {
        self.both(program, args).0
    }

    /// What a command prints, whether or not it succeeds.
    pub fn output(&self, program: &str, args: &[&str]) -> String {
        let output = self.command(program, args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    pub fn aot(&self, args: &[&str]) {
        let (_, said) = self.both(AOT, args);
        assert_eq!(said, "", "{args:?}");
    }

    /// What `aot` says about wrong usage.
    pub fn refused(&self, args: &[&str]) -> String {
        let output = self.command(AOT, args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Makes a module with debug information, and gives its name.
    pub fn wasm(&self, compiler: &str, flags: &[&str], source: &str) -> String {
        let name = format!("{source}{}.wasm", flags.concat());
        let flags =
            [&["--target=wasm32-wasi", "-g", "-fno-exceptions"], flags, &[source, "-o", &name]].concat();
        self.run(compiler, &flags);
        name
    }

    /// Builds a program from a module whose debug information is damaged in many ways. It has to print what it always does.
    pub fn damage(&self, wasm: &str, output: &str) {
        const NAMES: [&[u8]; 11] = [
            b".debug_info",
            b".debug_line",
            b".debug_abbrev",
            b".debug_str",
            b".debug_ranges",
            b".debug_loc",
            b".debug_rnglists",
            b".debug_loclists",
            b".debug_addr",
            b".debug_line_str",
            b".debug_str_offsets",
        ];
        let module = fs::read(self.join(wasm)).expect("the module was made");
        let start = |name: &'static [u8]| {
            let is_longer = |at: usize| {
                NAMES.iter().any(|other| other.len() > name.len() && module[at..].starts_with(other))
            };
            let found = (0..module.len()).filter(|at| module[*at..].starts_with(name) && !is_longer(*at));
            found.map(|at| at + name.len()).collect::<Vec<_>>()
        };
        let starts: Vec<usize> = NAMES.into_iter().flat_map(start).collect();
        assert!(starts.len() > 4, "{wasm}: {starts:?}");
        let sections = sections(&module).expect("it is a module");
        for round in 0..6 * starts.len() {
            let start = starts[round % starts.len()];
            let mut damaged = module.clone();
            let section = sections.iter().find(|section| section.contains(&(start - 1)));
            let end = section.map_or(start, |section| section.end).min(start + 150 + round * 37);
            let start = end.min(start + round / starts.len() * 20);
            for byte in damaged[start..end].iter_mut().step_by(1 + round % 5 * 3) {
                *byte = byte.wrapping_mul(31).wrapping_add(round as u8);
            }
            fs::write(self.join("damaged.wasm"), &damaged).expect("a file is written");
            let inlining = ["inlining=n", "inlining=y"][round % 2];
            let words =
                ["build", "damaged.wasm", "-W", "multi-memory", "-g", "-C", inlining, "-o", "damaged"];
            let (_, said) = self.both(AOT, &words);
            assert!(!said.contains("error") && !said.contains("panicked"), "{wasm} {round}: {said}");
            assert!(self.run("./damaged", &[]).starts_with(output), "{wasm} {round}");
        }
    }

    pub fn gdb(&self, program: &str, commands: &[&str]) -> String {
        self.gdb_of("gdb", program, commands)
    }

    /// What a debugger prints while it follows commands.
    pub fn gdb_of(&self, gdb: &str, program: &str, commands: &[&str]) -> String {
        let mut args = vec!["-nx", "-batch"];
        for command in ["set pagination off", "set confirm off", "set width 0"].iter().chain(commands) {
            args.extend(["-ex", command]);
        }
        args.push(program);
        self.output(gdb, &args)
    }

    /// The same of gdb with a program for another machine, which an emulator runs.
    pub fn emulated(&self, target: &str, program: &str, commands: &[&str]) -> String {
        let socket = self.join(&format!("{target}.socket"));
        let mut emulator = emulator::command_for_debugger(target, &self.join(program), &socket);
        let mut child = emulator.stdout(Stdio::null()).spawn().expect("the emulator starts");
        for _ in 0..200 {
            if socket.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let connect = format!("target remote {}", socket.display());
        let output = self.gdb_of("gdb-multiarch", program, &[&[&*connect][..], commands].concat());
        drop(child.kill());
        drop(child.wait());
        output
    }

    /// What lldb prints while it follows commands, whether or not it can.
    pub fn lldb(&self, program: &str, commands: &[&str]) -> String {
        self.write("session.lldb", &(commands.join("\n") + "\n"));
        let first = ["settings set use-color false", "settings set auto-confirm true"];
        let [color, confirm] = first;
        let follow = "command source -e false -c false session.lldb";
        self.output(LLDB, &["-b", "-o", color, "-o", confirm, "-o", follow, program])
    }

    /// What a debugger prints of a program that is interrupted while it runs, as Ctrl-C does.
    pub fn interrupted(&self, debugger: &[&str], program: &str) -> String {
        let mut command = self.command(debugger[0], &debugger[1..]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let children = |pid: &str| {
            let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        for _ in 0..400 {
            std::thread::sleep(Duration::from_millis(50));
            // The program is a child of the debugger, or of a server that it has, in a process group of its own.
            let own = children(&child.id().to_string());
            let list: Vec<String> = own.iter().flat_map(|pid| children(pid)).chain(own.clone()).collect();
            for pid in &list {
                let name = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
                let time = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                // It has used the processor for a while: it is in its loop.
                let ticks =
                    time.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(11)?.parse().ok());
                if name == self.join(program) && ticks.unwrap_or(0) > 5 {
                    drop(Command::new("kill").args(["-INT", pid]).status());
                    let output = child.wait_with_output().unwrap();
                    return String::from_utf8_lossy(&output.stdout).into_owned();
                }
            }
        }
        let mut child = child;
        drop(child.kill());
        panic!("the program did not come to its loop");
    }
}
