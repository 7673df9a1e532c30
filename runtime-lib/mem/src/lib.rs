//! `memcpy`, `memmove`, `memset`, `memcmp`, `bcmp` and `strlen` for programs without a libc.
//!
//! Compilers call these five by name for any copy or comparison, and `core` leaves them to the platform. A crate of
//! its own, since its loops must not be turned into calls of themselves (`no_builtins`). Short lengths are done
//! branch by branch with overlapping words; long ones in words of 16 bytes, or by the string instructions of x86.
#![no_std]
#![no_builtins]

mod strlen;
pub use strlen::strlen;

/// From this length on the string instructions of x86 win over a loop.
#[cfg(target_arch = "x86_64")]
const STRING_INSTRUCTION: usize = 1024;

type Word = u128;
const WORD: usize = size_of::<Word>();

/// # Safety
/// `at` is valid for reads of a `T`, at any alignment.
#[inline(always)]
unsafe fn load<T: Copy>(at: *const u8) -> T {
    // SAFETY: the caller vouches for it.
    unsafe { at.cast::<T>().read_unaligned() }
}

/// # Safety
/// `at` is valid for writes of a `T`, at any alignment.
#[inline(always)]
unsafe fn store<T: Copy>(at: *mut u8, value: T) {
    // SAFETY: the caller vouches for it.
    unsafe { at.cast::<T>().write_unaligned(value) }
}

/// Copies between one and two `T`s: both ends, which may overlap; all is read before anything is written.
///
/// # Safety
/// `len` is at least the size of a `T` and at most twice that; the ranges are valid.
#[inline(always)]
unsafe fn copy_ends<T: Copy>(to: *mut u8, from: *const u8, len: usize) {
    let last = len - size_of::<T>();
    // SAFETY: both words lie in the ranges.
    unsafe {
        let (start, end) = (load::<T>(from), load::<T>(from.add(last)));
        store(to, start);
        store(to.add(last), end);
    }
}

/// Copies up to 32 bytes; the ranges may overlap.
///
/// # Safety
/// The ranges are valid for `len` bytes.
#[inline(always)]
unsafe fn copy_short(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: each arm fits its length.
    unsafe {
        match len {
            0 => {}
            1 => store(to, load::<u8>(from)),
            2..4 => copy_ends::<u16>(to, from, len),
            4..8 => copy_ends::<u32>(to, from, len),
            8..16 => copy_ends::<u64>(to, from, len),
            _ => copy_ends::<Word>(to, from, len),
        }
    }
}

/// Copies four words; all are read before any is written. One by one: of an array the compiler would make a call of
/// `memmove`.
///
/// # Safety
/// The ranges are valid for four words.
#[inline(always)]
unsafe fn copy_words(to: *mut u8, from: *const u8) {
    // SAFETY: the caller vouches for the ranges.
    unsafe {
        let (a, b) = (load::<Word>(from), load::<Word>(from.add(WORD)));
        let (c, d) = (load::<Word>(from.add(2 * WORD)), load::<Word>(from.add(3 * WORD)));
        store(to, a);
        store(to.add(WORD), b);
        store(to.add(2 * WORD), c);
        store(to.add(3 * WORD), d);
    }
}

/// Copies more than 32 bytes from low to high addresses. The ranges may overlap if `to` is below `from`.
///
/// # Safety
/// The ranges are valid for `len` bytes.
unsafe fn copy_up(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: every word lies in the ranges. The last one is read before its place can be overwritten.
    unsafe {
        let last = load::<Word>(from.add(len - WORD));
        let mut at = 0;
        while at + 4 * WORD <= len {
            copy_words(to.add(at), from.add(at));
            at += 4 * WORD;
        }
        while at + WORD <= len {
            store(to.add(at), load::<Word>(from.add(at)));
            at += WORD;
        }
        store(to.add(len - WORD), last);
    }
}

/// Copies more than 32 bytes from high to low addresses. The ranges may overlap if `to` is above `from`.
///
/// # Safety
/// The ranges are valid for `len` bytes.
unsafe fn copy_down(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: every word lies in the ranges. The first one is read before its place can be overwritten.
    unsafe {
        let first = load::<Word>(from);
        let mut at = len;
        while at >= 4 * WORD {
            at -= 4 * WORD;
            copy_words(to.add(at), from.add(at));
        }
        while at >= WORD {
            at -= WORD;
            store(to.add(at), load::<Word>(from.add(at)));
        }
        store(to, first);
    }
}

/// Copies `len` bytes between ranges that do not overlap.
///
/// # Safety
/// The ranges are valid for `len` bytes.
#[cfg_attr(feature = "symbols", unsafe(no_mangle))]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the ranges.
    unsafe {
        if len <= 2 * WORD {
            copy_short(to, from, len);
            return to;
        }
        #[cfg(target_arch = "x86_64")]
        if len >= STRING_INSTRUCTION {
            core::arch::asm!(
                "rep movsb",
                inout("rcx") len => _,
                inout("rdi") to => _,
                inout("rsi") from => _,
                options(nostack, preserves_flags),
            );
            return to;
        }
        copy_up(to, from, len);
    }
    to
}

/// Copies `len` bytes between ranges that may overlap.
///
/// # Safety
/// The ranges are valid for `len` bytes.
#[cfg_attr(feature = "symbols", unsafe(no_mangle))]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the ranges; the direction suits their overlap.
    unsafe {
        if len <= 2 * WORD {
            copy_short(to, from, len);
        } else if (to as usize).abs_diff(from as usize) >= len {
            memcpy(to, from, len);
        } else if (to as usize) < (from as usize) {
            copy_up(to, from, len);
        } else {
            copy_down(to, from, len);
        }
    }
    to
}

/// Sets `len` bytes to the low byte of `byte`.
///
/// # Safety
/// The range is valid for `len` bytes.
#[cfg_attr(feature = "symbols", unsafe(no_mangle))]
pub unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    let word = Word::from_ne_bytes([byte as u8; WORD]);
    // SAFETY: every word lies in the range.
    unsafe {
        match len {
            0 => {}
            1 => store(to, word as u8),
            2..4 => {
                store(to, word as u16);
                store(to.add(len - 2), word as u16);
            }
            4..8 => {
                store(to, word as u32);
                store(to.add(len - 4), word as u32);
            }
            8..16 => {
                store(to, word as u64);
                store(to.add(len - 8), word as u64);
            }
            #[cfg(target_arch = "x86_64")]
            STRING_INSTRUCTION.. => core::arch::asm!(
                "rep stosb",
                inout("rcx") len => _,
                inout("rdi") to => _,
                in("al") byte as u8,
                options(nostack, preserves_flags),
            ),
            _ => {
                let mut at = 0;
                while at + WORD <= len {
                    store(to.add(at), word);
                    at += WORD;
                }
                store(to.add(len - WORD), word);
            }
        }
    }
    to
}

/// Compares `len` bytes as unsigned numbers: negative, zero or positive.
///
/// # Safety
/// The ranges are valid for `len` bytes.
#[cfg_attr(feature = "symbols", unsafe(no_mangle))]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    let mut at = 0;
    // SAFETY: every word and byte lies in the ranges.
    unsafe {
        while at + 8 <= len {
            let (x, y) = (load::<u64>(a.add(at)), load::<u64>(b.add(at)));
            if x != y {
                // The first byte that differs decides: compare as big-endian numbers.
                return if u64::from_be(x) < u64::from_be(y) { -1 } else { 1 };
            }
            at += 8;
        }
        while at < len {
            let (x, y) = (load::<u8>(a.add(at)), load::<u8>(b.add(at)));
            if x != y {
                return i32::from(x) - i32::from(y);
            }
            at += 1;
        }
    }
    0
}

/// Zero if `len` bytes are equal.
///
/// # Safety
/// The ranges are valid for `len` bytes.
#[cfg_attr(feature = "symbols", unsafe(no_mangle))]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    // SAFETY: the same conditions.
    unsafe { memcmp(a, b, len) }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 + i / 256) as u8).collect()
    }

    #[test]
    fn moves_agree_with_core() {
        let lens = (0..140).chain([255, 256, 257, 1000, 1023, 1024, 1025, 2000]);
        for len in lens {
            for (to, from) in [(0, 0), (0, 1), (1, 0), (3, 20), (20, 3), (0, 2100), (2100, 5)] {
                let mut actual = bytes(4200);
                let mut expected = actual.clone();
                expected.copy_within(from..from + len, to);
                // SAFETY: both ranges lie in the vector.
                unsafe {
                    let base = actual.as_mut_ptr();
                    memmove(base.add(to), base.add(from), len);
                }
                assert!(actual == expected, "memmove of {len} bytes from {from} to {to}");
            }
            let source = bytes(len);
            let mut copy = std::vec![0; len + 2];
            // SAFETY: both ranges lie in their vectors.
            unsafe { memcpy(copy.as_mut_ptr().add(1), source.as_ptr(), len) };
            assert!(copy[0] == 0 && copy[1..=len] == source && copy[len + 1] == 0);
            // SAFETY: the range lies in the vector.
            unsafe { memset(copy.as_mut_ptr().add(1), 0x1a5, len) };
            assert!(copy[0] == 0 && copy[1..=len].iter().all(|b| *b == 0xa5) && copy[len + 1] == 0);
        }
    }

    #[test]
    fn comparisons_agree_with_core() {
        for len in 0..40 {
            let a = bytes(len);
            for at in 0..len {
                for value in [0, 127, 128, 255] {
                    let mut b = a.clone();
                    b[at] = value;
                    // SAFETY: both ranges lie in their vectors.
                    let order = unsafe { memcmp(a.as_ptr(), b.as_ptr(), len) };
                    assert_eq!(order.signum(), a.cmp(&b) as i32);
                    // SAFETY: both ranges lie in their vectors.
                    assert_eq!(unsafe { bcmp(a.as_ptr(), b.as_ptr(), len) } == 0, a == b);
                }
            }
        }
    }
}
