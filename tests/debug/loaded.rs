//! Images that a host program has loaded: what gdb and perf know of them.

use crate::place::{AOT, Place, has_tools};
use std::fs;
use std::process::Command;

/// gdb stops in the guest's source, shows its variables, and walks through it to the host, which here is `aot` itself.
#[test]
fn gdb_knows_images_that_a_host_has_loaded() {
    if !has_tools(&["clang-19", "gdb"]) {
        return;
    }
    let place = Place::new("loaded");
    let wasm = place.wasm("clang-19", &["-O0"], "list.c");
    place.aot(&["build", &wasm, "-g", "-O", "opt-level=0", "--emit", "cwasm", "-o", "app.cwasm"]);
    let run = |flags: &str| format!("run run {flags} --allow-precompiled app.cwasm");
    let (with, without) = (run("-g"), run(""));
    let pending = "set breakpoint pending on";
    let output = place.gdb(
        AOT,
        &[
            pending,
            "break list.c:37",
            &with,
            "bt",
            "info args",
            "info locals",
            "p list->value",
            "up",
            "info locals",
            "kill",
        ],
    );
    let main = output.lines().find(|line| line.contains(" main (argc=")).unwrap_or_default();
    for wanted in ["sum (list=0x", "result = 6", "$1 = 3", "color = GREEN", "a local text"] {
        assert!(output.contains(wanted), "no `{wanted}` in\n{output}");
    }
    assert!(main.contains("list.c:"), "{output}");
    // Below the guest are its trampoline and the host's own functions.
    assert!(output.contains("wasm-entry") || output.contains("wasm-typed-entry"), "{output}");
    assert!(output.contains("aot_runtime::") && output.contains(" main ("), "{output}");
    // Nobody tells gdb where nobody asked for it.
    let output = place.gdb(AOT, &[pending, "break list.c:37", &without, "kill"]);
    assert!(!output.contains("Breakpoint 1, sum"), "{output}");
    assert!(output.contains("exited normally"), "{output}");
}

/// A module whose functions and lines profilers are told.
fn profiled(place: &Place, strategy: &str) -> String {
    place.write(
        "short.c",
        "__attribute__((noinline)) int quotient(int a, int b) {\n    return a / b;\n}\nint main(int count, char **args) {\n    return quotient(count, 7);\n}\n",
    );
    let wasm = place.wasm("clang-19", &["-O1"], "short.c");
    let mut command = Command::new(AOT);
    let child = command.args(["run", "--profile", strategy, &wasm]).current_dir(place.join("")).spawn();
    let mut child = child.expect("aot can be started");
    let pid = child.id().to_string();
    assert!(child.wait().expect("it ends").success());
    pid
}

#[test]
fn perf_maps_name_functions() {
    if !has_tools(&["clang-19"]) {
        return;
    }
    let place = Place::new("perf-map");
    let path = format!("/tmp/perf-{}.map", profiled(&place, "perfmap"));
    let map = fs::read_to_string(&path).expect("the map was written");
    fs::remove_file(&path).expect("it is ours");
    let mut end = 0;
    for line in map.lines() {
        let mut words = line.splitn(3, ' ');
        let mut number = || u64::from_str_radix(words.next().unwrap(), 16).expect("a hexadecimal number");
        let (start, len) = (number(), number());
        assert!(start >= end && len > 0, "functions overlap: {line}");
        end = start + len;
        assert!(words.next().is_some_and(|name| !name.is_empty()), "{line}");
    }
    for name in ["quotient", "main", "wasm-trampoline["] {
        assert!(map.lines().any(|line| line.split(' ').nth(2).is_some_and(|n| n.starts_with(name))), "{map}");
    }
}

/// A reader of dumps as their specification has it.
struct Dump<'a>(&'a [u8]);

impl<'a> Dump<'a> {
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }

    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.bytes(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.bytes(8).try_into().unwrap())
    }

    fn name(&mut self) -> String {
        let len = self.0.iter().position(|byte| *byte == 0).expect("a name ends with NUL");
        let name = String::from_utf8(self.bytes(len).to_vec()).expect("UTF-8");
        self.bytes(1);
        name
    }
}

#[test]
fn dumps_have_code_and_lines() {
    if !has_tools(&["clang-19"]) {
        return;
    }
    let place = Place::new("jit-dump");
    let pid = profiled(&place, "jitdump");
    let bytes = fs::read(place.join(&format!("jit-{pid}.dump"))).expect("the dump was written");
    let mut dump = Dump(&bytes);
    assert_eq!(
        (dump.u32(), dump.u32(), dump.u32()),
        (0x4a69_5444, 1, 40),
        "magic, version, length of the header"
    );
    assert!(dump.u32() > 0, "the machine");
    assert_eq!((dump.u32(), dump.u32().to_string()), (0, pid.clone()));
    let (mut time, _flags) = (dump.u64(), dump.u64());
    let mut lines: Vec<(u64, u32, String)> = Vec::new();
    let mut functions = Vec::new();
    while !dump.0.is_empty() {
        let (kind, len, at) = (dump.u32(), dump.u32(), dump.u64());
        assert!(at >= time, "time goes on");
        time = at;
        let mut record = Dump(dump.bytes(len as usize - 16));
        match kind {
            0 => {
                assert_eq!(record.u32().to_string(), pid);
                let _thread = record.u32();
                let (address, code, size, index) = (record.u64(), record.u64(), record.u64(), record.u64());
                assert_eq!((address, index), (code, functions.len() as u64));
                let name = record.name();
                assert_eq!(record.0.len() as u64, size, "{name}");
                let inside = address..address + size;
                assert!(lines.iter().all(|line| inside.contains(&line.0)), "{name}: {lines:x?}");
                functions.push((name, std::mem::take(&mut lines)));
            }
            2 => {
                let (_address, count) = (record.u64(), record.u64());
                for _ in 0..count {
                    let (address, line, _discriminator) = (record.u64(), record.u32(), record.u32());
                    lines.push((address, line, record.name()));
                }
                assert!(record.0.is_empty());
            }
            other => panic!("a record of kind {other}"),
        }
    }
    let (_, lines) = functions.iter().find(|(name, _)| name == "quotient").expect("the function is there");
    let numbers: Vec<u32> = lines.iter().map(|line| line.1).collect();
    assert!(numbers.contains(&2) && numbers.iter().all(|number| (1..=3).contains(number)), "{numbers:?}");
    assert!(lines.iter().all(|line| line.2.ends_with("/short.c")), "{lines:?}");
}
