//! An executable and its debug information in a file of its own, as `objcopy --add-gnu-debuglink` leaves them.
//!
//! Debuggers look for the file by the build id that both have, and by the name and checksum in `.gnu_debuglink`.

use super::exe::{LinkOptions, Strip, link_executable};
use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;
use object::elf;
use object::pod::bytes_of;
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, U16, U32, U64};
use std::collections::HashMap;

type Header = elf::FileHeader64<Endianness>;
type SectionHeader = elf::SectionHeader64<Endianness>;

/// An executable, and what was taken out of it.
pub struct Split {
    pub executable: Vec<u8>,
    /// The same executable with all of its debug information.
    pub debug: Vec<u8>,
}

/// Links an executable, and takes its debug information out. `name` is the name of the file that it goes to, without
/// its folder.
///
/// # Errors
/// As [`link_executable`]; or if the name has a NUL.
pub fn link_split(
    objects: Vec<Vec<u8>>,
    runtime: Vec<u8>,
    target: &Target,
    options: &LinkOptions,
    name: &[u8],
) -> Result<Split> {
    if name.is_empty() || name.contains(&0) {
        return Err(Error::new(ErrorKind::Config, "the name of the debug file cannot be part of a program"));
    }
    let debug = link_executable(objects, runtime, target, &LinkOptions { strip: Strip::None, ..*options })?;
    let executable = stripped(&debug, options.strip == Strip::All, name)
        .map_err(|error| Error::internal(format!("the linker's result cannot be taken apart: {error}")))?;
    Ok(Split { executable, debug })
}

/// A file without the sections about debugging, and perhaps without symbols, and with a link to the file that has them.
/// What is loaded stays where it is; all other sections move up, and the table of sections becomes the end of the file.
fn stripped(file: &[u8], without_symbols: bool, name: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let unreadable = |error: object::read::Error| error.to_string();
    let mut header = *Header::parse(file).map_err(unreadable)?;
    let endian = header.endian().map_err(unreadable)?;
    let sections = header.sections(endian, file).map_err(unreadable)?;
    let names = header.shstrndx(endian, file).map_err(unreadable)? as usize;
    let symbols = sections.iter().position(|section| section.sh_type(endian) == elf::SHT_SYMTAB);
    let strings = symbols.and_then(|index| Some(sections.iter().nth(index)?.sh_link(endian) as usize));
    let is_left_out = |index: usize, section: &SectionHeader| {
        let is_about_debugging =
            sections.section_name(endian, section).is_ok_and(|name| name.starts_with(b".debug_"));
        is_about_debugging || without_symbols && (Some(index) == symbols || Some(index) == strings)
    };
    let segments = header.program_headers(endian, file).map_err(unreadable)?;
    let ends = segments.iter().map(|segment| segment.p_offset(endian) + segment.p_filesz(endian));
    let end = usize::try_from(ends.max().unwrap_or(0)).unwrap_or(usize::MAX);
    let mut out = file.get(..end).ok_or("a segment ends outside of the file")?.to_vec();

    // Where each section comes to be in the table.
    let mut places = HashMap::new();
    let mut table: Vec<SectionHeader> = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        if !is_left_out(index, section) {
            places.insert(index, table.len());
            table.push(*section);
        }
    }
    let (mut link_name, mut names_place) = (0, 0);
    for (index, section) in sections.iter().enumerate() {
        let Some(place) = places.get(&index).copied() else { continue };
        if section.sh_flags(endian).contains(elf::SHF_ALLOC) {
            // Symbols refer to it by its number.
            if place != index {
                return Err(String::from("a section that is loaded would get another number"));
            }
            continue;
        }
        let link = places.get(&(section.sh_link(endian) as usize)).copied().unwrap_or(0);
        let mut bytes = section.data(endian, file).map_err(unreadable)?.to_vec();
        if index == names {
            names_place = place;
            link_name = bytes.len() as u32;
            bytes.extend(b".gnu_debuglink\0");
        }
        table[place].sh_link = U32::new(endian, link as u32);
        append(&mut out, &mut table[place], endian, &bytes);
    }
    // Name, NUL, padding, checksum.
    let mut link = name.to_vec();
    link.push(0);
    link.resize(link.len().next_multiple_of(4), 0);
    link.extend(bytes_of(&U32::<Endianness>::new(endian, crc32(file))));
    let mut section = SectionHeader {
        sh_name: U32::new(endian, link_name),
        sh_type: U32::new(endian, elf::SHT_PROGBITS),
        sh_flags: U64::new(endian, elf::SectionFlags(0)),
        sh_addr: U64::new(endian, 0),
        sh_offset: U64::new(endian, 0),
        sh_size: U64::new(endian, 0),
        sh_link: U32::new(endian, 0),
        sh_info: U32::new(endian, 0),
        sh_addralign: U64::new(endian, 4),
        sh_entsize: U64::new(endian, 0),
    };
    append(&mut out, &mut section, endian, &link);
    table.push(section);
    out.resize(out.len().next_multiple_of(8), 0);
    header.e_shoff = U64::new(endian, out.len() as u64);
    header.e_shnum = U16::new(endian, table.len() as u16);
    header.e_shstrndx = U16::new(endian, elf::SymbolSection(names_place as u16));
    for section in &table {
        out.extend(bytes_of(section));
    }
    out[..size_of::<Header>()].copy_from_slice(bytes_of(&header));
    Ok(out)
}

/// Puts the bytes of a section at the end of a file.
fn append(out: &mut Vec<u8>, section: &mut SectionHeader, endian: Endianness, bytes: &[u8]) {
    let align = usize::try_from(section.sh_addralign(endian)).unwrap_or(1).clamp(1, 4096);
    out.resize(out.len().next_multiple_of(align), 0);
    section.sh_offset = U64::new(endian, out.len() as u64);
    section.sh_size = U64::new(endian, bytes.len() as u64);
    out.extend(bytes);
}

/// The checksum of `.gnu_debuglink`: CRC-32 as in zlib.
fn crc32(bytes: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|byte| {
        (0..8).fold(byte as u32, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    !bytes.iter().fold(!0, |crc: u32, byte| table[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(super::crc32(b""), 0);
    }
}
