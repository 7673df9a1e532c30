//! Run options of an executable: what the guest may see and how much it may use.
//!
//! They come as words, from the list that is written into the executable when it is built and from the environment
//! variable `AOT_RUN`; words that come later win. The tool that builds executables checks them with the same
//! functions. Nothing here does any I/O.
//!
//! ```text
//! --dir HOST[::GUEST]       open the host's directory HOST for the guest, under the name GUEST (else: HOST)
//! --env NAME[=VALUE]        set an environment variable; without a value: that of the process
//! -S inherit-env[=y|n]      give the guest the whole environment of the process
//! -W max-memory-size=BYTES  the most that a linear memory may grow to
//! -W max-wasm-stack=BYTES   the stack of the guest
//! ```
//!
//! As in `wasmtime`, the value of a long option may follow after `=`, that of a short one at once, and keys of one
//! group may be separated by commas.

use alloc::vec::Vec;
use core::fmt;

/// The environment variable with further run options. The guest never sees it.
pub const AOT_RUN: &[u8] = b"AOT_RUN";

/// A directory of the host that the guest may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirMapping {
    /// The path on the host; relative paths start at the working directory of the process.
    pub host: Vec<u8>,
    /// The name that the guest knows it by.
    pub guest: Vec<u8>,
}

/// The run options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Directories, in the order of their file descriptors.
    pub dirs: Vec<DirMapping>,
    /// Environment variables: `NAME=VALUE`, or `NAME` for the value that the process has.
    pub env: Vec<Vec<u8>>,
    /// Whether the guest gets the environment of the process.
    pub inherit_env: bool,
    /// Bytes that a linear memory may have at most.
    pub max_memory_size: Option<u64>,
    /// Bytes of stack for the guest.
    pub max_wasm_stack: Option<u64>,
}

/// What is wrong with a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionErrorKind {
    /// Not an option.
    Unknown,
    /// Not a key of the group `-S` or `-W`.
    UnknownKey,
    /// The option or key needs a value.
    MissingValue,
    /// Not a number of bytes.
    NotANumber,
    /// Neither `y` nor `n`.
    NotABoolean,
    /// The name of an environment variable is empty or has a NUL.
    BadName,
    /// A path is empty.
    EmptyPath,
    /// A quotation mark has no partner.
    UnclosedQuote,
}

impl OptionErrorKind {
    fn text(self) -> &'static str {
        match self {
            OptionErrorKind::Unknown => "unknown run option",
            OptionErrorKind::UnknownKey => "unknown key of a run option",
            OptionErrorKind::MissingValue => "run option without a value",
            OptionErrorKind::NotANumber => "run option whose value is not a number of bytes",
            OptionErrorKind::NotABoolean => "run option whose value is neither `y` nor `n`",
            OptionErrorKind::BadName => "run option with a bad name of an environment variable",
            OptionErrorKind::EmptyPath => "run option with an empty path",
            OptionErrorKind::UnclosedQuote => "run options with an unclosed quotation mark",
        }
    }
}

/// A word that can't be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError {
    pub kind: OptionErrorKind,
    /// The word, or the part of it that is wrong.
    pub word: Vec<u8>,
}

impl OptionError {
    /// The message for the user, without `error: ` in front or a newline at the end. For programs that have no
    /// formatting code; others use `Display`.
    pub fn message(&self) -> Vec<u8> {
        [self.kind.text().as_bytes(), b": `", &self.word, b"`"].concat()
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`", self.kind.text(), self.word.escape_ascii())
    }
}

impl core::error::Error for OptionError {}

fn fail<T>(kind: OptionErrorKind, word: &[u8]) -> Result<T, OptionError> {
    Err(OptionError { kind, word: word.to_vec() })
}

/// The words of a list in which each ends in a NUL.
fn words_of(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split_inclusive(|&byte| byte == 0).map(|word| word.strip_suffix(&[0]).unwrap_or(word))
}

/// Splits a line into words as a shell does: at blanks, outside of single and double quotation marks. A backslash
/// takes away the meaning of the next character, except between single quotation marks. The words are added to a list in
/// which each ends in a NUL.
fn add_line(list: &mut Vec<u8>, line: &[u8]) -> Result<(), OptionError> {
    let mut in_word = false;
    let mut quote = 0;
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        let is_blank = matches!(byte, b' ' | b'\t' | b'\n');
        if is_blank && quote == 0 {
            if in_word {
                list.push(0);
            }
            in_word = false;
            continue;
        }
        in_word = true;
        match byte {
            b'\'' | b'"' if quote == byte => quote = 0,
            b'\'' | b'"' if quote == 0 => quote = byte,
            b'\\' if quote != b'\'' => {
                let escaped = bytes.next().unwrap_or(b'\\');
                // Between double quotation marks a backslash stays, unless it takes away a meaning.
                if quote != 0 && !matches!(escaped, b'"' | b'\\' | b'$' | b'`') {
                    list.push(b'\\');
                }
                list.push(escaped);
            }
            _ => list.push(byte),
        }
    }
    if quote != 0 {
        return fail(OptionErrorKind::UnclosedQuote, line);
    }
    if in_word {
        list.push(0);
    }
    Ok(())
}

/// The run options of an executable: the list that was written into it, then the line of `AOT_RUN`, unless there
/// is none or the executable is sealed.
///
/// # Errors
///
/// A word that can't be understood.
pub fn parse_sources(list: &[u8], line: Option<&[u8]>) -> Result<RunOptions, OptionError> {
    let mut words = list.to_vec();
    add_line(&mut words, line.unwrap_or(&[]))?;
    parse(words_of(&words))
}

/// The run options that the words stand for.
///
/// # Errors
///
/// A word that can't be understood.
pub fn parse<'w>(words: impl IntoIterator<Item = &'w [u8]>) -> Result<RunOptions, OptionError> {
    let mut options = RunOptions::default();
    let mut rest = words.into_iter();
    while let Some(word) = rest.next() {
        let (name, inline) = split_word(word);
        let set = match name {
            b"--dir" => RunOptions::add_dir,
            b"--env" => RunOptions::add_env,
            b"-S" => RunOptions::set_system_keys,
            b"-W" => RunOptions::set_wasm_keys,
            _ => return fail(OptionErrorKind::Unknown, word),
        };
        match inline.or_else(|| rest.next()) {
            Some(value) => set(&mut options, value)?,
            None => return fail(OptionErrorKind::MissingValue, word),
        }
    }
    Ok(options)
}

/// Splits `--name=value` and `-Nvalue`.
fn split_word(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    match word {
        [b'-', b'-', ..] => split_once(word, b'='),
        [b'-', _, value @ ..] if !value.is_empty() => {
            (word.get(..2).unwrap_or(word), Some(value.strip_prefix(b"=").unwrap_or(value)))
        }
        _ => (word, None),
    }
}

fn split_once(word: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match word.iter().position(|&byte| byte == separator) {
        Some(at) => (word.get(..at).unwrap_or(word), word.get(at + 1..)),
        None => (word, None),
    }
}

impl RunOptions {
    fn add_dir(&mut self, value: &[u8]) -> Result<(), OptionError> {
        let (host, guest) = match value.windows(2).position(|pair| pair == b"::") {
            Some(at) => (value.get(..at).unwrap_or(value), value.get(at + 2..).unwrap_or(value)),
            None => (value, value),
        };
        if host.is_empty() || guest.is_empty() {
            return fail(OptionErrorKind::EmptyPath, value);
        }
        self.dirs.push(DirMapping { host: host.to_vec(), guest: guest.to_vec() });
        Ok(())
    }

    fn add_env(&mut self, value: &[u8]) -> Result<(), OptionError> {
        if split_once(value, b'=').0.is_empty() || value.contains(&0) {
            return fail(OptionErrorKind::BadName, value);
        }
        self.env.push(value.to_vec());
        Ok(())
    }

    fn set_system_keys(&mut self, keys: &[u8]) -> Result<(), OptionError> {
        for (key, value) in split_keys(keys) {
            match key {
                b"inherit-env" => self.inherit_env = boolean(value)?,
                _ => return fail(OptionErrorKind::UnknownKey, key),
            }
        }
        Ok(())
    }

    fn set_wasm_keys(&mut self, keys: &[u8]) -> Result<(), OptionError> {
        for (key, value) in split_keys(keys) {
            match key {
                b"max-memory-size" => self.max_memory_size = Some(number(key, value)?),
                b"max-wasm-stack" => self.max_wasm_stack = Some(number(key, value)?),
                _ => return fail(OptionErrorKind::UnknownKey, key),
            }
        }
        Ok(())
    }
}

fn split_keys(keys: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    keys.split(|&byte| byte == b',').map(|key| split_once(key, b'='))
}

fn boolean(value: Option<&[u8]>) -> Result<bool, OptionError> {
    match value {
        None | Some(b"y" | b"yes" | b"true") => Ok(true),
        Some(b"n" | b"no" | b"false") => Ok(false),
        Some(value) => fail(OptionErrorKind::NotABoolean, value),
    }
}

fn number(key: &[u8], value: Option<&[u8]>) -> Result<u64, OptionError> {
    let Some(digits) = value else { return fail(OptionErrorKind::MissingValue, key) };
    let mut number = Some(0u64);
    for &digit in digits {
        number = match digit {
            b'0'..=b'9' => number
                .and_then(|number| number.checked_mul(10))
                .and_then(|number| number.checked_add(u64::from(digit - b'0'))),
            _ => None,
        };
    }
    match number {
        Some(number) if !digits.is_empty() => Ok(number),
        _ => fail(OptionErrorKind::NotANumber, digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn parsed(line: &str) -> Result<RunOptions, OptionError> {
        parse_sources(b"", Some(line.as_bytes()))
    }

    fn dir(host: &str, guest: &str) -> DirMapping {
        DirMapping { host: host.as_bytes().to_vec(), guest: guest.as_bytes().to_vec() }
    }

    #[test]
    fn lines_are_split_like_in_a_shell() {
        fn check(line: &str, expected: &[&str]) {
            let mut list = b"first\0".to_vec();
            add_line(&mut list, line.as_bytes()).unwrap();
            let words: Vec<&[u8]> = words_of(&list).skip(1).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|word| word.as_bytes()).collect();
            assert_eq!(words, expected, "{line}");
        }
        check("", &[]);
        check("  a\t b \n", &["a", "b"]);
        check("'a b' \"c d\"e", &["a b", "c de"]);
        check("'' \"\"", &["", ""]);
        check(r"a\ b \' \\", &["a b", "'", r"\"]);
        check(r#"'\' "\"" "\a" '"'"#, &[r"\", "\"", r"\a", "\""]);
        check("a\\", &["a\\"]);
        for line in ["a 'b", "\"b\\\""] {
            let error = add_line(&mut Vec::new(), line.as_bytes()).unwrap_err();
            assert_eq!(error.kind, OptionErrorKind::UnclosedQuote, "{line}");
        }
    }

    #[test]
    fn lists_are_split_at_nuls() {
        let words = |list: &'static [u8]| words_of(list).collect::<Vec<_>>();
        assert_eq!(words(b""), Vec::<&[u8]>::new());
        assert_eq!(words(b"--dir\0.\0"), [b"--dir".as_slice(), b"."]);
        assert_eq!(words(b"a\0\0b"), [b"a".as_slice(), b"", b"b"]);
    }

    #[test]
    fn the_line_comes_after_the_list() {
        let list = b"--dir\0.\0-S\0inherit-env\0-W\0max-wasm-stack=1\0";
        let options = parse_sources(list, Some(b"--dir '/a b::/' -S inherit-env=n")).unwrap();
        assert_eq!(options.dirs, [dir(".", "."), dir("/a b", "/")]);
        assert_eq!((options.inherit_env, options.max_wasm_stack), (false, Some(1)));
        assert!(parse_sources(list, None).unwrap().inherit_env);
    }

    #[test]
    fn options_are_understood_in_every_form() {
        let options = parsed("--dir . --dir=/data::/ --env A=b=c --env=HOME").unwrap();
        assert_eq!(options.dirs, [dir(".", "."), dir("/data", "/")]);
        assert_eq!(options.env, [b"A=b=c".as_slice(), b"HOME"]);
        assert_eq!(
            parsed("-S inherit-env -W max-memory-size=65536,max-wasm-stack=1").unwrap(),
            RunOptions {
                inherit_env: true,
                max_memory_size: Some(65536),
                max_wasm_stack: Some(1),
                ..RunOptions::default()
            }
        );
        assert!(parsed("-Sinherit-env=y").unwrap().inherit_env);
        assert!(!parsed("-S inherit-env -S inherit-env=n").unwrap().inherit_env);
        assert_eq!(
            parsed("-W max-memory-size=1 -Wmax-memory-size=18446744073709551615").unwrap(),
            RunOptions { max_memory_size: Some(u64::MAX), ..RunOptions::default() }
        );
    }

    #[test]
    fn errors_name_the_word() {
        fn check(line: &str, kind: OptionErrorKind, word: &str) {
            let error = parsed(line).unwrap_err();
            assert_eq!((error.kind, error.word.as_slice()), (kind, word.as_bytes()), "{line}");
        }
        check("--dri .", OptionErrorKind::Unknown, "--dri");
        check("file", OptionErrorKind::Unknown, "file");
        check("--dir", OptionErrorKind::MissingValue, "--dir");
        check("-S", OptionErrorKind::MissingValue, "-S");
        check("--dir ::/", OptionErrorKind::EmptyPath, "::/");
        check("--dir ''", OptionErrorKind::EmptyPath, "");
        check("--env =x", OptionErrorKind::BadName, "=x");
        check("-S inherit-env=maybe", OptionErrorKind::NotABoolean, "maybe");
        check("-S inherit-network", OptionErrorKind::UnknownKey, "inherit-network");
        check("-S inherit-env,", OptionErrorKind::UnknownKey, "");
        check("-W max-wasm-stack", OptionErrorKind::MissingValue, "max-wasm-stack");
        check("-W max-wasm-stack=", OptionErrorKind::NotANumber, "");
        check("-W max-wasm-stack=1k", OptionErrorKind::NotANumber, "1k");
        check("-W max-wasm-stack=18446744073709551616", OptionErrorKind::NotANumber, "18446744073709551616");
    }

    #[test]
    fn messages_are_the_same_in_both_forms() {
        let error = parsed("--dri").unwrap_err();
        assert_eq!(error.message(), b"unknown run option: `--dri`");
        assert_eq!(error.to_string().as_bytes(), error.message());
    }
}
