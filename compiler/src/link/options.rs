//! The run options that an executable is built with: a small object beside the module's.
//!
//! One section, `.aot.options`, so that they can be read from an executable without symbols too:
//!
//! ```text
//! 0  aot_options_len  u64, in the target's byte order: bytes of `aot_options`
//! 8  aot_sealed       u8: 1 if options at start are ignored
//! 9  aot_options      the words of the options, each ended by NUL
//! ```
//! The words are those of the command line (`--dir`, `.::/data`, `--env`, `A=B`, …).

use crate::emit::elf::new_object;
use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;
use object::write::{Symbol, SymbolSection};
use object::{SectionKind, SymbolFlags, SymbolKind, SymbolScope};

/// Name of the section.
const SECTION: &str = ".aot.options";

/// Makes the object that carries `words` and whether they are final.
///
/// # Errors
/// [`ErrorKind::Config`] if a word contains a NUL byte, or objects cannot be made for the target.
pub fn options_object(words: &[String], sealed: bool, target: &Target) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for word in words {
        if word.contains('\0') {
            return Err(Error::new(
                ErrorKind::Config,
                format!("the option `{}` contains NUL", word.escape_default()),
            ));
        }
        bytes.extend_from_slice(word.as_bytes());
        bytes.push(0);
    }
    let len = match target.is_big_endian() {
        false => (bytes.len() as u64).to_le_bytes(),
        true => (bytes.len() as u64).to_be_bytes(),
    };

    let mut object = new_object(target)?;
    let section = object.add_section(Vec::new(), SECTION.into(), SectionKind::ReadOnlyData);
    // A symbol needs a byte to stand on, also without options.
    let words = if bytes.is_empty() { &[0][..] } else { &bytes };
    for (name, data, align) in [
        ("aot_options_len", &len[..], 8),
        ("aot_sealed", &[u8::from(sealed)][..], 1),
        ("aot_options", words, 1),
    ] {
        let symbol = object.add_symbol(Symbol {
            name: name.into(),
            value: 0,
            size: 0,
            kind: SymbolKind::Data,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        });
        object.add_symbol_data(symbol, section, data, align);
    }
    object
        .write()
        .map_err(|error| Error::internal("cannot write the object of the options").with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

    fn check(words: &[&str], expected: &[u8]) {
        let words: Vec<String> = words.iter().map(|word| String::from(*word)).collect();
        let bytes = options_object(&words, true, &"x86_64-linux".parse().unwrap()).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let value = |name: &str| {
            let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap();
            let section = file.section_by_index(symbol.section_index().unwrap()).unwrap();
            section.data_range(symbol.address(), symbol.size()).unwrap().unwrap().to_vec()
        };
        assert_eq!(value("aot_options_len"), (expected.len() as u64).to_le_bytes());
        assert_eq!(value("aot_options")[..expected.len()], *expected);
        assert_eq!(value("aot_sealed"), [1]);
    }

    #[test]
    fn words_are_ended_by_nul() {
        check(&["--dir", "a::b", "", "--env", "A=é"], "--dir\0a::b\0\0--env\0A=é\0".as_bytes());
        check(&[], b"");
    }

    #[test]
    fn nul_is_refused() {
        let error =
            options_object(&[String::from("a\0b")], false, &"x86_64-linux".parse().unwrap()).unwrap_err();
        assert_eq!(error.message(), "the option `a\\u{0}b` contains NUL");
    }
}
