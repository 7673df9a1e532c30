//! Programs that the Zig compiler made.

use crate::place::{Place, has_tools};
use std::path::Path;

const SOURCE: &str = "\
const std = @import(\"std\");
const Point = struct { x: i32, y: i32, name: []const u8 };
fn area(p: *const Point) i32 {
    const twice = p.x * p.y * 2;
    return twice + 1;
}
pub fn main() void {
    var sum: i32 = 0;
    var i: i32 = 0;
    while (i < 4) : (i += 1) {
        const p = Point{ .x = i + 1, .y = i + 2, .name = \"pt\" };
        sum += area(&p);
    }
    std.debug.print(\"sum {d}\\n\", .{sum});
}
";

/// The Python of the environment that `cargo xtask setup` puts the compiler into.
fn python() -> Option<String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory");
    let path = target.join("setup/zig/bin/python");
    if path.is_file() && target.join("setup/zig/installed").is_file() {
        return Some(path.to_str().expect("a path of our own").to_owned());
    }
    assert!(std::env::var_os("CI").is_none(), "the Zig compiler is missing: `cargo xtask setup`");
    println!("SKIPPED: the Zig compiler is missing");
    None
}

#[test]
fn gdb_knows_variables_of_zig() {
    if !has_tools(&["gdb", "llvm-dwarfdump-19"]) {
        return;
    }
    let Some(python) = python() else { return };
    let place = Place::new("zig");
    place.write("area.zig", SOURCE);
    let caches = ["--cache-dir", "cache", "--global-cache-dir", "cache"];
    let compile = ["-m", "ziglang", "build-exe", "area.zig", "-target", "wasm32-wasi", "-O", "Debug"];
    place.run(&python, &[&compile[..], &caches[..], &["-femit-bin=area.wasm"]].concat());
    for level in ["opt-level=0", "opt-level=2"] {
        place.aot(&["build", "area.wasm", "-g", "-O", level, "-o", "area"]);
        place.run("llvm-dwarfdump-19", &["--verify", "area"]);
        assert_eq!(place.both(place.join("area").to_str().unwrap(), &[]).1, "sum 84\n");
    }
    place.aot(&["build", "area.wasm", "-g", "-O", "opt-level=0", "-o", "area"]);
    let commands = ["break area.zig:5", "run", "bt", "print *p", "info locals", "finish", "info locals"];
    let output = place.gdb("area", &commands);
    for wanted in [
        "area (p=0x",
        "area.zig:5",
        "in main () at",
        "area.zig:12",
        "{x = 1, y = 2, name = {ptr = 0x",
        "len = 2}}",
        "twice = 4",
        "Value returned is",
        "= 5",
        "sum = 0",
    ] {
        assert!(output.contains(wanted), "no `{wanted}` in:\n{output}");
    }
}
