//! What instructions of aarch64 read and write, as far as it has to be known: what is not known here reads everything.
//!
//! Encodings: Arm Architecture Reference Manual for A-profile, C4.1 (A64 instruction set encoding).

use std::ops::{BitAnd, BitAndAssign, BitOrAssign, Not};

/// General registers by bit, then vector registers. The number 31 is the stack pointer, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Registers(u64);

const NONE: Registers = Registers(0);
const ALL: Registers = Registers(u64::MAX);
const VECTORS: u32 = 32;

/// x0 to x8, which arguments and results are passed in, and v0 to v7.
const PASSED: Registers = Registers(0x1ff | 0xff << VECTORS);

/// x9 to x17 and v16 to v31, which nobody looks at after a return.
const SCRATCH: Registers = Registers(0x3_fe00 | 0xffff << (VECTORS + 16));

impl Registers {
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn general(number: u32) -> Registers {
        Registers(if number == 31 { 0 } else { 1 << number })
    }

    fn vector(number: u32) -> Registers {
        Registers(1 << (number + VECTORS))
    }
}

impl BitAnd for Registers {
    type Output = Registers;
    fn bitand(self, other: Registers) -> Registers {
        Registers(self.0 & other.0)
    }
}

impl BitAndAssign for Registers {
    fn bitand_assign(&mut self, other: Registers) {
        self.0 &= other.0;
    }
}

impl BitOrAssign for Registers {
    fn bitor_assign(&mut self, other: Registers) {
        self.0 |= other.0;
    }
}

impl Not for Registers {
    type Output = Registers;
    fn not(self) -> Registers {
        Registers(!self.0)
    }
}

/// A conditional branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Branch {
    word: u32,
    pub target: u32,
    pub reads: Registers,
}

/// What an instruction does that is no branch to a known place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    pub reads: Registers,
    /// What it writes whatever was there.
    pub writes: Registers,
    /// Whether it leaves the function, or goes to no known place.
    pub leaves: bool,
}

const fn field(word: u32, low: u32, bits: u32) -> u32 {
    word >> low & ((1 << bits) - 1)
}

/// The number in some bits, with its sign.
const fn signed(word: u32, low: u32, bits: u32) -> i32 {
    (word << (32 - low - bits)) as i32 >> (32 - bits)
}

/// Where the distance of a conditional branch is, in instructions: its first bit, and how many.
fn distance_field(word: u32) -> Option<(u32, u32)> {
    if word & 0xff00_0010 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 {
        // b.cond, cbz, cbnz
        Some((5, 19))
    } else if word & 0x7e00_0000 == 0x3600_0000 {
        // tbz, tbnz
        Some((5, 14))
    } else {
        None
    }
}

/// A conditional branch at an offset.
pub(super) fn branch(word: u32, at: u32) -> Option<Branch> {
    let (low, bits) = distance_field(word)?;
    let target = at.checked_add_signed(signed(word, low, bits).wrapping_mul(4))?;
    let reads = if is_by_flags(word) { NONE } else { Registers::general(field(word, 0, 5)) };
    Some(Branch { word, target, reads })
}

fn is_by_flags(word: u32) -> bool {
    word & 0xff00_0000 == 0x5400_0000
}

/// The branch on the opposite condition, from an offset to another, if it reaches.
pub(super) fn inverted(branch: Branch, at: u32, target: u32) -> Option<u32> {
    let (low, bits) = distance_field(branch.word)?;
    // "Always" has no opposite.
    if is_by_flags(branch.word) && field(branch.word, 1, 3) == 7 {
        return None;
    }
    let distance = (i64::from(target) - i64::from(at)) / 4;
    let limit = 1_i64 << (bits - 1);
    // The lowest bit of a condition negates it; so does the one between cbz and cbnz, tbz and tbnz.
    let negated = branch.word ^ if is_by_flags(branch.word) { 1 } else { 1 << 24 };
    let mask = ((1 << bits) - 1) << low;
    (-limit..limit).contains(&distance).then_some(negated & !mask | (distance as u32) << low & mask)
}

/// Where an instruction at an offset leads, if it is `b`.
pub(super) fn jump(word: u32, at: u32) -> Option<u32> {
    let is_jump = word & 0xfc00_0000 == 0x1400_0000;
    at.checked_add_signed(signed(word, 0, 26).wrapping_mul(4)).filter(|_| is_jump)
}

/// `b`, from an offset to another. It reaches whatever a conditional branch does.
pub(super) fn jump_to(at: u32, target: u32) -> u32 {
    0x1400_0000 | (target.wrapping_sub(at) as i32 >> 2) as u32 & 0x03ff_ffff
}

/// Whether an instruction is `br`.
pub(super) fn is_indirect_branch(word: u32) -> bool {
    word & 0xffff_fc1f == 0xd61f_0000
}

/// The register that an instruction sets from another one or from the stack, if it does nothing else.
pub(super) fn copy(word: u32) -> Option<Registers> {
    const STACK: u32 = 31 << 5;
    let to = field(word, 0, 5);
    let is_general = word & 0x7fe0_ffe0 == 0x2a00_03e0 // mov between general registers
        || word & 0xbfc0_03e0 == 0xb940_0000 | STACK; // ldr of 4 or 8 bytes from the stack
    let is_vector = matches!(word & 0xffff_fc00, 0x1e20_4000 | 0x1e60_4000) // fmov between registers
        || word & 0xffe0_fc00 == 0x4ea0_1c00 && field(word, 5, 5) == field(word, 16, 5) // mov of all bytes
        || word & 0xbfc0_03e0 == 0xbd40_0000 | STACK // ldr of 4 or 8 bytes
        || word & 0xffc0_03e0 == 0x3dc0_0000 | STACK; // ldr of 16 bytes
    match (is_general, is_vector) {
        (true, _) => Some(Registers::general(to)),
        (_, true) => Some(Registers::vector(to)),
        _ => None,
    }
}

const UNKNOWN: Effect = Effect { reads: ALL, writes: NONE, leaves: false };

/// What an instruction does that is neither [`branch`] nor [`jump`].
pub(super) fn effect(word: u32) -> Effect {
    match field(word, 25, 4) {
        // udf, which is a trap.
        0 if word >> 16 == 0 => Effect { reads: NONE, writes: NONE, leaves: true },
        0b1000 | 0b1001 => immediate(word),
        0b1010 | 0b1011 => control(word).unwrap_or(UNKNOWN),
        0b0101 | 0b1101 => operation(word),
        0b0100 | 0b0110 | 0b1100 | 0b1110 => access(word),
        0b0111 | 0b1111 => vector(word),
        _ => UNKNOWN,
    }
}

/// Where instructions name what they read, by the lowest bits.
const SOURCES: &[u32] = &[5, 10, 16];

/// The same, with where they name what they write, or read too.
const FIELDS: &[u32] = &[0, 5, 10, 16];

/// All that some fields may name.
fn named(word: u32, fields: &[u32], register: fn(u32) -> Registers) -> Registers {
    let mut all = NONE;
    for low in fields {
        all |= register(field(word, *low, 5));
    }
    all
}

/// Data processing (immediate).
fn immediate(word: u32) -> Effect {
    let to = Registers::general(field(word, 0, 5));
    let mut reads = match field(word, 23, 3) {
        // adr and adrp; movz and movn
        0b000 | 0b001 => NONE,
        0b101 if field(word, 29, 2) != 3 => NONE,
        // movk
        0b101 => to,
        _ => Registers::general(field(word, 5, 5)),
    };
    match field(word, 23, 3) {
        // bfm keeps the rest of the register.
        0b110 if field(word, 29, 2) == 1 => reads |= to,
        // extr
        0b111 => reads |= Registers::general(field(word, 16, 5)),
        _ => {}
    }
    Effect { reads, writes: to, leaves: false }
}

/// Branches, exceptions, the system.
fn control(word: u32) -> Option<Effect> {
    let mut reads = PASSED;
    reads |= Registers::general(field(word, 5, 5));
    if word & 0xfc00_0000 == 0x9400_0000 || word & 0xffff_fc1f == 0xd63f_0000 {
        // bl and blr
        return Some(Effect { reads, writes: NONE, leaves: false });
    }
    if word & 0xffff_fc1f == 0xd65f_0000 {
        // ret
        return Some(Effect { reads: !SCRATCH, writes: NONE, leaves: true });
    }
    // br
    is_indirect_branch(word).then_some(Effect { reads: ALL, writes: NONE, leaves: true })
}

/// Data processing (register).
fn operation(word: u32) -> Effect {
    let writes = match field(word, 24, 5) {
        // Logical operations, additions; products.
        0b01010 | 0b01011 | 0b11011 => true,
        // Selects, and operations with one and two sources; others compare.
        0b11010 => matches!(field(word, 21, 3), 0b100 | 0b110),
        _ => false,
    };
    let to = Registers::general(field(word, 0, 5));
    let reads = named(word, if writes { SOURCES } else { FIELDS }, Registers::general);
    Effect { reads, writes: if writes { to } else { NONE }, leaves: false }
}

/// Loads and stores.
fn access(word: u32) -> Effect {
    let is_vector = field(word, 26, 1) == 1;
    let register = if is_vector { Registers::vector } else { Registers::general };
    let kind = field(word, 27, 3);
    // By distance or register, in pairs, constants. Others may concern registers that they don't name.
    if !matches!(kind, 0b111 | 0b101 | 0b011) {
        return UNKNOWN;
    }
    let mut reads = named(word, FIELDS, Registers::general);
    reads |= named(word, FIELDS, register);
    let size = field(word, 30, 2);
    let is_load = match is_vector {
        true => field(word, 22, 1) == 1,
        // Not what prefetches.
        false => field(word, 22, 2) != 0 && (size, field(word, 22, 2)) != (3, 2),
    };
    let is_plain = match (field(word, 24, 2), field(word, 21, 1), field(word, 10, 2)) {
        // By a distance, or by another register; atomic operations have other bits.
        (0b01, ..) | (0b00, 0, 0b00) | (0b00, 1, 0b10) => true,
        _ => false,
    };
    let (first, second) = (register(field(word, 0, 5)), register(field(word, 10, 5)));
    let base = Registers::general(field(word, 5, 5));
    let mut writes = NONE;
    if kind == 0b111 && is_load && is_plain {
        writes = first;
        reads = base;
        if field(word, 24, 2) == 0 {
            reads |= Registers::general(field(word, 16, 5));
        }
    } else if kind == 0b101 && field(word, 22, 1) == 1 {
        // ldp
        writes = first;
        writes |= second;
        reads = base;
    }
    Effect { reads, writes, leaves: false }
}

/// Floating point and vectors.
fn vector(word: u32) -> Effect {
    let to = Registers::vector(field(word, 0, 5));
    let is_scalar = word & 0xff20_0000 == 0x1e20_0000;
    // One source, a constant, two sources, a choice. Others compare, or set general registers.
    let writes = is_scalar
        && (field(word, 10, 5) == 0b10000
            || field(word, 10, 3) == 0b100
            || field(word, 10, 2) == 0b10
            || field(word, 10, 2) == 0b11)
        || word & 0xff00_0000 == 0x1f00_0000;
    if writes {
        return Effect { reads: named(word, SOURCES, Registers::vector), writes: to, leaves: false };
    }
    let mut reads = named(word, FIELDS, Registers::vector);
    reads |= Registers::general(field(word, 5, 5));
    Effect { reads, writes: NONE, leaves: false }
}
