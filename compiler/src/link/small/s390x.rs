//! Relocations of s390x: "ELF Application Binary Interface, s390x Supplement".

use super::input::Place;
use object::elf;

/// Whether a relocation refers to a slot in the table of addresses.
pub(super) fn needs_got(kind: elf::RelocationType) -> bool {
    [elf::R_390_GOTENT, elf::R_390_GOTPLTENT].contains(&kind)
}

/// Whether a relocation puts an address in, which depends on where the program is.
pub(super) fn is_address(kind: elf::RelocationType, to: Place) -> bool {
    kind == elf::R_390_64 && matches!(to, Place::Section(..) | Place::Dynamic)
}

/// Addresses that a relocation is computed from.
pub(super) struct Values {
    /// Of the symbol.
    pub symbol: u64,
    pub addend: i64,
    /// Of the place that is changed.
    pub place: u64,
    /// Of the symbol's slot in the table of addresses.
    pub slot: u64,
}

/// Writes a relocation's value to the place that starts with `bytes`.
pub(super) fn apply(kind: elf::RelocationType, values: &Values, bytes: &mut [u8]) -> Result<(), String> {
    let Values { symbol, addend, place, slot } = *values;
    let absolute = symbol.wrapping_add_signed(addend);
    let relative = absolute.wrapping_sub(place).cast_signed();
    let to_slot = slot.wrapping_add_signed(addend).wrapping_sub(place).cast_signed();
    match kind {
        elf::R_390_NONE => Ok(()),
        elf::R_390_64 => put(bytes, absolute.to_be_bytes()),
        elf::R_390_PC64 => put(bytes, relative.to_be_bytes()),
        elf::R_390_32 => put(bytes, unsigned(absolute)?.to_be_bytes()),
        elf::R_390_PC32 => put(bytes, signed(relative)?.to_be_bytes()),
        elf::R_390_PC32DBL | elf::R_390_PLT32DBL => put(bytes, signed(halfwords(relative)?)?.to_be_bytes()),
        elf::R_390_GOTENT | elf::R_390_GOTPLTENT => put(bytes, signed(halfwords(to_slot)?)?.to_be_bytes()),
        other => Err(format!("relocation {} is not supported", other.0)),
    }
}

fn put<const N: usize>(bytes: &mut [u8], value: [u8; N]) -> Result<(), String> {
    let place = bytes.get_mut(..N).ok_or("a relocation is outside of its section")?;
    place.copy_from_slice(&value);
    Ok(())
}

fn too_far<T>(_: T) -> String {
    String::from("an address is too far away: the executable is larger than 4 GiB")
}

fn signed(value: i64) -> Result<i32, String> {
    i32::try_from(value).map_err(too_far)
}

fn unsigned(value: u64) -> Result<u32, String> {
    u32::try_from(value).map_err(too_far)
}

/// Instructions count distances in units of two bytes.
fn halfwords(distance: i64) -> Result<i64, String> {
    match distance % 2 {
        0 => Ok(distance / 2),
        _ => Err(String::from("an instruction refers to an odd address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: elf::RelocationType, symbol: u64, addend: i64, expected: &[u8]) {
        let mut bytes = vec![0; expected.len()];
        let values = Values { symbol, addend, place: 0x1000, slot: 0x3000 };
        apply(kind, &values, &mut bytes).unwrap();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn values() {
        check(elf::R_390_64, 0x1234, 1, &[0, 0, 0, 0, 0, 0, 0x12, 0x35]);
        check(elf::R_390_PC32, 0x0ffc, 0, &[0xff, 0xff, 0xff, 0xfc]);
        // The field of `brasl` is two bytes behind its start.
        check(elf::R_390_PLT32DBL, 0x1ffe, 2, &[0, 0, 8, 0]);
        check(elf::R_390_GOTENT, 0, 2, &[0, 0, 0x10, 1]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let far = Values { symbol: 1 << 40, addend: 0, place: 0, slot: 0 };
        for kind in [elf::R_390_32, elf::R_390_PC32, elf::R_390_PC32DBL, elf::R_390_TLS_LE64] {
            assert!(apply(kind, &far, &mut [0; 8]).is_err());
        }
        let odd = Values { symbol: 3, addend: 0, place: 0, slot: 0 };
        assert!(apply(elf::R_390_PC32DBL, &odd, &mut [0; 4]).is_err());
        assert!(apply(elf::R_390_64, &odd, &mut [0; 4]).is_err());
    }
}
