//! The tables of docs/debugging.md: where a debugger answers as for a native program. `BLESS=1` writes them.

use super::session::{Check, Debugger, answers};
use crate::place::Place;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const END: &str = "<!-- table: end -->";

/// What debuggers say when they do not know.
const MISSING: [&str; 9] = [
    "optimized out",
    "not available",
    "<unavailable>",
    "No symbol",
    "Cannot access memory",
    "not defined",
    "No frame",
    "No stack",
    "The program is not being run",
];

/// For each check: `same`, `different`, `missing` or `only here`; a dash where the native program has no answer either.
fn compare(
    checks: &[Check],
    native: &BTreeMap<&str, String>,
    ours: &BTreeMap<&str, String>,
) -> Vec<(&'static str, &'static str)> {
    let is_missing = |answer: &str| answer.is_empty() || MISSING.iter().any(|text| answer.contains(text));
    let verdict = |name: &'static str| {
        let empty = String::new();
        let (native, ours) = (native.get(name).unwrap_or(&empty), ours.get(name).unwrap_or(&empty));
        let verdict = match (is_missing(native), is_missing(ours)) {
            _ if native == ours && !is_missing(ours) => "same",
            (true, true) => "–",
            (_, true) => "missing",
            (true, _) => "only here",
            _ => "different",
        };
        if verdict != "same" {
            println!("{name}: {verdict}\n  native: {native}\n  ours:   {ours}");
        }
        verdict
    };
    checks.iter().map(|Check(name, _)| (*name, verdict(name))).collect()
}

/// The checks of a language.
pub struct Language {
    pub name: &'static str,
    /// What builds it for this machine, and the source. The Rust of this machine builds another one.
    pub compiler: &'static str,
    pub source: &'static str,
    pub checks: &'static [Check],
}

/// Compares what a debugger says of programs with what it says of native ones, with and without optimisation. `false` if
/// there are no modules to build them from.
pub fn compare_all(debugger: Debugger, place: &Place, languages: &[Language]) -> bool {
    let mut columns = Vec::new();
    for Language { name, compiler, source, checks } in languages {
        let crate_name = source.rsplit_once(".rs").and_then(|_| source.split('/').next());
        let file = source.replace('/', "-");
        for level in ["0", "2"] {
            let (native, ours) = (format!("native-{file}{level}"), format!("aot-{file}{level}"));
            let aot_level = format!("opt-level={level}");
            let wasm = match crate_name {
                Some(name) => {
                    let name_flag = format!("--crate-name={name}");
                    let flags = ["-g", "--edition=2024", &name_flag, "-C", &aot_level, "-o", &native];
                    place.run(compiler, &[&flags[..], &[*source]].concat());
                    match place.guest(&format!("{name}-O{level}.wasm")) {
                        Some(wasm) => wasm,
                        None => return false,
                    }
                }
                None => {
                    let flag = format!("-O{level}");
                    place.run(compiler, &["-g", &flag, source, "-o", &native]);
                    place.wasm(compiler, &[&flag], source)
                }
            };
            place.aot(&["build", &wasm, "-g", "-O", &aot_level, "-o", &ours]);
            let of = |program: &str| answers(debugger, place, program, checks);
            println!("{name} -O{level}:");
            columns.push((format!("{name} `-O{level}`"), compare(checks, &of(&native), &of(&ours))));
        }
    }
    let title = match debugger {
        Debugger::Gdb => "gdb",
        Debugger::Lldb => "lldb",
    };
    check(title, &columns);
    true
}

/// Compares the table with the one in the documentation.
fn check(title: &str, columns: &[(String, Vec<(&'static str, &'static str)>)]) {
    let start = format!("<!-- table of {title}: start -->\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/debugging.md");
    let text = fs::read_to_string(&path).expect("the documentation is there");
    let (before, rest) = text.split_once(&start).expect("the table has a start");
    let (old, after) = rest.split_once(END).expect("the table has an end");
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in columns.iter().flat_map(|(_, rows)| rows) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let titles: Vec<&str> = columns.iter().map(|(title, _)| title.as_str()).collect();
    let mut new = format!("| {title} | {} |\n|---|{}\n", titles.join(" | "), "---|".repeat(titles.len()));
    for name in names {
        let cell = |(_, rows): &(String, Vec<(&str, &'static str)>)| {
            rows.iter().find(|(other, _)| *other == name).map_or("", |(_, verdict)| verdict)
        };
        let cells: Vec<&str> = columns.iter().map(cell).collect();
        new += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, format!("{before}{start}{new}{END}{after}")).expect("the documentation is written");
    } else {
        assert_eq!(new, old, "run this test with BLESS=1 and read what has changed");
    }
}
