//! Machine code of aarch64: loops that end in one branch.
//!
//! What the register allocator copies on the way back to the start of a loop has a block of its own, behind the branch that
//! leaves the loop: `b.eq out; mov x3, x4; b top`. Here the copies come before the branch, which goes back itself:
//! `mov x3, x4; b.ne top`, one instruction less in each round. That is right if what comes after the loop does not look at the
//! registers that are copied to. All instructions have four bytes, so nothing else moves.

mod decode;

use cranelift_codegen::CompiledCode;
use decode::{Branch, Effect, Registers, branch, copy, effect, inverted, is_indirect_branch, jump};
use std::collections::HashSet;

/// Bytes of an instruction.
const WORD: u32 = 4;

/// Instructions behind a loop that are looked at, on all ways together.
const MAX_STEPS: usize = 256;

/// Copies on the way back.
const MAX_COPIES: u32 = 16;

/// An instruction that does nothing.
const NOP: u32 = 0xd503_201f;

/// Rewrites the ends of loops in the code of a function.
pub(super) fn branch_back(compiled: &CompiledCode, code: &mut [u8]) {
    let buffer = &compiled.buffer;
    // Landing pads have other tables. Entry trampolines have them, which are few.
    if buffer.call_sites().any(|site| !site.exception_handlers.is_empty()) {
        return;
    }
    let relocs: Vec<u32> = buffer.relocs().iter().map(|reloc| reloc.offset).collect();
    rewrite(code, &compiled.bb_starts, relocs);
}

/// A loop's end: the branch out, copies, the jump back.
struct End {
    branch: u32,
    jump: u32,
    condition: Branch,
    back: u32,
}

struct Code<'a> {
    bytes: &'a mut [u8],
    /// Where blocks start, ascending.
    blocks: Vec<u32>,
    /// Where relocations are, ascending.
    relocs: Vec<u32>,
}

fn rewrite(bytes: &mut [u8], blocks: &[u32], mut relocs: Vec<u32>) {
    let mut blocks = blocks.to_vec();
    blocks.sort_unstable();
    blocks.dedup();
    relocs.sort_unstable();
    let mut code = Code { bytes, blocks, relocs };
    let ends: Vec<End> = (1..code.blocks.len()).filter_map(|block| code.end(block)).collect();
    if ends.is_empty() {
        return;
    }
    let targets = code.targets();
    for end in ends {
        if !targets.contains(&(end.branch + WORD)) {
            code.turn(&end);
        }
    }
}

impl Code<'_> {
    fn word(&self, at: u32) -> Option<u32> {
        let bytes = self.bytes.get(at as usize..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }

    fn set(&mut self, at: u32, word: u32) {
        self.bytes[at as usize..][..WORD as usize].copy_from_slice(&word.to_le_bytes());
    }

    fn has_reloc(&self, at: u32) -> bool {
        self.relocs.binary_search(&at).is_ok()
    }

    /// The loop's end that a block is, with the branch in front of it: nothing but copies and a jump back.
    fn end(&self, block: usize) -> Option<End> {
        let start = self.blocks[block];
        // Data may follow the last block. What is copies up to a jump is all code.
        let end = self.blocks.get(block + 1).copied().unwrap_or(self.bytes.len() as u32);
        let jump_at = end.checked_sub(WORD)?;
        let branch_at = start.checked_sub(WORD)?;
        if jump_at < start || (jump_at - start) / WORD > MAX_COPIES || self.has_reloc(jump_at) {
            return None;
        }
        let back = jump(self.word(jump_at)?, jump_at)?;
        let condition = branch(self.word(branch_at)?, branch_at)?;
        if back > branch_at {
            return None;
        }
        let mut written = Registers::default();
        for at in (start..jump_at).step_by(WORD as usize) {
            written |= copy(self.word(at)?)?;
        }
        // Constants lie behind blocks, and may look like a branch: code that reaches the block falls through to it.
        let before = self.blocks[block - 1];
        for at in (before..branch_at).step_by(WORD as usize) {
            let word = self.word(at)?;
            if jump(word, at).is_some() || effect(word).leaves {
                return None;
            }
        }
        let reads = condition.reads & written;
        (reads.is_empty() && !self.may_read(condition.target, written)).then_some(End {
            branch: branch_at,
            jump: jump_at,
            condition,
            back,
        })
    }

    /// Everything that direct branches and jump tables lead to. Data that looks like these adds more.
    fn targets(&self) -> HashSet<u32> {
        let mut targets = HashSet::new();
        let ends = self.blocks.iter().skip(1).copied().chain([self.bytes.len() as u32]);
        for (start, end) in self.blocks.iter().copied().zip(ends) {
            // Entries of a jump table are distances from it, and it comes behind the branch that takes them.
            let mut table = None;
            for at in (start..end).step_by(WORD as usize) {
                let Some(word) = self.word(at) else { break };
                targets.extend(jump(word, at).or_else(|| branch(word, at).map(|branch| branch.target)));
                targets.extend(table.map(|table: u32| table.wrapping_add(word)));
                if table.is_none() && is_indirect_branch(word) {
                    table = Some(at + WORD);
                }
            }
        }
        targets
    }

    /// Whether code from an offset on may read one of the registers, as it is at that offset.
    fn may_read(&self, from: u32, registers: Registers) -> bool {
        let mut ways = vec![(from, registers)];
        let mut seen = HashSet::new();
        let mut steps = 0;
        while let Some((mut at, mut asked)) = ways.pop() {
            while !asked.is_empty() && seen.insert((at, asked)) {
                steps += 1;
                let Some(word) = self.word(at).filter(|_| steps <= MAX_STEPS) else { return true };
                if let Some(target) = jump(word, at) {
                    if self.has_reloc(at) {
                        return true;
                    }
                    at = target;
                    continue;
                }
                if let Some(branch) = branch(word, at) {
                    if !(branch.reads & asked).is_empty() {
                        return true;
                    }
                    ways.push((branch.target, asked));
                    at += WORD;
                    continue;
                }
                let Effect { reads, writes, leaves } = effect(word);
                if !(reads & asked).is_empty() {
                    return true;
                }
                if leaves {
                    break;
                }
                asked &= !writes;
                at += WORD;
            }
        }
        false
    }

    /// Puts the copies before the branch, which goes back. Not if it can't reach that far.
    fn turn(&mut self, end: &End) {
        let last = end.jump - WORD;
        let Some(back) = inverted(end.condition, last, end.back) else { return };
        for at in (end.branch..last).step_by(WORD as usize) {
            let copy = self.word(at + WORD).expect("the end of a loop was read");
            self.set(at, copy);
        }
        self.set(last, back);
        let out = decode::jump_to(end.jump, end.condition.target);
        self.set(end.jump, if end.condition.target == end.jump + WORD { NOP } else { out });
    }
}

#[cfg(test)]
mod tests;
