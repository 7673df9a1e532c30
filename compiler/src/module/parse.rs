//! Drives the parser and the validator over the sections of a module.

use super::link_section::{self, LinkSection};
use super::{Body, DataInfo, GlobalInfo, ModuleInfo, TableInfo, const_expr, names};
use crate::error::{Error, ErrorKind, Result};
use aot_abi::module::{ConstExpr, ConstOp, ElementItems, ElementSegment, SegmentMode};
use aot_abi::types::{
    EntityKind, EntityType, Export, FuncType, GlobalType, Import, Limits, MemoryType, TableType, ValType,
};
use std::collections::{BTreeSet, HashMap};
use wasmparser::{Parser, Payload, TypeRef, ValidPayload, Validator, WasmFeatures};

/// Reads and validates the declarations of a module.
///
/// # Errors
/// If the bytes are not a valid module of WebAssembly with `features`.
pub(crate) fn parse<'a>(wasm: &'a [u8], features: WasmFeatures) -> Result<(ModuleInfo<'a>, Vec<Body<'a>>)> {
    // The validator would need the component model's features to say this as clearly.
    if Parser::is_component(wasm) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "this is a component, and only core modules are supported",
        )
        .at(4)
        .with_help("take the core module out of it, or build the program for `wasm32-wasip1`"));
    }
    if !Parser::is_core_wasm(wasm) && !wasm.starts_with(b"\0asm") {
        return Err(
            Error::new(ErrorKind::Invalid, "not a WebAssembly module: the magic number is missing").at(0)
        );
    }
    let mut validator = Validator::new_with_features(features);
    let mut info = ModuleInfo::default();
    let mut bodies = Vec::new();
    let mut exports = Vec::new();
    let mut customs = Vec::new();
    let mut parser = Parser::new(0);
    // Without its own copy the parser takes encodings of proposals that are off.
    parser.set_features(features);
    for payload in parser.parse_all(wasm) {
        let payload = payload.map_err(|error| truncated(error, wasm.len()))?;
        if let ValidPayload::Func(validator, body) = validator.payload(&payload)? {
            let func = info.imported_funcs + bodies.len() as u32;
            info.debug.bodies.push(body.range());
            bodies.push(Body { func, body, validator });
        }
        match payload {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    info.types.push(func_type(&ty?)?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    add_import(&mut info, import?)?;
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    info.funcs.push(ty?);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let table = table?;
                    let init = match &table.init {
                        wasmparser::TableInit::RefNull => vec![ConstOp::RefNull],
                        wasmparser::TableInit::Expr(expr) => const_expr::read(expr)?,
                    };
                    info.tables.push(TableInfo { ty: table_type(&table.ty)?, init: Some(init) });
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    info.memories.push(memory_type(&memory?)?);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = global?;
                    let init = Some(const_expr::read(&global.init_expr)?);
                    info.globals.push(GlobalInfo { ty: global_type(&global.ty)?, init });
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let kind = match export.kind {
                        wasmparser::ExternalKind::Func => EntityKind::Func,
                        wasmparser::ExternalKind::Table => EntityKind::Table,
                        wasmparser::ExternalKind::Memory => EntityKind::Memory,
                        wasmparser::ExternalKind::Global => EntityKind::Global,
                        other => return Err(unsupported(format!("export of kind {other:?}"))),
                    };
                    exports.push((export.name, kind, export.index));
                }
            }
            Payload::CodeSectionStart { unchecked_range, .. } => {
                info.debug.code_start = unchecked_range.start
            }
            Payload::StartSection { func, .. } => info.start = Some(func),
            Payload::ElementSection(section) => {
                for element in section {
                    info.elements.push(element_segment(element?)?);
                }
            }
            Payload::DataSection(section) => {
                for data in section {
                    let data = data?;
                    let mode = match data.kind {
                        wasmparser::DataKind::Passive => SegmentMode::Passive,
                        wasmparser::DataKind::Active { memory_index, offset_expr } => SegmentMode::Active {
                            target: memory_index,
                            offset: const_expr::read(&offset_expr)?,
                        },
                    };
                    info.data.push(DataInfo { mode, bytes: data.data });
                }
            }
            Payload::CustomSection(section) => customs.push(section),
            _ => {}
        }
    }
    info.canonical_types = canonical_types(&info.types);
    info.func_names = vec![None; info.funcs.len()];
    for section in &customs {
        names::read(section, &mut info);
        info.debug.add_section(section.name(), section.data());
    }
    if let Some(section) = customs.iter().find(|section| section.name() == link_section::NAME) {
        let memories = info.memories.len() as u32;
        let (bytes, offset) = (section.data(), section.data_offset());
        info.link = LinkSection::decode(bytes, offset, info.imported_funcs, memories)?;
    }
    names::from_exports(&exports, &mut info);
    info.escaped = escaped_functions(&info, &exports);
    let export = |(name, kind, index): (&str, _, _)| Export { name: name.to_owned(), kind, index };
    info.exports = exports.into_iter().map(export).collect();
    Ok((info, bodies))
}

/// Says that the file ends too early, where the parser only asks for more bytes.
fn truncated(error: wasmparser::BinaryReaderError, len: usize) -> Error {
    let at_end = error.message().starts_with("unexpected end");
    let error = Error::from(error);
    if at_end { error.with_help(format!("the file has {len} bytes: is it complete?")) } else { error }
}

fn unsupported(what: String) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{what} is not supported"))
}

fn add_import(info: &mut ModuleInfo<'_>, import: wasmparser::Import<'_>) -> Result<()> {
    let ty = match import.ty {
        TypeRef::Func(ty) => {
            info.funcs.push(ty);
            info.imported_funcs += 1;
            EntityType::Func(ty)
        }
        TypeRef::Table(ty) => {
            let ty = table_type(&ty)?;
            info.tables.push(TableInfo { ty, init: None });
            info.imported_tables += 1;
            EntityType::Table(ty)
        }
        TypeRef::Memory(ty) => {
            let ty = memory_type(&ty)?;
            info.memories.push(ty);
            info.imported_memories += 1;
            EntityType::Memory(ty)
        }
        TypeRef::Global(ty) => {
            let ty = global_type(&ty)?;
            info.globals.push(GlobalInfo { ty, init: None });
            info.imported_globals += 1;
            EntityType::Global(ty)
        }
        other => return Err(unsupported(format!("import of kind {other:?}"))),
    };
    info.imports.push(Import { module: import.module.to_owned(), name: import.name.to_owned(), ty });
    Ok(())
}

fn element_segment(element: wasmparser::Element<'_>) -> Result<ElementSegment> {
    let mode = match element.kind {
        wasmparser::ElementKind::Passive => SegmentMode::Passive,
        wasmparser::ElementKind::Declared => SegmentMode::Declared,
        wasmparser::ElementKind::Active { table_index, offset_expr } => {
            SegmentMode::Active { target: table_index.unwrap_or(0), offset: const_expr::read(&offset_expr)? }
        }
    };
    let (ty, items) = match element.items {
        wasmparser::ElementItems::Functions(functions) => {
            let functions = functions.into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
            (ValType::FuncRef, ElementItems::Functions(functions))
        }
        wasmparser::ElementItems::Expressions(ty, exprs) => {
            let mut items = Vec::new();
            for expr in exprs {
                items.push(const_expr::read(&expr?)?);
            }
            (ref_type(ty)?, ElementItems::Expressions(items))
        }
    };
    Ok(ElementSegment { mode, ty, items })
}

/// The value type of a wasmparser value type.
pub(crate) fn val_type(ty: wasmparser::ValType) -> Result<ValType> {
    Ok(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(ty) => ref_type(ty)?,
    })
}

fn ref_type(ty: wasmparser::RefType) -> Result<ValType> {
    match ty {
        wasmparser::RefType::FUNCREF => Ok(ValType::FuncRef),
        wasmparser::RefType::EXTERNREF => Ok(ValType::ExternRef),
        other => Err(unsupported(format!("reference type `{other}`"))),
    }
}

fn func_type(ty: &wasmparser::FuncType) -> Result<FuncType> {
    let list =
        |types: &[wasmparser::ValType]| types.iter().map(|ty| val_type(*ty)).collect::<Result<Vec<_>>>();
    Ok(FuncType { params: list(ty.params())?, results: list(ty.results())? })
}

fn table_type(ty: &wasmparser::TableType) -> Result<TableType> {
    let limits = Limits { min: ty.initial, max: ty.maximum };
    Ok(TableType { element: ref_type(ty.element_type)?, limits })
}

fn memory_type(ty: &wasmparser::MemoryType) -> Result<MemoryType> {
    if ty.memory64 || ty.shared || ty.page_size_log2.is_some() {
        return Err(unsupported("a memory that is 64-bit, shared or has a page size of its own".to_owned()));
    }
    Ok(MemoryType { limits: Limits { min: ty.initial, max: ty.maximum } })
}

fn global_type(ty: &wasmparser::GlobalType) -> Result<GlobalType> {
    Ok(GlobalType { content: val_type(ty.content_type)?, mutable: ty.mutable })
}

fn canonical_types(types: &[FuncType]) -> Vec<u32> {
    let mut first = HashMap::new();
    types.iter().enumerate().map(|(index, ty)| *first.entry(ty).or_insert(index as u32)).collect()
}

/// Functions that are exported, or named by a constant expression or element segment. Function bodies can only take
/// references to these (core specification 3.4.10: `C.refs`).
fn escaped_functions(info: &ModuleInfo<'_>, exports: &[(&str, EntityKind, u32)]) -> Vec<u32> {
    let mut funcs = BTreeSet::new();
    let mut expr = |expr: &ConstExpr| {
        funcs.extend(expr.iter().filter_map(|op| match op {
            ConstOp::RefFunc(func) => Some(*func),
            _ => None,
        }));
    };
    info.globals.iter().filter_map(|global| global.init.as_ref()).for_each(&mut expr);
    info.tables.iter().filter_map(|table| table.init.as_ref()).for_each(&mut expr);
    for segment in &info.elements {
        if let ElementItems::Expressions(exprs) = &segment.items {
            exprs.iter().for_each(&mut expr);
        }
    }
    for segment in &info.elements {
        if let ElementItems::Functions(functions) = &segment.items {
            funcs.extend(functions);
        }
    }
    funcs.extend(exports.iter().filter(|(_, kind, _)| *kind == EntityKind::Func).map(|(_, _, index)| index));
    funcs.into_iter().collect()
}
