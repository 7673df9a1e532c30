//! Executables that the kernel maps wherever it likes: before anything else runs, they add where they are to all addresses
//! that they have.

use crate::arch;
use rustix::mm::{MprotectFlags, mprotect};

/// An entry of the dynamic section.
#[repr(C)]
pub struct Dynamic {
    tag: usize,
    value: usize,
}

/// Where the relocations are, and how many bytes they have (`elf.h`).
const DT_RELA: usize = 7;
const DT_RELASZ: usize = 8;

/// A relocation with an addend.
#[repr(C)]
struct Relocation {
    offset: usize,
    info: usize,
    addend: usize,
}

/// The part of an ELF header that tells where the program headers are.
#[repr(C)]
struct Header {
    _before: [u64; 4],
    segments: usize,
    _between: [u16; 8],
    segment_count: u16,
}

#[repr(C)]
struct Segment {
    kind: u32,
    _flags: u32,
    _offset: usize,
    address: usize,
    _physical: usize,
    _file_size: usize,
    size: usize,
    _align: usize,
}

/// What is written by relocations only.
const PT_GNU_RELRO: u32 = 0x6474_e552;

/// Relocates the executable. What the linker made was checked when it was linked.
///
/// # Safety
/// Called first of all by the entry of an executable that can be mapped anywhere: `base` is its first byte, `dynamic` its
/// dynamic section.
pub unsafe extern "C" fn relocate(base: *mut u8, mut dynamic: *const Dynamic) {
    let (mut table, mut size) = (0, 0);
    // SAFETY: the linker made the tables; nothing else runs yet. No address of another item is used before its relocation:
    // compilers make those of code and data of the same program relative.
    unsafe {
        while (*dynamic).tag != 0 {
            if (*dynamic).tag == DT_RELA {
                table = (*dynamic).value;
            } else if (*dynamic).tag == DT_RELASZ {
                size = (*dynamic).value;
            }
            dynamic = dynamic.add(1);
        }
        let mut relocation = base.add(table).cast::<Relocation>();
        let end = base.add(table + size).cast::<Relocation>();
        while relocation < end {
            if (*relocation).info == arch::RELATIVE {
                let place = base.add((*relocation).offset).cast::<usize>();
                place.write_unaligned((base as usize).wrapping_add((*relocation).addend));
            }
            relocation = relocation.add(1);
        }
        protect(base);
    }
}

/// Makes read-only what nobody writes to from now on.
///
/// # Safety
/// As [`relocate`].
unsafe fn protect(base: *mut u8) {
    // SAFETY: the executable starts with its headers, and the linker made this part end with a page.
    unsafe {
        let header = base.cast::<Header>();
        let segments = base.add((*header).segments).cast::<Segment>();
        for index in 0..usize::from((*header).segment_count) {
            let segment = segments.add(index);
            if (*segment).kind == PT_GNU_RELRO {
                let start = (*segment).address / arch::MAX_PAGE * arch::MAX_PAGE;
                let end = ((*segment).address + (*segment).size) / arch::MAX_PAGE * arch::MAX_PAGE;
                if start < end {
                    // Where that fails, the program is as well off as one without such a part.
                    let _ = mprotect(base.add(start).cast(), end - start, MprotectFlags::READ);
                }
            }
        }
    }
}
