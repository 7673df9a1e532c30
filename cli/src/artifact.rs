//! Reading what `aot build` made: an executable, object or image with a module description.
//!
//! The file may be damaged or hostile: everything is checked, nothing is executed.

use crate::file_kind::{FileKind, OPTIONS_SECTION, description_section};
use crate::report::{Failure, Result};
use aot_abi::descriptor::INITIAL_WORDS;
use aot_abi::image::section;
use aot_abi::module::{Description, Module};
use object::{
    Architecture, BinaryFormat, Endian as _, File, Object as _, ObjectSection as _, ObjectSymbol as _,
    SectionKind,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// An executable, object or image that `aot build` made.
pub struct Artifact<'a> {
    pub kind: FileKind,
    /// Short name of the target.
    pub target: String,
    pub architecture: Architecture,
    pub file: File<'a>,
    pub description: Description<'a>,
    pub description_len: u64,
    pub module: Module,
    pub code: Code<'a>,
    /// Bytes of the module's data segments.
    pub data_len: u64,
    pub options: Option<Options>,
    /// CPU features that the code needs beyond the baseline, as the start of a program looks for them.
    pub cpu_features: Vec<String>,
    /// Names of code and data, by address.
    pub symbols: BTreeMap<u64, String>,
}

/// The module's machine code.
pub struct Code<'a> {
    pub bytes: &'a [u8],
    /// Where it is loaded; 0 in objects, and in images its offset.
    pub address: u64,
    /// Symbols that places of the code refer to, by offset: only in objects.
    pub relocations: BTreeMap<u64, String>,
}

/// What an executable was built with.
pub struct Options {
    pub words: Vec<String>,
    pub sealed: bool,
}

impl<'a> Artifact<'a> {
    /// Reads an artifact from the bytes of a file.
    pub fn read(path: &Path, bytes: &'a [u8]) -> Result<Artifact<'a>> {
        let damaged = |what: &str| Failure::new(format!("`{}` is damaged: {what}", path.display()));
        let kind = FileKind::of(bytes);
        if !matches!(kind, FileKind::Executable | FileKind::Object | FileKind::Image) {
            return Err(Failure::new(format!(
                "`{}` was not made by aot: it is {}",
                path.display(),
                kind.with_article()
            ))
            .with_help("`aot inspect` says more about it"));
        }
        let file = File::parse(bytes).map_err(|error| damaged(&error.to_string()))?;
        let info = file
            .section_by_name(description_section(file.format()))
            .ok_or_else(|| damaged("no description"))?;
        let info_data = info.data().map_err(|_| damaged("its description lies outside the file"))?;
        let description = Description::new(info_data).map_err(|error| {
            damaged(&error.to_string()).with_help("or another version of aot made it: use that one")
        })?;
        let module = description.module().map_err(|error| damaged(&error.to_string()))?;
        let Parts { code, data_len, cpu_features } = match kind {
            FileKind::Object => object_parts(&file),
            FileKind::Image => image_parts(&file),
            _ => executable_parts(&file, info.address(), bytes),
        }
        .ok_or_else(|| damaged("its machine code is not where it should be"))?;
        Ok(Artifact {
            kind,
            target: target_name(&file),
            architecture: file.architecture(),
            description,
            description_len: info.size(),
            module,
            code,
            data_len,
            options: options(&file),
            cpu_features: names(cpu_features),
            symbols: symbols(&file),
            file,
        })
    }

    /// Number of imported functions.
    pub fn imported_funcs(&self) -> u32 {
        self.module.counts().imported_funcs
    }

    /// Address range of the sections that `select` chooses, added up.
    pub fn sections_len(&self, select: impl Fn(SectionKind, &str) -> bool) -> u64 {
        let sections = self.file.sections();
        let chosen = sections.filter(|section| select(section.kind(), section.name().unwrap_or("")));
        chosen.fold(0, |sum: u64, section| sum.saturating_add(section.size()))
    }

    /// The name of what is at an address of the file.
    pub fn name_at(&self, address: u64) -> Option<String> {
        if let Some(name) = self.symbols.get(&address) {
            return Some(name.clone());
        }
        let offset = u32::try_from(address.checked_sub(self.code.address)?).ok()?;
        let location = self.description.locate(offset).filter(|location| location.offset == 0)?;
        Some(self.range_name(location.range))
    }

    /// A name for a range of the code: of its function, or of the kind of trampoline that it is.
    pub fn range_name(&self, range: u32) -> String {
        let (offset, _) = self.description.code_range(range);
        // Symbols tell functions with the same name apart.
        if let Some(symbol) = self.symbols.get(&self.code.address.saturating_add(u64::from(offset))) {
            return symbol.clone();
        }
        if let Some(name) = self.description.name(range) {
            return name.to_owned();
        }
        let module = &self.module;
        if let Some(entry) = module.entries.iter().find(|entry| entry.code_offset == offset) {
            return format!("wasm-entry[{}]", entry.type_index);
        }
        match module.host_trampolines.iter().find(|trampoline| trampoline.code_offset == offset) {
            Some(trampoline) => format!("wasm-host[{}]", trampoline.type_index),
            None => String::from("wasm-helper"),
        }
    }

    /// The wasm function that a range of the code is of, or stands in for.
    pub fn range_func(&self, range: u32) -> Option<u32> {
        if (range as usize) < self.module.funcs.len() {
            return self.imported_funcs().checked_add(range);
        }
        let (offset, _) = self.description.code_range(range);
        let import = self.module.import_shims.iter().position(|shim| *shim == offset)?;
        u32::try_from(import).ok()
    }
}

/// The short name of the target of a file of ours.
fn target_name(file: &File<'_>) -> String {
    let system = match file.format() {
        BinaryFormat::MachO => "macos",
        BinaryFormat::Coff => "windows",
        _ => "linux",
    };
    let architecture = match file.architecture() {
        Architecture::X86_64 => "x86_64",
        Architecture::Aarch64 => "aarch64",
        Architecture::Riscv64 => "riscv64",
        Architecture::S390x => "s390x",
        other => return format!("{other:?}"),
    };
    format!("{architecture}-{system}")
}

/// What the kinds of artifacts have in different places.
struct Parts<'a> {
    code: Code<'a>,
    data_len: u64,
    /// Names, each ended by NUL.
    cpu_features: &'a [u8],
}

fn names(bytes: &[u8]) -> Vec<String> {
    let names = bytes.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

/// In an object, the module has sections of its own.
fn object_parts<'a>(file: &File<'a>) -> Option<Parts<'a>> {
    let (text, data, cpu) = match file.format() {
        BinaryFormat::MachO => ("__text", "__aot_data", "__aot_cpu"),
        BinaryFormat::Coff => (".text", ".rdata$aot.data", ".rdata$aot.cpu"),
        _ => (".text", ".rodata.aot", ".rodata.aot.cpu"),
    };
    let text = file.section_by_name(text)?;
    let mut relocations = BTreeMap::new();
    for (offset, relocation) in text.relocations() {
        if let object::RelocationTarget::Symbol(index) = relocation.target()
            && let Ok(symbol) = file.symbol_by_index(index)
            && let Ok(name) = symbol.name()
        {
            relocations.insert(offset, c_name(file, name).to_owned());
        }
    }
    let code = Code { bytes: text.data().ok()?, address: 0, relocations };
    let cpu_features = file.section_by_name(cpu).and_then(|section| section.data().ok());
    Some(Parts {
        code,
        data_len: file.section_by_name(data).map_or(0, |section| section.size()),
        cpu_features: cpu_features.unwrap_or_default(),
    })
}

/// The name of a symbol as C has it: Mach-O puts an underscore before it.
fn c_name<'n>(file: &File<'_>, name: &'n str) -> &'n str {
    match file.format() {
        BinaryFormat::MachO => name.strip_prefix('_').unwrap_or(name),
        _ => name,
    }
}

/// In an image too, and its code is where it will be relative to the rest.
fn image_parts<'a>(file: &File<'a>) -> Option<Parts<'a>> {
    let text = file.section_by_name(section::TEXT)?;
    let code = Code { bytes: text.data().ok()?, address: text.address(), relocations: BTreeMap::new() };
    let data_len = file.section_by_name(section::DATA).map_or(0, |section| section.size());
    // They stand in its note.
    Some(Parts { code, data_len, cpu_features: &[] })
}

/// In an executable, the linker has put the module's sections together with others. The descriptor that the runtime
/// reads tells where they are: address and length of code, description and data. Its symbol may be stripped, but
/// only there does the address of the description stand: in the file, or put in when the program starts.
fn executable_parts<'a>(file: &File<'a>, info_address: u64, bytes: &[u8]) -> Option<Parts<'a>> {
    const WORD: usize = 8;
    const MEMORY: usize = 7;
    const CPU_FEATURES: usize = 9;
    const INITIAL: usize = 12;
    let endian = file.endianness();
    let addresses = aot_compiler::run_time_addresses(bytes).ok()?;
    for section in file.sections().filter(|section| section.kind() != SectionKind::Text) {
        // Sections without bytes in the file have none to look at.
        let data = section.data().unwrap_or(&[]);
        let word = |at: usize| {
            let bytes = data.get(at..at + WORD)?;
            if let Some(address) = addresses.get(&section.address().saturating_add(at as u64)) {
                return Some(*address);
            }
            Some(endian.read_u64(bytes.try_into().ok()?))
        };
        for at in (0..data.len()).step_by(WORD) {
            if word(at + 2 * WORD) != Some(info_address) {
                continue;
            }
            if let (Some(address), Some(len), Some(data_len)) =
                (word(at), word(at + WORD), word(at + 5 * WORD))
                && let Some(bytes) = bytes_at(file, address, len, |kind| kind == SectionKind::Text)
            {
                let code = Code { bytes, address, relocations: BTreeMap::new() };
                let names = word(at + CPU_FEATURES * WORD).zip(word(at + (CPU_FEATURES + 1) * WORD));
                let names = names.and_then(|(address, len)| {
                    bytes_at(file, address, len, |kind| kind != SectionKind::Text)
                });
                let initial = word(at + INITIAL * WORD).zip(word(at + MEMORY * WORD));
                let initial_len =
                    initial.map_or(0, |(initial, memory)| initial_data_len(file, initial, memory));
                let data_len = data_len.saturating_add(initial_len);
                return Some(Parts { code, data_len, cpu_features: names.unwrap_or_default() });
            }
        }
    }
    None
}

/// Bytes that an executable has of the first contents of its memory (`aot_abi::descriptor`), which starts at `memory`.
fn initial_data_len(file: &File<'_>, initial: u64, memory: u64) -> u64 {
    const WORD: u64 = 8;
    let words = |address: u64, count: u64| -> Vec<u64> {
        let bytes = count
            .checked_mul(WORD)
            .and_then(|len| bytes_at(file, address, len, |kind| kind != SectionKind::Text));
        let (words, _) = bytes.unwrap_or_default().as_chunks();
        words.iter().map(|word| file.endianness().read_u64(*word)).collect()
    };
    let counts = words(initial, INITIAL_WORDS as u64);
    let [_, _, _, _, image_len, _, _, calls, copies] = counts[..] else { return 0 };
    let first = INITIAL_WORDS as u64 + calls.saturating_mul(2);
    let copies = words(initial.saturating_add(first.saturating_mul(WORD)), copies.saturating_mul(3));
    let in_memory = copies.chunks_exact(3).filter(|copy| copy[0] >= memory).map(|copy| copy[2]);
    in_memory.fold(image_len, u64::saturating_add)
}

/// Bytes of a section of some kind by address and length.
fn bytes_at<'a>(
    file: &File<'a>,
    address: u64,
    len: u64,
    is_wanted: impl Fn(SectionKind) -> bool,
) -> Option<&'a [u8]> {
    let sections = file.sections().filter(|section| is_wanted(section.kind()));
    for section in sections {
        let Some(start) = address.checked_sub(section.address()) else { continue };
        let range = Range {
            start: usize::try_from(start).ok()?,
            end: usize::try_from(start.checked_add(len)?).ok()?,
        };
        if let Some(bytes) = section.data().ok()?.get(range) {
            return Some(bytes);
        }
    }
    None
}

/// The run options; the layout is drawn where the compiler's linking stage writes it.
fn options(file: &File<'_>) -> Option<Options> {
    let data = file.section_by_name(OPTIONS_SECTION)?.data().ok()?;
    let (len, rest) = data.split_first_chunk::<8>()?;
    let (sealed, words) = rest.split_first()?;
    let len = file.endianness().read_u64(*len);
    let words = words.get(..usize::try_from(len).ok()?)?;
    let words = words.strip_suffix(&[0]).map(|words| words.split(|byte| *byte == 0));
    let words = words.into_iter().flatten().map(|word| String::from_utf8_lossy(word).into_owned());
    Some(Options { words: words.collect(), sealed: *sealed != 0 })
}

fn symbols(file: &File<'_>) -> BTreeMap<u64, String> {
    let mut symbols = BTreeMap::new();
    // Marks of where code and data begin come after the names of both.
    let is_name = |symbol: &object::Symbol<'_, '_>| symbol.size() > 0;
    let (names, others): (Vec<_>, Vec<_>) =
        file.symbols().filter(|symbol| symbol.is_definition()).partition(is_name);
    // In Mach-O, where no symbol has a size, names of C start with an underscore, and those that only linkers use with this.
    let is_macho = file.format() == BinaryFormat::MachO;
    for symbol in names.into_iter().chain(others) {
        if let Ok(name) = symbol.name()
            && !name.is_empty()
            && !(is_macho && name.starts_with('l'))
        {
            symbols.entry(symbol.address()).or_insert_with(|| c_name(file, name).to_owned());
        }
    }
    symbols
}
