//! As much of an ELF file as an image needs: the header and the section headers of 64-bit files, in both byte orders.

use super::error::{Foreign, ImageError};

const HEADER_LEN: u64 = 64;
const SECTION_HEADER_LEN: u64 = 64;
const PROGRAM_HEADER_LEN: u64 = 56;

pub(super) const ET_REL: u16 = 1;
pub(super) const ET_EXEC: u16 = 2;
pub(super) const ET_DYN: u16 = 3;

pub(super) const SHT_PROGBITS: u32 = 1;
pub(super) const SHT_NOTE: u32 = 7;
pub(super) const SHF_WRITE: u64 = 1;
pub(super) const SHF_ALLOC: u64 = 2;
pub(super) const SHF_EXECINSTR: u64 = 4;

/// `e_ident[EI_OSABI]` of Wasmtime's files, and the start of the names of their sections.
const ELFOSABI_WASMTIME: u8 = 200;
pub(super) const WASMTIME_SECTIONS: &[u8] = b".wasmtime.";

/// An ELF file whose headers lie within it.
pub(super) struct Elf<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    section_headers: u64,
    section_count: u16,
    /// The section names.
    names: &'a [u8],
}

/// A section header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'a> {
    pub name: &'a [u8],
    pub kind: u32,
    pub flags: u64,
    pub address: u64,
    pub offset: u64,
    pub len: u64,
}

impl<'a> Elf<'a> {
    /// Reads the header, and finds the section headers.
    pub fn parse(bytes: &'a [u8]) -> Result<Elf<'a>, ImageError> {
        let len = bytes.len() as u64;
        let foreign = |kind| Err(ImageError::Foreign(kind));
        if !bytes.starts_with(b"\x7fELF") {
            return foreign(not_elf(bytes));
        }
        if len < HEADER_LEN {
            return Err(ImageError::Truncated { offset: 0, len, what: "the ELF header" });
        }
        const CLASS_64: u8 = 2;
        let big_endian = match (bytes[4], bytes[5]) {
            (CLASS_64, 1) => false,
            (CLASS_64, 2) => true,
            // No image has 32-bit addresses.
            _ => return foreign(Foreign::Elf),
        };
        if bytes[7] == ELFOSABI_WASMTIME {
            return foreign(Foreign::WasmtimeImage);
        }
        let mut elf = Elf { bytes, big_endian, section_headers: 0, section_count: 0, names: &[] };
        elf.section_headers = elf.u64(40);
        elf.section_count = elf.u16(60);
        if elf.section_count == 0 {
            return foreign(Foreign::Elf);
        }
        if u64::from(elf.u16(58)) != SECTION_HEADER_LEN {
            return Err(ImageError::Malformed { offset: 58, expected: "size of section headers" });
        }
        let (offset, size) = elf.section_table();
        elf.within(offset, size, "the section headers")?;
        let index = elf.u16(62);
        if index >= elf.section_count {
            return Err(ImageError::Malformed { offset: 62, expected: "index of the section names" });
        }
        let names = elf.section(index);
        elf.names = elf.within(names.offset, names.len, "the section names")?;
        let (offset, size) = elf.program_table();
        elf.within(offset, size, "the program headers")?;
        Ok(elf)
    }

    pub fn file_type(&self) -> u16 {
        self.u16(16)
    }

    pub fn machine(&self) -> u16 {
        self.u16(18)
    }

    pub fn is_big_endian(&self) -> bool {
        self.big_endian
    }

    /// Offset and length of the section headers.
    pub fn section_table(&self) -> (u64, u64) {
        (self.section_headers, u64::from(self.section_count) * SECTION_HEADER_LEN)
    }

    /// Offset and length of the program headers.
    pub fn program_table(&self) -> (u64, u64) {
        (self.u64(32), u64::from(self.u16(56)) * PROGRAM_HEADER_LEN)
    }

    /// Offset and length of the header.
    pub fn header(&self) -> (u64, u64) {
        (0, HEADER_LEN)
    }

    /// The sections; the first one is that of index 1.
    pub fn sections(&self) -> impl Iterator<Item = Section<'a>> {
        (1..self.section_count).map(|index| self.section(index))
    }

    /// The section with this index. The table was checked to lie in the file.
    fn section(&self, index: u16) -> Section<'a> {
        let at = self.section_headers + u64::from(index) * SECTION_HEADER_LEN;
        let name = self.names.get(self.u32(at) as usize..).unwrap_or(&[]);
        Section {
            name: name.split(|byte| *byte == 0).next().unwrap_or(&[]),
            kind: self.u32(at + 4),
            flags: self.u64(at + 8),
            address: self.u64(at + 16),
            offset: self.u64(at + 24),
            len: self.u64(at + 32),
        }
    }

    /// Bytes of the file.
    pub fn within(&self, offset: u64, len: u64, what: &'static str) -> Result<&'a [u8], ImageError> {
        let error = ImageError::Truncated { offset, len: self.bytes.len() as u64, what };
        let (Ok(start), Some(end)) = (usize::try_from(offset), offset.checked_add(len)) else {
            return Err(error);
        };
        let Ok(end) = usize::try_from(end) else { return Err(error) };
        self.bytes.get(start..end).ok_or(error)
    }

    /// A number at an offset; zeros follow the end of the file.
    fn number<const N: usize>(&self, offset: u64) -> [u8; N] {
        let mut number = [0; N];
        if let Ok(bytes) = self.within(offset, N as u64, "a number") {
            number.copy_from_slice(bytes);
        }
        number
    }

    fn u16(&self, offset: u64) -> u16 {
        let bytes = self.number(offset);
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    pub fn u32(&self, offset: u64) -> u32 {
        let bytes = self.number(offset);
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn u64(&self, offset: u64) -> u64 {
        let bytes = self.number(offset);
        if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
    }
}

/// What a file is that does not start like ELF.
fn not_elf(bytes: &[u8]) -> Foreign {
    /// `layer` in the preamble of components.
    const COMPONENT: Option<&[u8]> = Some(&[1, 0]);
    if bytes.is_empty() {
        Foreign::Empty
    } else if bytes.starts_with(b"\0asm") {
        if bytes.get(6..8) == COMPONENT { Foreign::Component } else { Foreign::Module }
    } else if bytes.trim_ascii_start().starts_with(b"(") {
        Foreign::Text
    } else {
        Foreign::Unknown
    }
}
