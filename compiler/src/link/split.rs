//! An executable and its debug information in a file of its own, as `objcopy --add-gnu-debuglink` leaves them.
//!
//! Debuggers look for the file by the build id that both have, and by the name and checksum in `.gnu_debuglink`.

use super::exe::{LinkOptions, Strip, link_executable};
use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;
use object::elf;
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, U16, U32, U64};
use std::ops::Range;

type Header = elf::FileHeader64<Endianness>;
type SectionHeader = elf::SectionHeader64<Endianness>;

/// An executable, and what was taken out of it.
pub struct Split {
    pub executable: Vec<u8>,
    /// The same executable with all of its debug information.
    pub debug: Vec<u8>,
}

/// Links an executable twice, with and without debug information. `name` is the name of the second file without its
/// folder.
///
/// # Errors
/// As [`link_executable`]; or if the name has a NUL.
pub fn link_split(
    objects: &[&[u8]],
    runtime: &[u8],
    target: &Target,
    strip: Strip,
    name: &[u8],
) -> Result<Split> {
    if name.is_empty() || name.contains(&0) {
        return Err(Error::new(ErrorKind::Config, "the name of the debug file cannot be part of a program"));
    }
    let strip = if strip == Strip::None { Strip::Debug } else { strip };
    let debug = link_executable(objects, runtime, target, &LinkOptions { strip: Strip::None })?;
    let mut executable = link_executable(objects, runtime, target, &LinkOptions { strip })?;
    let damaged = |error: object::read::Error| Error::internal(format!("the linker's result: {error}"));
    if segments(&debug).map_err(damaged)? != segments(&executable).map_err(damaged)? {
        return Err(Error::internal("the program has other addresses with debug information than without"));
    }
    // The linker made each id from the file that it is in.
    if let (Some(from), Some(to)) =
        (build_id(&debug).map_err(damaged)?, build_id(&executable).map_err(damaged)?)
        && from.len() == to.len()
    {
        executable[to].copy_from_slice(&debug[from]);
    }
    let header = Header::parse(&*debug).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    // Name, NUL, padding, checksum.
    let mut link = name.to_vec();
    link.push(0);
    link.resize(link.len().next_multiple_of(4), 0);
    link.extend(object::pod::bytes_of(&U32::new(endian, crc32(&debug))));
    add_section(&mut executable, b".gnu_debuglink", &link, 4).map_err(damaged)?;
    Ok(Split { executable, debug })
}

/// Where the program lies in memory: address and size of each segment.
fn segments(file: &[u8]) -> object::read::Result<Vec<(u64, u64)>> {
    let header = Header::parse(file)?;
    let endian = header.endian()?;
    let loaded =
        header.program_headers(endian, file)?.iter().filter(|header| header.p_type(endian) == elf::PT_LOAD);
    Ok(loaded.map(|header| (header.p_vaddr(endian), header.p_memsz(endian))).collect())
}

/// Where the bytes of the build id are in a file.
fn build_id(file: &[u8]) -> object::read::Result<Option<Range<usize>>> {
    let header = Header::parse(file)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, file)?;
    let Some((_, section)) = sections.section_by_name(endian, b".note.gnu.build-id") else { return Ok(None) };
    let start = section.sh_offset(endian) as usize;
    let range = start..start.saturating_add(section.sh_size(endian) as usize);
    Ok((range.end <= file.len()).then_some(range))
}

/// Adds a section that is not loaded, behind everything else: its bytes, the names of all sections, and the table of
/// sections.
fn add_section(file: &mut Vec<u8>, name: &[u8], bytes: &[u8], align: u64) -> object::read::Result<()> {
    let mut header = *Header::parse(&**file)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, &**file)?;
    let mut table: Vec<SectionHeader> = sections.iter().copied().collect();
    let names_index = header.shstrndx(endian, &**file)?;
    let Some(names_header) = table.get_mut(names_index as usize) else { return Ok(()) };
    let mut names = names_header.data(endian, &**file)?.to_vec();
    let sh_name = names.len() as u32;
    names.extend(name);
    names.push(0);

    file.resize(file.len().next_multiple_of(align as usize), 0);
    let sh_offset = file.len() as u64;
    file.extend(bytes);
    names_header.sh_offset = U64::new(endian, file.len() as u64);
    names_header.sh_size = U64::new(endian, names.len() as u64);
    file.extend(names);
    table.push(SectionHeader {
        sh_name: U32::new(endian, sh_name),
        sh_type: U32::new(endian, elf::SHT_PROGBITS),
        sh_flags: U64::new(endian, elf::SectionFlags(0)),
        sh_addr: U64::new(endian, 0),
        sh_offset: U64::new(endian, sh_offset),
        sh_size: U64::new(endian, bytes.len() as u64),
        sh_link: U32::new(endian, 0),
        sh_info: U32::new(endian, 0),
        sh_addralign: U64::new(endian, align),
        sh_entsize: U64::new(endian, 0),
    });
    file.resize(file.len().next_multiple_of(8), 0);
    header.e_shoff = U64::new(endian, file.len() as u64);
    header.e_shnum = U16::new(endian, table.len() as u16);
    for section in &table {
        file.extend(object::pod::bytes_of(section));
    }
    file[..size_of::<Header>()].copy_from_slice(object::pod::bytes_of(&header));
    Ok(())
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
