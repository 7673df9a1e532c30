//! Where everything goes.

use super::decode::target;
use super::jumps;
use super::{Form, Item, LONG, Rewritten, SHORT, What};
use crate::codegen::moved::Moved;

/// Rounds in which branches are made longer one by one. After these, all are.
const MAX_ROUNDS: usize = 16;

/// A branch in each of its forms: none, if it leads to the next instruction.
const NO_BRANCH: u32 = 0;
const SHORT_BRANCH: u32 = 2;

/// Bytes of a copy between registers.
const COPY: u32 = 3;

/// Bytes of a branch that reaches everything.
fn long_branch(condition: Option<u8>) -> u32 {
    match condition {
        Some(_) => 6,
        None => 5,
    }
}

struct Layout {
    items: Vec<Item>,
    /// For each item, how many items end at its target or before.
    targets: Vec<usize>,
    /// Bytes of each item in the new code.
    lens: Vec<u32>,
    /// How far the code after each item is from where it was.
    distances: Vec<i32>,
    alignment: u32,
}

/// Bytes of a line.
const LINE: u32 = 64;

/// Bytes of the largest loop that starts at a line.
const MAX_LOOP: u32 = 4 * LINE;

/// Instructions that do nothing, from one byte up (Intel 64 and IA-32 Architectures Software Developer's Manual, NOP).
const NOPS: [&[u8]; 9] = [
    &[0x90],
    &[0x66, 0x90],
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/// Adds items for the small loops without others in them that branches at their ends make, and leaves of those that are there
/// the ones that something leads back to.
fn add_loops(items: &mut Vec<Item>, prologue: u32) {
    let mut loops: Vec<(u32, u32)> = Vec::new();
    for item in &*items {
        if let What::Branch { target, .. } = item.what
            && target <= item.at
        {
            loops.push((target, item.at + item.len));
        }
    }
    loops.sort_unstable();
    // The last branch back is where a loop ends.
    let mut lasts: Vec<(u32, u32)> = Vec::with_capacity(loops.len());
    for (start, end) in loops {
        match lasts.last_mut() {
            Some(last) if last.0 == start => last.1 = end,
            _ => lasts.push((start, end)),
        }
    }
    let is_loop = |start: u32| lasts.binary_search_by_key(&start, |(start, _)| *start).is_ok();
    items.retain(|item| !matches!(item.what, What::Loop { .. }) || is_loop(item.at));
    let next = lasts.iter().skip(1).map(|(start, _)| *start).chain([u32::MAX]);
    let innermost = lasts.iter().zip(next).filter(|((_, end), next)| next >= end).map(|(one, _)| *one);
    items.extend(innermost.map(|(start, end)| Item { at: start, len: 0, what: What::Loop { end } }));
    items.retain(|item| match item.what {
        // Code that was a bit longer may fit by now.
        What::Loop { end } => item.at >= prologue && end - item.at <= 2 * MAX_LOOP,
        _ => true,
    });
    items.sort_by_key(|item| (item.at, item.len));
}

/// Puts the code together with the shortest branches that reach.
pub(super) fn lay_out(code: &[u8], mut items: Vec<Item>, alignment: u32, prologue: u32) -> Option<Rewritten> {
    jumps::thread(&mut items, code.len());
    add_loops(&mut items, prologue);
    let ends: Vec<u32> = items.iter().map(|item| item.at + item.len).collect();
    let after = |place: u32| ends.partition_point(|end| *end <= place);
    let index = |item: &Item| match item.what {
        // Without what is in front of the next loop.
        What::Loop { end } => items.partition_point(|item| item.at < end),
        _ => target(item).map_or(0, after),
    };
    let targets = items.iter().map(index).collect();
    let lens = items.iter().map(|item| match &item.what {
        What::Branch { .. } if item.at >= prologue => NO_BRANCH,
        What::Form(_) => item.len - LONG + SHORT,
        What::Nothing => 0,
        What::Copy { .. } => COPY,
        _ => item.len,
    });
    let lens = lens.collect();
    let distances = vec![0; items.len()];
    let mut layout = Layout { items, targets, lens, distances, alignment };
    // Where loops start depends on how long they were in the round before.
    let mut is_settled = false;
    for round in 0.. {
        layout.place();
        if layout.lengthen(round >= MAX_ROUNDS) {
            is_settled = false;
        } else if std::mem::replace(&mut is_settled, true) {
            break;
        }
    }
    let changes = ends.iter().copied().zip(layout.distances.iter().copied());
    let moved = Moved::new(changes);
    let has_loop = layout.items.iter().any(|item| matches!(item.what, What::Loop { .. }));
    let alignment = if has_loop { alignment.max(LINE) } else { alignment };
    (moved.at(prologue) == prologue).then(|| Rewritten { code: layout.write(code, &moved), moved, alignment })
}

impl Layout {
    /// Computes where everything is, as long as it is now.
    fn place(&mut self) {
        let mut distance = 0_i32;
        for (index, item) in self.items.iter().enumerate() {
            let now = item.at.wrapping_add_signed(distance);
            match item.what {
                What::Data => self.lens[index] = item.at.wrapping_sub(now) & (self.alignment - 1),
                What::Loop { end } => {
                    // As long as it was in the round before.
                    let end = end.wrapping_add_signed(self.distance(self.targets[index]));
                    let start = item.at.wrapping_add_signed(self.distances[index]);
                    self.lens[index] = padding(now, end.saturating_sub(start));
                }
                _ => {}
            }
            distance += self.lens[index] as i32 - item.len as i32;
            self.distances[index] = distance;
        }
    }

    /// Makes branches longer that don't reach. Returns whether there were some.
    fn lengthen(&mut self, all: bool) -> bool {
        let mut changed = false;
        for (index, item) in self.items.iter().enumerate() {
            let What::Branch { target, condition } = item.what else { continue };
            let len = self.lens[index];
            let long = long_branch(condition);
            if len == long {
                continue;
            }
            let way = self.way(index, target);
            let needed = match (len, way) {
                (NO_BRANCH, 0) => NO_BRANCH,
                // It may have become longer than it has to be: what is between it and its target can only grow.
                (_, -0x80..=0x7f) => SHORT_BRANCH,
                _ => long,
            };
            let needed = if all { long } else { needed };
            if needed > len {
                self.lens[index] = needed;
                changed = true;
            }
        }
        changed
    }

    /// Bytes from the end of an item to its target.
    fn way(&self, index: usize, target: u32) -> i64 {
        let item = &self.items[index];
        let place = |offset: u32, after: usize| i64::from(offset) + i64::from(self.distance(after));
        place(target, self.targets[index]) - place(item.at + item.len, index + 1)
    }

    /// How far code is from where it was, after so many items.
    fn distance(&self, items: usize) -> i32 {
        items.checked_sub(1).map_or(0, |last| self.distances[last])
    }

    /// The new code.
    fn write(&self, code: &[u8], moved: &Moved) -> Vec<u8> {
        let mut out = Vec::with_capacity(code.len());
        let mut copied = 0;
        for (index, item) in self.items.iter().enumerate() {
            let (at, end) = (item.at as usize, (item.at + item.len) as usize);
            out.extend_from_slice(&code[copied..at]);
            copied = end;
            let old = &code[at..end];
            let distance = |target| (self.way(index, target) as i32).to_le_bytes();
            match &item.what {
                What::Branch { target, condition } => {
                    let distance = distance(*target);
                    match (self.lens[index], condition) {
                        (NO_BRANCH, _) => {}
                        (SHORT_BRANCH, condition) => {
                            out.extend([condition.map_or(0xeb, |condition| 0x70 | condition), distance[0]]);
                        }
                        (_, Some(condition)) => out.extend([0x0f, 0x80 | condition]),
                        (_, None) => out.push(0xe9),
                    }
                    if self.lens[index] > SHORT_BRANCH {
                        out.extend(distance);
                    }
                }
                What::Reference { target, field } => {
                    let start = out.len() + *field as usize;
                    out.extend_from_slice(old);
                    out[start..start + LONG as usize].copy_from_slice(&distance(*target));
                }
                What::Entry { table, target } => {
                    out.extend(moved.at(*target).wrapping_sub(moved.at(*table)).to_le_bytes());
                }
                What::Form(Form { opcode, position }) => {
                    let start = out.len() + *position as usize;
                    out.extend_from_slice(&old[..old.len() - LONG as usize + SHORT as usize]);
                    out[start] = *opcode;
                }
                What::Nothing => {}
                What::Loop { .. } => {
                    let mut left = self.lens[index] as usize;
                    while left > 0 {
                        let len = left.min(NOPS.len());
                        out.extend_from_slice(NOPS[len - 1]);
                        left -= len;
                    }
                }
                // `mov to, from`, of 64 bits.
                What::Copy { from, to } => {
                    out.extend([0x48 | from >> 3 << 2 | to >> 3, 0x89, 0xc0 | (from & 7) << 3 | to & 7]);
                }
                What::Data => out.resize(out.len() + self.lens[index] as usize, 0),
            }
        }
        out.extend_from_slice(&code[copied..]);
        out
    }
}

/// Bytes in front of a loop at an offset, so that it takes no more lines than it has to.
fn padding(at: u32, len: u32) -> u32 {
    let before = at % LINE;
    let fits = before + len <= len.next_multiple_of(LINE);
    if fits || len > MAX_LOOP { 0 } else { LINE - before }
}
