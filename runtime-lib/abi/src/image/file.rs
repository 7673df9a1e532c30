//! Reading an image.

use super::elf::{ET_DYN, ET_EXEC, ET_REL, Elf, Section};
use super::elf::{SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_NOTE, SHT_PROGBITS, WASMTIME_SECTIONS};
use super::error::{Foreign, ImageError};
use super::note::{HASH_LEN, NOTE_HASH_OFFSET, NOTE_OWNER, NOTE_TYPE, Note};
use super::{ABI_HASH, Machine, section};
use crate::module::{Description, Module};
use crate::types::PAGE_SIZE;
use crate::validate::Parts;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// A range of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// In bytes from the start of the file. It is also the distance at which the part is to be mapped: code, data and
    /// unwind tables know each other by it.
    pub offset: u64,
    /// In bytes.
    pub len: u64,
}

impl Part {
    pub fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// An image whose headers were read: every part lies in the file, and no two overlap.
#[derive(Clone, Debug)]
pub struct ImageFile<'a> {
    bytes: &'a [u8],
    /// What the code is for.
    pub machine: Machine,
    pub note: Note<'a>,
    /// BLAKE3 of the content, as the note has it.
    pub hash: [u8; HASH_LEN],
    hash_offset: u64,
    /// Machine code, from the start of a page on; nothing else is in its pages.
    pub text: Part,
    /// The module description.
    pub description: Part,
    /// Bytes of the data segments.
    pub data: Part,
    /// The initial contents of memory 0: whole pages of wasm, from the start of a page of the machine on. Empty if the
    /// description has no `memory_image`.
    pub memory: Part,
    /// Unwind tables, with a terminator: at the same distance from the text as in the file, they can be registered with an
    /// unwinder.
    pub eh_frame: Part,
}

impl<'a> ImageFile<'a> {
    /// Reads the headers and the note of an image. Nothing that the machine, the hash or the description says was
    /// checked yet: see [`ImageFile::refusals`], [`ImageFile::verify`] and [`ImageFile::describe`].
    ///
    /// # Errors
    /// If the file is something else, was cut off, or contradicts itself.
    pub fn parse(bytes: &'a [u8]) -> Result<ImageFile<'a>, ImageError> {
        let elf = Elf::parse(bytes)?;
        let Some(note) = elf.sections().find(|found| found.name == section::NOTE.as_bytes()) else {
            return Err(ImageError::Foreign(foreign(&elf)));
        };
        let (desc, desc_offset) = note_description(&elf, &note)?;
        let (note_value, hash) = Note::decode(desc, desc_offset)?;
        let machine = note_value.machine().ok_or_else(|| ImageError::Machine {
            found: String::from(note_value.triple),
            wanted: Machine::HOST.map(Machine::triple),
        })?;
        let malformed = |offset, expected| Err(ImageError::Malformed { offset, expected });
        if elf.file_type() != ET_DYN {
            return malformed(16, "ELF file that can be mapped anywhere");
        }
        if elf.machine() != machine.elf_machine() || elf.is_big_endian() != machine.is_big_endian() {
            return malformed(18, "ELF file for the machine that the note names");
        }

        let mut parts: Vec<(&'static str, Part)> = vec![(section::NOTE, part(&elf, section::NOTE, &note)?)];
        for name in [section::DESCRIPTION, section::DATA, section::EH_FRAME, section::TEXT, section::MEMORY] {
            let mut found = elf.sections().filter(|section| section.name == name.as_bytes());
            let Some(section) = found.next() else { continue };
            if found.next().is_some() {
                return malformed(section.offset, "section of its kind only once");
            }
            parts.push((name, part(&elf, name, &section)?));
        }
        let get = |name| parts.iter().find(|(other, _)| *other == name).map(|(_, part)| *part);
        let image = ImageFile {
            bytes,
            machine,
            note: note_value,
            hash,
            hash_offset: desc_offset + NOTE_HASH_OFFSET as u64,
            text: get(section::TEXT).unwrap_or_default(),
            description: get(section::DESCRIPTION).unwrap_or_default(),
            data: get(section::DATA).unwrap_or_default(),
            memory: get(section::MEMORY).unwrap_or_default(),
            eh_frame: get(section::EH_FRAME).unwrap_or_default(),
        };
        if image.description.len == 0 {
            return malformed(elf.section_table().0, "module description");
        }
        image.check_alignment()?;
        for (what, (offset, len)) in [
            ("the ELF header", elf.header()),
            ("the program headers", elf.program_table()),
            ("the section headers", elf.section_table()),
        ] {
            parts.push((what, Part { offset, len }));
        }
        check_overlap(&parts, machine)?;
        Ok(image)
    }

    fn check_alignment(&self) -> Result<(), ImageError> {
        let alignment = self.machine.page_size();
        for (what, part) in [(section::TEXT, self.text), (section::MEMORY, self.memory)] {
            if !part.offset.is_multiple_of(alignment) {
                return Err(ImageError::Misaligned { offset: part.offset, what, alignment });
            }
        }
        if !self.memory.len.is_multiple_of(PAGE_SIZE) {
            let offset = self.memory.offset;
            return Err(ImageError::Malformed { offset, expected: "whole pages of initial memory" });
        }
        Ok(())
    }

    /// The bytes of a part of this image.
    pub fn bytes(&self, part: Part) -> &'a [u8] {
        let range = part.offset as usize..part.end() as usize;
        // Parts of this image lie within it; another one's may not.
        self.bytes.get(range).unwrap_or(&[])
    }

    /// Where the hash is in the file, in bytes.
    pub fn hash_offset(&self) -> u64 {
        self.hash_offset
    }

    /// Compares the hash: `blake3` gets the pieces of the content, in order, and returns their BLAKE3.
    ///
    /// # Errors
    /// If the file was damaged or changed.
    pub fn verify(&self, blake3: impl FnOnce([&'a [u8]; 2]) -> [u8; HASH_LEN]) -> Result<(), ImageError> {
        match blake3(hashed(self.bytes, self.hash_offset as usize)) == self.hash {
            true => Ok(()),
            false => Err(ImageError::Hash { offset: self.hash_offset }),
        }
    }

    /// Every reason why the code cannot run on a machine, by this version of the runtime: none if it can.
    /// `has_cpu_feature` tells what the machine's CPU has, by the names of `aot settings`.
    pub fn refusals(
        &self,
        machine: Option<Machine>,
        mut has_cpu_feature: impl FnMut(&str) -> bool,
    ) -> Vec<ImageError> {
        let mut refusals = Vec::new();
        let is_for_machine = machine == Some(self.machine);
        if !is_for_machine {
            let found = String::from(self.note.triple);
            refusals.push(ImageError::Machine { found, wanted: machine.map(Machine::triple) });
        }
        if self.note.abi_hash != ABI_HASH {
            refusals.push(ImageError::Abi { found: self.note.abi_hash });
        }
        // Features of another architecture mean nothing here.
        if is_for_machine {
            let features = self.note.cpu_features.iter();
            let missing: Vec<String> =
                features.filter(|name| !has_cpu_feature(name)).map(|name| String::from(*name)).collect();
            if !missing.is_empty() {
                refusals.push(ImageError::Cpu { missing });
            }
        }
        refusals
    }

    /// Reads the module description, and checks that nothing in it leads out of the parts of the image. An image of
    /// another ABI may have another kind of description: see [`ImageFile::refusals`] first.
    ///
    /// # Errors
    /// If the description is damaged.
    pub fn describe(&self) -> Result<(Description<'a>, Module), ImageError> {
        let offset = self.description.offset;
        let description = Description::new(self.bytes(self.description));
        let description = description.map_err(|error| ImageError::Description { offset, error })?;
        let module = description.module().map_err(|error| ImageError::Description { offset, error })?;
        let parts = Parts { text: self.text.len, data: self.data.len, memory: self.memory.len };
        let valid = module.validate(&description, &parts);
        valid.map_err(|invalid| ImageError::Invalid { offset, invalid })?;
        Ok((description, module))
    }
}

/// The bytes of a section of any ELF file with 64-bit addresses, by its name. `None` if there is none, or the file is damaged.
pub fn section_bytes<'a>(file: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let elf = Elf::parse(file).ok()?;
    let section = elf.sections().find(|section| section.name == name.as_bytes())?;
    elf.within(section.offset, section.len, "a section").ok()
}

/// The pieces of a file of which the hash is made: all but the hash itself, which is at `hash_offset`.
pub(super) fn hashed(bytes: &[u8], hash_offset: usize) -> [&[u8]; 2] {
    let hash_end = hash_offset.saturating_add(HASH_LEN);
    [bytes.get(..hash_offset).unwrap_or(bytes), bytes.get(hash_end..).unwrap_or(&[])]
}

/// What an ELF file without our note is.
fn foreign(elf: &Elf<'_>) -> Foreign {
    let has = |prefix: &[u8]| elf.sections().any(|section| section.name.starts_with(prefix));
    if has(WASMTIME_SECTIONS) {
        return Foreign::WasmtimeImage;
    }
    match elf.file_type() {
        ET_REL if has(section::DESCRIPTION.as_bytes()) => Foreign::Object,
        ET_EXEC if has(section::DESCRIPTION.as_bytes()) => Foreign::Executable,
        _ => Foreign::Elf,
    }
}

/// Where a section is in the file, if it is as it should be.
fn part(elf: &Elf<'_>, name: &'static str, section: &Section<'_>) -> Result<Part, ImageError> {
    let Section { kind, flags, address, offset, len, .. } = *section;
    elf.within(offset, len, name)?;
    let wanted_kind = if name == section::NOTE { SHT_NOTE } else { SHT_PROGBITS };
    let wanted_flags = if name == section::TEXT { SHF_ALLOC | SHF_EXECINSTR } else { SHF_ALLOC };
    if kind != wanted_kind || flags & (SHF_ALLOC | SHF_EXECINSTR | SHF_WRITE) != wanted_flags {
        return Err(ImageError::Malformed { offset, expected: "section of the kind that its name says" });
    }
    if address != offset {
        return Err(ImageError::Malformed { offset, expected: "section with its offset as its address" });
    }
    Ok(Part { offset, len })
}

/// The description in our note, and its offset in the file.
fn note_description<'a>(elf: &Elf<'a>, note: &Section<'_>) -> Result<(&'a [u8], u64), ImageError> {
    /// Name length, description length and type.
    const HEADER_LEN: u64 = 12;
    /// The owner with a NUL, which fills the 4 bytes to which names are aligned.
    const OWNER_LEN: u64 = NOTE_OWNER.len() as u64 + 1;
    const { assert!(OWNER_LEN == 4) };
    let start = note.offset;
    elf.within(start, note.len, section::NOTE)?;
    let header = elf.within(start, HEADER_LEN + OWNER_LEN, section::NOTE)?;
    let [name_len, desc_len, kind] = [0, 4, 8].map(|at| elf.u32(start + at));
    let owner = header.get(HEADER_LEN as usize..).and_then(|owner| owner.strip_suffix(b"\0"));
    if u64::from(name_len) != OWNER_LEN || kind != NOTE_TYPE || owner != Some(NOTE_OWNER.as_bytes()) {
        return Err(ImageError::Malformed { offset: start, expected: "note of aot" });
    }
    let (offset, len) = (start + HEADER_LEN + OWNER_LEN, u64::from(desc_len));
    if HEADER_LEN + OWNER_LEN + len > note.len {
        return Err(ImageError::Malformed { offset: start + 4, expected: "length of the note" });
    }
    Ok((elf.within(offset, len, section::NOTE)?, offset))
}

/// No byte belongs to two parts; and pages that are mapped in a way of their own belong to one only.
fn check_overlap(parts: &[(&'static str, Part)], machine: Machine) -> Result<(), ImageError> {
    let page = machine.page_size();
    let mut ranges: Vec<(u64, u64, &'static str)> = parts
        .iter()
        .filter(|(_, part)| part.len > 0)
        .map(|(name, part)| {
            let has_pages = [section::TEXT, section::MEMORY].contains(name);
            let end = if has_pages { part.end().next_multiple_of(page) } else { part.end() };
            (part.offset, end, *name)
        })
        .collect();
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        let [(_, end, a), (offset, _, b)] = *pair else { continue };
        if offset < end {
            return Err(ImageError::Overlap { offset, parts: [a, b] });
        }
    }
    Ok(())
}
