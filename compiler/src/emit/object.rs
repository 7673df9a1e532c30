//! Relocatable object files: the parts are the same in every format, their sections are not (`format`).

use super::description;
use super::fixed::Fixed;
use super::format::{Format, Frames, Part, absolute, add_relocation, format_of};
use super::initial::{BLOCK, Initial};
use super::interface::Interface;
use super::text::Text;
use crate::codegen::function::CodeTarget;
use crate::codegen::symbol::Symbol;
use crate::cpu;
use crate::debug::output::{DebugSection, put};
use crate::error::{Error, Result};
use crate::target::Target;
use crate::translate::state::TABLE_ENTRY;
use aot_abi::call::library;
use aot_abi::descriptor;
use aot_abi::image::ABI_HASH;
use aot_abi::module::Module;
use aot_abi::source;
use cranelift_codegen::ir;
use cranelift_codegen::isa::TargetIsa;
use gimli::write::RelocationTarget;
use object::write::{
    Object, Relocation, SectionId, StandardSection, Symbol as ObjectSymbol, SymbolId, SymbolSection,
};
use object::{SectionKind, SymbolFlags, SymbolKind, SymbolScope};
use std::borrow::Cow;
use std::collections::HashMap;

/// What goes into an object file.
pub(crate) struct Input<'a> {
    pub target: &'a Target,
    pub isa: &'a dyn TargetIsa,
    pub text: &'a Text,
    pub module: &'a Module,
    pub data: &'a [u8],
    pub import_symbols: &'a [Option<String>],
    pub fixed: Option<&'a Fixed>,
    pub initial: Option<&'a Initial>,
    /// What an executable that counts how often its code runs carries (`profile::Layout`).
    pub profile: Option<&'a [u8]>,
    /// What C programs see, if it is a library.
    pub interface: Option<&'a Interface>,
    pub debug: &'a [DebugSection],
    /// Source positions for backtraces (`aot_abi::source`); empty if there are none.
    pub source: &'a [u8],
}

/// Alignment of data that the runtime maps or copies from.
const DATA_ALIGNMENT: u64 = 16;

/// A section and the symbol at its first byte.
#[derive(Clone, Copy)]
struct Section {
    id: SectionId,
    start: SymbolId,
}

/// An object that grows part by part.
struct Builder<'a> {
    input: &'a Input<'a>,
    format: &'static dyn Format,
    object: Object<'a>,
}

/// Writes an object file.
pub(crate) fn write(input: &Input<'_>) -> Result<Vec<u8>> {
    let format = format_of(input.target);
    let (description, (dwarf, names)) = rayon::join(
        || description::encode(input.module, input.text),
        || (format.frame_table(input.text, input.isa), input.text.symbol_names()),
    );
    let mut builder = Builder { input, format, object: format.new_object(input.target)? };
    let text = builder.object.section_id(StandardSection::Text);
    builder.object.set_section_data(text, &input.text.bytes[..], u64::from(input.text.alignment));
    let text = builder.with_start(text);
    let functions = define_functions(&mut builder.object, text.id, input.text, &names);
    let mut data_symbols = match input.fixed {
        Some(fixed) => builder.define_fixed(text, fixed)?,
        None => HashMap::new(),
    };
    let profile = input.profile.map(|bytes| builder.part(Part::Profile, bytes.into()));
    data_symbols.extend(profile.map(|profile| (Symbol::Counters, profile.start)));
    builder.relocate_text(text.id, &functions, &data_symbols)?;

    let lens = [input.text.bytes.len(), description.len(), input.data.len()];
    let info = builder.part(Part::Description, Cow::Owned(description));
    let data = builder.part(Part::Data, Cow::Borrowed(input.data));
    let addresses = input.fixed.map_or([0, 0], |fixed| [fixed.context, fixed.memory]);
    let descriptor = builder.define_descriptor([text, info, data], lens, addresses)?;
    builder.define_cpu_check(&descriptor)?;
    let is_program = input.interface.is_none() && input.target.has_executables();
    if is_program && input.initial.is_none_or(|initial| initial.calls.is_none()) {
        let instantiate = builder.object.add_symbol(undefined_function(descriptor::INSTANTIATE));
        builder.set_word(&descriptor, INSTANTIATE_WORD, instantiate)?;
    }
    if let Some(initial) = input.initial {
        let initial = builder.define_initial(text, initial)?;
        builder.set_word(&descriptor, INSTANTIATE_WORD + 1, initial)?;
    }
    builder.define_source(&descriptor)?;
    if let Some(profile) = profile {
        let writer = builder.object.add_symbol(undefined_function(aot_abi::profile::WRITER));
        builder.set_word(&descriptor, PROFILE_WORD, writer)?;
        builder.set_word(&descriptor, PROFILE_WORD + 1, profile.start)?;
    }
    let (layout, isa) = (input.text, input.isa);
    let frames = Frames { start: text.start, functions: &functions, layout, isa, dwarf: dwarf? };
    format.add_unwind(&mut builder.object, frames)?;
    builder.define_debug(text.id)?;
    format.finish(&mut builder.object);
    builder.object.write().map_err(|error| Error::internal(format!("cannot write the object file: {error}")))
}

/// Symbols for all functions. Those that others do not see are local.
fn define_functions(
    object: &mut Object<'_>,
    text: SectionId,
    layout: &Text,
    names: &[Cow<'_, str>],
) -> HashMap<u32, SymbolId> {
    let mut ids = HashMap::with_capacity(names.len());
    let named = layout.ranges.iter().zip(names);
    for (range, name) in named.filter(|(range, _)| range.len > 0) {
        let id = object.add_symbol(ObjectSymbol {
            name: name.as_bytes().to_vec(),
            value: u64::from(range.offset),
            size: u64::from(range.len),
            kind: SymbolKind::Text,
            scope: match layout.exported.binary_search(&range.offset) {
                Ok(_) => SymbolScope::Dynamic,
                Err(_) => SymbolScope::Compilation,
            },
            weak: false,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
        ids.insert(range.offset, id);
    }
    ids
}

fn undefined_function(name: &str) -> ObjectSymbol {
    ObjectSymbol {
        name: name.as_bytes().to_vec(),
        value: 0,
        size: 0,
        kind: SymbolKind::Text,
        scope: SymbolScope::Unknown,
        weak: false,
        section: SymbolSection::Undefined,
        flags: SymbolFlags::None,
    }
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

/// The name of a symbol that the object does not define.
fn external_name(symbol: Symbol, import_symbols: &[Option<String>]) -> Result<String> {
    match symbol {
        Symbol::Libcall(libcall) => Ok(libcall.symbol().to_owned()),
        Symbol::Enter => Ok(library::ENTER.to_owned()),
        Symbol::Trapped => Ok(library::TRAPPED.to_owned()),
        Symbol::Import(func) => import_symbols
            .get(func as usize)
            .cloned()
            .flatten()
            .ok_or_else(|| Error::internal(format!("imported function {func} is bound to nothing"))),
        Symbol::Function(_)
        | Symbol::Export(_)
        | Symbol::Helper(_)
        | Symbol::Memory
        | Symbol::Table(_)
        | Symbol::Counters => Err(Error::internal(format!("{symbol:?} is missing"))),
    }
}

/// The words of the descriptor about the CPU, and after them, by number.
const CPU_WORD: u64 = 8;
const INSTANTIATE_WORD: u64 = 11;
const SOURCE_WORD: u64 = 13;
const PROFILE_WORD: u64 = 14;

/// Where the descriptor is.
struct Descriptor {
    section: SectionId,
    /// Where it is in the section.
    offset: u64,
}

impl<'a> Builder<'a> {
    fn with_start(&mut self, id: SectionId) -> Section {
        Section { id, start: self.format.section_start(&mut self.object, id) }
    }

    /// Adds the section of a part.
    fn section(&mut self, part: Part) -> SectionId {
        let place = self.format.place(part);
        self.object.add_section(place.segment.into(), place.name.into(), place.kind)
    }

    /// Adds a part that is all of its section.
    fn part(&mut self, part: Part, bytes: Cow<'a, [u8]>) -> Section {
        let id = self.section(part);
        self.object.set_section_data(id, bytes, DATA_ALIGNMENT);
        self.with_start(id)
    }

    fn relocate_text(
        &mut self,
        text: SectionId,
        functions: &HashMap<u32, SymbolId>,
        data_symbols: &HashMap<Symbol, SymbolId>,
    ) -> Result<()> {
        let Builder { input, format, object } = self;
        let mut undefined: HashMap<String, SymbolId> = HashMap::new();
        let mut labels: HashMap<u32, SymbolId> = HashMap::new();
        for reloc in input.text.relocs.iter().filter(|reloc| !reloc.is_applied) {
            let symbol = match reloc.target {
                CodeTarget::Code(offset) => {
                    *labels.entry(offset).or_insert_with(|| object.add_symbol(label(text, offset)))
                }
                CodeTarget::Symbol(target) => match input.text.symbols.get(&target) {
                    Some(offset) => functions[offset],
                    None if data_symbols.contains_key(&target) => data_symbols[&target],
                    None => {
                        let name = external_name(target, input.import_symbols)?;
                        *undefined
                            .entry(name.clone())
                            .or_insert_with(|| object.add_symbol(undefined_function(&name)))
                    }
                },
            };
            let flags = format.code_relocation(reloc.kind)?;
            let (offset, addend) = (u64::from(reloc.offset), reloc.addend);
            add_relocation(object, text, Relocation { offset, symbol, addend, flags })?;
        }
        Ok(())
    }

    /// Defines what code of the static model refers to: the address of the memory, and tables as read-only data.
    fn define_fixed(&mut self, text: Section, fixed: &Fixed) -> Result<HashMap<Symbol, SymbolId>> {
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
        ids.insert(Symbol::Memory, self.object.add_symbol(memory));
        if fixed.tables.is_empty() {
            return Ok(ids);
        }
        let section = self.section(Part::Tables);
        for (table, entries) in &fixed.tables {
            let mut bytes = Vec::with_capacity(entries.len() * TABLE_ENTRY as usize);
            for entry in entries {
                let words = [0, entry.type_index];
                bytes.extend(words.into_iter().flat_map(|word| match self.input.isa.endianness() {
                    ir::Endianness::Little => word.to_le_bytes(),
                    ir::Endianness::Big => word.to_be_bytes(),
                }));
            }
            let start = self.object.append_section_data(section, &bytes, u64::from(TABLE_ENTRY));
            for (index, entry) in entries.iter().enumerate() {
                let Some(addend) = entry.code else { continue };
                let offset = start + index as u64 * u64::from(TABLE_ENTRY);
                let (symbol, addend) = (text.start, i64::from(addend));
                let relocation = Relocation { offset, symbol, addend, flags: absolute(TABLE_ENTRY / 2) };
                add_relocation(&mut self.object, section, relocation)?;
            }
            let size = bytes.len() as u64;
            let symbol = symbol(format!("wasm-table[{table}]"), start, size, SymbolSection::Section(section));
            ids.insert(Symbol::Table(*table), self.object.add_symbol(symbol));
        }
        Ok(ids)
    }

    /// The descriptor: address and length of the sections that the runtime reads (`aot_abi::descriptor`).
    fn define_descriptor(
        &mut self,
        sections: [Section; 3],
        lens: [usize; 3],
        addresses: [u64; 2],
    ) -> Result<Descriptor> {
        let target = self.input.target;
        let pointer = target.pointer_size();
        let section = self.section(Part::Descriptor);
        let mut bytes = Vec::new();
        for len in lens {
            // The address is relocated, the length is written here.
            bytes.extend_from_slice(&target.word(0));
            bytes.extend_from_slice(&target.word(len as u64));
        }
        for address in addresses {
            bytes.extend_from_slice(&target.word(address));
        }
        // The check of the CPU, and the features that it looks for; what makes the instance, and the initial state; what
        // prints source positions; what writes the profile, and the profile.
        for _ in 0..8 {
            bytes.extend_from_slice(&target.word(0));
        }
        let name = match self.input.interface {
            Some(interface) => {
                let wasi = self.input.import_symbols.iter().any(Option::is_some);
                for word in [ABI_HASH as u64, interface.number, u64::from(wasi)] {
                    bytes.extend_from_slice(&target.word(word));
                }
                interface.module_symbol()
            }
            None => descriptor::SYMBOL.to_owned(),
        };
        let size = bytes.len() as u64;
        let offset = self.object.append_section_data(section, &bytes, u64::from(pointer));
        self.object.add_symbol(ObjectSymbol {
            name: name.into_bytes(),
            value: offset,
            size,
            kind: SymbolKind::Data,
            // A program finds it in a shared object.
            scope: if self.input.interface.is_some() { SymbolScope::Dynamic } else { SymbolScope::Linkage },
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
        for (index, target) in sections.into_iter().enumerate() {
            let offset = offset + index as u64 * 2 * u64::from(pointer);
            let relocation = Relocation { offset, symbol: target.start, addend: 0, flags: absolute(pointer) };
            add_relocation(&mut self.object, section, relocation)?;
        }
        Ok(Descriptor { section, offset })
    }

    /// Makes a word of the descriptor the address of a symbol.
    fn set_word(&mut self, descriptor: &Descriptor, word: u64, symbol: SymbolId) -> Result<()> {
        let pointer = self.input.target.pointer_size();
        let offset = descriptor.offset + word * u64::from(pointer);
        let relocation = Relocation { offset, symbol, addend: 0, flags: absolute(pointer) };
        add_relocation(&mut self.object, descriptor.section, relocation)
    }

    /// Defines the initial state.
    fn define_initial(&mut self, text: Section, initial: &'a Initial) -> Result<SymbolId> {
        let target = self.input.target;
        let pointer = target.pointer_size();
        let section = self.section(Part::Initial);
        let start = self.with_start(section).start;
        let calls = initial.calls.as_deref().unwrap_or_default();
        let image_len = initial.image.as_ref().map_or(0, |(_, bytes)| bytes.len() as u64);
        let counts = [calls.len() as u64, initial.copies.len() as u64];
        let mut words = initial.memory.to_vec();
        words.extend([0, image_len]);
        words.extend(initial.functions.iter().chain(&counts));
        debug_assert_eq!(words.len(), descriptor::INITIAL_WORDS);
        // By number of the word.
        let mut relocations: Vec<(usize, SymbolId, u64)> = Vec::new();
        for (entry, code) in calls {
            relocations.push((words.len(), text.start, u64::from(*entry)));
            relocations.push((words.len() + 1, text.start, u64::from(*code)));
            words.extend([0, 0]);
        }
        let mut from = (words.len() + initial.copies.len() * 3) as u64 * u64::from(pointer);
        for (to, bytes) in &initial.copies {
            relocations.push((words.len() + 1, start, from));
            words.extend([*to, 0, bytes.len() as u64]);
            from += bytes.len() as u64;
        }
        if let Some((address, bytes)) = &initial.image {
            relocations.push((3, self.define_memory_image(*address, bytes), 0));
        }
        let mut bytes: Vec<u8> = words.into_iter().flat_map(|word| target.word(word)).collect();
        bytes.extend(initial.copies.iter().flat_map(|(_, bytes)| bytes));
        self.object.append_section_data(section, &bytes, u64::from(pointer));
        for (word, symbol, addend) in relocations {
            let (offset, addend) = (word as u64 * u64::from(pointer), addend as i64);
            let relocation = Relocation { offset, symbol, addend, flags: absolute(pointer) };
            add_relocation(&mut self.object, section, relocation)?;
        }
        Ok(start)
    }

    /// Defines what the kernel maps of the memory. The linker has to put it at its address, which a symbol says.
    fn define_memory_image(&mut self, address: u64, bytes: &'a [u8]) -> SymbolId {
        let section = self.section(Part::Memory);
        self.object.set_section_data(section, bytes, BLOCK);
        self.object.add_symbol(ObjectSymbol {
            name: descriptor::MEMORY_IMAGE.into(),
            value: address,
            size: 0,
            kind: SymbolKind::Data,
            scope: SymbolScope::Compilation,
            weak: false,
            section: SymbolSection::Absolute,
            flags: SymbolFlags::None,
        });
        self.with_start(section).start
    }

    /// Makes the start of the program look for the CPU features that the code uses, if it uses any: a pointer to the
    /// runtime's check, and the names, each ended by NUL.
    fn define_cpu_check(&mut self, descriptor: &Descriptor) -> Result<()> {
        let features =
            cpu::required_features(self.input.target, self.input.isa, self.input.text.uses_vectors)?;
        if features.is_empty() {
            return Ok(());
        }
        let names: Vec<u8> = features.iter().flat_map(|name| name.bytes().chain([0])).collect();
        let section = self.section(Part::CpuFeatures);
        self.object.append_section_data(section, &names, 1);
        let names_symbol = self.with_start(section).start;
        let check = match self.input.interface {
            Some(_) => library::CPU_CHECK,
            None => descriptor::CPU_CHECK,
        };
        let check = self.object.add_symbol(undefined_function(check));
        self.set_word(descriptor, CPU_WORD, check)?;
        self.set_word(descriptor, CPU_WORD + 1, names_symbol)?;
        let len = self.input.target.word(names.len() as u64);
        let at = descriptor.offset as usize + (CPU_WORD as usize + 2) * len.len();
        self.object.section_mut(descriptor.section).data_mut()[at..at + len.len()].copy_from_slice(&len);
        Ok(())
    }

    /// Adds debug information.
    fn define_debug(&mut self, text: SectionId) -> Result<()> {
        let Builder { input, format, object } = self;
        let text = object.section_symbol(text);
        let mut ids = HashMap::new();
        for section in input.debug {
            let (segment, name) = format.debug_section(section.id);
            let id = object.add_section(segment.into(), name.into(), SectionKind::Debug);
            object.set_section_data(id, &section.bytes[..], 1);
            ids.insert(section.id, id);
        }
        for section in input.debug {
            let id = ids[&section.id];
            for relocation in &section.relocations {
                let (symbol, flags) = match relocation.target {
                    RelocationTarget::Symbol(_) => (text, absolute(u32::from(relocation.size))),
                    RelocationTarget::Section(target) => {
                        let Some(other) = ids.get(&target) else {
                            return Err(Error::internal(format!("there is no section {}", target.name())));
                        };
                        let Some(flags) = format.section_offset(relocation.size) else {
                            let bytes = object.section_mut(id).data_mut();
                            put(relocation, 0, bytes, input.target.is_big_endian());
                            continue;
                        };
                        (object.section_symbol(*other), flags)
                    }
                };
                let (offset, addend) = (relocation.offset as u64, relocation.addend);
                add_relocation(object, id, Relocation { offset, symbol, addend, flags })?;
            }
        }
        Ok(())
    }

    /// Adds source positions, and makes backtraces show them: the part of the runtime that does is linked only then.
    fn define_source(&mut self, descriptor: &Descriptor) -> Result<()> {
        if self.input.source.is_empty() || !self.format.has_source() {
            return Ok(());
        }
        let section = self.object.add_section(Vec::new(), source::SECTION.into(), SectionKind::Debug);
        self.object.set_section_data(section, self.input.source, 1);
        let printer = self.object.add_symbol(undefined_function(source::PRINTER));
        self.set_word(descriptor, SOURCE_WORD, printer)
    }
}
