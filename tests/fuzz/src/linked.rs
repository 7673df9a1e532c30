//! A module behind another one that imports all that it exports, and exports it again: linked, the two do what the first one
//! does.

use aot_compiler::{Config, LINK_FEATURES, Library, Source};
use aot_runtime::embed::{Error, ExternType, Limits, Module, ValType};
use wasm_encoder::{
    EntityType, ExportKind, ExportSection, GlobalType, ImportSection, MemoryType, RefType, TableType,
    TypeSection,
};

const NAME: &str = "guest";

/// Compiles the two modules.
pub(crate) fn compile(wasm: &[u8], config: &Config) -> Result<Module, Error> {
    let front = front(&Module::compile(wasm, config)?);
    let library = Library { name: NAME, source: Source { file: NAME, wasm }, reexport: false };
    let main = Source { file: "front", wasm: &front };
    let merged = aot_compiler::merge(main, &[library], config.features).map_err(Error::Compile)?;
    Module::compile(&merged.wasm, &Config { features: config.features | LINK_FEATURES, ..config.clone() })
}

/// The module in front of another one.
fn front(module: &Module) -> Vec<u8> {
    let mut types = TypeSection::new();
    let mut imports = ImportSection::new();
    let mut exports = ExportSection::new();
    let (mut functions, mut tables, mut memories, mut globals) = (0, 0, 0, 0);
    for export in module.exports() {
        let (ty, kind, count) = match export.ty {
            ExternType::Func(ty) => {
                let list = |types: &[ValType]| types.iter().map(|ty| val_type(*ty)).collect::<Vec<_>>();
                types.ty().function(list(&ty.params), list(&ty.results));
                (EntityType::Function(functions), ExportKind::Func, &mut functions)
            }
            ExternType::Table(ty) => {
                let Limits { min, max } = ty.limits;
                let element_type = ref_type(ty.element);
                let ty =
                    TableType { element_type, table64: false, minimum: min, maximum: max, shared: false };
                (ty.into(), ExportKind::Table, &mut tables)
            }
            ExternType::Memory(ty) => {
                let Limits { min, max } = ty.limits;
                let (memory64, shared, page_size_log2) = (false, false, None);
                let ty = MemoryType { minimum: min, maximum: max, memory64, shared, page_size_log2 };
                (ty.into(), ExportKind::Memory, &mut memories)
            }
            ExternType::Global(ty) => {
                let ty = GlobalType { val_type: val_type(ty.content), mutable: ty.mutable, shared: false };
                (ty.into(), ExportKind::Global, &mut globals)
            }
        };
        imports.import(NAME, export.name, ty);
        exports.export(export.name, kind, *count);
        *count += 1;
    }
    let mut module = wasm_encoder::Module::new();
    module.section(&types).section(&imports).section(&exports);
    module.finish()
}

fn val_type(ty: ValType) -> wasm_encoder::ValType {
    match ty {
        ValType::I32 => wasm_encoder::ValType::I32,
        ValType::I64 => wasm_encoder::ValType::I64,
        ValType::F32 => wasm_encoder::ValType::F32,
        ValType::F64 => wasm_encoder::ValType::F64,
        ValType::V128 => wasm_encoder::ValType::V128,
        ValType::FuncRef | ValType::ExternRef => wasm_encoder::ValType::Ref(ref_type(ty)),
    }
}

fn ref_type(ty: ValType) -> RefType {
    if ty == ValType::ExternRef { RefType::EXTERNREF } else { RefType::FUNCREF }
}
