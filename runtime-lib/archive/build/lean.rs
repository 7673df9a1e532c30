//! Takes out of an object what makes executables larger, and is never used in them.

use object::build::elf::{Builder, Relocation, Section, SectionData, SectionId, Symbol, SymbolId};
use object::elf;
use std::collections::BTreeMap;

/// The functions of `core` that panic, in both ways of mangling names.
const PANICKING: &str = "4core9panicking";
/// What formats values.
const FORMATTING: &str = "4core3fmt";
/// Tables of the methods of values to be formatted.
const METHODS: &str = ".data.rel.ro";

/// Cuts the references from functions that panic to functions that format: the runtime says where it panicked, and
/// formats no message. Each refers to itself then, to an address that nobody uses.
pub fn cut_formatting(builder: &mut Builder<'_>) {
    let names: Vec<String> =
        builder.sections.iter().map(|section| String::from_utf8_lossy(&section.name).into_owned()).collect();
    let name = |id: SectionId| names[position(builder, id)].as_str();
    let is_cut = |id: SectionId| name(id).contains(FORMATTING) || name(id).starts_with(METHODS);
    let mut replaced: Vec<(SectionId, usize, SymbolId)> = Vec::new();
    for section in &builder.sections {
        let SectionData::Relocation(relocations) = &section.data else { continue };
        let Some(of) = section.sh_info_section.filter(|of| name(*of).contains(PANICKING)) else { continue };
        let Some(own) = builder.symbols.iter().find(|symbol| symbol.section == Some(of)) else { continue };
        for (index, relocation) in relocations.iter().enumerate() {
            let target = relocation.symbol.and_then(|symbol| builder.symbols.get(symbol).section);
            // Of a location, which is wanted, there is no method.
            if target.is_some_and(|target| is_cut(target) && has_methods(builder, target)) {
                replaced.push((section.id(), index, own.id()));
            }
        }
    }
    for (section, index, symbol) in replaced {
        if let SectionData::Relocation(relocations) = &mut builder.sections.get_mut(section).data {
            relocations[index].symbol = Some(symbol);
        }
    }
}

fn position(builder: &Builder<'_>, id: SectionId) -> usize {
    builder.sections.iter().position(|section| section.id() == id).unwrap_or(0)
}

/// Whether a section is code, or refers to code.
fn has_methods(builder: &Builder<'_>, id: SectionId) -> bool {
    let is_code = |id: SectionId| builder.sections.get(id).sh_flags.contains(elf::SHF_EXECINSTR);
    let refers = |section: &Section<'_>| match &section.data {
        SectionData::Relocation(relocations) if section.sh_info_section == Some(id) => relocations
            .iter()
            .filter_map(|relocation| builder.symbols.get(relocation.symbol?).section)
            .any(is_code),
        _ => false,
    };
    is_code(id) || builder.sections.iter().any(refers)
}

/// Gives each string that only data refers to a section of its own: names of files, for the places of panics. Linkers drop
/// what nobody refers to by whole sections.
pub fn split_strings(builder: &mut Builder<'_>) {
    let merged = elf::SHF_MERGE.0 | elf::SHF_STRINGS.0;
    let tables: Vec<SectionId> = builder
        .sections
        .iter()
        .filter(|section| section.sh_flags.0 & merged == merged && section.sh_entsize == 1)
        .map(Section::id)
        .collect();
    for table in tables {
        split_table(builder, table);
    }
}

fn split_table(builder: &mut Builder<'_>, table: SectionId) {
    let SectionData::Data(bytes) = &builder.sections.get(table).data else { return };
    let bytes = bytes.to_vec();
    // Strings by their ends, and whether code refers to one.
    let ends: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at + 1).collect();
    let string_at =
        |offset: i64| usize::try_from(offset).map(|offset| ends.partition_point(|end| *end <= offset));
    let offset_of = |relocation: &Relocation| {
        let symbol: &Symbol<'_> = builder.symbols.get(relocation.symbol?);
        (symbol.section == Some(table)).then(|| symbol.st_value as i64 + relocation.r_addend)
    };
    let mut is_kept = vec![false; ends.len()];
    let mut moved: Vec<(SectionId, usize, usize)> = Vec::new();
    for section in &builder.sections {
        let SectionData::Relocation(relocations) = &section.data else { continue };
        let is_data = section.sh_info_section.is_some_and(|of| {
            let flags = builder.sections.get(of).sh_flags;
            flags.contains(elf::SHF_ALLOC) && !flags.contains(elf::SHF_EXECINSTR)
        });
        for (index, relocation) in relocations.iter().enumerate() {
            let Some(offset) = offset_of(relocation) else { continue };
            let start = string_at(offset).ok().filter(|string| *string < ends.len());
            match start {
                Some(string) if is_data && string_start(&ends, string) as i64 == offset => {
                    moved.push((section.id(), index, string));
                }
                // The addend may count from a later byte of the instruction.
                _ => (offset..=offset + 8)
                    .filter_map(|offset| string_at(offset).ok())
                    .filter(|string| *string < ends.len())
                    .for_each(|string| is_kept[string] = true),
            }
        }
    }
    let mut symbols: BTreeMap<usize, SymbolId> = BTreeMap::new();
    let mut rest = bytes.clone();
    for (section, index, string) in moved.into_iter().filter(|(_, _, string)| !is_kept[*string]) {
        let range = string_start(&ends, string)..ends[string];
        let symbol = *symbols.entry(string).or_insert_with(|| own_section(builder, &bytes[range.clone()]));
        // Equal strings become one, and all of these are empty.
        rest[range].fill(0);
        if let SectionData::Relocation(relocations) = &mut builder.sections.get_mut(section).data {
            relocations[index].symbol = Some(symbol);
            relocations[index].r_addend = 0;
        }
    }
    builder.sections.get_mut(table).data = SectionData::Data(rest.into());
}

fn string_start(ends: &[usize], string: usize) -> usize {
    string.checked_sub(1).map_or(0, |before| ends[before])
}

/// Adds a section with some bytes, and a symbol for it.
fn own_section(builder: &mut Builder<'_>, bytes: &[u8]) -> SymbolId {
    let section = builder.sections.add();
    section.name = b".rodata.location"[..].into();
    section.sh_type = elf::SHT_PROGBITS;
    section.sh_flags = elf::SHF_ALLOC;
    section.sh_addralign = 1;
    section.data = SectionData::Data(bytes.to_vec().into());
    let id = section.id();
    let symbol = builder.symbols.add();
    symbol.section = Some(id);
    symbol.set_st_info(elf::STB_LOCAL, elf::STT_SECTION);
    symbol.id()
}
