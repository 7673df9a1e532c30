//! Where the bytes of code went that was rewritten.

/// Offsets in code before and after it was rewritten.
pub(super) struct Moved {
    /// Where something ends in the old code that is longer or shorter in the new one, ascending; and how far what comes after
    /// it is from where it was.
    changes: Vec<(u32, i32)>,
}

impl Moved {
    /// Takes what changed, ascending by the end of it in the old code: the end, and by how many bytes everything after it moves.
    pub fn new(changes: impl Iterator<Item = (u32, i32)>) -> Moved {
        let mut moved = Moved { changes: Vec::new() };
        for (end, distance) in changes {
            match moved.changes.last_mut() {
                Some((last, before)) if *last == end => *before = distance,
                Some((_, before)) if *before == distance => {}
                None if distance == 0 => {}
                _ => moved.changes.push((end, distance)),
            }
        }
        moved
    }

    /// Where an instruction, or data, is now.
    pub fn at(&self, offset: u32) -> u32 {
        match self.changes.partition_point(|(end, _)| *end <= offset) {
            0 => offset,
            after => offset.wrapping_add_signed(self.changes[after - 1].1),
        }
    }
}
