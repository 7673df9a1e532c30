//! What is known to be on the stack already, or in a register.
//!
//! The register allocator moves a value to the stack and back for each stretch of code on its own, and again on the ways
//! between blocks. Often the register holds the value by then, or another one does.

use iced_x86::{
    Instruction, InstructionInfoFactory, InstructionInfoOptions, Mnemonic, OpAccess, OpKind, Register,
};
use smallvec::SmallVec;

/// Registers that are looked at: the general ones.
const REGISTERS: usize = 16;

/// Rounds over all blocks. If there is still something to learn then, nothing is.
const MAX_ROUNDS: usize = 12;

/// Blocks of a function. Of larger ones, nothing is spared.
const MAX_BLOCKS: usize = 1 << 16;

/// Bytes of a register on the stack.
const SLOT: i64 = 8;

/// What an instruction does to registers and their slots on the stack, which are known by the distance from the stack pointer.
#[derive(Clone, Copy)]
enum Effect {
    Load {
        at: u32,
        register: u8,
        slot: i32,
    },
    Store {
        at: u32,
        register: u8,
        slot: i32,
    },
    Copy {
        from: u8,
        to: u8,
    },
    /// Other values get into registers, by their bits.
    Clobber(u16),
    /// Something is written in front of and behind these distances.
    Write {
        start: i32,
        end: i32,
    },
    /// The stack pointer changes, or anything may.
    Forget,
}

/// What takes the place of an access to the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    Nothing,
    /// A copy from one register to another.
    Copy {
        from: u8,
        to: u8,
    },
}

/// The slot of the stack whose value is in each register, if one is.
type Known = [Option<i32>; REGISTERS];

struct Block {
    start: u32,
    /// The first of its effects.
    effects: usize,
    /// Where it leads, by offsets.
    next: SmallVec<[u32; 2]>,
}

/// Takes down what the instructions of a function do.
pub(super) struct Slots {
    info: InstructionInfoFactory,
    blocks: Vec<Block>,
    effects: Vec<Effect>,
    /// Whether nothing but these instructions gets at the slots.
    is_private: bool,
}

impl Slots {
    pub fn new() -> Slots {
        Slots {
            info: InstructionInfoFactory::new(),
            blocks: Vec::new(),
            effects: Vec::new(),
            is_private: true,
        }
    }

    /// A block starts here. Whether what is before it leads on to it is said by [`Slots::leads_to`].
    pub fn start_block(&mut self, at: u32) {
        self.blocks.push(Block { start: at, effects: self.effects.len(), next: SmallVec::new() });
    }

    /// The block leads to an offset.
    pub fn leads_to(&mut self, target: u32) {
        if let Some(block) = self.blocks.last_mut() {
            block.next.push(target);
        }
    }

    /// Takes down an instruction.
    pub fn note(&mut self, instruction: &Instruction, at: u32) {
        let Some(effect) = self.effect(instruction, at) else { return };
        let start = self.blocks.last().map_or(0, |block| block.effects);
        match (self.effects[start..].last_mut(), effect) {
            // Of a stretch that sets registers only the sum matters.
            (Some(Effect::Clobber(all)), Effect::Clobber(more)) => *all |= more,
            _ => self.effects.push(effect),
        }
    }

    fn effect(&mut self, instruction: &Instruction, at: u32) -> Option<Effect> {
        let is_on_stack = instruction.memory_base() == Register::RSP;
        if instruction.mnemonic() == Mnemonic::Mov && instruction.op_count() == 2 {
            let slot = (is_on_stack && instruction.memory_index() == Register::None)
                .then(|| i32::try_from(instruction.memory_displacement64() as i64).ok())
                .flatten();
            let kinds = (instruction.op0_kind(), instruction.op1_kind());
            let (to, from) = (general(instruction.op0_register()), general(instruction.op1_register()));
            match (kinds, to, from, slot) {
                ((OpKind::Register, OpKind::Memory), Some(register), _, Some(slot)) => {
                    return Some(Effect::Load { at, register, slot });
                }
                ((OpKind::Memory, OpKind::Register), _, Some(register), Some(slot)) => {
                    return Some(Effect::Store { at, register, slot });
                }
                ((OpKind::Register, OpKind::Register), Some(to), Some(from), _) => {
                    // Others may have addresses on the stack, if these two are copied to more than each other.
                    let is_frame = |register| register == STACK || register == FRAME;
                    self.is_private &= !is_frame(from) || is_frame(to);
                    return Some(if to == STACK { Effect::Forget } else { Effect::Copy { from, to } });
                }
                _ => {}
            }
        }
        if instruction.mnemonic() == Mnemonic::Lea {
            let takes = [instruction.memory_base(), instruction.memory_index()];
            let takes_stack = takes.iter().any(|taken| matches!(taken, Register::RSP | Register::RBP));
            self.is_private &= !takes_stack || instruction.op0_register() == Register::RSP;
        }
        let options = match is_on_stack {
            true => InstructionInfoOptions::NONE,
            false => InstructionInfoOptions::NO_MEMORY_USAGE,
        };
        let info = self.info.info_options(instruction, options);
        let mut registers: u16 = 0;
        for used in info.used_registers() {
            let writes =
                !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
            if writes && let Some(register) = general(used.register().full_register()) {
                if register == STACK {
                    return Some(Effect::Forget);
                }
                registers |= 1 << register;
            }
        }
        let writes = info.used_memory().iter().find(|memory| {
            memory.base() == Register::RSP && !matches!(memory.access(), OpAccess::Read | OpAccess::CondRead)
        });
        if let Some(memory) = writes {
            let start = i32::try_from(memory.displacement() as i64).ok();
            let size = memory.memory_size().size() as i32;
            return Some(
                match start.filter(|_| registers == 0 && memory.index() == Register::None && size > 0) {
                    Some(start) => Effect::Write { start, end: start.saturating_add(size) },
                    None => Effect::Forget,
                },
            );
        }
        (registers != 0).then_some(Effect::Clobber(registers))
    }

    /// Calls change registers, and are given what lies on the stack.
    pub fn forget(&mut self) {
        self.effects.push(Effect::Forget);
    }

    /// Where accesses to the stack are that can be spared, ascending.
    pub fn spared(self) -> Vec<(u32, Instead)> {
        let mut spared = Vec::new();
        let accesses = self.effects.iter().any(|effect| matches!(effect, Effect::Load { .. }));
        if !self.is_private || !accesses || self.blocks.len() > MAX_BLOCKS {
            return spared;
        }
        // What is known at the start of each block; nothing yet where no way has been followed to.
        let mut starts: Vec<Option<Known>> = vec![None; self.blocks.len()];
        starts[0] = Some([None; REGISTERS]);
        for round in 0.. {
            if round == MAX_ROUNDS {
                return spared;
            }
            let mut changed = false;
            for (index, block) in self.blocks.iter().enumerate() {
                let Some(mut known) = starts[index] else { continue };
                self.effects_of(index).iter().for_each(|effect| apply(&mut known, *effect));
                for next in &block.next {
                    // All that is led to is a block: the decoder saw to it.
                    let Ok(next) = self.blocks.binary_search_by_key(next, |block| block.start) else {
                        return spared;
                    };
                    changed |= meet(&mut starts[next], &known);
                }
            }
            if !changed {
                break;
            }
        }
        for (index, known) in starts.iter().enumerate() {
            let Some(mut known) = *known else { continue };
            for effect in self.effects_of(index) {
                match *effect {
                    Effect::Load { at, register, slot } | Effect::Store { at, register, slot }
                        if known[usize::from(register)] == Some(slot) =>
                    {
                        spared.push((at, Instead::Nothing));
                    }
                    Effect::Load { at, register, slot } => {
                        if let Some(from) = known.iter().position(|known| *known == Some(slot)) {
                            spared.push((at, Instead::Copy { from: from as u8, to: register }));
                        }
                    }
                    _ => {}
                }
                apply(&mut known, *effect);
            }
        }
        spared
    }

    fn effects_of(&self, block: usize) -> &[Effect] {
        let end = self.blocks.get(block + 1).map_or(self.effects.len(), |next| next.effects);
        &self.effects[self.blocks[block].effects..end]
    }
}

/// The numbers of the stack pointer and the frame pointer.
const STACK: u8 = 4;
const FRAME: u8 = 5;

/// The number of a general register of 64 bits.
fn general(register: Register) -> Option<u8> {
    register.is_gpr64().then(|| register.number() as u8)
}

fn apply(known: &mut Known, effect: Effect) {
    match effect {
        Effect::Load { register, slot, .. } => known[usize::from(register)] = Some(slot),
        Effect::Store { register, slot, .. } => {
            forget(known, i64::from(slot), i64::from(slot) + SLOT, Some(register));
            known[usize::from(register)] = Some(slot);
        }
        Effect::Copy { from, to } => known[usize::from(to)] = known[usize::from(from)],
        Effect::Clobber(registers) => {
            for (register, known) in known.iter_mut().enumerate() {
                if registers >> register & 1 != 0 {
                    *known = None;
                }
            }
        }
        Effect::Write { start, end } => forget(known, i64::from(start), i64::from(end), None),
        Effect::Forget => *known = [None; REGISTERS],
    }
}

/// Forgets what was in a part of the stack, but for what one register holds.
fn forget(known: &mut Known, start: i64, end: i64, but: Option<u8>) {
    for (register, known) in known.iter_mut().enumerate() {
        let overlaps = |slot: i32| i64::from(slot) < end && start < i64::from(slot) + SLOT;
        if but.map(usize::from) != Some(register) && known.is_some_and(overlaps) {
            *known = None;
        }
    }
}

/// Keeps what is known on another way, too. Returns whether that is less, or the first way.
fn meet(known: &mut Option<Known>, other: &Known) -> bool {
    let Some(known) = known else {
        *known = Some(*other);
        return true;
    };
    let mut changed = false;
    for (known, other) in known.iter_mut().zip(other) {
        if known.is_some() && known != other {
            *known = None;
            changed = true;
        }
    }
    changed
}
