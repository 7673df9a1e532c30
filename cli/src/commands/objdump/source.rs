//! Lines of source files between instructions.

use crate::report::{printable, warn};
use std::collections::HashMap;
use std::fmt::Write as _;

/// Lines before the one that an instruction is of that are shown with it, if they were not: what has no code of its own.
const MOST_BEFORE: u32 = 16;

/// A position in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub line: u32,
    /// The function, if it was inlined.
    pub inlined: Option<String>,
}

/// Source files, each read once.
#[derive(Default)]
pub struct Sources {
    /// Nothing if it cannot be read.
    files: HashMap<String, Option<Vec<String>>>,
    shown: Option<Place>,
    /// The last line of the file that was shown in this function.
    last: HashMap<String, u32>,
}

impl Sources {
    /// A function begins.
    pub fn begin(&mut self) {
        self.shown = None;
        self.last.clear();
    }

    /// Writes the source of what comes next, if it is not that of what was before.
    pub fn show(&mut self, place: &Place, out: &mut String) {
        if self.shown.as_ref() == Some(place) || place.line == 0 {
            return;
        }
        let Place { file, line, inlined } = place;
        let is_elsewhere =
            self.shown.as_ref().is_none_or(|shown| (&shown.file, &shown.inlined) != (file, inlined));
        self.shown = Some(place.clone());
        let put = |out: &mut String, text: &str| {
            *out += &printable(text).replace('\n', "\\n");
            out.push('\n');
        };
        if is_elsewhere {
            let function = inlined.as_ref().map_or(String::new(), |name| format!(", in {name} (inlined)"));
            put(out, &format!("{file}:{line}{function}"));
        }
        let text = self.files.entry(file.clone()).or_insert_with(|| read(file));
        let Some(text) = text else {
            if !is_elsewhere {
                put(out, &format!("{file}:{line}"));
            }
            return;
        };
        let last = self.last.insert(file.clone(), *line).unwrap_or(u32::MAX);
        let first = match line.checked_sub(last) {
            Some(1..=MOST_BEFORE) => last + 1,
            _ => *line,
        };
        for number in first..=*line {
            let text = text.get(number as usize - 1).map_or("", String::as_str);
            let mut numbered = String::new();
            write!(numbered, "{number:>5} | {text}").expect("strings take all text");
            put(out, numbered.trim_end());
        }
    }

    /// Says once what is missing.
    pub fn finish(&self) {
        let mut unread: Vec<&str> =
            self.files.iter().filter(|(_, text)| text.is_none()).map(|(name, _)| name.as_str()).collect();
        unread.sort_unstable();
        match unread[..] {
            [] => {}
            [one] => warn(&format!("`{one}` can't be read: only the numbers of its lines are shown")),
            [first, ..] => warn(&format!(
                "{} source files can't be read, `{first}` among them: only the numbers of their lines are shown",
                unread.len()
            )),
        }
    }
}

fn read(file: &str) -> Option<Vec<String>> {
    let bytes = std::fs::read(file).ok()?;
    Some(String::from_utf8_lossy(&bytes).lines().map(|line| line.replace('\t', "    ")).collect())
}
