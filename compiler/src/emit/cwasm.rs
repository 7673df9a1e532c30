//! Images as files (`.cwasm`): ELF files that a host program maps, and that debuggers and binutils read.
//!
//! `docs/image.md` draws the format; `aot_abi::image` reads it.

use super::description;
use super::eh_frame;
use super::image::relocated;
use super::memory::initial_memory;
use super::text::Text;
use crate::cpu;
use crate::debug::output::DebugSection;
use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;
use aot_abi::image::{
    ABI_HASH, HASH_LEN, Machine, NOTE_HASH_OFFSET, NOTE_OWNER, NOTE_TYPE, Note, encode_addresses, section,
};
use aot_abi::module::{MemoryImage, Module, SegmentMode};
use aot_abi::source;
use cranelift_codegen::isa::TargetIsa;
use gimli::write::{Relocation, RelocationTarget};
use object::write::elf::{FileHeader, ProgramHeader, SectionHeader, Sym, Writer};
use object::{Endianness, elf};

/// What goes into an image.
pub(crate) struct Input<'a> {
    pub target: &'a Target,
    pub isa: &'a dyn TargetIsa,
    pub text: &'a Text,
    pub module: &'a Module,
    pub data: &'a [u8],
    /// Features of WebAssembly that were on.
    pub wasm_features: Vec<String>,
    /// `aot_abi::image::flags`.
    pub flags: u64,
    pub debug: &'a [DebugSection],
    /// Source positions for backtraces (`aot_abi::source`); empty if there are none.
    pub source: &'a [u8],
}

/// Alignment of parts that are not mapped on their own.
const ALIGNMENT: u64 = 16;

/// A section of the file.
struct Section {
    name: &'static str,
    kind: elf::SectionType,
    flags: elf::SectionFlags,
    alignment: u64,
    offset: u64,
    bytes: Vec<u8>,
}

impl Section {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// Writes an image.
pub(crate) fn write(input: &Input<'_>) -> Result<Vec<u8>> {
    let triple = input.target.triple().to_string();
    let machine = Machine::ALL.into_iter().find(|machine| machine.triple() == triple).ok_or_else(|| {
        Error::new(ErrorKind::Config, format!("images for {} cannot be made", input.target))
            .with_help("`aot targets` lists what can be made for which target")
    })?;
    if !input.module.import_shims.is_empty() {
        return Err(Error::internal("an image binds its imports when it is instantiated"));
    }
    let sections = layout(input, machine, &triple)?;
    let mut bytes = elf_file(input, machine, &sections)?;
    let hash_offset = note_description(&sections[0]) + NOTE_HASH_OFFSET;
    let hash_end = hash_offset + HASH_LEN;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..hash_offset]).update(&bytes[hash_end..]);
    bytes[hash_offset..hash_end].copy_from_slice(hasher.finalize().as_bytes());
    Ok(bytes)
}

/// The sections at their places; the note is the first.
fn layout(input: &Input<'_>, machine: Machine, triple: &str) -> Result<Vec<Section>> {
    let (memory_image, memory) = initial_memory(input.module, input.data).unzip();
    let (module, data) = without_applied(input.module, input.data, memory_image);
    let text = relocated(input.text)?;
    let note = note(input, machine, triple)?;

    let read_only = elf::SHF_ALLOC;
    let page = machine.page_size();
    let mut sections: Vec<Section> = Vec::new();
    // After the headers: there are never more than five segments.
    let mut next = 64 + 5 * 56;
    let mut add = |name, kind, flags, alignment: u64, bytes: Vec<u8>| {
        let offset = u64::next_multiple_of(next, alignment);
        next = offset + bytes.len() as u64;
        if alignment == page {
            // The rest of the last page is in no other section.
            next = next.next_multiple_of(page);
        }
        sections.push(Section { name, kind, flags, alignment, offset, bytes });
        next
    };
    add(section::NOTE, elf::SHT_NOTE, read_only, 4, note);
    let description = description::encode(&module, input.text);
    add(section::DESCRIPTION, elf::SHT_PROGBITS, read_only, ALIGNMENT, description);
    let end = add(section::DATA, elf::SHT_PROGBITS, read_only, ALIGNMENT, data);
    let start = end.next_multiple_of(ALIGNMENT);
    let eh_frame =
        eh_frame::bytes(input.text, input.isa, |len| (start + len).next_multiple_of(page) - start)?;
    add(section::EH_FRAME, elf::SHT_PROGBITS, read_only, ALIGNMENT, eh_frame);
    add(section::TEXT, elf::SHT_PROGBITS, read_only | elf::SHF_EXECINSTR, page, text);
    if let Some(memory) = memory {
        add(section::MEMORY, elf::SHT_PROGBITS, read_only, page, memory);
    }
    Ok(sections)
}

/// The data segments without those that are in the image of memory 0, which is always used where there is one.
fn without_applied(module: &Module, data: &[u8], memory_image: Option<MemoryImage>) -> (Module, Vec<u8>) {
    let mut module = Module { memory_image, ..module.clone() };
    if memory_image.is_none() {
        return (module, data.to_vec());
    }
    let mut kept = Vec::new();
    for segment in &mut module.data {
        let range = segment.offset as usize..segment.offset as usize + segment.len as usize;
        // The bytes that are kept are no more than there were.
        segment.offset = kept.len() as u32;
        match segment.mode {
            SegmentMode::Active { target: 0, .. } => segment.len = 0,
            _ => kept.extend_from_slice(&data[range]),
        }
    }
    (module, kept)
}

/// The note section.
fn note(input: &Input<'_>, machine: Machine, triple: &str) -> Result<Vec<u8>> {
    let cpu_features = cpu::required_features(input.target, input.isa, input.text.uses_vectors)?;
    let note = Note {
        abi_hash: ABI_HASH,
        triple,
        cpu_features: cpu_features.iter().map(|name| &**name).collect(),
        wasm_features: input.wasm_features.iter().map(|name| &**name).collect(),
        compiler: env!("CARGO_PKG_VERSION"),
        flags: input.flags,
    };
    let description = note.encode();
    let number = |number: u32| match machine.is_big_endian() {
        true => number.to_be_bytes(),
        false => number.to_le_bytes(),
    };
    let mut bytes = Vec::new();
    for header in [NOTE_OWNER.len() as u32 + 1, description.len() as u32, NOTE_TYPE] {
        bytes.extend_from_slice(&number(header));
    }
    bytes.extend_from_slice(NOTE_OWNER.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&description);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    Ok(bytes)
}

/// Where the description of the note is in the file: after three numbers and the owner.
fn note_description(note: &Section) -> usize {
    note.offset as usize + 12 + NOTE_OWNER.len() + 1
}

fn elf_file(input: &Input<'_>, machine: Machine, sections: &[Section]) -> Result<Vec<u8>> {
    let failed = |error: object::write::Error| Error::internal(format!("cannot write the image: {error}"));
    let endianness = if machine.is_big_endian() { Endianness::Big } else { Endianness::Little };
    let segments = segments(sections);
    let mut bytes = Vec::new();
    let mut writer = Writer::new(endianness, true, &mut bytes);
    writer.reserve_file_header();
    writer.reserve_program_headers(segments.len() as u32);
    let mapped_end = sections.last().map_or(0, Section::end).next_multiple_of(machine.page_size());
    writer.reserve_until(mapped_end);
    writer.reserve_null_section_index();
    let mut names = Vec::new();
    let mut text_index = None;
    for section in sections {
        names.push(writer.add_section_name(section.name.as_bytes()));
        let index = writer.reserve_section_index();
        if section.name == section::TEXT {
            text_index = Some(index);
        }
    }
    let text_address = sections.iter().find(|section| section.name == section::TEXT).map_or(0, |s| s.offset);
    // No part of the module: for debuggers and backtraces.
    let mut debug = Vec::new();
    let resolved = |section: &DebugSection| section.resolved(text_address, machine.is_big_endian());
    let of_debuggers = input.debug.iter().map(|section| (section.id.name(), resolved(section)));
    let source = (!input.source.is_empty()).then(|| (source::SECTION, input.source.to_vec()));
    let addresses = addresses(input.debug, 1 + sections.len() as u32);
    for (name, bytes) in of_debuggers.chain(addresses).chain(source) {
        let name = writer.add_section_name(name.as_bytes());
        writer.reserve_section_index();
        debug.push((name, writer.reserve(bytes.len() as u64, 1), bytes));
    }
    writer.reserve_symtab_section_index();
    writer.reserve_strtab_section_index();
    writer.reserve_shstrtab_section_index();
    writer.reserve_null_symbol_index();
    let symbols = input.text.symbol_names();
    let named = input.text.ranges.iter().zip(&symbols).filter(|(range, _)| range.len > 0);
    let (functions, names_of): (Vec<_>, Vec<_>) = named.unzip();
    let mut strings = Vec::new();
    for name in names_of {
        strings.push(writer.add_string(name.as_bytes()));
        writer.reserve_symbol_index(text_index);
    }
    writer.reserve_symtab();
    writer.reserve_strtab().map_err(failed)?;
    writer.reserve_shstrtab().map_err(failed)?;
    writer.reserve_section_headers();

    writer
        .write_file_header(&FileHeader {
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            e_type: elf::ET_DYN,
            e_machine: elf::Machine(machine.elf_machine()),
            e_entry: 0,
            e_flags: match machine {
                // As in objects: floating point numbers travel in registers.
                Machine::Riscv64 => elf::EF_RISCV_FLOAT_ABI_DOUBLE,
                Machine::X86_64 | Machine::Aarch64 | Machine::S390x => elf::FileFlags(0),
            },
        })
        .map_err(failed)?;
    writer.write_align_program_headers();
    for segment in &segments {
        writer.write_program_header(segment);
    }
    for section in sections {
        writer.pad_until(section.offset);
        writer.write(&section.bytes);
    }
    writer.pad_until(mapped_end);
    for (_, _, bytes) in &debug {
        writer.write(bytes);
    }
    writer.write_null_symbol();
    for (function, string) in functions.iter().zip(strings) {
        writer.write_symbol(&Sym {
            st_name: writer.string_offset(Some(string)),
            section: text_index.map(|index| index.0),
            st_info: elf::SymbolInfo::new(elf::STB_LOCAL, elf::STT_FUNC),
            st_other: elf::SymbolOther(0),
            st_shndx: elf::SHN_ABS,
            st_value: text_address + u64::from(function.offset),
            st_size: u64::from(function.len),
        });
    }
    writer.write_strtab();
    writer.write_shstrtab();
    writer.write_null_section_header();
    for (section, name) in sections.iter().zip(names) {
        writer.write_section_header(&SectionHeader {
            sh_name: writer.section_name_offset(Some(name)),
            sh_type: section.kind,
            sh_flags: section.flags,
            sh_addr: section.offset,
            sh_offset: section.offset,
            sh_size: section.bytes.len() as u64,
            sh_link: 0,
            sh_info: 0,
            sh_addralign: section.alignment,
            sh_entsize: 0,
        });
    }
    for (name, offset, bytes) in &debug {
        writer.write_section_header(&SectionHeader {
            sh_name: writer.section_name_offset(Some(*name)),
            sh_type: elf::SHT_PROGBITS,
            sh_flags: elf::SectionFlags(0),
            sh_addr: 0,
            sh_offset: *offset,
            sh_size: bytes.len() as u64,
            sh_link: 0,
            sh_info: 0,
            sh_addralign: 1,
            sh_entsize: 0,
        });
    }
    writer.write_symtab_section_header(1 + functions.len() as u32);
    writer.write_strtab_section_header();
    writer.write_shstrtab_section_header();
    Ok(bytes)
}

/// Where debug sections, of which the first has this index, have addresses of code: for debuggers of a program that has
/// mapped the image.
fn addresses(debug: &[DebugSection], first: u32) -> Option<(&'static str, Vec<u8>)> {
    let mut lists = Vec::new();
    for (index, section) in (first..).zip(debug) {
        let of_code = |relocation: &&Relocation| {
            matches!(relocation.target, RelocationTarget::Symbol(_)) && relocation.size == 8
        };
        let of_code = section.relocations.iter().filter(of_code);
        let mut offsets: Vec<u32> = of_code.map(|relocation| relocation.offset as u32).collect();
        offsets.sort_unstable();
        if !offsets.is_empty() {
            lists.push((index, offsets));
        }
    }
    (!lists.is_empty()).then(|| (section::ADDRESSES, encode_addresses(&lists)))
}

/// What is mapped, each part at the address that is its offset in the file; and the note.
fn segments(sections: &[Section]) -> Vec<ProgramHeader> {
    let header = |p_type, p_flags, start: u64, end: u64, p_align| ProgramHeader {
        p_type,
        p_flags,
        p_offset: start,
        p_vaddr: start,
        p_paddr: start,
        p_filesz: end - start,
        p_memsz: end - start,
        p_align,
    };
    let page = sections.iter().find(|section| section.name == section::TEXT).map_or(1, |s| s.alignment);
    let is_apart = |section: &&Section| section.alignment == page;
    let shared_end = sections.iter().filter(|section| !is_apart(section)).map(Section::end).max();
    let mut segments = vec![header(elf::PT_LOAD, elf::PF_R, 0, shared_end.unwrap_or(0), page)];
    for section in sections.iter().filter(is_apart).filter(|section| !section.bytes.is_empty()) {
        let is_code = section.name == section::TEXT;
        let flags = if is_code { elf::PF_R | elf::PF_X } else { elf::PF_R };
        segments.push(header(elf::PT_LOAD, flags, section.offset, section.end(), page));
    }
    let notes = sections.iter().filter(|section| section.kind == elf::SHT_NOTE);
    segments.extend(notes.map(|note| header(elf::PT_NOTE, elf::PF_R, note.offset, note.end(), 4)));
    // The stack is not executable.
    segments.push(header(elf::PT_GNU_STACK, elf::PF_R | elf::PF_W, 0, 0, 16));
    segments
}

#[cfg(test)]
mod tests {
    /// Code of different modules calls each other: the ABI names the convention, so that another one is another ABI.
    #[test]
    fn the_abi_names_the_calling_convention() {
        let mut version = cranelift_codegen::VERSION.split('.');
        let version = [version.next().unwrap(), version.next().unwrap()].join(".");
        assert_eq!(aot_abi::call::CONVENTION, format!("cranelift {version} tail"));
    }
}
