//! What there is in the code of a function.

use super::effectless::Effectless;
use super::jumps;
use super::slots::{Instead, Slots, Spared};
use super::{Form, Item, LONG, What};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction};

/// A set of offsets.
pub(super) struct Offsets(Vec<u64>);

impl Offsets {
    pub fn new(len: usize) -> Offsets {
        Offsets(vec![0; len / 64 + 1])
    }

    pub fn insert(&mut self, offset: u32) {
        self.0[offset as usize / 64] |= 1 << (offset % 64);
    }

    fn contains(&self, offset: u32) -> bool {
        self.0[offset as usize / 64] >> (offset % 64) & 1 != 0
    }

    /// The first one from an offset on.
    pub fn next(&self, offset: u32) -> Option<u32> {
        self.within(offset, u32::MAX)
    }

    /// The same, if it comes before another offset.
    fn within(&self, offset: u32, end: u32) -> Option<u32> {
        let mut mask = u64::MAX << (offset % 64);
        let words = self.0.iter().enumerate().take(end.div_ceil(64) as usize).skip(offset as usize / 64);
        for (word, bits) in words {
            if bits & mask != 0 {
                return Some(word as u32 * 64 + (bits & mask).trailing_zeros()).filter(|found| *found < end);
            }
            mask = u64::MAX;
        }
        None
    }
}

/// What comes after an instruction.
#[derive(PartialEq, Eq)]
enum After {
    Code,
    /// Code, if something leads there; data otherwise.
    Anything,
    /// The same, or a jump table.
    Table,
}

struct Reader<'c> {
    code: &'c [u8],
    /// Where relocations are, ascending, from the ones on that were not passed.
    relocs: &'c [u32],
    /// Instructions before this offset keep their forms.
    prologue: u32,
    /// Where instructions are that do nothing, ascending, from the ones on that were not passed.
    idle: &'c [u32],
    /// Where instructions are that something leads to.
    labels: Offsets,
    /// Where instructions start, or data may.
    places: Offsets,
    /// What instructions refer to.
    referred: Offsets,
    /// Where the code starts that runs up to the next branch.
    block: u32,
    items: Vec<Item>,
    effectless: Option<Effectless>,
    slots: Option<Slots>,
}

/// Finds what refers to places in the code, and what has shorter forms.
pub(super) fn decode(
    code: &[u8],
    relocs: &[u32],
    blocks: &[u32],
    prologue: u32,
    idle: &[u32],
    effectless: Option<Effectless>,
    slots: Option<Slots>,
) -> Option<Vec<Item>> {
    let mut reader = Reader {
        code,
        relocs,
        prologue,
        idle,
        labels: Offsets::new(code.len()),
        places: Offsets::new(code.len()),
        referred: Offsets::new(code.len()),
        block: 0,
        items: Vec::with_capacity(code.len() / 16),
        effectless,
        slots,
    };
    let len = u32::try_from(code.len()).ok()?;
    for block in blocks {
        reader.labels.insert(*block);
    }
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    let (mut position, mut after) = (0, After::Code);
    while position < len {
        if after != After::Code && !reader.labels.contains(position) {
            let end = reader.labels.next(position).unwrap_or(len);
            let data = if after == After::Table { reader.table(position, end)? } else { position };
            if data < end {
                reader.items.push(Item { at: data, len: 0, what: What::Data });
                (data..end).for_each(|place| reader.places.insert(place));
            }
            position = end;
            continue;
        }
        if position == 0 || reader.labels.contains(position) {
            reader.start_block(position, after == After::Code);
        }
        decoder.set_position(position as usize).ok()?;
        decoder.set_ip(u64::from(position));
        decoder.decode_out(&mut instruction);
        after = reader.instruction(&decoder, &instruction, position)?;
        position = instruction.next_ip32();
    }
    let is_place = |item: &Item| target(item).is_none_or(|target| reader.places.contains(target));
    // No function leads on past its end.
    if after == After::Code || !reader.items.iter().all(is_place) {
        return None;
    }
    let Reader { mut items, slots, effectless, .. } = reader;
    let effectless = effectless.into_iter().flat_map(Effectless::found);
    items.extend(effectless.map(|(at, len)| Item { at, len, what: What::Nothing }));
    let spared = slots.as_ref().map_or_else(Vec::new, Slots::spared);
    add(&mut items, &spared, code);
    // What is at the start of something comes after it.
    items.sort_by_key(|item| (item.at, item.len));
    if let Some(slots) = &slots {
        jumps::branch_back(&mut items, code.len(), slots, &spared);
    }
    Some(items)
}

/// Adds what takes the place of accesses to the stack, which are no items yet.
fn add(items: &mut Vec<Item>, spared: &[Spared], code: &[u8]) {
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    for Spared { at, instead, .. } in spared {
        let Ok(()) = decoder.set_position(*at as usize) else { continue };
        let len = decoder.decode().len() as u32;
        let what = match *instead {
            Instead::Nothing => What::Nothing,
            Instead::Copy { from, to } => What::Copy { from, to },
        };
        items.push(Item { at: *at, len, what });
    }
}

/// The offset that something in the code refers to.
pub(super) fn target(item: &Item) -> Option<u32> {
    match item.what {
        What::Branch { target, .. } | What::Reference { target, .. } | What::Entry { target, .. } => {
            Some(target)
        }
        What::Form(_) | What::Nothing | What::Copy { .. } | What::Loop { .. } | What::Data => None,
    }
}

impl Reader<'_> {
    fn start_block(&mut self, at: u32, is_led_to: bool) {
        self.block = at;
        if let Some(effectless) = &mut self.effectless {
            effectless.start_block();
        }
        let Some(slots) = &mut self.slots else { return };
        if is_led_to {
            slots.leads_to(at);
        }
        slots.start_block(at);
    }

    /// Notes that the last block leads to an offset. What leads back does to a block that is known, or all is too uncertain.
    fn lead_to(&mut self, target: u32, from: u32) {
        if target <= from && !self.labels.contains(target) {
            self.slots = None;
            self.effectless = None;
        }
        self.labels.insert(target);
        if let Some(slots) = &mut self.slots {
            slots.leads_to(target);
        }
    }

    /// Reads an instruction.
    fn instruction(&mut self, decoder: &Decoder<'_>, instruction: &Instruction, at: u32) -> Option<After> {
        if instruction.is_invalid() {
            return None;
        }
        self.places.insert(at);
        let len = instruction.len() as u32;
        let end = at + len;
        let passed = self.relocs.partition_point(|reloc| *reloc < at);
        self.relocs = &self.relocs[passed..];
        let is_relocated = self.relocs.first().is_some_and(|reloc| *reloc < end);
        let (after, branches) = match instruction.flow_control() {
            FlowControl::Next | FlowControl::IndirectCall | FlowControl::Interrupt => (After::Code, false),
            // Functions are called by relocations.
            FlowControl::Call if is_relocated => (After::Code, false),
            FlowControl::UnconditionalBranch => (After::Anything, !is_relocated),
            FlowControl::ConditionalBranch if !is_relocated => (After::Code, true),
            FlowControl::IndirectBranch => (After::Table, false),
            FlowControl::Return | FlowControl::Exception => (After::Anything, false),
            _ => return None,
        };
        if let Some(effectless) = &mut self.effectless {
            effectless.note(instruction, at);
        }
        if let Some(slots) = &mut self.slots {
            slots.note(instruction, at);
            slots.leave(match instruction.flow_control() {
                FlowControl::UnconditionalBranch => is_relocated,
                flow => matches!(flow, FlowControl::Return | FlowControl::IndirectBranch),
            });
        }
        let what = if branches {
            let target = self.within(instruction.near_branch64())?;
            self.lead_to(target, at);
            let condition = match self.code[at as usize..end as usize] {
                [0xeb, _] | [0xe9, ..] => None,
                [opcode @ 0x70..=0x7f, _] | [0x0f, opcode @ 0x80..=0x8f, ..] => Some(opcode & 0xf),
                _ => return None,
            };
            What::Branch { target, condition }
        } else if is_relocated {
            return Some(after);
        } else if let Some((_, rest)) = self.idle.split_first().filter(|(first, _)| **first == at) {
            self.idle = rest;
            What::Nothing
        } else if instruction.is_ip_rel_memory_operand() {
            let target = self.within(instruction.ip_rel_memory_address())?;
            self.referred.insert(target);
            let offsets = decoder.get_constant_offsets(instruction);
            let field = offsets.displacement_offset() as u32;
            if offsets.displacement_size() != 4 {
                return None;
            }
            What::Reference { target, field }
        } else if at >= self.prologue
            && let Some(form) = shorter(&self.code[at as usize..end as usize])
        {
            What::Form(form)
        } else {
            return Some(after);
        };
        self.items.push(Item { at, len, what });
        Some(after)
    }

    fn within(&self, target: u64) -> Option<u32> {
        u32::try_from(target).ok().filter(|target| (*target as usize) < self.code.len())
    }

    /// Reads the jump table at an offset, before another one at the latest. Returns where it ends.
    fn table(&mut self, table: u32, end: u32) -> Option<u32> {
        if !self.referred.contains(table) {
            return None;
        }
        // Constants are referred to as well.
        let end = self.referred.within(table + 1, end).unwrap_or(end);
        if let Some(slots) = &mut self.slots {
            slots.leave(false);
        }
        // What dispatches is entered at one place and left at another, like the round of a loop.
        self.items.push(Item { at: self.block, len: 0, what: What::Loop { end: table } });
        let entries = self.code[table as usize..end as usize].chunks_exact(LONG as usize);
        let mut at = table;
        for entry in entries {
            let distance = i32::from_le_bytes(entry.try_into().ok()?);
            // What aligns the constants after it. No entry leads to the table.
            if distance == 0 {
                break;
            }
            let target = self.within(i64::from(table).checked_add(i64::from(distance))?.try_into().ok()?)?;
            if !self.labels.contains(target) {
                return None;
            }
            self.items.push(Item { at, len: LONG, what: What::Entry { table, target } });
            self.lead_to(target, at);
            at += LONG;
        }
        self.places.insert(table);
        (at > table).then_some(at)
    }
}

/// A form of an instruction with a constant of one byte, if it has a constant of four that needs no more.
fn shorter(instruction: &[u8]) -> Option<Form> {
    let position = usize::from(matches!(instruction[0], 0x40..=0x4f));
    let [opcode, modrm, ..] = instruction[position..] else { return None };
    let (_, constant) = instruction.split_last_chunk::<{ LONG as usize }>()?;
    let constant = i32::from_le_bytes(*constant);
    let is_register = modrm >> 6 == 3;
    let opcode = match opcode {
        // Operations with a constant, which is extended by its sign.
        0x81 => i8::try_from(constant).is_ok().then_some(0x83)?,
        // Multiplications.
        0x69 => i8::try_from(constant).is_ok().then_some(0x6b)?,
        // Tests of a register, of its lowest byte: the sign is clear in both. Without a prefix, only four registers have that name.
        0xf7 if is_register && modrm >> 3 & 7 == 0 && (position == 1 || modrm & 7 < 4) => {
            (0..=0x7f).contains(&constant).then_some(0xf6)?
        }
        _ => return None,
    };
    Some(Form { opcode, position: position as u32 })
}
