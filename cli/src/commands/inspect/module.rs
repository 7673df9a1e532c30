//! What `aot inspect` tells about a module.

use super::{ExportReport, ImportReport, Out, SizeReport, limits};
use aot_compiler::wasi::executable_import as wasi_import;
use aot_compiler::{default_features, supported_features};
use serde::Serialize;
use wasmparser::{
    CompositeInnerType, ExternalKind, GlobalType, KnownCustom, MemoryType, Name, Parser, Payload, SubType,
    TableType, TypeRef, Validator, WasmFeatures,
};

/// What is in a module.
#[derive(Default, Serialize)]
pub struct ModuleReport {
    /// Why `aot build` would refuse it; nothing if it would not.
    refused: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Proposals, after version 1.0 of the specification, that it needs.
    features: Vec<&'static str>,
    functions: FunctionCounts,
    types: Vec<String>,
    imports: Vec<ImportReport>,
    exports: Vec<ExportReport>,
    memories: Vec<String>,
    tables: Vec<String>,
    globals: u32,
    tags: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<u32>,
    data_segments: u32,
    element_segments: u32,
    sections: Vec<SizeReport>,
    producers: Vec<Producer>,
}

#[derive(Default, Serialize)]
struct FunctionCounts {
    imported: u32,
    defined: u32,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Producer {
    field: String,
    name: String,
    version: String,
}

/// Reads as much of a module as can be read.
pub fn report(wasm: &[u8]) -> ModuleReport {
    let mut reader = Reader::default();
    // The validator says below what is wrong, with the offset.
    drop(reader.read(wasm));
    let mut report = reader.finish();
    match needed_features(wasm) {
        Ok(needed) => {
            let missing = needed.difference(default_features());
            report.features = feature_names(needed);
            for name in feature_names(missing & supported_features()) {
                report.refused.push(format!("it needs the feature `{name}`, which `-W {name}` turns on"));
            }
            for name in feature_names(missing.difference(supported_features())) {
                report.refused.push(format!("it needs the feature `{name}`, which is not supported yet"));
            }
        }
        Err(problem) => report.refused.push(problem),
    }
    report
}

/// Proposals with their names, oldest first. What comes first is tried first.
const FEATURES: &[(&str, WasmFeatures)] = &[
    ("sign-extension", WasmFeatures::SIGN_EXTENSION),
    ("saturating-float-to-int", WasmFeatures::SATURATING_FLOAT_TO_INT),
    ("multi-value", WasmFeatures::MULTI_VALUE),
    ("bulk-memory", WasmFeatures::BULK_MEMORY),
    ("reference-types", WasmFeatures::REFERENCE_TYPES),
    ("simd", WasmFeatures::SIMD),
    ("extended-const", WasmFeatures::EXTENDED_CONST),
    ("tail-call", WasmFeatures::TAIL_CALL),
    ("threads", WasmFeatures::THREADS),
    ("relaxed-simd", WasmFeatures::RELAXED_SIMD),
    ("multi-memory", WasmFeatures::MULTI_MEMORY),
    ("memory64", WasmFeatures::MEMORY64),
    ("exceptions", WasmFeatures::EXCEPTIONS),
    ("legacy-exceptions", WasmFeatures::LEGACY_EXCEPTIONS),
    ("function-references", WasmFeatures::FUNCTION_REFERENCES),
    ("gc", WasmFeatures::GC),
    ("custom-page-sizes", WasmFeatures::CUSTOM_PAGE_SIZES),
    ("wide-arithmetic", WasmFeatures::WIDE_ARITHMETIC),
    ("stack-switching", WasmFeatures::STACK_SWITCHING),
    ("shared-everything-threads", WasmFeatures::SHARED_EVERYTHING_THREADS),
    ("memory-control", WasmFeatures::MEMORY_CONTROL),
    ("acquire-release-atomics", WasmFeatures::ACQUIRE_RELEASE_ATOMICS),
    ("multibyte-array-access", WasmFeatures::MULTIBYTE_ARRAY_ACCESS),
    ("custom-descriptors", WasmFeatures::CUSTOM_DESCRIPTORS),
    ("compact-imports", WasmFeatures::COMPACT_IMPORTS),
];

fn feature_names(features: WasmFeatures) -> Vec<&'static str> {
    FEATURES.iter().filter(|(_, feature)| features.contains(*feature)).map(|(name, _)| *name).collect()
}

/// Finds the proposals that a module needs: where validation stops, the proposal that lets it get further is needed.
///
/// # Errors
/// Why the module is invalid with every proposal.
fn needed_features(wasm: &[u8]) -> Result<WasmFeatures, String> {
    // Where validation stops with these features, or nothing if it comes through.
    let stops = |features| Validator::new_with_features(features).validate_all(wasm).err();
    let mut needed = WasmFeatures::WASM1;
    let Some(mut error) = stops(needed) else { return Ok(needed) };
    loop {
        let mut further = None;
        for (_, feature) in FEATURES {
            if needed.contains(*feature) {
                continue;
            }
            match stops(needed.union(*feature)) {
                None => return Ok(needed.union(*feature)),
                Some(later) if later.offset() > error.offset() => {
                    further = Some((*feature, later));
                    break;
                }
                Some(_) => {}
            }
        }
        match further {
            Some((feature, later)) => {
                needed = needed.union(feature);
                error = later;
            }
            // One proposal may build on another: then only both get further.
            None => {
                let all = FEATURES.iter().fold(needed, |all, (_, feature)| all.union(*feature));
                return match stops(all) {
                    None => Ok(without_superfluous(wasm, needed, all)),
                    Some(error) => {
                        Err(format!("it is invalid: {} (offset {:#x})", error.message(), error.offset()))
                    }
                };
            }
        }
    }
}

/// Takes away from `all` what the module does not need.
fn without_superfluous(wasm: &[u8], needed: WasmFeatures, all: WasmFeatures) -> WasmFeatures {
    let mut features = all;
    for (_, feature) in FEATURES.iter().rev() {
        let fewer = features.difference(feature.difference(needed));
        if Validator::new_with_features(fewer).validate_all(wasm).is_ok() {
            features = fewer;
        }
    }
    features
}

/// Collects what the sections of a module say.
#[derive(Default)]
struct Reader {
    report: ModuleReport,
    types: Vec<SubType>,
    /// Types of all entities, imported ones first.
    funcs: Vec<u32>,
    tables: Vec<TableType>,
    memories: Vec<MemoryType>,
    globals: Vec<GlobalType>,
    imported_funcs: u32,
}

impl Reader {
    fn read(&mut self, wasm: &[u8]) -> wasmparser::Result<()> {
        let mut exports = Vec::new();
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload?;
            if let Some((id, range)) = payload.as_section() {
                let name = match &payload {
                    Payload::CustomSection(custom) => format!("custom `{}`", custom.name()),
                    _ => String::from(section_name(id)),
                };
                self.report.sections.push(SizeReport { name, size: range.end - range.start });
            }
            match payload {
                Payload::TypeSection(section) => {
                    for group in section {
                        self.types.extend(group?.into_types());
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        self.import(&import);
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        self.funcs.push(ty?);
                        self.report.functions.defined += 1;
                    }
                }
                Payload::TableSection(section) => {
                    for table in section {
                        let ty = table?.ty;
                        self.report.tables.push(table_text(&ty));
                        self.tables.push(ty);
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        let ty = memory?;
                        self.report.memories.push(memory_text(&ty));
                        self.memories.push(ty);
                    }
                }
                Payload::GlobalSection(section) => {
                    for global in section {
                        self.globals.push(global?.ty);
                        self.report.globals += 1;
                    }
                }
                Payload::TagSection(section) => self.report.tags = section.count(),
                Payload::ExportSection(section) => {
                    for export in section {
                        exports.push(export?);
                    }
                }
                Payload::StartSection { func, .. } => self.report.start = Some(func),
                Payload::ElementSection(section) => self.report.element_segments = section.count(),
                Payload::DataSection(section) => self.report.data_segments = section.count(),
                Payload::CustomSection(custom) => self.custom(custom.as_known()),
                _ => {}
            }
            // Types of later sections are needed for exports only, and those come after them.
            for export in exports.drain(..) {
                let report = self.export(&export);
                self.report.exports.push(report);
            }
        }
        Ok(())
    }

    fn import(&mut self, import: &wasmparser::Import<'_>) {
        let ty = match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                self.funcs.push(ty);
                self.imported_funcs += 1;
                self.check_import(import, ty);
                self.func_text(Some(ty))
            }
            TypeRef::Table(ty) => {
                self.tables.push(ty);
                table_text(&ty)
            }
            TypeRef::Memory(ty) => {
                self.memories.push(ty);
                memory_text(&ty)
            }
            TypeRef::Global(ty) => {
                self.globals.push(ty);
                global_text(&ty)
            }
            TypeRef::Tag(ty) => format!("(tag {})", self.func_text(Some(ty.func_type_idx))),
        };
        if !matches!(import.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)) {
            self.report
                .refused
                .push(format!("nothing defines the import `{}.{}` {ty}", import.module, import.name));
        }
        self.report.imports.push(ImportReport {
            module: import.module.to_owned(),
            name: import.name.to_owned(),
            ty,
        });
    }

    /// Whether executables have the imported function.
    fn check_import(&mut self, import: &wasmparser::Import<'_>, ty: u32) {
        let name = format!("`{}.{}`", import.module, import.name);
        match wasi_import(import.module, import.name) {
            None => self.report.refused.push(format!(
                "nothing defines the imported function {name}; with `-W unknown-imports-trap` calling it traps"
            )),
            Some(symbol) => {
                let wanted = func_type_text(&symbol.ty);
                let found = self.func_text(Some(ty));
                if wanted != found {
                    self.report.refused.push(format!("the import {name} has type {found}, not {wanted}"));
                }
            }
        }
    }

    fn export(&self, export: &wasmparser::Export<'_>) -> ExportReport {
        let index = export.index as usize;
        let unknown = || String::from("(unknown)");
        let (kind, ty) = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => {
                ("func", self.func_text(self.funcs.get(index).copied()))
            }
            ExternalKind::Table => ("table", self.tables.get(index).map_or_else(unknown, table_text)),
            ExternalKind::Memory => ("memory", self.memories.get(index).map_or_else(unknown, memory_text)),
            ExternalKind::Global => ("global", self.globals.get(index).map_or_else(unknown, global_text)),
            ExternalKind::Tag => ("tag", String::from("(tag)")),
        };
        ExportReport { name: export.name.to_owned(), kind, index: export.index, ty }
    }

    fn func_text(&self, ty: Option<u32>) -> String {
        match ty.and_then(|ty| self.types.get(ty as usize)) {
            Some(ty) if matches!(ty.composite_type.inner, CompositeInnerType::Func(_)) => ty.to_string(),
            _ => String::from("(func)"),
        }
    }

    fn custom(&mut self, custom: KnownCustom<'_>) {
        match custom {
            KnownCustom::Name(names) => {
                for name in names.into_iter().map_while(Result::ok) {
                    if let Name::Module { name, .. } = name {
                        self.report.name = Some(name.to_owned());
                    }
                }
            }
            KnownCustom::Producers(fields) => {
                for field in fields.into_iter().map_while(Result::ok) {
                    for value in field.values.into_iter().map_while(Result::ok) {
                        self.report.producers.push(Producer {
                            field: field.name.to_owned(),
                            name: value.name.to_owned(),
                            version: value.version.to_owned(),
                        });
                    }
                }
            }
            _ => {}
        }
    }

    fn finish(mut self) -> ModuleReport {
        self.report.functions.imported = self.imported_funcs;
        self.report.types = self.types.iter().map(SubType::to_string).collect();
        self.report
    }
}

/// Names of the sections (core specification 5.5.2).
fn section_name(id: u8) -> &'static str {
    match id {
        1 => "type",
        2 => "import",
        3 => "function",
        4 => "table",
        5 => "memory",
        6 => "global",
        7 => "export",
        8 => "start",
        9 => "element",
        10 => "code",
        11 => "data",
        12 => "data count",
        13 => "tag",
        _ => "unknown",
    }
}

fn func_type_text(ty: &aot_abi::types::FuncType) -> String {
    let list = |word: &str, types: &[aot_abi::types::ValType]| match types {
        [] => String::new(),
        types => format!(" ({word} {})", types.iter().map(|ty| ty.name()).collect::<Vec<_>>().join(" ")),
    };
    format!("(func{}{})", list("param", &ty.params), list("result", &ty.results))
}

fn table_text(ty: &TableType) -> String {
    let index = if ty.table64 { "i64 " } else { "" };
    format!("(table {index}{} {})", limits(ty.initial, ty.maximum), ty.element_type)
}

fn memory_text(ty: &MemoryType) -> String {
    let index = if ty.memory64 { "i64 " } else { "" };
    let shared = if ty.shared { " shared" } else { "" };
    let page_size = match ty.page_size_log2 {
        Some(log2) => format!(" (pagesize 2^{log2})"),
        None => String::new(),
    };
    format!("(memory {index}{}{shared}{page_size})", limits(ty.initial, ty.maximum))
}

fn global_text(ty: &GlobalType) -> String {
    match ty.mutable {
        true => format!("(global (mut {}))", ty.content_type),
        false => format!("(global {})", ty.content_type),
    }
}

impl ModuleReport {
    pub fn print(&self, out: &mut Out) {
        if let Some(name) = &self.name {
            out.value("name", name);
        }
        out.value(
            "functions",
            &format!(
                "{} defined, {} imported, {} types",
                self.functions.defined,
                self.functions.imported,
                self.types.len()
            ),
        );
        let features = self.features.join(", ");
        out.value(
            "segments",
            &format!(
                "{} data, {} element; {} globals",
                self.data_segments, self.element_segments, self.globals
            ),
        );
        out.value("features beyond 1.0", if self.features.is_empty() { "none" } else { &features });
        out.value("can be built", if self.refused.is_empty() { "yes" } else { "no" });
        out.list("cannot be built", &self.refused);
        out.imports(&self.imports);
        out.exports(&self.exports);
        out.list("memories", &self.memories);
        out.list("tables", &self.tables);
        out.sizes("sections", &self.sections);
        let producers = self.producers.iter().map(|producer| {
            format!("{}: {} {}", producer.field, producer.name, producer.version).trim_end().to_owned()
        });
        out.list("producers", producers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_features(wat: &str, expected: &[&str]) {
        let report = report(&wat::parse_str(wat).unwrap());
        assert_eq!(report.features, expected, "{wat}: {:?}", report.refused);
    }

    #[test]
    fn features_are_found() {
        check_features("(module (global (export \"g\") (mut i32) (i32.const 0)))", &[]);
        check_features(
            "(module (func (param i32) (result i32) (i32.extend8_s (local.get 0))))",
            &["sign-extension"],
        );
        check_features("(module (memory i64 1) (memory i64 1))", &["multi-memory", "memory64"]);
        check_features(
            "(module (type (struct)) (func (result (ref null 0)) (ref.null 0)))",
            &["reference-types", "gc"],
        );
    }

    #[test]
    fn refusals_have_reasons() {
        let wasm = wat::parse_str(
            r#"(module (import "env" "f" (func)) (import "env" "m" (memory 1))
                (import "wasi_snapshot_preview1" "fd_close" (func (param i64))))"#,
        );
        let report = report(&wasm.unwrap());
        assert_eq!(report.refused.len(), 3, "{:?}", report.refused);
        assert!(report.refused[2].contains("not (func (param i32) (result i32))"));
        assert!(super::report(b"\0asm\x01\0\0\0\x01\x7f").refused[0].contains("invalid"));
    }

    #[test]
    fn damage_never_panics() {
        let wasm = wat::parse_str(
            r#"(module $name (import "m" "f" (func)) (memory (export "m") 1 2) (table 1 funcref)
                (global (export "g") (mut i32) (i32.const 0)) (func (export "x") (drop (i32.const 1)))
                (data (i32.const 0) "hello") (elem (i32.const 0) 1))"#,
        )
        .unwrap();
        for at in 0..wasm.len() {
            report(&wasm[..at]);
            for flip in [1, 0x80, 0xff] {
                let mut damaged = wasm.clone();
                damaged[at] ^= flip;
                report(&damaged);
            }
        }
    }
}
