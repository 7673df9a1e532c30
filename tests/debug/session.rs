//! One session with a debugger: checks, and what it answers to each.

use super::place::Place;
use std::collections::BTreeMap;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Debugger {
    Gdb,
    Lldb,
}

/// A name, and the commands whose answers count.
pub struct Check(pub &'static str, pub &'static [&'static str]);

/// The answers, by the names of the checks, without what may differ from machine to machine: addresses, sizes of pointers,
/// numbers of values and processes.
pub fn answers(
    debugger: Debugger,
    place: &Place,
    program: &str,
    checks: &[Check],
) -> BTreeMap<&'static str, String> {
    match debugger {
        Debugger::Gdb => gdb_answers(place, program, checks),
        Debugger::Lldb => lldb_answers(place, program, checks),
    }
}

fn gdb_answers(place: &Place, program: &str, checks: &[Check]) -> BTreeMap<&'static str, String> {
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

/// lldb repeats each command before it follows it.
fn lldb_answers(place: &Place, program: &str, checks: &[Check]) -> BTreeMap<&'static str, String> {
    let mut commands = vec!["settings set stop-line-count-before 0", "settings set stop-line-count-after 0"];
    let first = commands.len();
    commands.extend(checks.iter().flat_map(|Check(_, own)| *own));
    // What follows is what it says on standard error.
    commands.push("version");
    let output = place.lldb(program, &commands);
    let mut lines = output.lines();
    let mut next_is = |command: &str| {
        let is_other = |line: &&str| line.strip_prefix("(lldb) ") != Some(command);
        lines.by_ref().take_while(is_other).collect::<Vec<_>>()
    };
    commands[..first].iter().for_each(|command| drop(next_is(command)));
    let mut wanted = commands[first..].iter().skip(1);
    drop(next_is(commands[first]));
    let mut answers = BTreeMap::new();
    for Check(name, own) in checks {
        let mut answer = Vec::new();
        for _ in *own {
            answer.extend(next_is(wanted.next().unwrap_or(&"")).into_iter().filter_map(lldb_plain));
        }
        answers.insert(*name, answer.join("\n"));
    }
    answers
}

/// What calls `main`.
const START: [&str; 5] = ["libc", "lang_start", "`__main_void", "`__original_main", "`_start"];

/// A line without what differs from build to build; nothing if it is about the program's start, or what starts it.
fn lldb_plain(line: &str) -> Option<String> {
    let noise = ["Process ", "Breakpoint ", "All ", "Watchpoint ", "declare @", "watchpoint ", "#0: addr"];
    let line = line.trim();
    if line.is_empty() || noise.iter().any(|start| line.starts_with(start)) {
        return None;
    }
    let line = match line.split_once("stop reason = ") {
        Some((_, reason)) => reason,
        None => line.trim_start_matches("* "),
    };
    let line = pointers_hidden(line);
    // The name of the program stands before that of the function.
    let line = match line.split_once('`') {
        Some(_) if START.iter().any(|start| line.contains(start)) || !line.contains(" at ") => return None,
        Some((before, function)) => {
            let frame = before.split(" PTR").next().unwrap_or_default();
            format!("{frame} {function}")
        }
        None => line,
    };
    let line = match line.split_once("::h") {
        // rustc's hash.
        Some((before, rest)) if rest.len() > 16 && rest[..16].bytes().all(|c| c.is_ascii_hexdigit()) => {
            format!("{before}{}", &rest[16..])
        }
        _ => line,
    };
    // Answers are numbered.
    Some(match line.split_once('$') {
        Some((before, rest)) => {
            format!("{before}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit() || " =".contains(c)))
        }
        None => line,
    })
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
    let out = pointers_hidden(line);
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

fn pointers_hidden(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line.trim_end();
    while let Some(at) = rest.find("0x") {
        out += &rest[..at];
        out += "PTR";
        rest = rest[at + 2..].trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    out + rest
}
