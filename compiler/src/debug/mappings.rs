//! Source maps in JSON (ECMA-426, version 3) → [`SourceMap`], for modules without DWARF.
//!
//! A map belongs to one generated line, whose columns are offsets in the wasm file. Functions and variables are unknown to it.

use super::input::Input;
use super::source::{Row, Sequence, SourceFile, SourceMap, SourceUnit};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashMap;

/// What of a source map counts here.
#[derive(Deserialize)]
struct Json<'j> {
    version: u32,
    #[serde(default, borrow, rename = "sourceRoot")]
    root: Option<Cow<'j, str>>,
    #[serde(default, borrow)]
    sources: Vec<Option<Cow<'j, str>>>,
    #[serde(default, borrow)]
    mappings: Option<Cow<'j, str>>,
}

/// Reads a source map. What is damaged is left out, with a warning.
pub(super) fn read(input: &Input<'_>, json: &[u8]) -> SourceMap {
    let mut map = SourceMap::default();
    let parsed = match serde_json::from_slice::<Json<'_>>(json) {
        Ok(parsed) => parsed,
        Err(error) => {
            map.warnings.push(format!("the source map: {error}"));
            return map;
        }
    };
    let Some(mappings) = parsed.mappings.filter(|_| parsed.version == 3) else {
        map.warnings.push(String::from("the source map: it is not of version 3, or has no mappings"));
        return map;
    };
    // Compilers make up relative ones, for browsers.
    let root = parsed.root.unwrap_or_default();
    let root = if root.starts_with('/') { root.trim_end_matches('/') } else { "" };
    let numbers = files(&mut map, root, &parsed.sources);
    let mut rows = Vec::new();
    let line = mappings.split(';').next().unwrap_or_default();
    if let Err(offset) = segments(line, &numbers, &mut rows) {
        map.warnings.push(format!("the source map: its mappings are damaged from byte {offset} on"));
    }
    // They are ascending, but who knows.
    rows.sort_by_key(|row| row.offset);
    add_rows(&mut map, input, &rows);
    map
}

/// Puts the files into the map. Gives their numbers.
fn files(map: &mut SourceMap, root: &str, sources: &[Option<Cow<'_, str>>]) -> Vec<Option<u32>> {
    let mut known: HashMap<String, u32> = HashMap::new();
    let number = |source: &Option<Cow<'_, str>>| {
        let source = source.as_ref().filter(|source| !source.is_empty() && !source.contains('\0'))?;
        let path = match source.starts_with('/') || root.is_empty() {
            true => source.to_string(),
            false => format!("{root}/{source}"),
        };
        let next = map.files.len() as u32;
        Some(*known.entry(path).or_insert_with_key(|path| {
            let (directory, name) = match path.rsplit_once('/') {
                Some((directory, name)) => (directory, name),
                None => ("", &path[..]),
            };
            map.files.push(SourceFile { directory: directory.into(), name: name.into() });
            next
        }))
    };
    sources.iter().map(number).collect()
}

/// Reads the segments of a generated line.
///
/// # Errors
/// Where the first one is that makes no sense; those before it are read.
fn segments(line: &str, files: &[Option<u32>], rows: &mut Vec<Row>) -> Result<(), usize> {
    // Offset, file, line, column.
    let mut state = [0i64; 4];
    let mut at = 0;
    for segment in line.split(',') {
        let damaged = Err(at);
        at += segment.len() + 1;
        if segment.is_empty() {
            continue;
        }
        let mut fields = 0;
        let mut digits = segment.bytes();
        while digits.len() > 0 {
            let Some(difference) = vlq(&mut digits) else { return damaged };
            // The last one, if there are five, is a name.
            if let Some(field) = state.get_mut(fields) {
                let Some(sum) = field.checked_add(difference).filter(|sum| *sum >= 0) else { return damaged };
                *field = sum;
            }
            fields += 1;
        }
        let small = |number: i64| u32::try_from(number).ok().filter(|number| *number < u32::MAX);
        let (Ok(offset), Some(line), Some(column)) =
            (u64::try_from(state[0]), small(state[2]), small(state[3]))
        else {
            return damaged;
        };
        let place = match fields {
            1 => None,
            4 | 5 => match usize::try_from(state[1]).ok().and_then(|file| files.get(file)) {
                Some(file) => *file,
                None => return damaged,
            },
            _ => return damaged,
        };
        rows.push(match place {
            // Lines and columns count from 0 there.
            Some(file) => Row {
                offset,
                file,
                line: line + 1,
                column: column + 1,
                is_statement: true,
                prologue_end: false,
            },
            None => Row { offset, ..Row::NONE },
        });
    }
    Ok(())
}

/// A number: base-64 digits with five bits each, the lowest first, and a sixth that says whether there are more. The lowest
/// bit of all is the sign.
fn vlq(digits: &mut std::str::Bytes<'_>) -> Option<i64> {
    let mut number: u64 = 0;
    for shift in (0..35).step_by(5) {
        let digit = base64(digits.next()?)?;
        number |= u64::from(digit & 31) << shift;
        if digit & 32 == 0 {
            let magnitude = (number >> 1) as i64;
            return Some(if number & 1 == 1 { -magnitude } else { magnitude });
        }
    }
    None
}

/// The source map that a URL has inside.
pub(super) fn inside(url: &str) -> Option<Vec<u8>> {
    let (kind, data) = url.strip_prefix("data:")?.split_once(',')?;
    if !kind.ends_with(";base64") {
        return None;
    }
    let mut bytes = Vec::with_capacity(data.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for digit in data.trim_end_matches('=').bytes() {
        bits = bits << 6 | u32::from(base64(digit)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

/// The value of a digit.
fn base64(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Makes a sequence of the rows of each function.
fn add_rows(map: &mut SourceMap, input: &Input<'_>, rows: &[Row]) {
    map.units.push(SourceUnit { name: b"source map".to_vec(), ..SourceUnit::default() });
    map.numbers.push(HashMap::new());
    for body in &input.bodies {
        let start = rows.partition_point(|row| row.offset < body.start);
        let end = rows.partition_point(|row| row.offset < body.end);
        let own = &rows[start..end];
        let Some(first) = own.iter().find(|row| row.line > 0) else { continue };
        let before = map.rows.len() as u32;
        // Locals and what makes the frame belong to no line of their own.
        map.rows.push(Row { offset: body.start, ..*first });
        for row in own {
            let last = map.rows.last_mut().expect("there is one");
            // Of several for one instruction the last one counts.
            match last.offset == row.offset {
                true => *last = *row,
                false => map.rows.push(*row),
            }
        }
        let rows = before..map.rows.len() as u32;
        map.sequences.push(Sequence { start: body.start, end: body.end, unit: 0, rows });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> Input<'static> {
        Input { bodies: vec![10..20, 20..40], ..Input::default() }
    }

    fn json(mappings: &str) -> String {
        let sources = r#""sources":["a.ts","~lib/b.ts",null]"#;
        format!(r#"{{"version":3,"sourceRoot":"./app",{sources},"mappings":"{mappings}"}}"#)
    }

    fn rows(map: &SourceMap) -> Vec<(u64, u32, u32, u32)> {
        map.rows.iter().map(|row| (row.offset, row.file, row.line, row.column)).collect()
    }

    #[test]
    fn segments_become_rows_of_functions() {
        // Offsets 12, 15, 16, 31; the second one is of no source, the last one in the second file, and has a name.
        let map = read(&input(), json("YAEC,G,CAAA,eCDDA;AAAA").as_bytes());
        assert_eq!(map.warnings, [] as [String; 0]);
        let expected =
            [(10, 0, 3, 2), (12, 0, 3, 2), (15, 0, 0, 0), (16, 0, 3, 2), (20, 1, 2, 1), (31, 1, 2, 1)];
        assert_eq!(rows(&map), expected);
        assert_eq!(map.files[1].path(), b"~lib/b.ts");
        assert_eq!(map.location(16).map(|at| (at.file, at.line)), Some((&b"a.ts"[..], 3)));
        assert_eq!(map.location(41), None);
    }

    #[test]
    fn damage_is_a_warning() {
        for mappings in ["!", "A", "YAEC,AGAA", "YAEC,AAA", "YAEC,AAHA", "YAEC,ggggggggggggggB", "YAEC,g"] {
            let map = read(&input(), json(mappings).as_bytes());
            assert_eq!(map.warnings.len(), usize::from(mappings != "A"), "{mappings}: {:?}", map.warnings);
            assert_eq!(map.rows.is_empty(), mappings.len() == 1, "{mappings}");
        }
        for json in ["", "[]", "{}", r#"{"version":2,"mappings":""}"#, r#"{"version":3,"sections":[]}"#] {
            assert_eq!(read(&input(), json.as_bytes()).warnings.len(), 1, "{json}");
        }
    }

    #[test]
    fn urls_may_have_the_map_inside() {
        assert_eq!(inside("data:application/json;base64,eyJhIjoxfQ==").as_deref(), Some(&br#"{"a":1}"#[..]));
        assert_eq!(inside("data:application/json,{}"), None);
        assert_eq!(inside("app.wasm.map"), None);
        assert_eq!(inside("data:;base64,e!"), None);
    }
}
