//! What `aot inspect` tells about what `aot build` made.

use super::{ExportReport, ImportReport, Out, SizeReport, limits};
use crate::artifact::Artifact;
use crate::file_kind::FileKind;
use crate::report::Result;
use aot_abi::image::section;
use aot_abi::module::Module;
use aot_abi::types::{EntityKind, EntityType, FuncType, GlobalType, MemoryType, TableType, ValType};
use object::{Object as _, SectionKind};
use serde::Serialize;
use std::path::Path;

/// What is in an artifact.
#[derive(Serialize)]
pub struct ArtifactReport {
    target: String,
    /// Whether symbols were left out.
    stripped: bool,
    /// Beyond the baseline of the target; images tell it in their note.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_features: Option<Vec<String>>,
    functions: FunctionCounts,
    imports: Vec<ImportReport>,
    exports: Vec<ExportReport>,
    memories: Vec<String>,
    tables: Vec<String>,
    globals: usize,
    data_segments: usize,
    element_segments: usize,
    sizes: Vec<SizeReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<OptionsReport>,
}

#[derive(Serialize)]
struct FunctionCounts {
    imported: u32,
    defined: usize,
    /// Pieces of code that are no wasm function: trampolines, stand-ins for imports.
    helpers: usize,
}

#[derive(Serialize)]
struct OptionsReport {
    words: Vec<String>,
    sealed: bool,
}

/// Reads an artifact.
pub fn report(path: &Path, bytes: &[u8]) -> Result<ArtifactReport> {
    let artifact = Artifact::read(path, bytes)?;
    let module = &artifact.module;
    let counts = module.counts();
    let ranges = artifact.description.range_count() as usize;
    Ok(ArtifactReport {
        target: artifact.target.clone(),
        stripped: artifact.file.symbols().next().is_none(),
        cpu_features: (artifact.kind != FileKind::Image).then(|| artifact.cpu_features.clone()),
        functions: FunctionCounts {
            imported: counts.imported_funcs,
            defined: module.funcs.len(),
            helpers: ranges.saturating_sub(module.funcs.len()),
        },
        imports: imports(module),
        exports: exports(module),
        memories: module.memories.iter().map(memory).collect(),
        tables: module.tables.iter().map(|defined| table(&defined.ty)).collect(),
        globals: module.globals.len(),
        data_segments: module.data.len(),
        element_segments: module.elements.len(),
        sizes: sizes(&artifact),
        options: artifact
            .options
            .as_ref()
            .map(|options| OptionsReport { words: options.words.clone(), sealed: options.sealed }),
    })
}

fn imports(module: &Module) -> Vec<ImportReport> {
    let report = |import: &aot_abi::types::Import| ImportReport {
        module: import.module.clone(),
        name: import.name.clone(),
        ty: match &import.ty {
            EntityType::Func(ty) => func(module, Some(*ty)),
            EntityType::Table(ty) => table(ty),
            EntityType::Memory(ty) => memory(ty),
            EntityType::Global(ty) => global(ty),
        },
    };
    module.imports.iter().map(report).collect()
}

fn exports(module: &Module) -> Vec<ExportReport> {
    let imported = |select: fn(&EntityType) -> bool| {
        module.imports.iter().map(|import| import.ty).filter(select).collect::<Vec<_>>()
    };
    let tables = imported(|ty| matches!(ty, EntityType::Table(_)));
    let memories = imported(|ty| matches!(ty, EntityType::Memory(_)));
    let globals = imported(|ty| matches!(ty, EntityType::Global(_)));
    // The type of an entity of either list: imports come first.
    let find = |imported: &[EntityType], index: u32, defined: &dyn Fn(usize) -> Option<String>| {
        let index = index as usize;
        let ty = match imported.get(index) {
            Some(EntityType::Table(ty)) => Some(table(ty)),
            Some(EntityType::Memory(ty)) => Some(memory(ty)),
            Some(EntityType::Global(ty)) => Some(global(ty)),
            _ => defined(index - imported.len().min(index)),
        };
        ty.unwrap_or_else(|| String::from("(unknown)"))
    };
    let func_types = func_types(module);
    let report = |export: &aot_abi::types::Export| ExportReport {
        name: export.name.clone(),
        kind: export.kind.name(),
        index: export.index,
        ty: match export.kind {
            EntityKind::Func => func(module, func_types.get(export.index as usize).copied()),
            EntityKind::Table => {
                find(&tables, export.index, &|index| Some(table(&module.tables.get(index)?.ty)))
            }
            EntityKind::Memory => {
                find(&memories, export.index, &|index| module.memories.get(index).map(memory))
            }
            EntityKind::Global => {
                find(&globals, export.index, &|index| Some(global(&module.globals.get(index)?.ty)))
            }
        },
    };
    module.exports.iter().map(report).collect()
}

/// Type indices of all functions, imported ones first.
fn func_types(module: &Module) -> Vec<u32> {
    let imported = module.imports.iter().filter_map(|import| match import.ty {
        EntityType::Func(ty) => Some(ty),
        _ => None,
    });
    imported.chain(module.funcs.iter().copied()).collect()
}

fn func(module: &Module, ty: Option<u32>) -> String {
    let Some(FuncType { params, results }) = ty.and_then(|ty| module.types.get(ty as usize)) else {
        return String::from("(func)");
    };
    let list = |word: &str, types: &[ValType]| match types {
        [] => String::new(),
        types => format!(" ({word} {})", types.iter().map(|ty| ty.name()).collect::<Vec<_>>().join(" ")),
    };
    format!("(func{}{})", list("param", params), list("result", results))
}

fn table(ty: &TableType) -> String {
    format!("(table {} {})", limits(ty.limits.min, ty.limits.max), ty.element.name())
}

fn memory(ty: &MemoryType) -> String {
    format!("(memory {})", limits(ty.limits.min, ty.limits.max))
}

fn global(ty: &GlobalType) -> String {
    match ty.mutable {
        true => format!("(global (mut {}))", ty.content.name()),
        false => format!("(global {})", ty.content.name()),
    }
}

/// Starts of the names of sections that describe frames.
const UNWIND_SECTIONS: [&str; 5] = [".eh_frame", "__eh_frame", "__compact_unwind", ".pdata", ".xdata"];

fn sizes(artifact: &Artifact<'_>) -> Vec<SizeReport> {
    let code = artifact.sections_len(|kind, _| kind == SectionKind::Text);
    let debug = artifact.sections_len(|_, name| name.starts_with(".debug") || name.starts_with(".zdebug"));
    let module_code = artifact.code.bytes.len() as u64;
    let mut sizes = vec![
        ("code of the module", module_code),
        ("data segments", artifact.data_len),
        ("description", artifact.description_len),
        (
            "unwind tables",
            artifact.sections_len(|_, name| UNWIND_SECTIONS.iter().any(|prefix| name.starts_with(prefix))),
        ),
    ];
    if artifact.kind == FileKind::Image {
        sizes.push(("initial memory", artifact.sections_len(|_, name| name == section::MEMORY)));
    }
    if artifact.kind == FileKind::Executable {
        sizes.push(("code of the runtime library", code.saturating_sub(module_code)));
    }
    if debug > 0 {
        sizes.push(("debug information", debug));
    }
    sizes.into_iter().map(|(name, size)| SizeReport { name: String::from(name), size }).collect()
}

impl ArtifactReport {
    pub fn print(&self, out: &mut Out) {
        out.value("target", &self.target);
        out.value(
            "functions",
            &format!(
                "{} defined, {} imported, {} helpers",
                self.functions.defined, self.functions.imported, self.functions.helpers
            ),
        );
        if let Some(features) = &self.cpu_features {
            let text = features.join(" ");
            out.value("CPU features", if text.is_empty() { "baseline" } else { &text });
        }
        out.value("symbols", if self.stripped { "stripped" } else { "yes" });
        if let Some(options) = &self.options {
            let words = options.words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
            out.value("run options", if words.is_empty() { "none" } else { &words });
            out.value("sealed", if options.sealed { "yes" } else { "no" });
        }
        out.imports(&self.imports);
        out.exports(&self.exports);
        out.list("memories", &self.memories);
        out.list("tables", &self.tables);
        out.sizes("sizes", &self.sizes);
    }
}

/// A word as a shell would need it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_can_be_pasted() {
        for (word, expected) in [("--dir", "--dir"), ("a b", "'a b'"), ("", "''"), ("it's", r"'it'\''s'")] {
            assert_eq!(quoted(word), expected);
        }
    }
}
