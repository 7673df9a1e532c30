//! Where a function starts in a line of the cache, so that its loops touch few lines.
//!
//! Processors fetch code, and keep what they have decoded, by lines of 64 bytes: a small loop that crosses into one line more than
//! it has to takes up to a tenth longer, or more (docs/speed.md). Cranelift aligns no blocks, but where the whole function starts
//! is free.

use crate::graph::components;
use cranelift_codegen::CompiledCode;

/// Bytes of a line.
const LINE: u32 = 64;

/// How much more often a loop runs than what is around it.
const ROUNDS: f32 = 8.0;

/// Loops in each other that count.
const MAX_DEPTH: i32 = 6;

/// Blocks of a function with loops that are looked at. In a larger one, no start is good for all loops.
const MAX_BLOCKS: usize = 4096;

/// Where code may start: at offsets that leave a rest when divided by a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Alignment {
    pub to: u32,
    pub rest: u32,
}

impl Default for Alignment {
    fn default() -> Self {
        Alignment { to: 1, rest: 0 }
    }
}

impl Alignment {
    /// The first such offset from `end` on.
    pub fn after(self, end: usize) -> usize {
        let (to, rest) = (self.to as usize, self.rest as usize);
        end + (rest.wrapping_sub(end) & (to - 1))
    }

    /// Whether it can be met.
    pub fn is_valid(self) -> bool {
        self.to.is_power_of_two() && self.rest < self.to && self.to <= 4096
    }
}

/// Chooses where code with loops starts. Where its basic blocks are not known (`machine_code_cfg_info`), that is a line.
pub(super) fn place(compiled: &CompiledCode) -> Alignment {
    let own = compiled.buffer.alignment.max(1);
    let blocks = match Blocks::new(compiled) {
        Some(blocks) if own <= LINE => blocks,
        _ => return Alignment { to: own.max(LINE), rest: 0 },
    };
    let starts = (0..LINE).step_by(own.max(4) as usize);
    let cost = |start: u32| (start, blocks.cost(start));
    let best = starts.map(cost).min_by(|(_, x), (_, y)| x.total_cmp(y)).map_or(0, |(start, _)| start);
    Alignment { to: LINE, rest: best }
}

/// The blocks of a function that are in loops.
struct Blocks {
    list: Vec<Block>,
}

struct Block {
    start: u32,
    end: u32,
    /// How often it runs.
    often: f32,
    /// Whether the block before it goes on to it as often.
    is_continued: bool,
}

impl Blocks {
    /// Nothing if there is no loop.
    fn new(compiled: &CompiledCode) -> Option<Blocks> {
        let mut starts = compiled.bb_starts.clone();
        starts.sort_unstable();
        starts.dedup();
        let index = |start: u32| starts.binary_search(&start).ok();
        let mut next = vec![Vec::new(); starts.len()];
        for (from, to) in &compiled.bb_edges {
            if let (Some(from), Some(to)) = (index(*from), index(*to)) {
                next[from].push(to as u32);
            }
        }
        let depths = depths(&next)?;
        let end = compiled.buffer.data().len() as u32;
        let ends = starts.iter().skip(1).copied().chain([end]);
        let mut list: Vec<Block> = Vec::new();
        for (index, (start, end)) in starts.iter().copied().zip(ends).enumerate() {
            let depth = depths[index];
            if depth == 0 {
                continue;
            }
            let before = index.checked_sub(1).filter(|before| next[*before].contains(&(index as u32)));
            let is_continued = before.is_some_and(|before| depths[before] >= depth);
            list.push(Block { start, end, often: ROUNDS.powi(depth.min(MAX_DEPTH)), is_continued });
        }
        Some(Blocks { list })
    }

    /// How many lines are entered in loops, if the function starts so many bytes into a line.
    fn cost(&self, rest: u32) -> f32 {
        let cost = |block: &Block| {
            let (start, end) = (block.start + rest, (block.end + rest).max(block.start + rest + 1));
            let lines = (end - 1) / LINE - start / LINE + 1;
            // It goes on in the line that the one before it ends in.
            let is_shared = block.is_continued && start % LINE != 0;
            block.often * (lines - u32::from(is_shared)) as f32
        };
        self.list.iter().map(cost).sum()
    }
}

/// How many loops each block is in, by the blocks that each leads to, in the order of the code. Nothing if there is no loop, or too
/// much to look at.
fn depths(next: &[Vec<u32>]) -> Option<Vec<i32>> {
    if next.len() > MAX_BLOCKS {
        return None;
    }
    let mut next = next.to_vec();
    let mut depths = vec![0; next.len()];
    for _ in 0..MAX_DEPTH {
        let mut component_of = vec![0; next.len()];
        let mut has_loop = false;
        let mut headers = vec![false; next.len()];
        for (number, component) in components(&next).into_iter().enumerate() {
            for block in &component {
                component_of[*block as usize] = number;
            }
            let first = component.iter().copied().min().expect("a component has a member");
            if component.len() > 1 || next[first as usize].contains(&first) {
                has_loop = true;
                // A loop starts with the first of its blocks.
                headers[first as usize] = true;
                component.iter().for_each(|block| depths[*block as usize] += 1);
            }
        }
        if !has_loop {
            break;
        }
        // What is left are the loops in these loops.
        for (block, next) in next.iter_mut().enumerate() {
            let stays =
                |to: &u32| component_of[*to as usize] == component_of[block] && !headers[*to as usize];
            next.retain(stays);
        }
    }
    depths.iter().any(|depth| *depth > 0).then_some(depths)
}

#[cfg(test)]
mod tests {
    use super::{Alignment, Block, Blocks, depths};

    #[test]
    fn loops_in_loops_are_counted() {
        // 0 → 1 → 2 → 3 → 2 (a loop), 3 → 4 → 1 (a loop around it), 4 → 5; 6 → 6.
        let next = [vec![1], vec![2], vec![3], vec![2, 4], vec![1, 5], vec![6], vec![6]];
        assert_eq!(depths(&next), Some(vec![0, 1, 2, 2, 1, 0, 1]));
        assert_eq!(depths(&[vec![1], vec![]]), None);
    }

    #[test]
    fn offsets_leave_the_rest() {
        let alignment = Alignment { to: 64, rest: 24 };
        assert_eq!([0, 24, 25, 88, 100].map(|end| alignment.after(end)), [24, 24, 88, 88, 152]);
        assert_eq!(Alignment::default().after(7), 7);
        assert!(!Alignment { to: 64, rest: 64 }.is_valid());
    }

    #[test]
    fn a_block_that_crosses_a_line_costs_two() {
        let block = |start, end, is_continued| Block { start, end, often: 8.0, is_continued };
        let blocks = Blocks { list: vec![block(40, 80, false), block(80, 90, true)] };
        assert_eq!([0, 24, 48].map(|rest| blocks.cost(rest) / 8.0), [2.0, 2.0, 3.0]);
    }
}
