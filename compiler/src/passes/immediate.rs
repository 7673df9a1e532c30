//! What instructions a machine takes to have a constant as an operand.

use super::ssa::{constant, unsigned_constant};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{
    Constant, DataFlowGraph, Inst, InstBuilder, InstructionData, Opcode, Type, Value, types,
};
use target_lexicon::Architecture;

/// A constant of CLIF.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Literal {
    /// The bits above those of the type are zero.
    Int(Type, u64),
    F32(u32),
    F64(u64),
    Vector(Type, Constant),
}

impl Literal {
    /// The constant that a value is.
    pub fn of(dfg: &DataFlowGraph, value: Value) -> Option<Literal> {
        let ty = dfg.value_type(value);
        match dfg.insts[dfg.value_def(value).inst()?] {
            InstructionData::UnaryIeee32 { opcode: Opcode::F32const, imm } => Some(Literal::F32(imm.bits())),
            InstructionData::UnaryIeee64 { opcode: Opcode::F64const, imm } => Some(Literal::F64(imm.bits())),
            InstructionData::UnaryConst { opcode: Opcode::Vconst, constant_handle } => {
                Some(Literal::Vector(ty, constant_handle))
            }
            _ => Some(Literal::Int(ty, unsigned_constant(dfg, value)?)),
        }
    }

    pub fn make<'f>(self, insert: impl InstBuilder<'f>) -> Value {
        match self {
            Literal::Int(ty, bits) => insert.iconst(ty, bits as i64),
            Literal::F32(bits) => insert.f32const(Ieee32::with_bits(bits)),
            Literal::F64(bits) => insert.f64const(Ieee64::with_bits(bits)),
            Literal::Vector(ty, constant) => insert.vconst(ty, constant),
        }
    }

    pub fn ty(self) -> Type {
        match self {
            Literal::Int(ty, _) | Literal::Vector(ty, _) => ty,
            Literal::F32(_) => types::F32,
            Literal::F64(_) => types::F64,
        }
    }
}

/// Machines whose instructions do not hold every constant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    X64,
    Aarch64,
    Riscv64,
}

impl Machine {
    /// `None` for machines on which it makes no difference.
    pub fn of(architecture: Architecture) -> Option<Machine> {
        match architecture {
            Architecture::X86_64 => Some(Machine::X64),
            Architecture::Aarch64(_) => Some(Machine::Aarch64),
            Architecture::Riscv64(_) => Some(Machine::Riscv64),
            _ => None,
        }
    }

    /// Registers that can hold integers, and those that can hold floats and vectors.
    pub fn registers(self) -> [usize; 2] {
        match self {
            Machine::X64 => [14, 15],
            Machine::Aarch64 => [26, 31],
            Machine::Riscv64 => [25, 31],
        }
    }

    /// What a constant has to cost in each round of a loop to be worth a register: an instruction, where it can't be an operand; on
    /// x86-64 also two long operands.
    pub(super) fn least_cost(self) -> u32 {
        if self == Machine::X64 { 2 } else { 1 }
    }

    /// What it costs to have a constant as the `index`-th operand of an instruction, each time: how many instructions make it, on
    /// x86-64 twice that. 0 if it is part of the instruction, or if the code generator may look at it; but one for a long part.
    pub(super) fn cost(self, dfg: &DataFlowGraph, inst: Inst, index: usize, literal: Literal) -> u32 {
        use Opcode::{Band, Bor, Bxor, Iadd, Icmp, Imul, Isub, Smulhi, Store, Umulhi};
        let opcode = dfg.insts[inst].opcode();
        let Literal::Int(ty, bits) = literal else {
            return if self.has_float_operand(opcode) { self.float(literal) } else { 0 };
        };
        let is_first = index == 0;
        let is_part = match opcode {
            Iadd => self.adds(ty, bits),
            // A comparison with the next number does as well.
            Icmp => {
                [bits.wrapping_sub(1), bits, bits.wrapping_add(1)].iter().any(|bits| self.adds(ty, *bits))
            }
            // The second operand of a store is an address.
            Store => !is_first,
            Isub => self.adds(ty, bits) && (!is_first || bits == 0 || self == Machine::X64),
            Band | Bor | Bxor => self.combines(ty, bits),
            Imul | Umulhi | Smulhi => false,
            _ => true,
        };
        let is_part = is_part && !(self == Machine::Aarch64 && holds_other(dfg, inst, index));
        match is_part || ![types::I32, types::I64].contains(&ty) {
            true => u32::from(self.is_long_operand(opcode, ty, bits)),
            false => self.integer(ty, bits),
        }
    }

    /// Instructions that make an integer.
    fn integer(self, ty: Type, bits: u64) -> u32 {
        let signed = sign_extended(ty, bits);
        match self {
            // A constant of 32 bits can be an operand of nearly anything.
            Machine::X64 => 2 * u32::from(i32::try_from(signed).is_err() && u32::try_from(bits).is_err()),
            Machine::Aarch64 => {
                let halves = (0..ty.bytes() / 2).map(|number| (bits >> (16 * number)) as u16);
                let (zero, one) = halves.fold((0, 0), |(zero, one), half| {
                    (zero + u32::from(half != 0), one + u32::from(half != u16::MAX))
                });
                if is_logical(ty, bits) { 1 } else { zero.min(one).max(1) }
            }
            Machine::Riscv64 if bits == 0 => 0,
            Machine::Riscv64 if fits(signed, 12) || signed & 0xfff == 0 && i32::try_from(signed).is_ok() => 1,
            Machine::Riscv64 => 2,
        }
    }

    /// Whether a constant makes an instruction long that would do as well with a register. Only patterns of bits are, such as
    /// those that find a zero among four bytes: a loop that has each of them twice has no room for much else. Smaller constants are
    /// mostly places and sizes, and those of 64 bits are addresses, which become part of an access.
    fn is_long_operand(self, opcode: Opcode, ty: Type, bits: u64) -> bool {
        use Opcode::{Band, Bor, Bxor, Iadd, Icmp};
        self == Machine::X64
            && ty == types::I32
            && matches!(opcode, Iadd | Icmp | Band | Bor | Bxor)
            && !fits(sign_extended(ty, bits), 25)
    }

    /// Whether an addition can hold a constant, or the subtraction of its negative.
    fn adds(self, ty: Type, bits: u64) -> bool {
        let signed = sign_extended(ty, bits);
        match self {
            Machine::X64 => i32::try_from(signed).is_ok(),
            Machine::Aarch64 => {
                let size = signed.unsigned_abs();
                size < 1 << 12 || size & 0xfff == 0 && size < 1 << 24
            }
            Machine::Riscv64 => fits(signed, 12) || fits(signed.wrapping_neg(), 12),
        }
    }

    /// Whether a bitwise operation can.
    fn combines(self, ty: Type, bits: u64) -> bool {
        let signed = sign_extended(ty, bits);
        match self {
            Machine::X64 => i32::try_from(signed).is_ok(),
            Machine::Aarch64 => signed == 0 || signed == -1 || is_logical(ty, bits),
            // Some masks are shifts there.
            Machine::Riscv64 => fits(signed, 12) || bits.wrapping_add(1).is_power_of_two(),
        }
    }

    /// Instructions that make a float or a vector.
    fn float(self, literal: Literal) -> u32 {
        match (self, literal) {
            // They are operands in memory.
            (Machine::X64, _) => 0,
            (_, Literal::F32(_)) => 2,
            _ => 1,
        }
    }

    /// Whether an instruction wants its floats and vectors in registers.
    fn has_float_operand(self, opcode: Opcode) -> bool {
        use Opcode::{Band, Bor, Bxor, Fadd, Fcmp, Fdiv, Fma, Fmax, Fmin, Fmul, Fsub, Iadd, Imul, Isub};
        matches!(
            opcode,
            Fadd | Fsub | Fmul | Fdiv | Fcmp | Fma | Fmax | Fmin | Iadd | Isub | Imul | Band | Bor | Bxor
        )
    }
}

/// Whether an instruction of aarch64 is a shift or a product of its other operand as well, which leaves no room for a constant.
fn holds_other(dfg: &DataFlowGraph, inst: Inst, index: usize) -> bool {
    let opcode = dfg.insts[inst].opcode();
    let [left, right] = *dfg.inst_args(inst) else { return false };
    let other = if index == 0 { right } else { left };
    match dfg.value_def(other).inst().map(|inst| dfg.insts[inst]) {
        Some(InstructionData::Binary { opcode: Opcode::Ishl, args }) if constant(dfg, args[1]).is_some() => {
            opcode == Opcode::Iadd
                || index == 1 && matches!(opcode, Opcode::Band | Opcode::Bor | Opcode::Bxor)
        }
        Some(InstructionData::Binary { opcode: Opcode::Imul, .. }) => opcode == Opcode::Iadd,
        _ => false,
    }
}

fn sign_extended(ty: Type, bits: u64) -> i64 {
    let unused = 64 - ty.bits();
    (bits << unused) as i64 >> unused
}

/// Whether a number has at most so many bits, with its sign.
fn fits(number: i64, bits: u32) -> bool {
    let rest = number >> (bits - 1);
    rest == 0 || rest == -1
}

/// Whether a constant is an operand of the bitwise operations of aarch64: a stretch of ones, rotated, in elements of 2 to 64
/// bits that are all the same (Arm Architecture Reference Manual, `DecodeBitMasks`).
fn is_logical(ty: Type, bits: u64) -> bool {
    let bits = if ty.bits() == 32 { bits | bits << 32 } else { bits };
    if bits == 0 || bits == u64::MAX {
        return false;
    }
    let repeats = |size: &u32| bits == bits.rotate_right(*size);
    let size = [2, 4, 8, 16, 32].into_iter().find(repeats).unwrap_or(64);
    // One element begins where the bits change from zero to one, and from one to zero.
    (bits ^ bits.rotate_right(1)).count_ones() == 2 * (64 / size)
}

#[cfg(test)]
mod tests {
    use super::{Machine, is_logical};
    use cranelift_codegen::ir::types::{I32, I64};

    #[test]
    fn patterns_of_bits_are_operands() {
        for bits in [1, 0xff, 0xff00, 0x8000_0001, 0x0101_0101, 0x5555_5555, 0x7fff_fffe, 0xffff_0000] {
            assert!(is_logical(I32, bits), "{bits:#x}");
        }
        for bits in [0, 0xffff_ffff, 0x0101_0102, 0x1234_5678, 5] {
            assert!(!is_logical(I32, bits), "{bits:#x}");
        }
        assert!(is_logical(I64, 0xffff_ffff));
        assert!(!is_logical(I64, 0x1_0000_0002));
    }

    #[test]
    fn constants_take_as_many_instructions_as_they_have_parts() {
        let aarch64 = |bits| Machine::Aarch64.integer(I64, bits);
        assert_eq!([0, 0xffff, 0x1_0000, u64::MAX - 5].map(aarch64), [1; 4]);
        assert_eq!([0x1_0003, 0x1234_0000_5678, 0x1234_5678].map(aarch64), [2; 3]);
        assert_eq!(aarch64(0x1234_5678_9abc_def1), 4);
        let x64 = |bits| Machine::X64.integer(I64, bits);
        assert_eq!([5, u64::MAX, 0xffff_ffff, 0x1_0000_0000].map(x64), [0, 0, 0, 2]);
        let riscv64 = |bits| Machine::Riscv64.integer(I32, bits);
        assert_eq!([0, 2047, 0x1000, 0x1001].map(riscv64), [0, 1, 1, 2]);
    }
}
