//! `aot targets`: what this aot can make, and for which machines.

use crate::output;
use crate::report::Result;
use aot_abi::image::Machine;
use aot_compiler::Target;
use std::fmt::Write as _;

/// List the machines that code can be made for
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: &Args) -> Result<()> {
    let host = Target::host().ok();
    let runtimes = aot_runtime_archive::available();
    let mut rows = vec![["TARGET", "TRIPLE", "exe", "obj", "cwasm", "NOTES"].map(String::from)];
    for target in Target::all() {
        let has_runtime = runtimes.contains(&target.name().as_str());
        let is_host = host.as_ref().is_some_and(|host| host.triple() == target.triple());
        let mut notes = Vec::new();
        if is_host {
            notes.push("this machine");
        }
        let missing = aot_runtime_archive::missing().iter().find(|(name, _)| *name == target.name());
        if let Some((_, remedy)) = missing {
            notes.push(remedy);
        }
        if !target.has_executables() {
            notes.push("objects for the system's own linker; the runtime library is for Linux");
        } else if !has_runtime && missing.is_none() {
            notes.push("no executables: this aot was built without the runtime library");
        }
        rows.push([
            target.name(),
            target.triple().to_string(),
            String::from(if has_runtime { "yes" } else { "no" }),
            String::from("yes"),
            String::from(if has_images(&target) { "yes" } else { "no" }),
            notes.join("; "),
        ]);
    }
    output::print(&table(&rows))
}

fn has_images(target: &Target) -> bool {
    let triple = target.triple().to_string();
    Machine::ALL.iter().any(|machine| machine.triple() == triple)
}

/// Aligned columns.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            write!(line, "{cell:width$}  ").expect("strings take all text");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "bb", ""], ["ccc", "d", "e"]].map(|row| row.map(String::from));
        assert_eq!(table(&rows), "a    bb\nccc  d   e\n");
    }
}
