//! The initial contents of the first memory, computed when the module is built.
//!
//! A host maps them copy-on-write, so that instantiation costs the same however large they are.

use aot_abi::module::{ConstOp, DataSegment, MemoryImage, Module, SegmentMode};
use aot_abi::types::{MemoryType, PAGE_SIZE};

/// Bytes of the largest image. Larger ones are copied: few modules have as much data, and a file is read as a whole when
/// its hash is checked.
const MAX_LEN: u64 = 64 << 20;

/// An image has at most this many bytes for each byte of data, beyond [`ALWAYS`]: one that is nearly all zeros makes the
/// file larger for nothing.
const MAX_SPREAD: u64 = 4;

/// Bytes of an image that are never too many for the data in it.
const ALWAYS: u64 = 1 << 20;

/// The part of memory 0 that is not zero after instantiation, in whole pages of wasm: those are whole pages of every
/// machine too. `None` if the module does not define it, instantiation may trap, there is nothing to write, or the data is
/// too far apart.
///
/// `data` has the bytes of the module's data segments.
pub(crate) fn initial_memory(module: &Module, data: &[u8]) -> Option<(MemoryImage, Vec<u8>)> {
    let bytes = |segment: &DataSegment| data.get(segment.offset as usize..)?.get(..segment.len as usize);
    let segments = module.data.iter().map(|segment| Some((&segment.mode, bytes(segment)?)));
    let segments = segments.collect::<Option<Vec<_>>>()?;
    let memories = (module.counts().imported_memories == 0).then_some(&module.memories[..]);
    let parts = parts(memories, segments.into_iter())?;
    let start = parts.iter().map(|(start, _)| *start).min()? / PAGE_SIZE * PAGE_SIZE;
    let end = parts.iter().map(|(start, bytes)| start + bytes.len() as u64).max()?;
    let len = end.next_multiple_of(PAGE_SIZE) - start;
    let used: u64 = parts.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    if len > MAX_LEN.min(ALWAYS + used.saturating_mul(MAX_SPREAD)) {
        return None;
    }
    let mut image = vec![0; usize::try_from(len).ok()?];
    // In the order of the module: later segments overwrite earlier ones.
    for (at, bytes) in parts {
        image[(at - start) as usize..][..bytes.len()].copy_from_slice(bytes);
    }
    let is_zero = |page: &[u8]| page.iter().all(|byte| *byte == 0);
    let pages = || image.chunks(PAGE_SIZE as usize);
    let first = pages().position(|page| !is_zero(page))?;
    let last = pages().rposition(|page| !is_zero(page))?;
    let image = image[first * PAGE_SIZE as usize..(last + 1) * PAGE_SIZE as usize].to_vec();
    Some((MemoryImage { offset: start + first as u64 * PAGE_SIZE, len: image.len() as u64 }, image))
}

/// What the active segments write to memory 0, in their order: addresses and bytes. `None` if the module does not define
/// it, or instantiation may trap.
///
/// `memories` are the ones that the module has, if it imports none; `segments` the modes and the bytes of its data.
pub(super) fn parts<'a, 'm>(
    memories: Option<&[MemoryType]>,
    segments: impl Iterator<Item = (&'m SegmentMode, &'a [u8])>,
) -> Option<Vec<(u64, &'a [u8])>> {
    let memories = memories?;
    let mut parts: Vec<(u64, &[u8])> = Vec::new();
    for (mode, bytes) in segments {
        let SegmentMode::Active { target, offset } = mode else { continue };
        let memory = memories.get(*target as usize)?;
        let start = u64::from(constant(offset)? as u32);
        // A segment that traps keeps the later ones from being written.
        if start + bytes.len() as u64 > memory.limits.min.checked_mul(PAGE_SIZE)? {
            return None;
        }
        if *target == 0 && !bytes.is_empty() {
            parts.push((start, bytes));
        }
    }
    Some(parts)
}

/// The value of a constant expression of type `i32`, if it needs no instance.
fn constant(expr: &[ConstOp]) -> Option<i32> {
    let mut stack: Vec<i32> = Vec::new();
    for op in expr {
        let operation = match op {
            ConstOp::I32Const(value) => {
                stack.push(*value);
                continue;
            }
            ConstOp::I32Add => i32::wrapping_add,
            ConstOp::I32Sub => i32::wrapping_sub,
            ConstOp::I32Mul => i32::wrapping_mul,
            _ => return None,
        };
        let (y, x) = (stack.pop()?, stack.pop()?);
        stack.push(operation(x, y));
    }
    stack.pop()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Target, compile};
    use aot_abi::module::Description;

    /// Offset and length in pages, and the bytes that are not zero, by address.
    type Contents = (u64, u64, Vec<(u64, u8)>);

    /// The image of a module.
    fn image(wat: &str) -> Option<Contents> {
        let mut config = Config::image(Target::host().unwrap());
        config.features = crate::supported_features();
        let wasm = wat::parse_str(format!("(module {wat})")).unwrap();
        let image = compile(&wasm, &config).unwrap().image().unwrap();
        let described = Description::new(&image.description).unwrap().module().unwrap().memory_image;
        assert_eq!(described.map_or(0, |image| image.len), image.memory.len() as u64);
        let MemoryImage { offset, len } = described?;
        assert_eq!((offset % PAGE_SIZE, len % PAGE_SIZE), (0, 0));
        let bytes = image.memory.iter().enumerate().filter(|(_, byte)| **byte != 0);
        let bytes = bytes.map(|(at, byte)| (offset + at as u64, *byte)).collect();
        Some((offset / PAGE_SIZE, len / PAGE_SIZE, bytes))
    }

    #[test]
    fn segments_are_applied_in_order() {
        let wat = r#"(memory 4) (data (i32.const 65534) "\01\02\03\04") (data (i32.const 65535) "\05")"#;
        assert_eq!(image(wat), Some((0, 2, vec![(65534, 1), (65535, 5), (65536, 3), (65537, 4)])));
        let passive = r#"(memory 4) (data "\01") (data (i32.const 131072) "\02")"#;
        assert_eq!(image(passive), Some((2, 1, vec![(131072, 2)])));
        let computed = r#"(memory 4) (data (i32.sub (i32.const 9) (i32.const 2)) "\01")"#;
        assert_eq!(image(computed), Some((0, 1, vec![(7, 1)])));
    }

    #[test]
    fn pages_of_zeros_are_left_out() {
        let wat = r#"(memory 9) (data (i32.const 0) "\00\00") (data (i32.const 300000) "\01")
            (data (i32.const 400000) "\00")"#;
        assert_eq!(image(wat), Some((4, 1, vec![(300000, 1)])));
        assert_eq!(image(r#"(memory 1) (data (i32.const 0) "\00")"#), None);
        assert_eq!(image("(memory 1)"), None);
        assert_eq!(image(""), None);
    }

    #[test]
    fn what_only_instantiation_can_tell_has_no_image() {
        for wat in [
            r#"(import "a" "m" (memory 1)) (data (i32.const 0) "a")"#,
            r#"(import "a" "g" (global i32)) (memory 1) (data (global.get 0) "a")"#,
            r#"(memory 1) (data (i32.const 0) "a") (data (i32.const 65535) "ab")"#,
            r#"(memory 1) (data (i32.const 0) "a") (data (i32.const -1) "")"#,
            r#"(memory 1) (memory 0) (data (i32.const 0) "a") (data (memory 1) (i32.const 0) "a")"#,
        ] {
            assert_eq!(image(wat), None, "{wat}");
        }
        let second = r#"(memory 1) (memory 1) (data (i32.const 0) "a") (data (memory 1) (i32.const 0) "b")"#;
        assert_eq!(image(second), Some((0, 1, vec![(0, b'a')])));
    }

    #[test]
    fn data_that_is_far_apart_is_copied() {
        let wat = |at: u64| {
            format!(r#"(memory 65536) (data (i32.const 0) "a") (data (i32.const {}) "b")"#, at as i64 as i32)
        };
        let last = ALWAYS - 1;
        assert_eq!(image(&wat(last)), Some((0, 16, vec![(0, b'a'), (last, b'b')])));
        assert_eq!(image(&wat(ALWAYS)), None);
        assert_eq!(image(&wat(u64::from(u32::MAX))), None);
    }
}
