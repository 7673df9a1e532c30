//! The instructions of a module in the text format, with their offsets in the file.

use crate::report::{Failure, Result};
use std::collections::HashMap;
use wasmparser::{Import, Payload, TypeRef};

/// The lines of wanted functions, by function index: offset in the module, text. Ascending.
pub fn instructions(
    wasm: &[u8],
    is_wanted: impl Fn(u32) -> bool,
) -> Result<HashMap<u32, Vec<(u32, String)>>> {
    let mut bodies = Vec::new();
    let mut imported = 0;
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        match payload.map_err(|error| Failure::new(error.to_string()))? {
            Payload::ImportSection(section) => {
                let is_func = |import: &Import<'_>| matches!(import.ty, TypeRef::Func(_));
                imported = section.into_imports().flatten().filter(is_func).count() as u32;
            }
            Payload::CodeSectionEntry(body) => {
                let index = imported + bodies.len() as u32;
                bodies.push((body.range(), is_wanted(index).then_some(index)));
            }
            _ => {}
        }
    }
    let mut text = String::new();
    let lines = wasmprinter::Config::new()
        .offsets_and_lines(wasm, &mut text)
        .map_err(|error| Failure::new(format!("the module can't be printed: {error}")))?;
    let mut functions: HashMap<u32, Vec<(u32, String)>> = HashMap::new();
    for (offset, line) in lines {
        let Some(offset) = offset else { continue };
        let next = bodies.partition_point(|(range, _)| range.start <= offset);
        let Some((range, Some(index))) = next.checked_sub(1).map(|body| &bodies[body]) else { continue };
        if range.contains(&offset) {
            // Two levels of indentation are those of the module and the function.
            let line = line.strip_prefix("    ").unwrap_or(line).trim_end();
            functions.entry(*index).or_default().push((offset as u32, line.to_owned()));
        }
    }
    Ok(functions)
}
