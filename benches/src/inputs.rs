//! What the programs read: files of this repository, repeated to a size that takes time, or generated words.

use std::fmt::Write as _;
use std::fs;
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

/// Writes the inputs into a directory.
///
/// # Errors
/// A file can't be read or written.
pub fn write(inputs: &[Input], dirs: &Dirs, to: &Path) -> Result<()> {
    for input in inputs {
        let text = contents(input, dirs).with_context(|| format!("can't make the input `{}`", input.to))?;
        fs::write(to.join(&input.to), text).with_context(|| format!("can't write {}", input.to))?;
    }
    Ok(())
}

fn contents(input: &Input, dirs: &Dirs) -> Result<String> {
    let Input { from, times, head, between, tail, words, .. } = input;
    let piece = match (from, words) {
        (None, Some(len_bytes)) => return Ok(random_words(*len_bytes)),
        (Some(name), None) => {
            let own = dirs.benches.join("inputs").join(name);
            let path = if own.exists() { own } else { dirs.root.join("tests/programs/data").join(name) };
            fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?
        }
        _ => bail!("it needs `from` or `words`"),
    };
    let pieces: Vec<String> = (0..*times).map(|n| piece.replace("{n}", &n.to_string())).collect();
    Ok(format!("{head}{}{tail}", pieces.join(between)))
}

/// Text as people write it, as far as compressors and searches can tell: 4,000 words, the k-th about as often as
/// 1/k, in lines. The same bytes every time.
fn random_words(len_bytes: usize) -> String {
    const WORDS: u64 = 4000;
    const SYLLABLES: [&str; 16] = [
        "ba", "cor", "de", "fin", "gu", "hal", "is", "ke", "lo", "mer", "nu", "or", "pa", "ser", "ti", "ven",
    ];
    let mut state = 1_u64;
    let mut text = String::with_capacity(len_bytes + 32);
    let mut line_start = 0;
    while text.len() < len_bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (state >> 33) as f64 / (1_u64 << 31) as f64;
        let mut word = (WORDS as f64).powf(uniform) as u64;
        // Words are numbers, written in syllables.
        while word > 0 {
            text.push_str(SYLLABLES[(word % 16) as usize]);
            word /= 16;
        }
        if state >> 60 == 0 {
            let _infallible = write!(text, " {}", state >> 40 & 0xffff);
        }
        if text.len() - line_start > 72 {
            text.push_str(".\n");
            line_start = text.len();
        } else {
            text.push(' ');
        }
    }
    text.truncate(len_bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_every_time_and_of_the_size() {
        let text = random_words(10_000);
        assert_eq!(text.len(), 10_000);
        assert_eq!(text, random_words(10_000));
        assert!(text.lines().count() > 100 && text.split_whitespace().count() > 1000);
    }
}
