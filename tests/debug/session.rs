//! One session with gdb: checks, and what it answers to each.

use super::place::Place;
use std::collections::BTreeMap;

/// A name, and the commands whose answers count.
pub struct Check(pub &'static str, pub &'static [&'static str]);

/// The answers, by the names of the checks, without what may differ from machine to machine: addresses, sizes of pointers,
/// numbers of values and processes.
pub fn answers(place: &Place, program: &str, checks: &[Check]) -> BTreeMap<&'static str, String> {
    let mut commands: Vec<String> = Vec::new();
    for (index, Check(_, own)) in checks.iter().enumerate() {
        commands.push(format!("echo \\n@@{index}\\n"));
        commands.extend(own.iter().map(|command| String::from(*command)));
    }
    // What follows is what the debugger says on standard error.
    commands.push(String::from("echo \\n@@end\\n"));
    let words: Vec<&str> = commands.iter().map(String::as_str).collect();
    let output = place.gdb(program, &words);
    let mut answers = BTreeMap::new();
    for part in output.split("\n@@").skip(1) {
        let (index, answer) = part.split_once('\n').unwrap_or((part, ""));
        if let Some(Check(name, _)) = index.trim().parse::<usize>().ok().and_then(|index| checks.get(index)) {
            answers.insert(*name, comparable(answer));
        }
    }
    answers
}

fn comparable(answer: &str) -> String {
    let lines = answer.lines().filter(|line| {
        let is_noise =
            ["[Inferior", "warning:", "Download", "Using host", "[Thread", "Breakpoint ", "Run till"];
        !line.is_empty() && (!is_noise.iter().any(|start| line.starts_with(start)) || line.contains(" at "))
    });
    lines.map(plain).collect::<Vec<_>>().join("\n")
}

/// A line without addresses and numbers of answers.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line.trim_end();
    while let Some(at) = rest.find("0x") {
        out += &rest[..at];
        out += "PTR";
        rest = rest[at + 2..].trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    out += rest;
    // Where a source is depends on who compiled it.
    let file = |word: &str| match word.rsplit_once('/') {
        Some((_, file)) if file.contains(".rs") => file.to_owned(),
        _ => word.to_owned(),
    };
    let out = out.split(' ').map(file).collect::<Vec<_>>().join(" ");
    // Frames in the middle of a line have an address, others have none.
    let out = out.replace("PTR in ", "").replace("PTR <", "<");
    let out = match out.strip_prefix('$').and_then(|numbered| numbered.split_once(" = ")) {
        Some((_, value)) => value.to_owned(),
        None => out,
    };
    match out.split_once("is $") {
        Some((before, after)) => {
            format!("{before}is{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => out.strip_prefix("Breakpoint ").map_or(out.clone(), |rest| {
            rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ',' || c == ' ').to_owned()
        }),
    }
}
