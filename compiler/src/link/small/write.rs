//! The ELF file.

use super::input::{Inputs, Place};
use super::layout::{DYNAMIC, GOT, Kind, Layout, Output, RELOCATION_LEN, RELOCATIONS};
use super::s390x::{self, Values};
use crate::link::exe::{LinkOptions, Strip};
use object::write::elf::{FileHeader, ProgramHeader, SectionHeader, Sym, Writer};
use object::{Endianness, elf};

/// Writes the executable.
pub(super) fn write(
    inputs: &Inputs<'_>,
    layout: &Layout,
    entry: &str,
    options: LinkOptions,
) -> Result<Vec<u8>, String> {
    let strip = options.strip;
    let failed = |error: object::write::Error| format!("cannot write the executable: {error}");
    let is_kept = |output: &&Output| output.kind != Kind::NotLoaded || strip == Strip::None;
    // Those that are left out come last, so that numbers are those of the layout.
    let outputs: Vec<&Output> = layout.outputs.iter().filter(is_kept).collect();
    let symbols = if strip == Strip::All { Vec::new() } else { symbols(inputs, layout) };

    let mut bytes = Vec::new();
    let mut writer = Writer::new(Endianness::Big, true, &mut bytes);
    writer.reserve_file_header();
    let others = 1 + u32::from(options.pie);
    writer.reserve_program_headers(layout.segments.len() as u32 + others);
    let end = outputs.iter().map(|output| output.offset + output.file_size()).max().unwrap_or(0);
    writer.reserve_until(end);
    writer.reserve_null_section_index();
    let mut indices = Vec::new();
    let mut names = Vec::new();
    for output in &outputs {
        names.push(writer.add_section_name(output.name.as_bytes()));
        indices.push(writer.reserve_section_index());
    }
    if !symbols.is_empty() {
        writer.reserve_symtab_section_index();
        writer.reserve_strtab_section_index();
    }
    writer.reserve_shstrtab_section_index();
    let mut strings = Vec::new();
    if !symbols.is_empty() {
        writer.reserve_null_symbol_index();
        for symbol in &symbols {
            strings.push(writer.add_string(inputs.symbols[symbol.index].name.as_bytes()));
            writer.reserve_symbol_index(symbol.output.map(|output| indices[output]));
        }
        writer.reserve_symtab();
        writer.reserve_strtab().map_err(failed)?;
    }
    writer.reserve_shstrtab().map_err(failed)?;
    writer.reserve_section_headers();

    let start = inputs.globals.get(entry).and_then(|symbol| layout.address(inputs.place(*symbol)));
    writer
        .write_file_header(&FileHeader {
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            e_type: if options.pie { elf::ET_DYN } else { elf::ET_EXEC },
            e_machine: inputs.machine,
            e_entry: start.unwrap_or(0),
            e_flags: inputs.e_flags,
        })
        .map_err(failed)?;
    write_program_headers(&mut writer, layout);
    for output in &outputs {
        if output.kind != Kind::Zeros {
            writer.pad_until(output.offset);
            writer.write(&contents(inputs, layout, output)?);
        }
    }
    if !symbols.is_empty() {
        writer.write_null_symbol();
        for (symbol, string) in symbols.iter().zip(strings) {
            let symbol_header = Sym {
                st_name: writer.string_offset(Some(string)),
                section: symbol.output.map(|output| indices[output].0),
                st_info: inputs.symbols[symbol.index].info,
                st_other: elf::SymbolOther(0),
                st_shndx: elf::SHN_ABS,
                st_value: symbol.address,
                st_size: inputs.symbols[symbol.index].size,
            };
            writer.write_symbol(&symbol_header);
        }
        writer.write_strtab();
    }
    writer.write_shstrtab();
    writer.write_null_section_header();
    for (output, name) in outputs.iter().zip(names) {
        let header = SectionHeader {
            sh_name: writer.section_name_offset(Some(name)),
            sh_type: if output.kind == Kind::Zeros { elf::SHT_NOBITS } else { elf::SHT_PROGBITS },
            sh_flags: output.flags,
            sh_addr: output.address,
            sh_offset: output.offset,
            sh_size: output.size,
            sh_link: 0,
            sh_info: 0,
            sh_addralign: output.align,
            sh_entsize: 0,
        };
        writer.write_section_header(&header);
    }
    if !symbols.is_empty() {
        let locals = symbols.iter().filter(|symbol| !inputs.symbols[symbol.index].is_global).count();
        writer.write_symtab_section_header(1 + locals as u32);
        writer.write_strtab_section_header();
    }
    writer.write_shstrtab_section_header();
    Ok(bytes)
}

fn write_program_headers(writer: &mut Writer<'_>, layout: &Layout) {
    writer.write_align_program_headers();
    for segment in &layout.segments {
        writer.write_program_header(&ProgramHeader {
            p_type: elf::PT_LOAD,
            p_flags: segment.flags,
            p_offset: segment.offset,
            p_vaddr: segment.address,
            p_paddr: segment.address,
            p_filesz: segment.file_size,
            p_memsz: segment.memory_size,
            p_align: 4096,
        });
    }
    if let Some(dynamic) = layout.outputs.iter().find(|output| output.name == DYNAMIC) {
        writer.write_program_header(&ProgramHeader {
            p_type: elf::PT_DYNAMIC,
            p_flags: elf::PF_R | elf::PF_W,
            p_offset: dynamic.offset,
            p_vaddr: dynamic.address,
            p_paddr: dynamic.address,
            p_filesz: dynamic.size,
            p_memsz: dynamic.size,
            p_align: 8,
        });
    }
    // The stack is not executable.
    writer.write_program_header(&ProgramHeader {
        p_type: elf::PT_GNU_STACK,
        p_flags: elf::PF_R | elf::PF_W,
        p_offset: 0,
        p_vaddr: 0,
        p_paddr: 0,
        p_filesz: 0,
        p_memsz: 0,
        p_align: 16,
    });
}

/// The bytes of an output section, relocated.
fn contents(inputs: &Inputs<'_>, layout: &Layout, output: &Output) -> Result<Vec<u8>, String> {
    if output.name == GOT {
        let mut bytes = vec![0; output.size as usize];
        for (symbol, slot) in &layout.got.1 {
            let address = layout.address(inputs.place(*symbol)).unwrap_or(0);
            bytes[*slot as usize..][..8].copy_from_slice(&address.to_be_bytes());
        }
        return Ok(bytes);
    }
    if output.name == RELOCATIONS && layout.position.is_some() {
        return Ok(run_time_relocations(inputs, layout));
    }
    if output.name == DYNAMIC
        && let Some((relocations, _)) = layout.position
    {
        let size =
            layout.outputs.iter().find(|other| other.name == RELOCATIONS).map_or(0, |other| other.size);
        let tags = [elf::DT_RELA, elf::DT_RELASZ, elf::DT_RELAENT, elf::DT_NULL].map(|tag| tag.0 as u64);
        let words = tags.into_iter().zip([relocations, size, RELOCATION_LEN, 0]);
        return Ok(words.flat_map(|(tag, value)| [tag, value]).flat_map(u64::to_be_bytes).collect());
    }
    // Between functions: an instruction that is illegal.
    let mut bytes = vec![0; output.size as usize];
    for (section, offset) in &output.parts {
        let input = &inputs.sections[*section];
        let start = *offset as usize;
        let part = &mut bytes[start..start + input.size as usize];
        if let Some(data) = input.data {
            part.copy_from_slice(data);
        }
        let address = output.address + offset;
        for relocation in &input.relocations {
            let in_place = |error: String| {
                let symbol = inputs.symbols[relocation.symbol].name;
                format!("in section `{}` at {:#x}, to `{symbol}`: {error}", input.name, relocation.offset)
            };
            let symbol = layout.address(inputs.place(relocation.symbol));
            let values = Values {
                symbol: symbol.ok_or_else(|| in_place(String::from("its section was left out")))?,
                addend: relocation.addend,
                place: address.wrapping_add(relocation.offset),
                slot: layout.got.0 + layout.got.1.get(&relocation.symbol).copied().unwrap_or(0),
            };
            let at = usize::try_from(relocation.offset).ok().and_then(|at| part.get_mut(at..));
            let at = at.ok_or_else(|| in_place(String::from("it is outside of its section")))?;
            s390x::apply(relocation.kind, &values, at).map_err(in_place)?;
        }
    }
    Ok(bytes)
}

/// What the program adds to where it is, and puts in, when it starts.
fn run_time_relocations(inputs: &Inputs<'_>, layout: &Layout) -> Vec<u8> {
    let (kind, none) = (u64::from(elf::R_390_RELATIVE.0), u64::from(elf::R_390_NONE.0));
    let mut all: Vec<(u64, u64, u64)> = Vec::new();
    for output in layout.outputs.iter().filter(|output| output.kind == Kind::Data) {
        for (section, offset) in &output.parts {
            for relocation in &inputs.sections[*section].relocations {
                let place = inputs.place(relocation.symbol);
                if s390x::is_address(relocation.kind, place) {
                    let address = layout.address(place).unwrap_or(0).wrapping_add_signed(relocation.addend);
                    all.push((output.address + offset + relocation.offset, kind, address));
                }
            }
        }
    }
    for (symbol, slot) in &layout.got.1 {
        let place = inputs.place(*symbol);
        let kind = if matches!(place, Place::Absolute(1..) | Place::Undefined) { none } else { kind };
        all.push((layout.got.0 + slot, kind, layout.address(place).unwrap_or(0)));
    }
    all.sort_unstable();
    all.into_iter().flat_map(|(at, kind, address)| [at, kind, address]).flat_map(u64::to_be_bytes).collect()
}

/// A symbol of the executable.
struct OutputSymbol {
    /// In [`Inputs::symbols`].
    index: usize,
    /// The output section that it is in.
    output: Option<usize>,
    address: u64,
}

/// The symbols that name something in the executable; local ones first, as ELF wants it.
fn symbols(inputs: &Inputs<'_>, layout: &Layout) -> Vec<OutputSymbol> {
    let mut symbols = Vec::new();
    for (index, symbol) in inputs.symbols.iter().enumerate() {
        let hidden = symbol.name.is_empty() || symbol.name.starts_with(".L");
        let is_other_definition = symbol.is_global
            && inputs.globals.get(symbol.name).is_some_and(|definition| *definition != index);
        let Place::Section(section, _) = symbol.place else { continue };
        let (Some(address), Some((output, _))) =
            (layout.address(symbol.place), layout.places.get(&section).copied())
        else {
            continue;
        };
        // Symbols of debug information have nothing to name.
        if !hidden && !is_other_definition && layout.outputs[output].kind != Kind::NotLoaded {
            symbols.push(OutputSymbol { index, output: Some(output), address });
        }
    }
    symbols.sort_by_key(|symbol| inputs.symbols[symbol.index].is_global);
    symbols
}
