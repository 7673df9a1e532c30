//! What a user sees on a terminal while a build goes on.

use super::{Sandbox, has_tool};
use std::process::{Command, Stdio};

/// What a terminal shows in the end: its lines, with what was written over and cleared.
fn screen(output: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut column = 0;
    let mut rest = output;
    while let Some(c) = rest.chars().next() {
        let line = lines.last_mut().unwrap();
        if let Some(after) = rest.strip_prefix("\x1b[K") {
            line.truncate(column);
            rest = after;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\r' => column = 0,
            '\n' => {
                lines.push(String::new());
                column = 0;
            }
            _ => {
                assert!(c.is_ascii() && !c.is_control(), "{output:?}");
                line.replace_range(column..line.len().min(column + 1), &String::from(c));
                column += 1;
            }
        }
    }
    lines
}

/// On a terminal, a line says how far a build is, and goes away.
#[test]
fn progress_leaves_nothing_on_the_terminal() {
    let sandbox = Sandbox::new();
    // It makes a terminal.
    if !has_tool("script") {
        return;
    }
    // What takes long enough depends on the machine.
    for functions in [200, 1000, 5000] {
        let step = "(local.set 0 (f64.add (f64.mul (local.get 0) (local.get 1)) (f64.sqrt (local.get 0))))";
        let steps = step.repeat(200);
        let function = |number| {
            format!("(func (export \"{number}\") (param f64 f64) (result f64) {steps} (local.get 0))")
        };
        sandbox.write("long.wat", format!("(module {})", (0..functions).map(function).collect::<String>()));
        let build = format!("'{}' build long.wat --emit obj --no-cache -v", env!("CARGO_BIN_EXE_aot"));
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-c", &build, "/dev/null"]).current_dir(&sandbox.0);
        let output = command.env("RAYON_NUM_THREADS", "1").stdin(Stdio::null()).output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{shown}");
        let said: Vec<&str> = shown.matches("\rcompiling").collect();
        let lines = screen(&shown);
        // Each line says what was done, and the last one is clear.
        let (last, before) = lines.split_last().unwrap();
        assert_eq!(last, "", "{lines:?}");
        assert!(before.iter().all(|line| line.ends_with(" ms")), "{lines:?}");
        if shown.contains(&format!(" of {functions} functions, ")) {
            return;
        }
        println!("{functions} functions: {} lines", said.len());
    }
    panic!("no line says how far it is");
}
