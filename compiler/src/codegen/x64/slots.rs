//! What is known to be on the stack already, or in a register.
//!
//! The register allocator moves a value to the stack and back for each stretch of code on its own, and again on the ways
//! between blocks. Often the register holds the value by then, or another one does.

use iced_x86::{
    FlowControl, Instruction, InstructionInfoFactory, InstructionInfoOptions, Mnemonic, OpAccess, OpKind,
    Register,
};
use smallvec::SmallVec;

/// General registers.
const REGISTERS: usize = 16;

/// A set of registers, by bits: the general ones, then those of vectors.
type Set = u32;

/// Rounds over the blocks whose start has changed. If there is still something to learn then, nothing is.
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
    /// Other values get into general registers, by their bits.
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

/// An access to the stack that can be spared.
pub(super) struct Spared {
    pub at: u32,
    pub instead: Instead,
    /// The registers that have to be left as they are for that.
    reads: Set,
}

/// The slot of the stack whose value is in each register, if one is.
type Known = [Option<i32>; REGISTERS];

struct Block {
    start: u32,
    /// The first of its effects.
    effects: usize,
    instructions: usize,
    /// How many of them set a register from another one, or from the stack.
    moves: usize,
    /// Registers that it needs from before, and those that it sets.
    reads: Set,
    writes: Set,
    /// Where it leads, by offsets.
    next: SmallVec<[u32; 2]>,
    /// Whether it leaves the function.
    leaves: bool,
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
        self.blocks.push(Block {
            start: at,
            effects: self.effects.len(),
            instructions: 0,
            moves: 0,
            reads: 0,
            writes: 0,
            next: SmallVec::new(),
            leaves: false,
        });
    }

    /// The block leads to an offset.
    pub fn leads_to(&mut self, target: u32) {
        if let Some(block) = self.blocks.last_mut() {
            block.next.push(target);
        }
    }

    /// Says whether the function is left here. Whoever comes next may look at all registers.
    pub fn leave(&mut self, leaves: bool) {
        if let Some(block) = self.blocks.last_mut() {
            block.leaves = leaves;
        }
    }

    /// Takes down an instruction.
    pub fn note(&mut self, instruction: &Instruction, at: u32) {
        let (mut effect, mut reads, writes) = self.effect(instruction, at);
        let is_move =
            matches!(effect, Some(Effect::Load { .. } | Effect::Copy { .. })) || is_vector_copy(instruction);
        if matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall) {
            reads |= ARGUMENTS;
            effect = Some(Effect::Forget);
        }
        let Some(block) = self.blocks.last_mut() else { return };
        block.instructions += 1;
        block.moves += usize::from(is_move);
        block.reads |= reads & !block.writes;
        block.writes |= writes;
        let Some(effect) = effect else { return };
        match (self.effects[block.effects..].last_mut(), effect) {
            // Of a stretch that sets registers only the sum matters.
            (Some(Effect::Clobber(all)), Effect::Clobber(more)) => *all |= more,
            _ => self.effects.push(effect),
        }
    }

    /// What an instruction does, and the registers that it reads, and that it sets whatever was in them.
    fn effect(&mut self, instruction: &Instruction, at: u32) -> (Option<Effect>, Set, Set) {
        if let Some(effect) = self.movement(instruction, at) {
            let (reads, writes) = match effect {
                Effect::Load { register, .. } => (1 << STACK, 1 << register),
                Effect::Store { register, .. } => (1 << STACK | 1 << register, 0),
                Effect::Copy { from, to } => (1 << from, 1 << to),
                _ => (Set::MAX, 0),
            };
            return (Some(effect), reads, writes);
        }
        if instruction.mnemonic() == Mnemonic::Lea {
            let takes = [instruction.memory_base(), instruction.memory_index()];
            let takes_stack = takes.iter().any(|taken| matches!(taken, Register::RSP | Register::RBP));
            self.is_private &= !takes_stack || instruction.op0_register() == Register::RSP;
        }
        let is_frame = matches!(instruction.memory_base(), Register::RSP | Register::RBP);
        let options = match is_frame {
            true => InstructionInfoOptions::NONE,
            false => InstructionInfoOptions::NO_MEMORY_USAGE,
        };
        let info = self.info.info_options(instruction, options);
        let (mut reads, mut changes, mut sets): (Set, Set, Set) = (0, 0, 0);
        for used in info.used_registers() {
            let Some(bit) = bit(used.register()) else { continue };
            match used.access() {
                // The upper half is cleared; smaller parts leave the rest as it is.
                OpAccess::Write if used.register().size() >= 4 && !sets_half(instruction) => sets |= bit,
                OpAccess::Read | OpAccess::CondRead => reads |= bit,
                OpAccess::None | OpAccess::NoMemAccess => {}
                _ => {
                    reads |= bit;
                    changes |= bit;
                }
            }
        }
        let changes = (changes | sets) as u16;
        let writes = info
            .used_memory()
            .iter()
            .find(|memory| is_frame && !matches!(memory.access(), OpAccess::Read | OpAccess::CondRead));
        let effect = if changes >> STACK & 1 != 0 {
            Some(Effect::Forget)
        } else if let Some(memory) = writes {
            let start = i32::try_from(memory.displacement() as i64).ok();
            let size = memory.memory_size().size() as i32;
            let is_simple = changes == 0
                && memory.base() == Register::RSP
                && memory.index() == Register::None
                && size > 0;
            Some(
                start
                    .filter(|_| is_simple)
                    .map_or(Effect::Forget, |start| Effect::Write { start, end: start.saturating_add(size) }),
            )
        } else {
            (changes != 0).then_some(Effect::Clobber(changes))
        };
        (effect, reads, sets)
    }

    /// What an instruction does that moves a whole register.
    fn movement(&mut self, instruction: &Instruction, at: u32) -> Option<Effect> {
        if instruction.mnemonic() != Mnemonic::Mov || instruction.op_count() != 2 {
            return None;
        }
        let is_slot =
            instruction.memory_base() == Register::RSP && instruction.memory_index() == Register::None;
        let slot = || i32::try_from(instruction.memory_displacement64() as i64).ok().filter(|_| is_slot);
        let (to, from) = (general(instruction.op0_register()), general(instruction.op1_register()));
        match (instruction.op0_kind(), instruction.op1_kind()) {
            (OpKind::Register, OpKind::Memory) => Some(Effect::Load { at, register: to?, slot: slot()? }),
            (OpKind::Memory, OpKind::Register) => Some(Effect::Store { at, register: from?, slot: slot()? }),
            (OpKind::Register, OpKind::Register) => {
                let (from, to) = (from?, to?);
                // Others may have addresses on the stack, if these two are copied to more than each other.
                let is_frame = |register| register == STACK || register == FRAME;
                self.is_private &= !is_frame(from) || is_frame(to);
                Some(if to == STACK { Effect::Forget } else { Effect::Copy { from, to } })
            }
            _ => None,
        }
    }

    /// Where accesses to the stack are that can be spared, ascending.
    pub fn spared(&self) -> Vec<Spared> {
        let mut spared = Vec::new();
        let accesses = self.effects.iter().any(|effect| matches!(effect, Effect::Load { .. }));
        if !self.is_private || !accesses || self.blocks.len() > MAX_BLOCKS {
            return spared;
        }
        // What is known at the start of each block; nothing yet where no way has been followed to.
        let mut starts: Vec<Option<Known>> = vec![None; self.blocks.len()];
        starts[0] = Some([None; REGISTERS]);
        // Blocks whose start changed since they were looked at.
        let mut changed = vec![false; self.blocks.len()];
        changed[0] = true;
        let mut round = 0;
        while changed.contains(&true) {
            if round == MAX_ROUNDS {
                return spared;
            }
            round += 1;
            for (index, block) in self.blocks.iter().enumerate() {
                if !std::mem::take(&mut changed[index]) {
                    continue;
                }
                let Some(mut known) = starts[index] else { continue };
                self.effects_of(index).iter().for_each(|effect| apply(&mut known, *effect));
                for next in &block.next {
                    // All that is led to is a block: the decoder saw to it.
                    let Some(next) = self.block_at(*next) else { return spared };
                    changed[next] |= meet(&mut starts[next], &known);
                }
            }
        }
        for (index, known) in starts.iter().enumerate() {
            let Some(mut known) = *known else { continue };
            for effect in self.effects_of(index) {
                match *effect {
                    Effect::Load { at, register, slot } | Effect::Store { at, register, slot }
                        if known[usize::from(register)] == Some(slot) =>
                    {
                        spared.push(Spared { at, instead: Instead::Nothing, reads: 1 << register });
                    }
                    Effect::Load { at, register, slot } => {
                        if let Some(from) = known.iter().position(|known| *known == Some(slot)) {
                            let instead = Instead::Copy { from: from as u8, to: register };
                            spared.push(Spared { at, instead, reads: 1 << from });
                        }
                    }
                    _ => {}
                }
                apply(&mut known, *effect);
            }
        }
        spared
    }

    /// The registers that code at the start of each block may look at, if these accesses are spared.
    pub fn live(&self, spared: &[Spared]) -> Vec<Set> {
        let mut live = vec![0; self.blocks.len()];
        let mut kept = vec![0; self.blocks.len()];
        for Spared { at, reads, .. } in spared {
            kept[self.blocks.partition_point(|block| block.start <= *at) - 1] |= reads;
        }
        for round in 0.. {
            if round == MAX_ROUNDS {
                return vec![Set::MAX; self.blocks.len()];
            }
            let mut changed = false;
            for (index, block) in self.blocks.iter().enumerate().rev() {
                let next =
                    block.next.iter().map(|next| self.block_at(*next).map_or(Set::MAX, |next| live[next]));
                let after = if block.leaves { Set::MAX } else { next.fold(0, |all, one| all | one) };
                let before = block.reads | kept[index] | after & !block.writes;
                changed |= std::mem::replace(&mut live[index], before) != before;
            }
            if !changed {
                break;
            }
        }
        live
    }

    /// The number of the block that starts at an offset.
    pub fn block_at(&self, at: u32) -> Option<usize> {
        self.blocks.binary_search_by_key(&at, |block| block.start).ok()
    }

    /// If a block does nothing but set registers, from others and from the stack, and jump: these registers.
    pub fn moves(&self, block: usize) -> Option<Set> {
        let block = &self.blocks[block];
        (block.moves + 1 == block.instructions).then_some(block.writes)
    }

    fn effects_of(&self, block: usize) -> &[Effect] {
        let end = self.blocks.get(block + 1).map_or(self.effects.len(), |next| next.effects);
        &self.effects[self.blocks[block].effects..end]
    }
}

/// Registers that a call may pass something in: those that the callee does not have to leave as they are.
const ARGUMENTS: Set = !(1 << 3 | 0xf << 12);

/// The numbers of the stack pointer and the frame pointer.
const STACK: u8 = 4;
const FRAME: u8 = 5;

/// The number of a general register of 64 bits.
fn general(register: Register) -> Option<u8> {
    register.is_gpr64().then(|| register.number() as u8)
}

/// What stands for a register in a set.
fn bit(register: Register) -> Option<Set> {
    let full = register.full_register();
    let vector = || (full.is_vector_register() && full.number() < 16).then(|| 1 << (16 + full.number()));
    general(full).map(|number| 1 << number).or_else(vector)
}

/// Whether an instruction leaves a half of a vector's register as it is.
fn sets_half(instruction: &Instruction) -> bool {
    use Mnemonic::{Movhpd, Movhps, Movlpd, Movlps};
    matches!(instruction.mnemonic(), Movhpd | Movhps | Movlpd | Movlps)
}

/// Whether an instruction copies all of a vector's register to another one.
fn is_vector_copy(instruction: &Instruction) -> bool {
    let is_register = |kind, register: Register| kind == OpKind::Register && register.is_xmm();
    matches!(
        instruction.mnemonic(),
        Mnemonic::Movaps
            | Mnemonic::Movapd
            | Mnemonic::Movups
            | Mnemonic::Movupd
            | Mnemonic::Movdqa
            | Mnemonic::Movdqu
    ) && is_register(instruction.op0_kind(), instruction.op0_register())
        && is_register(instruction.op1_kind(), instruction.op1_register())
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
