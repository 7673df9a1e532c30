//! Branches to nothing but another branch, or but copies and another branch.
//!
//! What the register allocator puts on the way from one block to another has a block of its own. If all of it is spared
//! ([`super::slots`]), a jump is left.

use super::decode::{Offsets, target};
use super::slots::{Slots, Spared};
use super::{Item, What};

/// Jumps in a row that are followed.
const MAX_HOPS: usize = 4;

/// Lets branches lead to where the jumps at their targets lead, and turns those around that skip nothing but a jump. Items
/// are in the order of the code, of so many bytes.
pub(super) fn thread(items: &mut [Item], len: usize) {
    for index in 0..items.len() {
        let (What::Branch { target, .. } | What::Entry { target, .. }) = items[index].what else { continue };
        let mut last = target;
        for _ in 0..MAX_HOPS {
            match jump_at(items, last) {
                Some(next) => last = next,
                None => break,
            }
        }
        if let What::Branch { target, .. } | What::Entry { target, .. } = &mut items[index].what {
            *target = last;
        }
    }
    let mut targets = Offsets::new(len);
    items.iter().filter_map(target).for_each(|target| targets.insert(target));
    for index in 0..items.len() {
        let What::Branch { target: over, condition: Some(condition) } = items[index].what else { continue };
        let end = items[index].at + items[index].len;
        let Some(jump) = first(items, index + 1, end) else { continue };
        if let What::Branch { target, condition: None } = items[jump].what
            && over == items[jump].at + items[jump].len
            && targets.next(end).is_none_or(|next| next >= over)
        {
            // The lowest bit of a condition negates it.
            items[index].what = What::Branch { target, condition: Some(condition ^ 1) };
            items[jump].what = What::Nothing;
        }
    }
}

/// Has the branch that ends a loop go back itself: the copies on the way back come before it, where what comes after the loop
/// does not look at the registers that they set. Otherwise each round would branch over a jump.
pub(super) fn branch_back(items: &mut [Item], len: usize, slots: &Slots, spared: &[Spared]) {
    let mut targets = Offsets::new(len);
    items.iter().filter_map(target).for_each(|target| targets.insert(target));
    let mut live = None;
    for index in 0..items.len() {
        let What::Branch { target: out, condition: Some(condition) } = items[index].what else { continue };
        let (start, end) = (items[index].at, items[index].at + items[index].len);
        if targets.next(end).is_none_or(|next| next < out) {
            continue;
        }
        let Some((block, after)) = slots.block_at(end).zip(slots.block_at(out)) else { continue };
        let Some(moves) = slots.moves(block).filter(|_| after == block + 1) else { continue };
        let jump = items.partition_point(|item| item.at < out) - 1;
        let What::Branch { target: back, condition: None } = items[jump].what else { continue };
        let live = live.get_or_insert_with(|| slots.live(spared));
        if back <= start && items[jump].at + items[jump].len == out && live[after] & moves == 0 {
            items[index].what = What::Nothing;
            items[jump].what = What::Branch { target: back, condition: Some(condition ^ 1) };
        }
    }
}

/// Where the code at an offset leads, if it is a jump.
fn jump_at(items: &[Item], at: u32) -> Option<u32> {
    let index = first(items, items.partition_point(|item| item.at < at), at)?;
    match items[index].what {
        What::Branch { target, condition: None } => Some(target),
        _ => None,
    }
}

/// The first item that is left of the code at an offset, by its index from `index` on, if no other code comes before it.
fn first(items: &[Item], mut index: usize, mut at: u32) -> Option<usize> {
    loop {
        let item = items.get(index).filter(|item| item.at == at)?;
        match item.what {
            What::Nothing => at += item.len,
            _ => return Some(index),
        }
        index += 1;
    }
}
