//! What a body refers to, read without translating it.

use crate::module::{Body, ModuleInfo};
use wasmparser::Operator;

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
    let mut scan = Scan { points: 1, ..Scan::default() };
    let mut hash = buffer.map(|buffer| IdentityHash::new(body, buffer));
    let mut uses_tables = false;
    let mut changed_tables = Vec::new();
    let Ok(mut reader) = body.body.get_operators_reader() else { return scan };
    while !reader.eof() {
        let start = reader.original_position();
        let Ok(operator) = reader.read() else { return scan };
        let end = reader.original_position();
        scan.size += u32::from(!is_free(&operator));
        scan.points += points(&operator);
        match operator {
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                let is_tail = matches!(operator, Operator::ReturnCall { .. });
                if let Some(hash) = &mut hash {
                    hash.call(start..end, is_tail, function_index);
                }
                let defined = function_index.checked_sub(info.imported_funcs);
                scan.calls.extend(defined.filter(|_| (function_index as usize) < info.funcs.len()));
            }
            Operator::RefFunc { function_index } => {
                scan.uses_references = true;
                if let Some(hash) = &mut hash {
                    hash.reference(start..end, info.escaped_slot(function_index));
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
    /// Where they are in the file.
    start: u64,
    /// How many are hashed.
    done: usize,
    /// What is hashed, in one piece: many small ones take longer.
    input: &'b mut Vec<u8>,
    refs: Vec<u32>,
}

impl<'a, 'b> IdentityHash<'a, 'b> {
    fn new(body: &Body<'a>, input: &'b mut Vec<u8>) -> Self {
        input.clear();
        let (bytes, start) = (body.body.as_bytes(), body.body.range().start);
        IdentityHash { bytes, start, done: 0, input, refs: Vec::new() }
    }

    /// Puts a tag and a number in place of an operator.
    fn replace(&mut self, operator: std::ops::Range<u64>, tag: u8, number: u32) {
        let [from, to] = [operator.start, operator.end].map(|offset| (offset - self.start) as usize);
        let before = &self.bytes[self.done..from];
        self.input.extend((before.len() as u32).to_le_bytes());
        self.input.extend_from_slice(before);
        // How long it is decides where the operators after it are.
        self.input.extend([tag, (to - from) as u8]);
        self.input.extend(number.to_le_bytes());
        self.done = to;
    }

    fn call(&mut self, operator: std::ops::Range<u64>, is_tail: bool, func: u32) {
        let position = self.refs.iter().position(|known| *known == func).unwrap_or_else(|| {
            self.refs.push(func);
            self.refs.len() - 1
        });
        self.replace(operator, 1 + u8::from(is_tail), position as u32);
    }

    fn reference(&mut self, operator: std::ops::Range<u64>, slot: Option<u32>) {
        self.replace(operator, 3, slot.unwrap_or(u32::MAX));
    }

    fn finish(mut self, uses_tables: bool) -> Identity {
        let end = self.start + self.bytes.len() as u64;
        self.replace(end..end, 0, 0);
        Identity { hash: *blake3::hash(self.input).as_bytes(), refs: self.refs, uses_tables }
    }
}
