//! Relocatable object files.
//!
//! Sections: `.text` all code; `.aot.info` the module description; `.rodata.aot` data segments; `.data.rel.ro` the
//! descriptor `aot_module` (`aot_abi::descriptor`), the one symbol that other objects see; `.eh_frame`.

use super::eh_frame;
use super::elf::new_object;
use super::fixed::Fixed;
use super::text::Text;
use crate::codegen::function::CodeTarget;
use crate::codegen::symbol::Symbol;
use crate::cpu;
use crate::error::{Error, Result};
use crate::target::Target;
use crate::translate::state::TABLE_ENTRY;
use aot_abi::descriptor;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir;
use cranelift_codegen::isa::TargetIsa;
use object::write::{
    Object, Relocation, SectionId, StandardSection, Symbol as ObjectSymbol, SymbolId, SymbolSection,
};
use object::{
    RelocationEncoding, RelocationFlags, RelocationKind, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
    elf,
};
use std::collections::HashMap;

/// What goes into an object file.
pub(crate) struct Input<'a> {
    pub target: &'a Target,
    pub isa: &'a dyn TargetIsa,
    pub text: &'a Text,
    pub description: &'a [u8],
    pub data: &'a [u8],
    pub import_symbols: &'a [Option<String>],
    pub fixed: Option<&'a Fixed>,
}

/// Alignment of data that the runtime maps or copies from.
const DATA_ALIGNMENT: u64 = 16;

/// Writes an object file.
pub(crate) fn write(input: &Input<'_>) -> Result<Vec<u8>> {
    let mut object = new_object(input.target)?;
    let text = object.section_id(StandardSection::Text);
    object.append_section_data(text, &input.text.bytes, u64::from(input.text.alignment));
    let functions = define_functions(&mut object, text, input.text);
    let data_symbols = match input.fixed {
        Some(fixed) => define_fixed(&mut object, text, fixed, input.isa)?,
        None => HashMap::new(),
    };
    relocate_text(&mut object, text, input, &functions, &data_symbols)?;

    let info = object.add_section(Vec::new(), b".aot.info".to_vec(), SectionKind::ReadOnlyData);
    object.append_section_data(info, input.description, DATA_ALIGNMENT);
    let data = object.add_section(Vec::new(), b".rodata.aot".to_vec(), SectionKind::ReadOnlyData);
    object.append_section_data(data, input.data, DATA_ALIGNMENT);
    let lens = [input.text.bytes.len(), input.description.len(), input.data.len()];
    let addresses = input.fixed.map_or([0, 0], |fixed| [fixed.context, fixed.memory]);
    let descriptor = define_descriptor(&mut object, input.target, [text, info, data], lens, addresses)?;
    define_cpu_check(&mut object, input, descriptor)?;
    eh_frame::write(&mut object, text, input.text, input.isa)?;
    // Without this section old linkers ask for an executable stack.
    object.add_section(Vec::new(), b".note.GNU-stack".to_vec(), SectionKind::Other);
    object.write().map_err(|error| Error::internal(format!("cannot write the object file: {error}")))
}

/// Symbols for all functions. They are local, so names need not be unique.
fn define_functions(object: &mut Object<'_>, text: SectionId, layout: &Text) -> HashMap<u32, SymbolId> {
    let mut ids = HashMap::new();
    for range in layout.ranges.iter().filter(|range| range.len > 0) {
        let id = object.add_symbol(ObjectSymbol {
            name: range.name.as_bytes().to_vec(),
            value: u64::from(range.offset),
            size: u64::from(range.len),
            kind: SymbolKind::Text,
            scope: SymbolScope::Compilation,
            weak: false,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
        ids.insert(range.offset, id);
    }
    ids
}

fn relocate_text(
    object: &mut Object<'_>,
    text: SectionId,
    input: &Input<'_>,
    functions: &HashMap<u32, SymbolId>,
    data_symbols: &HashMap<Symbol, SymbolId>,
) -> Result<()> {
    let mut undefined: HashMap<String, SymbolId> = HashMap::new();
    let mut labels: HashMap<u32, SymbolId> = HashMap::new();
    for reloc in &input.text.relocs {
        let target = match reloc.target {
            CodeTarget::Symbol(target) => target,
            CodeTarget::Code(offset) => {
                let symbol = *labels.entry(offset).or_insert_with(|| object.add_symbol(label(text, offset)));
                let flags = relocation_flags(reloc.kind)?;
                let (offset, addend) = (u64::from(reloc.offset), reloc.addend);
                add_relocation(object, text, Relocation { offset, symbol, addend, flags })?;
                continue;
            }
        };
        let symbol = match input.text.symbols.get(&target) {
            Some(offset) => functions[offset],
            None if data_symbols.contains_key(&target) => data_symbols[&target],
            None => {
                let name = external_name(target, input.import_symbols)?;
                *undefined.entry(name.clone()).or_insert_with(|| {
                    object.add_symbol(ObjectSymbol {
                        name: name.into_bytes(),
                        value: 0,
                        size: 0,
                        kind: SymbolKind::Text,
                        scope: SymbolScope::Unknown,
                        weak: false,
                        section: SymbolSection::Undefined,
                        flags: SymbolFlags::None,
                    })
                })
            }
        };
        let flags = relocation_flags(reloc.kind)?;
        let relocation = Relocation { offset: u64::from(reloc.offset), symbol, addend: reloc.addend, flags };
        add_relocation(object, text, relocation)?;
    }
    Ok(())
}

/// A local symbol for an instruction that another one refers to.
fn label(text: SectionId, offset: u32) -> ObjectSymbol {
    ObjectSymbol {
        name: format!(".L{offset:x}").into_bytes(),
        value: u64::from(offset),
        size: 0,
        kind: SymbolKind::Label,
        scope: SymbolScope::Compilation,
        weak: false,
        section: SymbolSection::Section(text),
        flags: SymbolFlags::None,
    }
}

/// Defines what code of the static model refers to: the address of the memory, and tables as read-only data.
fn define_fixed(
    object: &mut Object<'_>,
    text: SectionId,
    fixed: &Fixed,
    isa: &dyn TargetIsa,
) -> Result<HashMap<Symbol, SymbolId>> {
    let mut ids = HashMap::new();
    let symbol = |name: String, value, size, section| ObjectSymbol {
        name: name.into_bytes(),
        value,
        size,
        kind: SymbolKind::Data,
        scope: SymbolScope::Compilation,
        weak: false,
        section,
        flags: SymbolFlags::None,
    };
    let memory = symbol(String::from("aot_memory"), fixed.memory, 0, SymbolSection::Absolute);
    ids.insert(Symbol::Memory, object.add_symbol(memory));
    if fixed.tables.is_empty() {
        return Ok(ids);
    }
    let section = object.add_section(Vec::new(), b".rodata.aot.tables".to_vec(), SectionKind::ReadOnlyData);
    let code = object.section_symbol(text);
    for (table, entries) in &fixed.tables {
        let mut bytes = Vec::with_capacity(entries.len() * TABLE_ENTRY as usize);
        for entry in entries {
            let words = [0, entry.type_index];
            bytes.extend(words.into_iter().flat_map(|word| match isa.endianness() {
                ir::Endianness::Little => word.to_le_bytes(),
                ir::Endianness::Big => word.to_be_bytes(),
            }));
        }
        let start = object.append_section_data(section, &bytes, u64::from(TABLE_ENTRY));
        for (index, entry) in entries.iter().enumerate() {
            let Some(addend) = entry.code else { continue };
            let flags = RelocationFlags::Generic {
                kind: RelocationKind::Absolute,
                encoding: RelocationEncoding::Generic,
                size: 32,
            };
            let offset = start + index as u64 * u64::from(TABLE_ENTRY);
            let relocation = Relocation { offset, symbol: code, addend: i64::from(addend), flags };
            add_relocation(object, section, relocation)?;
        }
        let size = bytes.len() as u64;
        let symbol = symbol(format!("wasm-table[{table}]"), start, size, SymbolSection::Section(section));
        ids.insert(Symbol::Table(*table), object.add_symbol(symbol));
    }
    Ok(ids)
}

/// The name of a symbol that the object does not define.
fn external_name(symbol: Symbol, import_symbols: &[Option<String>]) -> Result<String> {
    match symbol {
        Symbol::Libcall(libcall) => Ok(libcall.symbol().to_owned()),
        Symbol::Import(func) => import_symbols
            .get(func as usize)
            .cloned()
            .flatten()
            .ok_or_else(|| Error::internal(format!("imported function {func} is bound to nothing"))),
        Symbol::Function(_) | Symbol::Helper(_) | Symbol::Memory | Symbol::Table(_) => {
            Err(Error::internal(format!("{symbol:?} is missing")))
        }
    }
}

fn relocation_flags(kind: Reloc) -> Result<RelocationFlags> {
    let (kind, encoding, size) = match kind {
        Reloc::Abs8 => (RelocationKind::Absolute, RelocationEncoding::Generic, 64),
        Reloc::X86PCRel4 => (RelocationKind::Relative, RelocationEncoding::Generic, 32),
        Reloc::X86CallPCRel4 => (RelocationKind::Relative, RelocationEncoding::X86Branch, 32),
        Reloc::X86CallPLTRel4 => (RelocationKind::PltRelative, RelocationEncoding::X86Branch, 32),
        Reloc::Arm64Call => (RelocationKind::PltRelative, RelocationEncoding::AArch64Call, 26),
        Reloc::S390xPCRel32Dbl => (RelocationKind::Relative, RelocationEncoding::S390xDbl, 32),
        Reloc::S390xPLTRel32Dbl => (RelocationKind::PltRelative, RelocationEncoding::S390xDbl, 32),
        other => return elf_relocation(other),
    };
    Ok(RelocationFlags::Generic { kind, encoding, size })
}

/// Relocations that only ELF has a name for.
fn elf_relocation(kind: Reloc) -> Result<RelocationFlags> {
    let r_type = match kind {
        Reloc::Aarch64AdrPrelPgHi21 => elf::R_AARCH64_ADR_PREL_PG_HI21,
        Reloc::Aarch64AddAbsLo12Nc => elf::R_AARCH64_ADD_ABS_LO12_NC,
        Reloc::Aarch64AdrGotPage21 => elf::R_AARCH64_ADR_GOT_PAGE,
        Reloc::Aarch64Ld64GotLo12Nc => elf::R_AARCH64_LD64_GOT_LO12_NC,
        Reloc::RiscvCallPlt => elf::R_RISCV_CALL_PLT,
        Reloc::RiscvGotHi20 => elf::R_RISCV_GOT_HI20,
        Reloc::RiscvPCRelHi20 => elf::R_RISCV_PCREL_HI20,
        Reloc::RiscvPCRelLo12I => elf::R_RISCV_PCREL_LO12_I,
        other => {
            return Err(Error::internal(format!("relocation {other} has no form in this object format")));
        }
    };
    Ok(RelocationFlags::Elf { r_type })
}

fn add_relocation(object: &mut Object<'_>, section: SectionId, relocation: Relocation) -> Result<()> {
    object
        .add_relocation(section, relocation)
        .map_err(|error| Error::internal(format!("cannot write a relocation: {error}")))
}

/// The descriptor: address and length of the sections that the runtime reads (`aot_abi::descriptor`).
fn define_descriptor(
    object: &mut Object<'_>,
    target: &Target,
    sections: [SectionId; 3],
    lens: [usize; 3],
    addresses: [u64; 2],
) -> Result<Descriptor> {
    let pointer = target.pointer_size();
    let section = object.add_section(Vec::new(), b".data.rel.ro".to_vec(), SectionKind::ReadOnlyDataWithRel);
    let mut bytes = Vec::new();
    for len in lens {
        // The address is relocated, the length is written here.
        bytes.extend_from_slice(&target.word(0));
        bytes.extend_from_slice(&target.word(len as u64));
    }
    for address in addresses {
        bytes.extend_from_slice(&target.word(address));
    }
    // The check of the CPU, and the features that it looks for.
    for _ in 0..3 {
        bytes.extend_from_slice(&target.word(0));
    }
    let size = bytes.len() as u64;
    let offset = object.append_section_data(section, &bytes, u64::from(pointer));
    object.add_symbol(ObjectSymbol {
        name: descriptor::SYMBOL.as_bytes().to_vec(),
        value: offset,
        size,
        kind: SymbolKind::Data,
        scope: SymbolScope::Linkage,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    for (index, target) in sections.into_iter().enumerate() {
        let symbol = object.section_symbol(target);
        let flags = RelocationFlags::Generic {
            kind: RelocationKind::Absolute,
            encoding: RelocationEncoding::Generic,
            size: pointer as u8 * 8,
        };
        let at = offset + index as u64 * 2 * u64::from(pointer);
        add_relocation(object, section, Relocation { offset: at, symbol, addend: 0, flags })?;
    }
    Ok(Descriptor { section, end: offset + size })
}

/// Where the descriptor is.
struct Descriptor {
    section: SectionId,
    /// Offset of the byte after it.
    end: u64,
}

/// Makes the start of the program look for the CPU features that the code uses, if it uses any: a pointer to the
/// runtime's check, and the names, each ended by NUL.
fn define_cpu_check(object: &mut Object<'_>, input: &Input<'_>, descriptor: Descriptor) -> Result<()> {
    let mut features = cpu::used_features(&input.isa.isa_flags());
    if input.target.needs_vectors() {
        // Only modules with vectors use it.
        features.retain(|name| name != "v");
    }
    if features.is_empty() {
        return Ok(());
    }
    let names: Vec<u8> = features.iter().flat_map(|name| name.bytes().chain([0])).collect();
    let pointer = u64::from(input.target.pointer_size());
    let section = object.add_section(Vec::new(), b".rodata.aot.cpu".to_vec(), SectionKind::ReadOnlyData);
    object.append_section_data(section, &names, 1);
    let names_symbol = object.section_symbol(section);
    let check = object.add_symbol(ObjectSymbol {
        name: descriptor::CPU_CHECK.as_bytes().to_vec(),
        value: 0,
        size: 0,
        kind: SymbolKind::Text,
        scope: SymbolScope::Unknown,
        weak: false,
        section: SymbolSection::Undefined,
        flags: SymbolFlags::None,
    });
    for (word, symbol) in [(3, check), (2, names_symbol)] {
        let flags = RelocationFlags::Generic {
            kind: RelocationKind::Absolute,
            encoding: RelocationEncoding::Generic,
            size: pointer as u8 * 8,
        };
        let offset = descriptor.end - word * pointer;
        add_relocation(object, descriptor.section, Relocation { offset, symbol, addend: 0, flags })?;
    }
    let len = input.target.word(names.len() as u64);
    let at = (descriptor.end - pointer) as usize;
    object.section_mut(descriptor.section).data_mut()[at..at + len.len()].copy_from_slice(&len);
    Ok(())
}
