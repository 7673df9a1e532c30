//! The state of the static model after instantiation, as far as it is known when the module is built
//! (`aot_abi::descriptor`): its executable has less to do, and less code for it.

use super::memory::parts;
use super::text::Text;
use crate::codegen::function::CodeTarget;
use crate::codegen::symbol::Symbol;
use crate::module::ModuleInfo;
use crate::plan::Plan;
use crate::target::Target;
use aot_abi::libcall::Libcall;
use aot_abi::memory::{MAX_PAGES, STATIC_MEMORY, static_context};
use aot_abi::module::ConstOp;
use aot_abi::types::{EntityKind, ValType};
use aot_abi::vmctx::NO_MEMORY;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Bytes and their address.
pub(crate) type Piece = (u64, Vec<u8>);

/// State that is known.
pub(crate) struct Initial {
    /// Address of the definition of the memory, and its pages at first and at most. Zeros without a memory.
    pub memory: [u64; 3],
    /// Number of functions: defined ones, imported ones.
    pub functions: [u64; 2],
    /// What the kernel maps of the memory: address and bytes.
    pub image: Option<Piece>,
    /// Bytes to copy, and where to.
    pub copies: Vec<Piece>,
    /// What runs, in this order: entry trampolines and code, as offsets in the text section. Nothing if the runtime has to
    /// make the instance: then only the contents of the memory are known.
    pub calls: Option<Vec<(u32, u32)>>,
}

/// What contents are compared by. The smallest page of a machine.
pub(super) const BLOCK: u64 = 4096;

/// The largest page of a machine: where a mapping of the file may start and end.
const MAPPED_PAGE: u64 = 1 << 16;

/// Bytes from which on the kernel maps them. Fewer are copied, which costs less than a mapping, and than its pages in the
/// file.
const MIN_IMAGE: u64 = 96 << 10;

/// A mapping has at most this many bytes for each byte in blocks that are not zero.
const MAX_SPREAD: u64 = 2;

/// Zeros between bytes that are worth a copy of its own.
const MIN_GAP: usize = 64;

/// Finds out what is known. What goes into the memory has no place in the description of the module then.
pub(crate) fn describe(info: &ModuleInfo<'_>, plan: &Plan, text: &Text, target: &Target) -> Option<Initial> {
    let memories = (info.imported_memories == 0).then_some(&info.memories[..]);
    let parts = parts(memories, info.data.iter().map(|segment| (&segment.mode, segment.bytes)))?;
    let blocks = blocks(&parts);
    let (image, mut copies) = match image(&blocks) {
        Some(image) => (Some(image), Vec::new()),
        None => (None, runs(&blocks)),
    };
    let context = static_context(plan.offsets.size())?;
    let memory = info.memories.first().map_or([0; 3], |memory| {
        let definition = context + u64::from(plan.offsets.memory(0));
        [definition, memory.limits.min, memory.limits.max.unwrap_or(MAX_PAGES).min(MAX_PAGES)]
    });
    let calls = match instance(info, plan, text, target) {
        Some(instance) => {
            copies.extend(instance.copies);
            Some(instance.calls)
        }
        None => None,
    };
    let imported = u64::from(info.imported_funcs);
    let functions = [info.funcs.len() as u64 - imported, imported];
    Some(Initial { memory, functions, image, copies, calls })
}

/// The blocks of memory that are not zero, by address.
fn blocks<'a>(parts: &[(u64, &'a [u8])]) -> BTreeMap<u64, Cow<'a, [u8]>> {
    let mut blocks: BTreeMap<u64, Cow<'_, [u8]>> = BTreeMap::new();
    for (start, bytes) in parts {
        let (mut at, mut rest): (u64, &'a [u8]) = (*start, bytes);
        while !rest.is_empty() {
            let within = at % BLOCK;
            let (now, later) = rest.split_at(rest.len().min((BLOCK - within) as usize));
            if now.len() as u64 == BLOCK {
                // Most of them are.
                blocks.insert(at, Cow::Borrowed(now));
            } else {
                let block = blocks.entry(at - within).or_insert_with(|| Cow::Owned(vec![0; BLOCK as usize]));
                block.to_mut()[within as usize..][..now.len()].copy_from_slice(now);
            }
            (at, rest) = (at + now.len() as u64, later);
        }
    }
    blocks.retain(|_, block| block.iter().any(|byte| *byte != 0));
    blocks
}

/// All blocks in one piece, if it is worth a mapping.
fn image(blocks: &BTreeMap<u64, Cow<'_, [u8]>>) -> Option<Piece> {
    let used = blocks.len() as u64 * BLOCK;
    let (first, last) = (*blocks.first_key_value()?.0, *blocks.last_key_value()?.0);
    let start = first / MAPPED_PAGE * MAPPED_PAGE;
    let len = (last + BLOCK).next_multiple_of(MAPPED_PAGE) - start;
    if used < MIN_IMAGE || len > used * MAX_SPREAD {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    for (at, block) in blocks {
        bytes[(at - start) as usize..][..BLOCK as usize].copy_from_slice(block);
    }
    Some((STATIC_MEMORY + start, bytes))
}

/// The bytes that are not zero, in pieces.
fn runs(blocks: &BTreeMap<u64, Cow<'_, [u8]>>) -> Vec<Piece> {
    let mut runs: Vec<Piece> = Vec::new();
    for (start, block) in blocks {
        for (at, byte) in block.iter().enumerate().filter(|(_, byte)| **byte != 0) {
            let address = STATIC_MEMORY + start + at as u64;
            match runs.last_mut() {
                Some((to, bytes)) if address - *to < (bytes.len() + MIN_GAP) as u64 => {
                    bytes.resize((address - *to) as usize, 0);
                    bytes.push(*byte);
                }
                _ => runs.push((address, vec![*byte])),
            }
        }
    }
    runs
}

/// What is to be done to have an instance, beside the contents of its memory.
struct Instance {
    copies: Vec<Piece>,
    calls: Vec<(u32, u32)>,
}

/// `None` if the runtime needs to know more of the module than its code shows.
fn instance(info: &ModuleInfo<'_>, plan: &Plan, text: &Text, target: &Target) -> Option<Instance> {
    let is_simple = info.imported_tables + info.imported_memories + info.imported_globals == 0
        && info.memories.len() <= 1
        && plan.fixed_tables.iter().all(Option::is_some)
        && !plan.uses_references;
    let is_known = |symbol: Symbol| match symbol {
        Symbol::Libcall(libcall) => {
            matches!(libcall, Libcall::MemoryGrow | Libcall::MemoryCopy | Libcall::MemoryFill)
        }
        _ => true,
    };
    let mut symbols = text.relocs.iter().filter_map(|reloc| match reloc.target {
        CodeTarget::Symbol(symbol) => Some(symbol),
        CodeTarget::Code(_) => None,
    });
    if !is_simple || !symbols.all(is_known) {
        return None;
    }
    let context = static_context(plan.offsets.size())?;
    let mut copies = Vec::new();
    let mut copy = |offset: u32, bytes: Vec<u8>| {
        if bytes.iter().any(|byte| *byte != 0) {
            copies.push((context + u64::from(offset), bytes));
        }
    };
    let u32_bytes = |value: u32| match target.is_big_endian() {
        true => value.to_be_bytes().to_vec(),
        false => value.to_le_bytes().to_vec(),
    };
    copy(plan.offsets.caller_memory(), u32_bytes(info.main_memory().unwrap_or(NO_MEMORY)));
    for (index, table) in plan.fixed_tables.iter().flatten().enumerate() {
        let len = plan.offsets.table(index as u32) + plan.offsets.def_len();
        copy(len, target.word(table.elements.len() as u64));
    }
    let mut globals = Vec::new();
    for value in globals_of(info)? {
        globals.extend(value.cell(target.is_big_endian()));
    }
    if !globals.is_empty() {
        copy(plan.offsets.global(0), globals);
    }
    Some(Instance { copies, calls: calls(info, text)? })
}

/// A value of a global.
#[derive(Clone, Copy)]
enum Value {
    I32(u32),
    I64(u64),
    V128([u8; 16]),
}

impl Value {
    /// As it lies in its cell.
    fn cell(self, is_big_endian: bool) -> [u8; 16] {
        let mut cell = [0; 16];
        match (self, is_big_endian) {
            (Value::I32(value), false) => cell[..4].copy_from_slice(&value.to_le_bytes()),
            (Value::I32(value), true) => cell[..4].copy_from_slice(&value.to_be_bytes()),
            (Value::I64(value), false) => cell[..8].copy_from_slice(&value.to_le_bytes()),
            (Value::I64(value), true) => cell[..8].copy_from_slice(&value.to_be_bytes()),
            (Value::V128(value), _) => cell = value,
        }
        cell
    }
}

/// The initial values of all globals; null references are zero.
fn globals_of(info: &ModuleInfo<'_>) -> Option<Vec<Value>> {
    let mut globals: Vec<Value> = Vec::new();
    for global in &info.globals {
        let mut stack = Vec::new();
        for op in global.init.as_ref()? {
            let value = match *op {
                ConstOp::I32Const(value) => Value::I32(value as u32),
                ConstOp::I64Const(value) => Value::I64(value as u64),
                ConstOp::F32Const(bits) => Value::I32(bits),
                ConstOp::F64Const(bits) => Value::I64(bits),
                ConstOp::V128Const(bytes) => Value::V128(bytes),
                ConstOp::GlobalGet(global) => *globals.get(global as usize)?,
                ConstOp::RefNull => Value::I64(0),
                ConstOp::RefFunc(_) => return None,
                op => {
                    let (y, x) = (stack.pop()?, stack.pop()?);
                    arithmetic(op, x, y)?
                }
            };
            stack.push(value);
        }
        globals.push(stack.pop()?);
    }
    Some(globals)
}

fn arithmetic(op: ConstOp, x: Value, y: Value) -> Option<Value> {
    Some(match (op, x, y) {
        (ConstOp::I32Add, Value::I32(x), Value::I32(y)) => Value::I32(x.wrapping_add(y)),
        (ConstOp::I32Sub, Value::I32(x), Value::I32(y)) => Value::I32(x.wrapping_sub(y)),
        (ConstOp::I32Mul, Value::I32(x), Value::I32(y)) => Value::I32(x.wrapping_mul(y)),
        (ConstOp::I64Add, Value::I64(x), Value::I64(y)) => Value::I64(x.wrapping_add(y)),
        (ConstOp::I64Sub, Value::I64(x), Value::I64(y)) => Value::I64(x.wrapping_sub(y)),
        (ConstOp::I64Mul, Value::I64(x), Value::I64(y)) => Value::I64(x.wrapping_mul(y)),
        _ => return None,
    })
}

/// The start function, and what a program is started by. `None` if one of them is not as it has to be: the runtime says so.
fn calls(info: &ModuleInfo<'_>, text: &Text) -> Option<Vec<(u32, u32)>> {
    let export = |name: &str| {
        info.exports.iter().find(|export| export.name == name && export.kind == EntityKind::Func)
    };
    let exports = ["_initialize", "_start"].into_iter().filter_map(export).map(|export| export.index);
    let canonical = |ty: u32| info.canonical_types[ty as usize];
    let call = |func: u32| {
        let ty = info.funcs[func as usize];
        let of: &[&[ValType]] = &[&info.types[ty as usize].params, &info.types[ty as usize].results];
        if of.iter().any(|list| !list.is_empty()) {
            return None;
        }
        let entry = text.entries.iter().find(|entry| canonical(entry.type_index) == canonical(ty))?;
        Some((entry.code_offset, *text.symbols.get(&Symbol::Function(func))?))
    };
    info.start.into_iter().chain(exports).map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[(u64, &[u8])]) -> (Option<(u64, usize)>, Vec<Piece>) {
        let blocks = blocks(parts);
        let image = image(&blocks).map(|(address, bytes)| (address - STATIC_MEMORY, bytes.len()));
        let runs = runs(&blocks).into_iter().map(|(address, bytes)| (address - STATIC_MEMORY, bytes));
        (image, runs.collect())
    }

    #[test]
    fn little_is_copied_without_its_zeros() {
        assert_eq!(of(&[]), (None, vec![]));
        assert_eq!(of(&[(5, &[0, 0])]), (None, vec![]));
        // Later parts overwrite earlier ones; blocks and short gaps do not separate.
        let parts: [(u64, &[u8]); 3] = [(4090, &[0, 1, 2, 3, 0, 0, 4, 5]), (4093, &[9]), (4160, &[6])];
        assert_eq!(
            of(&parts).1,
            [(4091, vec![1, 2, 9, 0, 0, 4, 5].into_iter().chain([0; 62]).chain([6]).collect())]
        );
        let parts: [(u64, &[u8]); 2] = [(0, &[1]), (65, &[2])];
        assert_eq!(of(&parts).1, [(0, vec![1]), (65, vec![2])]);
    }

    #[test]
    fn much_is_mapped_unless_it_is_far_apart() {
        let bytes = vec![1; MIN_IMAGE as usize];
        assert_eq!(of(&[(MAPPED_PAGE + 1, &bytes)]).0, Some((MAPPED_PAGE, 2 * MAPPED_PAGE as usize)));
        assert_eq!(of(&[(0, &bytes[1 << 13..])]).0, None);
        assert_eq!(of(&[(0, &bytes), (1 << 20, &[1])]).0, None);
    }
}
