//! The table of docs/debugging.md: where gdb answers as for a native program. `BLESS=1` writes it.

use super::session::Check;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const START: &str = "<!-- table: start -->\n";
const END: &str = "<!-- table: end -->";

/// What gdb says when it does not know.
const MISSING: [&str; 7] = [
    "optimized out",
    "No symbol",
    "Cannot access memory",
    "not defined",
    "No frame",
    "No stack",
    "The program is not being run",
];

/// For each check: `same`, `different` or `missing`; a dash where the native program has no answer either.
pub fn compare(
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
            _ => "different",
        };
        if verdict != "same" {
            println!("{name}: {verdict}\n  native: {native}\n  ours:   {ours}");
        }
        verdict
    };
    checks.iter().map(|Check(name, _)| (*name, verdict(name))).collect()
}

/// Compares the table with the one in the documentation.
pub fn check(columns: &[(String, Vec<(&'static str, &'static str)>)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/debugging.md");
    let text = fs::read_to_string(&path).expect("the documentation is there");
    let (before, rest) = text.split_once(START).expect("the table has a start");
    let (old, after) = rest.split_once(END).expect("the table has an end");
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in columns.iter().flat_map(|(_, rows)| rows) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let titles: Vec<&str> = columns.iter().map(|(title, _)| title.as_str()).collect();
    let mut new = format!("| gdb | {} |\n|---|{}\n", titles.join(" | "), "---|".repeat(titles.len()));
    for name in names {
        let cell = |(_, rows): &(String, Vec<(&str, &'static str)>)| {
            rows.iter().find(|(other, _)| *other == name).map_or("", |(_, verdict)| verdict)
        };
        let cells: Vec<&str> = columns.iter().map(cell).collect();
        new += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, format!("{before}{START}{new}{END}{after}")).expect("the documentation is written");
    } else {
        assert_eq!(new, old, "run this test with BLESS=1 and read what has changed");
    }
}
