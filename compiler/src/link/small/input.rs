//! Objects → sections, symbols and relocations, numbered across all files.

use object::elf;
use object::read::archive::ArchiveFile;
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, RelocationTarget,
    SectionFlags, SymbolIndex, SymbolSection,
};
use std::collections::HashMap;

/// A section of an input.
pub(super) struct Section<'d> {
    pub name: &'d str,
    pub flags: elf::SectionFlags,
    pub align: u64,
    pub size: u64,
    /// Nothing for zeros that take no room in the file.
    pub data: Option<&'d [u8]>,
    pub relocations: Vec<Relocation>,
}

/// A place that needs an address.
pub(super) struct Relocation {
    pub offset: u64,
    pub kind: elf::RelocationType,
    /// Index in [`Inputs::symbols`].
    pub symbol: usize,
    pub addend: i64,
}

/// Where a symbol is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Undefined,
    Absolute(u64),
    /// Where the linker tells what to relocate.
    Dynamic,
    /// Index in [`Inputs::sections`], and offset.
    Section(usize, u64),
}

/// A symbol of an input.
pub(super) struct Symbol<'d> {
    pub name: &'d str,
    pub place: Place,
    pub size: u64,
    pub info: elf::SymbolInfo,
    pub is_global: bool,
    pub is_weak: bool,
    /// The file that it is of.
    pub file: usize,
}

/// All inputs.
pub(super) struct Inputs<'d> {
    pub sections: Vec<Section<'d>>,
    pub symbols: Vec<Symbol<'d>>,
    pub file_names: Vec<String>,
    pub machine: elf::Machine,
    pub e_flags: elf::FileFlags,
    /// The symbols that global names stand for.
    pub globals: HashMap<&'d str, usize>,
}

/// The first byte of an executable that can be mapped anywhere, and the section that tells what to relocate in it.
pub(super) const EXECUTABLE_START: &str = "__ehdr_start";
pub(super) const DYNAMIC: &str = "_DYNAMIC";

impl Inputs<'_> {
    /// Defines what only executables have that can be mapped anywhere.
    pub fn define_position(&mut self) {
        for symbol in &mut self.symbols {
            match symbol.name {
                EXECUTABLE_START => symbol.place = Place::Absolute(0),
                DYNAMIC => symbol.place = Place::Dynamic,
                _ => {}
            }
        }
    }

    /// The place of a symbol, by its index: that of the definition that its name stands for. A weak definition gives way
    /// to another one also where it is.
    pub fn place(&self, symbol: usize) -> Place {
        let symbol = &self.symbols[symbol];
        let definition = self.globals.get(symbol.name).filter(|_| symbol.is_global);
        definition.map_or(symbol.place, |definition| self.symbols[*definition].place)
    }
}

/// Reads objects, and the members of archives.
pub(super) fn read<'d>(files: &[(String, &'d [u8])]) -> Result<Inputs<'d>, String> {
    let mut inputs = Inputs {
        sections: Vec::new(),
        symbols: Vec::new(),
        file_names: Vec::new(),
        machine: elf::EM_NONE,
        e_flags: elf::FileFlags(0),
        globals: HashMap::new(),
    };
    for (name, bytes) in files {
        let in_file = |error: object::read::Error| format!("`{name}`: {error}");
        if bytes.starts_with(b"!<arch>\n") {
            for member in ArchiveFile::parse(*bytes).map_err(in_file)?.members() {
                let member = member.map_err(in_file)?;
                let data = member.data(*bytes).map_err(in_file)?;
                let name = format!("{name} @ {}", String::from_utf8_lossy(member.name()));
                read_object(&mut inputs, name, data)?;
            }
        } else {
            read_object(&mut inputs, name.clone(), bytes)?;
        }
    }
    for (index, symbol) in inputs.symbols.iter().enumerate() {
        if !symbol.is_global || symbol.place == Place::Undefined {
            continue;
        }
        let definition = inputs.globals.entry(symbol.name).or_insert(index);
        let earlier = &inputs.symbols[*definition];
        if *definition != index && !symbol.is_weak {
            if !earlier.is_weak {
                let (a, b) = (&inputs.file_names[earlier.file], &inputs.file_names[symbol.file]);
                return Err(format!("the symbol `{}` is defined in {a} and in {b}", symbol.name));
            }
            *definition = index;
        }
    }
    Ok(inputs)
}

fn read_object<'d>(inputs: &mut Inputs<'d>, name: String, bytes: &'d [u8]) -> Result<(), String> {
    let in_file = |error: object::read::Error| format!("`{name}`: {error}");
    let object = ElfFile64::<Endianness>::parse(bytes).map_err(in_file)?;
    let header = object.elf_header();
    let endian = object.endian();
    inputs.machine = header.e_machine(endian);
    inputs.e_flags = elf::FileFlags(inputs.e_flags.0 | header.e_flags(endian).0);
    let file = inputs.file_names.len();

    let mut sections = HashMap::new();
    for section in object.sections() {
        let SectionFlags::Elf { sh_flags, sh_type, .. } = section.flags() else { continue };
        let is_data =
            [elf::SHT_PROGBITS, elf::SHT_NOBITS, elf::SHT_INIT_ARRAY, elf::SHT_FINI_ARRAY, elf::SHT_NOTE]
                .contains(&sh_type);
        let is_nowhere = sh_type == elf::SHT_NOBITS && !sh_flags.contains(elf::SHF_ALLOC);
        if !is_data || is_nowhere {
            continue;
        }
        let name = section.name().map_err(in_file)?;
        if sh_flags.contains(elf::SHF_TLS) {
            return Err(format!("`{name}`: thread-local storage is not supported"));
        }
        sections.insert(section.index(), inputs.sections.len());
        inputs.sections.push(Section {
            name,
            flags: sh_flags,
            align: section.align().max(1),
            size: section.size(),
            data: match sh_type {
                elf::SHT_NOBITS => None,
                _ => Some(section.data().map_err(in_file)?),
            },
            relocations: Vec::new(),
        });
    }

    // Symbol 0 is none; numbers are those of the table.
    let mut symbols: HashMap<SymbolIndex, usize> = HashMap::new();
    for symbol in object.symbols() {
        let place = match symbol.section() {
            SymbolSection::Undefined => Place::Undefined,
            SymbolSection::Absolute => Place::Absolute(symbol.address()),
            SymbolSection::Section(index) => match sections.get(&index) {
                Some(section) => Place::Section(*section, symbol.address()),
                // Of a section that is not data.
                None => continue,
            },
            SymbolSection::None => Place::Absolute(symbol.address()),
            _ => return Err(format!("`{name}`: a common symbol is not supported")),
        };
        symbols.insert(symbol.index(), inputs.symbols.len());
        inputs.symbols.push(Symbol {
            name: symbol.name().map_err(in_file)?,
            place,
            size: symbol.size(),
            info: symbol.elf_symbol().st_info,
            is_global: symbol.is_global(),
            is_weak: symbol.is_weak(),
            file,
        });
    }

    for section in object.sections() {
        let Some(index) = sections.get(&section.index()) else { continue };
        for (offset, relocation) in section.relocations() {
            let RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
            let symbol = match relocation.target() {
                RelocationTarget::Symbol(symbol) => symbols.get(&symbol).copied(),
                _ => None,
            };
            let symbol = symbol.ok_or_else(|| format!("`{name}`: a relocation refers to nothing"))?;
            let addend = relocation.addend();
            inputs.sections[*index].relocations.push(Relocation { offset, kind: r_type, symbol, addend });
        }
    }
    inputs.file_names.push(name);
    Ok(())
}
