//! What the programs read: files of this repository, repeated to a size that takes time, or generated words.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::setting::Dirs;

/// A file for a program's directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name there.
    pub to: String,
    /// A file in `benches/inputs`, or else in `tests/programs/data`.
    pub from: Option<String>,
    /// How often the file is repeated; `{n}` in it becomes the number of the repetition.
    #[serde(default = "once")]
    pub times: usize,
    #[serde(default)]
    pub head: String,
    #[serde(default)]
    pub between: String,
    #[serde(default)]
    pub tail: String,
    /// Instead of a file: this many bytes of words, some of them often and most of them rarely.
    pub words: Option<usize>,
}

fn once() -> usize {
    1
}

/// Writes the inputs into a directory, without holding them in memory (see `Sample::peak_bytes`).
///
/// # Errors
/// A file can't be read or written.
pub fn write(inputs: &[Input], dirs: &Dirs, to: &Path) -> Result<()> {
    for input in inputs {
        let path = to.join(&input.to);
        let write = || -> Result<()> {
            let mut out = BufWriter::new(File::create(&path)?);
            write_input(input, dirs, &mut out)?;
            Ok(out.flush()?)
        };
        write().with_context(|| format!("can't make the input {}", path.display()))?;
    }
    Ok(())
}

fn write_input(input: &Input, dirs: &Dirs, out: &mut impl Write) -> Result<()> {
    let Input { from, times, head, between, tail, words, .. } = input;
    let piece = match (from, words) {
        (None, Some(len_bytes)) => return write_words(*len_bytes, out),
        (Some(name), None) => {
            let own = dirs.benches.join("inputs").join(name);
            let path = if own.exists() { own } else { dirs.root.join("tests/programs/data").join(name) };
            fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?
        }
        _ => bail!("it needs `from` or `words`"),
    };
    out.write_all(head.as_bytes())?;
    for n in 0..*times {
        if n > 0 {
            out.write_all(between.as_bytes())?;
        }
        out.write_all(piece.replace("{n}", &n.to_string()).as_bytes())?;
    }
    Ok(out.write_all(tail.as_bytes())?)
}

/// Text as people write it, as far as compressors and searches can tell: 4,000 words, the k-th about as often as
/// 1/k, in lines. The same bytes every time; a few more than asked for, to the end of the line.
fn write_words(len_bytes: usize, out: &mut impl Write) -> Result<()> {
    const WORDS: f64 = 4000.0;
    const SYLLABLES: [&str; 16] = [
        "ba", "cor", "de", "fin", "gu", "hal", "is", "ke", "lo", "mer", "nu", "or", "pa", "ser", "ti", "ven",
    ];
    let mut state = 1_u64;
    let mut written = 0;
    while written < len_bytes {
        let mut line = String::new();
        while line.len() < 72 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let uniform = (state >> 33) as f64 / f64::from(1_u32 << 31);
            // Words are numbers, written in syllables.
            let mut word = WORDS.powf(uniform) as u64;
            while word > 0 {
                line += SYLLABLES[(word % 16) as usize];
                word /= 16;
            }
            if state >> 60 == 0 {
                line += &format!(" {}", state >> 40 & 0xffff);
            }
            line.push(' ');
        }
        line += "end.\n";
        written += line.len();
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_every_time_and_of_the_size() {
        let words = || {
            let mut text = Vec::new();
            write_words(10_000, &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        let text = words();
        assert!((10_000..10_200).contains(&text.len()), "{}", text.len());
        assert_eq!(text, words());
        assert!(text.lines().count() > 100 && text.split_whitespace().count() > 1000);
    }
}
