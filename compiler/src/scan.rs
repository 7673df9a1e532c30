//! What a body refers to, read without translating it.

use crate::module::{Body, ModuleInfo};
use std::ops::Range;
use wasmparser::{BinaryReader, FunctionBody, Operator, OperatorsReader, OperatorsReaderAllocations};

/// What is known of a body before it is translated. What is not valid counts for nothing.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The defined functions that it calls, numbered without imported ones; one item for each call site.
    pub calls: Vec<u32>,
    /// Operators that become instructions.
    pub size: u32,
    /// The tables that it changes; nothing is known of a body that is not valid.
    pub changed_tables: Option<Vec<u32>>,
    /// Whether it has references to functions as values.
    pub uses_references: bool,
    /// Places where a profile counts.
    pub points: u32,
    /// Indirect calls, in their order.
    pub sites: Vec<Site>,
    /// Nothing if it was not asked for, or the body is not valid.
    pub identity: Option<Identity>,
}

/// An indirect call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub table: u32,
    pub type_index: u32,
}

/// A body without the numbers that functions have in its module.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Of the bytes; functions that are called count as their positions in `refs`, those that are referred to as their
    /// slots in the VM context.
    pub hash: [u8; 32],
    /// The functions that it calls, by function index, each once.
    pub refs: Vec<u32>,
    /// Whether what is in the tables matters to its code.
    pub uses_tables: bool,
}

impl Scan {
    /// Adds a call that the translation will make, of a defined function by function index.
    pub fn add_call(&mut self, func: u32, imported: u32) {
        self.calls.extend(func.checked_sub(imported));
        if let Some(identity) = &mut self.identity
            && !identity.refs.contains(&func)
        {
            identity.refs.push(func);
        }
    }
}

/// Reads a body. `buffer` is any that was used before, or none if the identity is not wanted.
pub(crate) fn scan(info: &ModuleInfo<'_>, body: &Body<'_>, buffer: Option<&mut Vec<u8>>) -> Scan {
    read(info, &body.body, buffer, simple_operator)
}

/// Reads a body; what `simple` does not know is left to the parser.
fn read(
    info: &ModuleInfo<'_>,
    body: &FunctionBody<'_>,
    buffer: Option<&mut Vec<u8>>,
    simple: impl Fn(&[u8]) -> Option<Simple>,
) -> Scan {
    let mut scan = Scan { points: 1, ..Scan::default() };
    let (bytes, start) = (body.as_bytes(), body.range().start);
    let mut hash = buffer.map(|buffer| IdentityHash::new(bytes, buffer));
    let mut uses_tables = false;
    let mut changed_tables = Vec::new();
    let Ok(operators) = body.get_binary_reader_for_operators() else { return scan };
    let features = operators.features();
    let mut at = (operators.original_position() - start) as usize;
    let mut allocations = OperatorsReaderAllocations::default();
    let is_defined = |func: u32| (func as usize) < info.funcs.len();
    while at < bytes.len() {
        if let Some(Simple { len, size, points, call }) = simple(&bytes[at..]) {
            if let Some(func) = call {
                if let Some(hash) = &mut hash {
                    hash.call(at..at + len, false, func);
                }
                scan.calls.extend(func.checked_sub(info.imported_funcs).filter(|_| is_defined(func)));
            }
            (scan.size, scan.points, at) = (scan.size + size, scan.points + points, at + len);
            continue;
        }
        let rest = BinaryReader::new_features(&bytes[at..], start + at as u64, features);
        let mut reader = OperatorsReader::new_with_allocs(rest, allocations);
        let Ok(operator) = reader.read() else { return scan };
        let range = at..(reader.original_position() - start) as usize;
        allocations = reader.into_allocations();
        at = range.end;
        scan.size += u32::from(!is_free(&operator));
        scan.points += points(&operator);
        match operator {
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                let is_tail = matches!(operator, Operator::ReturnCall { .. });
                if let Some(hash) = &mut hash {
                    hash.call(range, is_tail, function_index);
                }
                let defined = function_index.checked_sub(info.imported_funcs);
                scan.calls.extend(defined.filter(|_| is_defined(function_index)));
            }
            Operator::RefFunc { function_index } => {
                scan.uses_references = true;
                if let Some(hash) = &mut hash {
                    hash.reference(range, info.escaped_slot(function_index));
                }
            }
            Operator::CallIndirect { type_index, table_index: table }
            | Operator::ReturnCallIndirect { type_index, table_index: table } => {
                uses_tables = true;
                scan.sites.push(Site { table, type_index });
            }
            Operator::TableSet { table }
            | Operator::TableGrow { table }
            | Operator::TableFill { table }
            | Operator::TableInit { table, .. }
            | Operator::TableCopy { dst_table: table, .. } => changed_tables.push(table),
            Operator::TableGet { .. } => scan.uses_references = true,
            _ => {}
        }
    }
    changed_tables.sort_unstable();
    changed_tables.dedup();
    scan.changed_tables = Some(changed_tables);
    scan.identity = hash.map(|hash| hash.finish(uses_tables));
    scan
}

/// An operator that a scan counts, and has to know little else of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Simple {
    /// Its bytes.
    len: usize,
    /// What it adds to the size of the scan, and to its points.
    size: u32,
    points: u32,
    /// The function that it calls.
    call: Option<u32>,
}

/// Reads the operator that comes first, if it is of one of the kinds that most of all code consists of, and has no unusual
/// encoding: the parser takes several times as long. Whether the operator is valid is not asked here.
fn simple_operator(bytes: &[u8]) -> Option<Simple> {
    let (opcode, rest) = bytes.split_first()?;
    // So short a number has no bits that would be too many.
    let number = |most: usize| {
        let last = rest.iter().take(most).position(|byte| *byte < 0x80)?;
        Some(2 + last)
    };
    let mut call = None;
    let (len, size, points) = match opcode {
        // `nop`, `else`, `end`, `drop`.
        0x01 | 0x05 | 0x0b | 0x1a => (1, 0, 0),
        // `block`, `loop`, `if` with at most one result, which is a number.
        0x02..=0x04 if matches!(rest.first()?, 0x40 | 0x7c..=0x7f) => match opcode {
            0x02 => (2, 0, 0),
            0x03 => (2, 0, 1),
            _ => (2, 1, 2),
        },
        // `br`, `br_if`.
        0x0c => (number(4)?, 1, 0),
        0x0d => (number(4)?, 1, 2),
        // `call`.
        0x10 => {
            let len = number(4)?;
            let bits = |value: u32, byte: &u8| value << 7 | u32::from(byte & 0x7f);
            call = Some(rest[..len - 1].iter().rev().fold(0, bits));
            (len, 1, 0)
        }
        // `unreachable`, `return`, `select`; arithmetic.
        0x00 | 0x0f | 0x1b | 0x45..=0xc4 => (1, 1, 0),
        // Locals, globals.
        0x20..=0x22 => (number(4)?, 0, 0),
        0x23 | 0x24 => (number(4)?, 1, 0),
        // Loads and stores of the first memory: the alignment, and the offset.
        0x28..=0x3e if *rest.first()? < 0x10 => {
            let last = rest.iter().skip(1).take(4).position(|byte| *byte < 0x80)?;
            (3 + last, 1, 0)
        }
        // Constants.
        0x41 => (number(4)?, 0, 0),
        0x42 => (number(9)?, 0, 0),
        0x43 => (5, 0, 0),
        0x44 => (9, 0, 0),
        _ => return None,
    };
    (len <= bytes.len()).then_some(Simple { len, size, points, call })
}

/// How many places an operator has where a profile counts: one for each way that control can take. The start of a function is
/// one more.
pub(crate) fn points(operator: &Operator<'_>) -> u32 {
    match operator {
        Operator::Loop { .. } => 1,
        Operator::If { .. } | Operator::BrIf { .. } => 2,
        Operator::BrTable { targets } => targets.len().saturating_add(1),
        _ => 0,
    }
}

/// Whether an operator only names, moves or groups values.
fn is_free(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::LocalGet { .. }
            | Operator::LocalSet { .. }
            | Operator::LocalTee { .. }
            | Operator::I32Const { .. }
            | Operator::I64Const { .. }
            | Operator::F32Const { .. }
            | Operator::F64Const { .. }
            | Operator::V128Const { .. }
            | Operator::RefNull { .. }
            | Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::Else
            | Operator::End
            | Operator::Drop
            | Operator::Nop
    )
}

/// Hashes the bytes of a body as they come, but for the operators that name functions.
struct IdentityHash<'a, 'b> {
    bytes: &'a [u8],
    /// How many are hashed.
    done: usize,
    /// What is hashed, in one piece: many small ones take longer.
    input: &'b mut Vec<u8>,
    refs: Vec<u32>,
}

impl<'a, 'b> IdentityHash<'a, 'b> {
    fn new(bytes: &'a [u8], input: &'b mut Vec<u8>) -> Self {
        input.clear();
        IdentityHash { bytes, done: 0, input, refs: Vec::new() }
    }

    /// Puts a tag and a number in place of an operator.
    fn replace(&mut self, operator: Range<usize>, tag: u8, number: u32) {
        let before = &self.bytes[self.done..operator.start];
        self.input.extend((before.len() as u32).to_le_bytes());
        self.input.extend_from_slice(before);
        // How long it is decides where the operators after it are.
        self.input.extend([tag, operator.len() as u8]);
        self.input.extend(number.to_le_bytes());
        self.done = operator.end;
    }

    fn call(&mut self, operator: Range<usize>, is_tail: bool, func: u32) {
        let position = self.refs.iter().position(|known| *known == func).unwrap_or_else(|| {
            self.refs.push(func);
            self.refs.len() - 1
        });
        self.replace(operator, 1 + u8::from(is_tail), position as u32);
    }

    fn reference(&mut self, operator: Range<usize>, slot: Option<u32>) {
        self.replace(operator, 3, slot.unwrap_or(u32::MAX));
    }

    fn finish(mut self, uses_tables: bool) -> Identity {
        let end = self.bytes.len();
        self.replace(end..end, 0, 0);
        Identity { hash: *blake3::hash(self.input).as_bytes(), refs: self.refs, uses_tables }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a scan of these operators says with and without the quick way.
    fn both(operators: &[u8]) -> [Scan; 2] {
        // No locals.
        let bytes = [&[0], operators].concat();
        let body = FunctionBody::new(BinaryReader::new(&bytes, 1000));
        let info = ModuleInfo { imported_funcs: 1, funcs: vec![0; 5], ..ModuleInfo::default() };
        let (mut one, mut other) = (Vec::new(), Vec::new());
        [read(&info, &body, Some(&mut one), simple_operator), read(&info, &body, Some(&mut other), |_| None)]
    }

    #[test]
    fn simple_operators_are_those_of_the_parser() {
        let immediates: [&[u8]; 12] = [
            &[],
            &[0x00],
            &[0x40],
            &[0x7f],
            &[0x7b],
            &[0x02, 0x10],
            &[0x83, 0x80, 0x80, 0x00],
            &[0x83, 0x80, 0x80, 0x80, 0x00],
            &[0x03, 0xff, 0xff, 0xff, 0x7f],
            &[0x42, 0x01, 0x05],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08],
        ];
        let mut simple = 0;
        for opcode in 0..=255 {
            for immediates in immediates {
                let bytes = [&[opcode], immediates, &[0x01; 12]].concat();
                let Some(found) = simple_operator(&bytes) else { continue };
                simple += 1;
                // In a block, so that `else` has something to be of.
                let reader = BinaryReader::new(&bytes, 0);
                let operator = match opcode {
                    0x05 => Operator::Else,
                    _ => OperatorsReader::new(reader.clone()).read().unwrap(),
                };
                let mut reader = OperatorsReader::new(reader);
                if opcode != 0x05 {
                    reader.read().unwrap();
                    assert_eq!(reader.original_position(), found.len as u64, "{operator:?}");
                }
                let call = match operator {
                    Operator::Call { function_index } => Some(function_index),
                    _ => None,
                };
                assert_eq!(found.call, call, "{operator:?}");
                assert_eq!(
                    (found.size, found.points),
                    (u32::from(!is_free(&operator)), points(&operator)),
                    "{operator:?}"
                );
            }
        }
        assert!(simple > 1500, "{simple}");
        for bytes in [&[][..], &[0x41], &[0x41, 0x80], &[0x28, 0x02], &[0x43, 0, 0, 0], &[0x44, 0], &[0x02]] {
            assert_eq!(simple_operator(bytes), None);
        }
    }

    #[test]
    fn the_quick_way_changes_nothing() {
        let code = [
            // A loop with a call of 2, an indirect call, a load and a tail call of 3 in it.
            &[0x03, 0x40, 0x20, 0x00, 0x10, 0x02, 0x41, 0x80, 0x01, 0x28, 0x02, 0x88, 0x01, 0x11, 0x00, 0x01]
                [..],
            &[0x0d, 0x00, 0x0b, 0x12, 0x83, 0x00, 0x10, 0x00, 0x10, 0x99, 0x00],
            // Of several tables, and of memory; a switch.
            &[0x41, 0x00, 0x26, 0x02, 0xfc, 0x0f, 0x01, 0xfc, 0x0b, 0x00, 0x0e, 0x02, 0x00, 0x00, 0x01],
            &[0xd2, 0x01, 0x1a, 0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x1a, 0x0b],
        ]
        .concat();
        let [quick, slow] = both(&code);
        assert_eq!(format!("{quick:?}"), format!("{slow:?}"));
        assert_eq!(quick.calls, [1, 2]);
        assert_eq!(quick.changed_tables.as_deref(), Some(&[1, 2][..]));
        assert_eq!(quick.identity.map(|identity| identity.refs), Some(vec![2, 3, 0, 25]));
        // What is damaged does not end too late.
        for at in 0..code.len() {
            for byte in [0x00, 0x10, 0x41, 0x7f, 0x80, 0xff] {
                let mut damaged = code.clone();
                damaged[at] = byte;
                let [quick, slow] = both(&damaged);
                if slow.identity.is_some() {
                    assert_eq!(format!("{quick:?}"), format!("{slow:?}"));
                }
                drop(both(&damaged[..at]));
            }
        }
    }
}
