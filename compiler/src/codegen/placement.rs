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
        let index = |start: u32| starts.binary_search(&start).ok().map(|index| index as u32);
        let edges = compiled.bb_edges.iter().filter_map(|(from, to)| Some((index(*from)?, index(*to)?)));
        let mut edges: Vec<(u32, u32)> = edges.collect();
        edges.sort_unstable();
        let depths = depths(starts.len(), edges.clone())?;
        let end = compiled.buffer.data().len() as u32;
        let ends = starts.iter().skip(1).copied().chain([end]);
        let mut list: Vec<Block> = Vec::new();
        for (index, (start, end)) in starts.iter().copied().zip(ends).enumerate() {
            let depth = depths[index];
            if depth == 0 {
                continue;
            }
            let is_continued = index.checked_sub(1).is_some_and(|before| {
                depths[before] >= depth && edges.binary_search(&(before as u32, index as u32)).is_ok()
            });
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

/// How many loops each block is in, by the ways from block to block, ascending. Blocks are in the order of the code. Nothing if
/// there is no loop, or too much to look at.
fn depths(count: usize, mut edges: Vec<(u32, u32)>) -> Option<Vec<i32>> {
    // Without a way back, or to itself, no block is in a loop.
    if count > MAX_BLOCKS || edges.iter().all(|(from, to)| from < to) {
        return None;
    }
    let mut depths = vec![0; count];
    for _ in 0..MAX_DEPTH {
        let next: Vec<u32> = edges.iter().map(|(_, to)| *to).collect();
        let mut starts = vec![0; count + 1];
        edges.iter().for_each(|(from, _)| starts[*from as usize + 1] += 1);
        for block in 0..count {
            starts[block + 1] += starts[block];
        }
        let mut component_of = vec![0; count];
        let mut is_header = vec![false; count];
        for (number, component) in
            components(count, |block| &next[starts[block]..starts[block + 1]]).iter().enumerate()
        {
            let first = component.iter().copied().min().expect("a component has a member");
            component.iter().for_each(|block| component_of[*block as usize] = number);
            if component.len() > 1 || edges.binary_search(&(first, first)).is_ok() {
                // A loop starts with the first of its blocks.
                is_header[first as usize] = true;
                component.iter().for_each(|block| depths[*block as usize] += 1);
            }
        }
        // What is left are the loops in these loops.
        edges.retain(|(from, to)| {
            component_of[*from as usize] == component_of[*to as usize] && !is_header[*to as usize]
        });
        if edges.is_empty() {
            break;
        }
    }
    Some(depths)
}

#[cfg(test)]
mod tests {
    use super::{Alignment, Block, Blocks, depths};

    #[test]
    fn loops_in_loops_are_counted() {
        // 0 → 1 → 2 → 3 → 2 (a loop), 3 → 4 → 1 (a loop around it), 4 → 5; 6 → 6.
        let edges = [(0, 1), (1, 2), (2, 3), (3, 2), (3, 4), (4, 1), (4, 5), (5, 6), (6, 6)];
        assert_eq!(depths(7, edges.to_vec()), Some(vec![0, 1, 2, 2, 1, 0, 1]));
        assert_eq!(depths(2, vec![(0, 1)]), None);
    }

    #[test]
    fn offsets_leave_the_rest() {
        let alignment = Alignment { to: 64, rest: 24 };
        assert_eq!([0, 24, 25, 88, 100].map(|end| alignment.after(end)), [24, 24, 88, 88, 152]);
        assert_eq!(Alignment::default().after(7), 7);
        assert!(!Alignment { to: 64, rest: 64 }.is_valid());
    }

    #[test]
    fn blocks_that_cross_lines_cost_more() {
        let block = |start, end, is_continued| Block { start, end, often: 8.0, is_continued };
        let blocks = Blocks { list: vec![block(40, 80, false), block(80, 90, true)] };
        assert_eq!([0, 24, 48].map(|rest| blocks.cost(rest) / 8.0), [2.0, 1.0, 2.0]);
    }
}
