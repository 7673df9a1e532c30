//! Lines from source maps: what the AssemblyScript compiler says of a module.

use crate::place::{AOT, Place, has_tools};
use std::path::Path;
use std::process::Command;

const SOURCE: &str = "\
function divide(a: i32, b: i32): i32 {
  return a / b;
}
function twice(n: i32): i32 {
  return 2 * divide(7, n);
}
export function _start(): void {
  if (twice(0) > 3)
    unreachable();
}
";

/// The compiler, as `cargo xtask setup` installs it.
fn asc() -> Option<String> {
    if !has_tools(&["node"]) {
        return None;
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory");
    let path = target.join("setup/npm/node_modules/assemblyscript/bin/asc.js");
    if path.is_file() {
        return Some(path.to_str().expect("a path of our own").to_owned());
    }
    assert!(std::env::var_os("CI").is_none(), "AssemblyScript is missing: `cargo xtask setup`");
    println!("SKIPPED: AssemblyScript is missing");
    None
}

/// The standard error of a program that traps.
fn trapped(place: &Place, program: &str) -> String {
    let output = Command::new(place.join(program)).output().expect("the program can be started");
    assert_eq!(output.status.code(), Some(134), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn source_maps_give_lines() {
    let Some(asc) = asc() else { return };
    let place = Place::new("mapped");
    place.write("app.ts", SOURCE);
    let compile = |url: &str| {
        let map = format!("--sourceMap{url}");
        place.run("node", &[&asc, "app.ts", "-o", "app.wasm", "-O0", "--debug", "--runtime", "stub", &map]);
    };
    compile("");
    for flags in [&[][..], &["-C", "inlining=n"], &["-g"]] {
        place.aot(&[&["build", "app.wasm", "-o", "app"], flags].concat());
        let said = trapped(&place, "app");
        let at = |text: &str| said.find(text).unwrap_or_else(|| panic!("{flags:?}: no {text} in {said}"));
        assert!(at("at app.ts:2:") < at("at app.ts:5:") && at("at app.ts:5:") < at("at app.ts:8:"), "{said}");
    }
    let (listing, _) = place.both(AOT, &["objdump", "app", "--source", "--funcs", "divide"]);
    assert!(listing.contains("    2 |   return a / b;"), "{listing}");
    let (listing, _) =
        place.both(AOT, &["objdump", "app.wasm", "--source", "--funcs", "divide", "-C", "inlining=n"]);
    assert!(listing.contains("    2 |   return a / b;") && listing.contains("i32.div_s"), "{listing}");
    if has_tools(&["gdb"]) {
        let output = place.gdb("app", &["break app.ts:2", "run", "bt"]);
        assert!(output.contains("app.ts:5") && output.contains("app.ts:8"), "{output}");
    }

    // Another map is another program for the cache.
    let map = std::fs::read(place.join("app.wasm.map")).expect("the map was written");
    let text = String::from_utf8(map.clone()).expect("JSON is text");
    place.write("app.wasm.map", &text.replace("\"app.ts\"", "\"else.ts\""));
    place.aot(&["build", "app.wasm", "-o", "app"]);
    assert!(trapped(&place, "app").contains("at else.ts:2:"));

    // Damage costs the map, and is told.
    for (damaged, lines) in [
        (text.replace("\"mappings\":\"", "\"mappings\":\"?"), false),
        (text[..text.len() / 2].to_owned(), false),
        (text.replace("\"version\":3", "\"version\":4"), false),
        (text.replace("\"mappings\":\"", "\"mappings\":\"ggggggggggggg,"), false),
    ] {
        place.write("app.wasm.map", &damaged);
        let (_, said) = place.both(AOT, &["build", "app.wasm", "-o", "app"]);
        assert!(said.contains("the source map: "), "{said}");
        assert_eq!(trapped(&place, "app").contains("app.ts:2"), lines);
    }

    // Without the file there are names, and a note for those who ask.
    std::fs::remove_file(place.join("app.wasm.map")).expect("it was written");
    place.aot(&["build", "app.wasm", "-o", "app"]);
    assert!(!trapped(&place, "app").contains("app.ts"));
    let (_, said) = place.both(AOT, &["build", "app.wasm", "-v", "-o", "app"]);
    assert!(said.contains("the source map is not there: `"), "{said}");
    compile("=https://example.org/app.wasm.map");
    let (_, said) = place.both(AOT, &["build", "app.wasm", "-v", "-o", "app"]);
    assert!(said.contains("`https://example.org/app.wasm.map` is no file"), "{said}");

    // The map may be in the module itself.
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |chunk: &[u8]| {
        let bits =
            chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digit = |place: usize| char::from(digits[(bits >> (18 - 6 * place)) as usize & 63]);
        (0..=chunk.len()).map(digit).collect::<String>()
    };
    let data: String = map.chunks(3).map(encode).collect();
    compile(&format!("=data:application/json;base64,{data}"));
    place.aot(&["build", "app.wasm", "-o", "app"]);
    assert!(trapped(&place, "app").contains("at app.ts:2:"));
}
