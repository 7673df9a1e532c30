//! Instructions that change nothing, because what comes before them in their block did the same.
//!
//! Cranelift selects instructions one by one: it compares a sum with zero though the addition has set the flags, and clears
//! the upper half of a register for a jump table though a load has cleared it.

use iced_x86::{ConditionCode, FlowControl, Instruction, Mnemonic, OpKind, Register, RflagsBits};

/// What the flags say that an operation and a comparison of its result with zero set alike.
const OF_RESULT: u32 = RflagsBits::ZF | RflagsBits::SF | RflagsBits::PF;

/// The flags that operations set.
const FLAGS: u32 = OF_RESULT | RflagsBits::CF | RflagsBits::OF | RflagsBits::AF;

/// What the flags are of.
#[derive(Clone, Copy)]
struct Flags {
    /// A register, at the size of the operation.
    register: Register,
    /// What the operation sets as a comparison of the register with zero would.
    alike: u32,
}

/// Goes through a function in the order of its code.
#[derive(Default)]
pub(super) struct Effectless {
    flags: Option<Flags>,
    /// General registers whose upper half is zero, by their bits.
    narrow: u16,
    /// A test that sets some flags again, as long as nobody has read others: offset, length, and what may be read.
    test: Option<(u32, u32, u32)>,
    /// Whether the flags were set in this block.
    is_set: bool,
    /// Offsets and lengths.
    found: Vec<(u32, u32)>,
    /// Whether a block takes something from others in the flags.
    is_unclear: bool,
}

impl Effectless {
    /// Something may lead here.
    pub fn start_block(&mut self) {
        self.flags = None;
        self.narrow = 0;
        self.is_set = false;
        self.end_test();
    }

    /// Offsets and lengths of what has no effect, ascending.
    pub fn found(mut self) -> Vec<(u32, u32)> {
        self.end_test();
        if self.is_unclear { Vec::new() } else { self.found }
    }

    /// The flags of a test are set anew, or nobody reads them any more.
    fn end_test(&mut self) {
        if let Some((at, len, _)) = self.test.take() {
            self.found.push((at, len));
        }
    }

    pub fn note(&mut self, instruction: &Instruction, at: u32) {
        let (reads, sets) = (instruction.rflags_read() & FLAGS, instruction.rflags_modified() & FLAGS);
        self.is_unclear |= reads != 0 && !self.is_set;
        if self.test.is_some_and(|(.., alike)| reads & !alike != 0) {
            self.test = None;
        }
        let register = instruction.op0_register();
        if sets != 0 {
            self.end_test();
            self.is_set = true;
            match self.flags.filter(|flags| is_test(instruction, flags.register)) {
                // The flags stay those of the operation.
                Some(flags) => self.test = Some((at, instruction.len() as u32, flags.alike)),
                None => self.flags = alike(instruction).map(|alike| Flags { register, alike }),
            }
        } else if !writes_first_only(instruction) || self.flags_are_of(register) {
            self.flags = None;
        }
        if self.is_narrow_copy(instruction) {
            self.found.push((at, instruction.len() as u32));
        }
        self.narrow = self.narrow_after(instruction);
    }

    fn flags_are_of(&self, register: Register) -> bool {
        self.flags.is_some_and(|flags| flags.register.full_register() == register.full_register())
    }

    /// Whether an instruction clears the upper half of a register, where it is zero, and does nothing else.
    fn is_narrow_copy(&self, instruction: &Instruction) -> bool {
        let register = instruction.op0_register();
        instruction.mnemonic() == Mnemonic::Mov
            && register.is_gpr32()
            && instruction.op1_kind() == OpKind::Register
            && instruction.op1_register() == register
            && self.narrow >> register.number() & 1 != 0
    }

    /// The registers whose upper half is zero after an instruction.
    fn narrow_after(&self, instruction: &Instruction) -> u16 {
        if !writes_first_only(instruction) {
            return 0;
        }
        let register = instruction.op0_register();
        let is_written = instruction.op0_kind() == OpKind::Register && register.is_gpr();
        if !is_written || instruction.mnemonic() == Mnemonic::Cmp || instruction.mnemonic() == Mnemonic::Test
        {
            return self.narrow;
        }
        let bit = 1 << register.full_register().number();
        match register.size() {
            // The upper half is cleared (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, 3.4.1.1).
            4 => self.narrow | bit,
            // From 8 or 16 bits.
            8 if instruction.mnemonic() == Mnemonic::Movzx => self.narrow | bit,
            8 => self.narrow & !bit,
            // The rest of the register stays.
            _ => self.narrow,
        }
    }
}

/// Whether an instruction compares a register with zero.
fn is_test(instruction: &Instruction, register: Register) -> bool {
    instruction.mnemonic() == Mnemonic::Test
        && instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_register() == register
        && instruction.op1_register() == register
}

/// What an operation on a register sets in the flags as a comparison of its result with zero would.
fn alike(instruction: &Instruction) -> Option<u32> {
    let register = instruction.op0_register();
    if instruction.op0_kind() != OpKind::Register || !(register.is_gpr32() || register.is_gpr64()) {
        return None;
    }
    match instruction.mnemonic() {
        Mnemonic::And | Mnemonic::Or | Mnemonic::Xor => Some(OF_RESULT | RflagsBits::CF | RflagsBits::OF),
        Mnemonic::Add | Mnemonic::Sub | Mnemonic::Neg | Mnemonic::Inc | Mnemonic::Dec => Some(OF_RESULT),
        // By zero bits, they set nothing.
        Mnemonic::Shl | Mnemonic::Shr | Mnemonic::Sar => {
            let is_counted = instruction.op1_kind() == OpKind::Immediate8;
            (is_counted && instruction.immediate8() & 31 != 0).then_some(OF_RESULT)
        }
        _ => None,
    }
}

/// Whether an instruction writes no general register but its first operand.
fn writes_first_only(instruction: &Instruction) -> bool {
    match instruction.mnemonic() {
        Mnemonic::Mov
        | Mnemonic::Movzx
        | Mnemonic::Movsx
        | Mnemonic::Movsxd
        | Mnemonic::Lea
        | Mnemonic::Add
        | Mnemonic::Sub
        | Mnemonic::And
        | Mnemonic::Or
        | Mnemonic::Xor
        | Mnemonic::Not
        | Mnemonic::Neg
        | Mnemonic::Inc
        | Mnemonic::Dec
        | Mnemonic::Cmp
        | Mnemonic::Test => true,
        Mnemonic::Imul => instruction.op_count() > 1,
        Mnemonic::Shl | Mnemonic::Shr | Mnemonic::Sar | Mnemonic::Rol | Mnemonic::Ror => {
            instruction.op1_kind() == OpKind::Immediate8
        }
        _ => {
            let is_conditional = instruction.condition_code() != ConditionCode::None;
            let is_vector =
                instruction.op0_kind() == OpKind::Register && instruction.op0_register().is_vector_register();
            // `loop` has a condition, too, and counts; what compares strings in vectors sets flags, and `ecx`.
            instruction.is_jcc_short_or_near()
                || is_conditional && instruction.flow_control() == FlowControl::Next
                || is_vector && instruction.rflags_modified() == 0
        }
    }
}
