//! Errors as the user sees them: what happened, where, and what to do about it; printed once, in the style of rustc.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

/// Exit code of a command that could not do its work.
const FAILED: u8 = 1;
/// Exit code of a command line that makes no sense.
const USAGE: u8 = 2;

/// Prints something that stops nothing.
pub fn warn(message: &str) {
    // Nobody listens: nothing is lost.
    drop(writeln!(io::stderr(), "warning: {}", printable(message)));
}

/// Why a command failed.
#[derive(Debug)]
pub struct Failure(Box<Parts>);

#[derive(Debug)]
struct Parts {
    exit_code: u8,
    message: String,
    file: Option<String>,
    location: Option<String>,
    causes: Vec<String>,
    help: Option<String>,
}

/// Result of a command.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub fn new(message: impl Into<String>) -> Failure {
        Failure(Box::new(Parts {
            exit_code: FAILED,
            message: message.into(),
            file: None,
            location: None,
            causes: Vec::new(),
            help: None,
        }))
    }

    /// The command line makes no sense.
    pub fn usage(message: impl Into<String>) -> Failure {
        let mut failure = Failure::new(message);
        failure.0.exit_code = USAGE;
        failure
    }

    /// The operating system refused `action`, such as "cannot read", on a file.
    pub fn io(action: &str, path: &Path, error: &io::Error) -> Failure {
        Failure::new(format!("{action} `{}`: {}", path.display(), reason(error)))
    }

    /// The compiler's error about a file.
    pub fn compiler(error: &aot_compiler::Error, file: &Path) -> Failure {
        let mut failure = Failure::new(error.message());
        let parts = &mut *failure.0;
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            parts.causes.push(cause.to_string());
            source = cause.source();
        }
        // Errors of the text format quote the source, and say where it is.
        if !error.message().contains("-->") {
            parts.file = Some(error.file().map_or_else(|| file.display().to_string(), str::to_owned));
        }
        parts.location = error.location();
        parts.help = error.help().map(str::to_owned);
        failure
    }

    pub fn with_help(mut self, help: impl Into<String>) -> Failure {
        self.0.help = Some(help.into());
        self
    }

    /// What happened, in one line.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the user can do.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// Prints the error. A closed standard error is no reason to fail in another way.
    pub fn print(&self) {
        drop(io::stderr().write_all(self.text().as_bytes()));
    }

    pub fn exit_code(&self) -> u8 {
        self.0.exit_code
    }

    fn text(&self) -> String {
        let Parts { exit_code: _, message, file, location, causes, help } = &*self.0;
        let mut text = format!("error: {}\n", printable(message.trim_end()));
        let place = [file.as_deref(), location.as_deref()];
        let place: Vec<&str> = place.into_iter().flatten().collect();
        if !place.is_empty() {
            writeln!(text, "  --> {}", printable(&place.join(": "))).expect("strings take all text");
        }
        for cause in causes {
            writeln!(text, "  = caused by: {}", printable(cause)).expect("strings take all text");
        }
        if let Some(help) = help {
            writeln!(text, "  = help: {}", printable(help)).expect("strings take all text");
        }
        text
    }
}

/// What the operating system says, in our words where its own are long.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => String::from("no such file or directory"),
        io::ErrorKind::PermissionDenied => String::from("permission denied"),
        io::ErrorKind::IsADirectory => String::from("it is a directory"),
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or(&text);
            let mut chars = text.chars();
            chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
        }
    }
}

/// Text whose control characters do nothing: names come from files that nobody vouches for.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            // Marks of writing direction can make a name look like another.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.extend(c.escape_unicode());
            }
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// The candidate that is most like `name`, if one is like it at all.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LIKE: f64 = 0.8;
    let scored = candidates.into_iter().map(|candidate| (strsim::jaro_winkler(name, candidate), candidate));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(score, _)| *score >= LIKE).map(|(_, candidate)| candidate)
}

/// `str::split_once` for text of the operating system.
pub fn split_once(text: &OsStr, separator: char) -> Option<(OsString, OsString)> {
    use std::os::unix::ffi::OsStrExt as _;
    let at = text.as_bytes().iter().position(|byte| char::from(*byte) == separator)?;
    let (before, after) = (&text.as_bytes()[..at], &text.as_bytes()[at + 1..]);
    Some((OsStr::from_bytes(before).to_owned(), OsStr::from_bytes(after).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aot_compiler::{Error, ErrorKind};

    #[test]
    fn errors_say_where_and_what_to_do() {
        let error = Error::new(ErrorKind::Unsupported, "`v128.load` needs SIMD, which is disabled")
            .in_function(12, Some("blur_row"))
            .at(0x1a3f)
            .with_help("build with `-W simd`")
            .with_source(io::Error::other("because"));
        let expected = "error: `v128.load` needs SIMD, which is disabled\n  \
                        --> app.wasm: func 12 `blur_row`, offset 0x1a3f\n  \
                        = caused by: because\n  \
                        = help: build with `-W simd`\n";
        assert_eq!(Failure::compiler(&error, Path::new("app.wasm")).text(), expected);
        assert_eq!(Failure::new("no").text(), "error: no\n");
    }

    #[test]
    fn control_characters_do_nothing() {
        assert_eq!(printable("a\x1b[31mé\u{202e}\nb"), "a\\u{1b}[31mé\\u{202e}\nb");
    }

    #[test]
    fn suggestions_are_like_the_word() {
        assert_eq!(nearest("opt-levl", ["opt-level", "simd"]), Some("opt-level"));
        assert_eq!(nearest("zzz", ["opt-level", "simd"]), None);
    }
}
