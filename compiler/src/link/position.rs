//! The addresses that an executable puts in itself when it starts, if it can be mapped anywhere.

use object::elf;
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use object::{Endian as _, Endianness};
use std::collections::BTreeMap;

/// Bytes of a relocation: place, kind, address.
const ENTRY: usize = 24;

/// For each place that is relocated, by address, what is put there if the program is mapped at 0. Empty for an executable of
/// a fixed address.
///
/// # Errors
/// What is wrong with the file, in one line: it may be damaged.
pub fn run_time_addresses(file: &[u8]) -> Result<BTreeMap<u64, u64>, String> {
    let unreadable = |error: object::read::Error| error.to_string();
    let header = elf::FileHeader64::<Endianness>::parse(file).map_err(unreadable)?;
    let endian = header.endian().map_err(unreadable)?;
    let relative = match header.e_machine(endian) {
        elf::EM_X86_64 => elf::R_X86_64_RELATIVE,
        elf::EM_AARCH64 => elf::R_AARCH64_RELATIVE,
        elf::EM_RISCV => elf::R_RISCV_RELATIVE,
        elf::EM_S390 => elf::R_390_RELATIVE,
        _ => return Ok(BTreeMap::new()),
    };
    let segments = header.program_headers(endian, file).map_err(unreadable)?;
    let (mut table, mut len) = (0, 0);
    for segment in segments {
        for entry in segment.dynamic(endian, file).map_err(unreadable)?.unwrap_or_default() {
            match entry.d_tag(endian) {
                elf::DT_RELA => table = entry.d_val(endian),
                elf::DT_RELASZ => len = entry.d_val(endian),
                elf::DT_REL | elf::DT_RELR | elf::DT_JMPREL => {
                    return Err(String::from("it has relocations of a kind that its start does not know"));
                }
                _ => {}
            }
        }
    }
    if len == 0 {
        return Ok(BTreeMap::new());
    }
    let bytes = segments
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
        .find_map(|segment| segment.data_range(endian, file, table, len).ok().flatten())
        .ok_or("its relocations lie outside of it")?;
    if bytes.len() % ENTRY != 0 {
        return Err(String::from("its relocations are not whole"));
    }
    let word = |bytes: &[u8], at: usize| {
        bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |word| endian.read_u64(*word))
    };
    let mut addresses = BTreeMap::new();
    for entry in bytes.chunks_exact(ENTRY) {
        let [place, info, address] = [word(entry, 0), word(entry, 8), word(entry, 16)];
        if info != u64::from(relative.0) {
            return Err(format!("what is at {place:#x} would be relocated by another rule"));
        }
        addresses.insert(place, address);
    }
    Ok(addresses)
}
