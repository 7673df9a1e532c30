//! An image as debuggers want it that know code by its addresses in the process, where nothing is relative.

use super::elf::Elf;
use super::section;
use crate::cursor::{Reader, Writer};
use alloc::vec::Vec;

const SHT_SYMTAB: u32 = 2;
const SHF_ALLOC: u64 = 2;
const SECTION_HEADER_LEN: usize = 64;
const PROGRAM_HEADER_LEN: usize = 56;
const SYMBOL_LEN: usize = 24;
/// The first of the section indices that are none.
const SHN_LORESERVE: u16 = 0xff00;

/// Encodes where debug sections have addresses, 8 bytes each: for each section its index in the file, and the offsets in it,
/// ascending. The content of [`section::ADDRESSES`].
///
/// ```text
/// number of sections; each: index, number of offsets, the distance of each from the one before
/// ```
pub fn encode_addresses(sections: &[(u32, Vec<u32>)]) -> Vec<u8> {
    let mut w = Writer::default();
    w.list(sections, |w, (index, offsets)| {
        w.u32(*index);
        let mut last = 0;
        w.list(offsets, |w, offset| {
            w.u32(offset.wrapping_sub(last));
            last = *offset;
        });
    });
    w.bytes
}

/// A copy of an image that is mapped at `base`: addresses of sections and symbols, and those in debug information, are those
/// in the process. `None` if it is damaged.
pub fn at_address(image: &[u8], base: u64) -> Option<Vec<u8>> {
    let elf = Elf::parse(image).ok()?;
    let mut out = Patched { bytes: image.to_vec(), is_big_endian: elf.is_big_endian(), base };
    let (start, len) = elf.program_table();
    for at in (start..start + len).step_by(PROGRAM_HEADER_LEN) {
        // Virtual and physical address; the note about the stack has none.
        if out.word(at.checked_add(32)?)? > 0 {
            out.add(at + 16)?;
            out.add(at + 24)?;
        }
    }
    let (table, _) = elf.section_table();
    for (index, section) in (1u64..).zip(elf.sections()) {
        if section.flags & SHF_ALLOC != 0 {
            out.add(table + index * SECTION_HEADER_LEN as u64 + 16)?;
        }
        let content = || elf.within(section.offset, section.len, "a section").ok();
        if section.kind == SHT_SYMTAB {
            for symbol in 0..content()?.len() / SYMBOL_LEN {
                let at = section.offset + (symbol * SYMBOL_LEN) as u64;
                let place = out.half(at + 6)?;
                if place != 0 && place < SHN_LORESERVE {
                    out.add(at + 8)?;
                }
            }
        } else if section.name == section::ADDRESSES.as_bytes() {
            out.addresses(&elf, content()?)?;
        }
    }
    Some(out.bytes)
}

struct Patched {
    bytes: Vec<u8>,
    is_big_endian: bool,
    base: u64,
}

impl Patched {
    fn field<const N: usize>(&mut self, offset: u64) -> Option<&mut [u8; N]> {
        let start = usize::try_from(offset).ok()?;
        self.bytes.get_mut(start..)?.first_chunk_mut()
    }

    fn half(&mut self, offset: u64) -> Option<u16> {
        let is_big_endian = self.is_big_endian;
        let bytes = *self.field(offset)?;
        Some(if is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn word(&mut self, offset: u64) -> Option<u64> {
        let is_big_endian = self.is_big_endian;
        let bytes = *self.field(offset)?;
        Some(if is_big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    /// Makes a distance from the start of the image an address.
    fn add(&mut self, offset: u64) -> Option<()> {
        let value = self.word(offset)?.wrapping_add(self.base);
        let is_big_endian = self.is_big_endian;
        let field = self.field::<8>(offset)?;
        *field = if is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        Some(())
    }

    fn addresses(&mut self, elf: &Elf<'_>, list: &[u8]) -> Option<()> {
        let mut r = Reader::new(list);
        for _ in 0..r.u32() {
            let (index, count) = (r.u32(), r.u32());
            r.check().ok()?;
            let section = elf.sections().nth((index as usize).checked_sub(1)?)?;
            elf.within(section.offset, section.len, "a section").ok()?;
            let mut offset = 0u64;
            for _ in 0..count {
                offset += u64::from(r.u32());
                r.check().ok()?;
                if offset + 8 > section.len {
                    return None;
                }
                self.add(section.offset + offset)?;
            }
        }
        r.finish("end of the addresses").ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// An image with a text section at 0x40, a symbol for it, and debug information with an address of it.
    fn sample() -> Vec<u8> {
        let mut out = vec![0; 64];
        out[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let half =
            |out: &mut Vec<u8>, at: usize, value: u16| out[at..at + 2].copy_from_slice(&value.to_le_bytes());
        let word =
            |out: &mut Vec<u8>, at: usize, value: u64| out[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let names = b"\0.text\0.debug_info\0.debug_aot_addr\0.symtab\0";
        let list = encode_addresses(&[(2, vec![4])]);
        let mut sections = vec![(0u32, 0u32, 0u64, 0u64, 0u64)];
        let mut put = |out: &mut Vec<u8>, name, kind, flags, bytes: &[u8]| {
            sections.push((name, kind, flags, out.len() as u64, bytes.len() as u64));
            out.extend_from_slice(bytes);
        };
        put(&mut out, 1, 1, 2, &[0x90; 16]);
        let mut info = vec![0; 16];
        info[4] = 0x48;
        put(&mut out, 7, 1, 0, &info);
        put(&mut out, 19, 1, 0, &list);
        let mut symbols = vec![0; 48];
        half(&mut symbols, 30, 1);
        word(&mut symbols, 32, 0x40);
        put(&mut out, 35, 2, 0, &symbols);
        put(&mut out, 0, 3, 0, names);
        let table = out.len();
        for (name, kind, flags, offset, len) in sections {
            let mut header = vec![0; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[4..8].copy_from_slice(&kind.to_le_bytes());
            word(&mut header, 8, flags);
            word(&mut header, 16, if flags > 0 { offset } else { 0 });
            word(&mut header, 24, offset);
            word(&mut header, 32, len);
            out.extend(header);
        }
        word(&mut out, 40, table as u64);
        half(&mut out, 58, 64);
        half(&mut out, 60, 6);
        half(&mut out, 62, 5);
        out
    }

    #[test]
    fn addresses_become_those_of_the_process() {
        let image = sample();
        let out = at_address(&image, 0x7000_0000).unwrap();
        let word = |at: usize| u64::from_le_bytes(out[at..at + 8].try_into().unwrap());
        let table = word(40) as usize;
        assert_eq!(word(table + 64 + 16), 0x7000_0040, "the section");
        assert_eq!(word(table + 128 + 16), 0, "a section that is not mapped");
        let info = word(table + 128 + 24) as usize;
        assert_eq!(word(info + 4), 0x7000_0048, "the address in it");
        let symbols = word(table + 256 + 24) as usize;
        assert_eq!((word(symbols + 8), word(symbols + 32)), (0, 0x7000_0040), "symbols");
    }

    #[test]
    fn damage_never_panics() {
        let image = sample();
        for at in 0..image.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = image.clone();
                damaged[at] ^= flip;
                drop(at_address(&damaged, u64::MAX - 100));
            }
            drop(at_address(&image[..at], 4096));
        }
    }
}
