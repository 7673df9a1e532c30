// Source maps beside modules: the compiler reads no files, so they are put into the module first.

use crate::report;
use crate::aot_compiler::debug::{SOURCE_MAP_SECTION, URL_SECTION, source_map_url};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes of a source map, at most.
const MOST: u64 = 512 << 20;

/// Adds to a module without debug information the source map that it names, as a custom section. Damage, and what cannot be
/// read, costs no more than the map. Gives what may be of interest.
pub fn attach(module: &Path, wasm: &mut Vec<u8>) -> Option<String> {
    let mut url = None;
    for (name, bytes) in custom_sections(wasm) {
        if name.starts_with(".debug_") || name == SOURCE_MAP_SECTION {
            return None;
        }
        url = url.or_else(|| source_map_url(bytes).filter(|_| name == URL_SECTION));
    }
    let url = url.filter(|url| !url.starts_with("data:"))?;
    let Some(path) = path(module, url) else {
        return Some(format!("the source map is not read: `{url}` is no file"));
    };
    match read(&path) {
        Ok(json) => {
            append(wasm, &json);
            None
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Some(format!("the source map is not there: `{}`", path.display()))
        }
        Err(error) => {
            report::warn(&format!("the source map `{}` can't be read: {error}", path.display()));
            None
        }
    }
}

/// The file that a URL names; relative ones count from the module.
fn path(module: &Path, url: &str) -> Option<PathBuf> {
    let is_scheme = |scheme: &str| {
        scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let path = match url.split_once(':') {
        Some(("file", rest)) => {
            let rest = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
            rest.starts_with('/').then_some(rest)?
        }
        Some((scheme, _)) if is_scheme(scheme) => return None,
        _ => url,
    };
    let path = unescaped(path)?;
    if path.is_empty() || path.starts_with("//") || path.contains('\0') || module == Path::new("-") {
        return None;
    }
    Some(module.parent().unwrap_or(Path::new("")).join(path))
}

/// A path of a URL without its escapes.
fn unescaped(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would be waited for.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MOST {
        true => Err(io::Error::other("it is too large")),
        false => Ok(bytes),
    }
}

/// Names and contents of the custom sections, as far as they are whole.
fn custom_sections(wasm: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    let mut rest = wasm.get(8..).unwrap_or_default();
    let sections = std::iter::from_fn(move || {
        let (id, after) = rest.split_first()?;
        let (len, after) = number(after)?;
        let (contents, after) = after.split_at_checked(len)?;
        rest = after;
        Some((*id, contents))
    });
    sections.filter(|(id, _)| *id == 0).filter_map(|(_, contents)| {
        let (len, after) = number(contents)?;
        let (name, contents) = after.split_at_checked(len)?;
        Some((std::str::from_utf8(name).ok()?, contents))
    })
}

/// A number in LEB128, and what comes after it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        number |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[index + 1..]));
        }
    }
    None
}

/// Adds a custom section with a source map.
fn append(wasm: &mut Vec<u8>, json: &[u8]) {
    let add = |wasm: &mut Vec<u8>, mut number: usize| {
        while number >= 0x80 {
            wasm.push(number as u8 | 0x80);
            number >>= 7;
        }
        wasm.push(number as u8);
    };
    let name = SOURCE_MAP_SECTION.as_bytes();
    wasm.push(0);
    // The length of the name takes one byte.
    add(wasm, 1 + name.len() + json.len());
    add(wasm, name.len());
    wasm.extend_from_slice(name);
    wasm.extend_from_slice(json);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_files() {
        let of = |url: &str| path(Path::new("dir/app.wasm"), url).map(|path| path.display().to_string());
        assert_eq!(of("app.wasm.map").as_deref(), Some("dir/app.wasm.map"));
        assert_eq!(of("./maps/a%20b.map").as_deref(), Some("dir/./maps/a b.map"));
        assert_eq!(of("/abs/a.map").as_deref(), Some("/abs/a.map"));
        assert_eq!(of("file:///abs/a.map").as_deref(), Some("/abs/a.map"));
        for other in ["https://host/a.map", "//host/a.map", "file://host/a.map", "", "a%zz", "a%0", "a\0"] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(path(Path::new("-"), "a.map"), None);
    }

    #[test]
    fn sections_are_found_and_added() {
        let mut wasm = b"\0asm\x01\0\0\0\x01\x01\0\0\x05\x03abcd".to_vec();
        append(&mut wasm, &[b' '; 200]);
        let found: Vec<_> = custom_sections(&wasm).map(|(name, bytes)| (name, bytes.len())).collect();
        assert_eq!(found, [("abc", 1), (SOURCE_MAP_SECTION, 200)]);
        for len in 0..wasm.len() {
            assert!(custom_sections(&wasm[..len]).count() <= 1);
        }
    }
}
