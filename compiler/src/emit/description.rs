//! The module description that the runtime reads.

use super::text::{Text, TextRange};
use crate::debug::demangle;
use crate::error::{Error, ErrorKind, Result};
use crate::module::ModuleInfo;
use aot_abi::module::{CodeRange, DataSegment, Global, Module, SegmentMode, Table};
use std::borrow::Cow;

/// Describes a module for the runtime: what it declares, and the bytes of the data segments; those that go into memory 0
/// only if they are not there already.
pub(crate) fn describe(info: &ModuleInfo<'_>, text: &Text, is_filled: bool) -> Result<(Module, Vec<u8>)> {
    let mut data = Vec::new();
    let mut segments = Vec::new();
    for segment in &info.data {
        let too_large = || Error::new(ErrorKind::Limit, "the module's data segments are larger than 4 GiB");
        let offset = u32::try_from(data.len()).map_err(|_| too_large())?;
        let is_there = is_filled && matches!(segment.mode, SegmentMode::Active { target: 0, .. });
        let bytes = if is_there { &[] } else { segment.bytes };
        let len = u32::try_from(bytes.len()).map_err(|_| too_large())?;
        data.extend_from_slice(bytes);
        segments.push(DataSegment { mode: segment.mode.clone(), offset, len });
    }
    let tables =
        info.tables.iter().filter_map(|table| Some(Table { ty: table.ty, init: table.init.clone()? }));
    let globals =
        info.globals.iter().filter_map(|global| Some(Global { ty: global.ty, init: global.init.clone()? }));
    let module = Module {
        types: info.types.clone(),
        imports: info.imports.clone(),
        funcs: info.funcs[info.imported_funcs as usize..].to_vec(),
        tables: tables.collect(),
        memories: info.memories[info.imported_memories as usize..].to_vec(),
        globals: globals.collect(),
        exports: info.exports.clone(),
        start: info.start,
        elements: info.elements.clone(),
        data: segments,
        escaped: info.escaped.clone(),
        entries: text.entries.clone(),
        typed_entries: text.typed_entries.clone(),
        host_trampolines: text.host_trampolines.clone(),
        import_shims: text.import_shims.clone(),
        import_memories: info.link.import_memories.clone().unwrap_or_default(),
        memory_image: None,
    };
    Ok((module, data))
}

/// The bytes of a description.
pub(crate) fn encode(module: &Module, text: &Text) -> Vec<u8> {
    let is_named = |range: &&TextRange| range.is_function && range.len > 0;
    // They are read by people.
    let names: Vec<Option<Cow<'_, str>>> = text
        .ranges
        .iter()
        .map(|range| Some(range).filter(is_named))
        .map(|range| range.map(|TextRange { name, .. }| demangle(name).map_or(Cow::from(name), Cow::from)))
        .collect();
    let ranges: Vec<CodeRange<'_>> = text
        .ranges
        .iter()
        .zip(&names)
        .map(|(range, name)| CodeRange {
            offset: range.offset,
            len: range.len,
            traps: &range.traps,
            name: name.as_deref(),
        })
        .collect();
    module.encode(&ranges)
}
