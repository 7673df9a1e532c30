//! The stored form of a compiled function, and the numbers that the module of now has for what it refers to.
//!
//! Functions are named by how one gets to them: by positions in the lists of callees, first that of the function itself,
//! then that of a callee which may be inlined into it, and so on. Offsets in the wasm file are kept with the function
//! whose body they are in.

use super::{Made, packed};
use crate::bottom_up::Inlining;
use crate::codegen::function::{CodeReloc, CodeTarget};
use crate::codegen::symbol::Symbol;
use crate::codegen::{Alignment, CompiledFunction, Unwind};
use crate::debug::{Caller, FunctionDebug, InlinedCall, Line, ValueRange};
use crate::scan::Scan;
use aot_abi::module::TrapSite;
use aot_abi::trap::TrapCode;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::{LibCall, UserExternalName};
use cranelift_codegen::isa::unwind::{CfaUnwindInfo, UnwindInst};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;

/// A function that a store had.
pub(crate) struct Entry {
    pub made: Made,
    /// Nothing if no code called it, or its code was taken.
    pub code: Option<CompiledFunction>,
    pub had_code: bool,
}

/// What functions refer to whom, in the module of now. Functions are numbered without imported ones, but in lists of
/// references.
pub(super) struct Shape<'m> {
    pub imported: u32,
    pub scans: &'m [Scan],
    /// Where the bodies are in the file.
    pub bodies: &'m [Range<u64>],
    /// Nothing if nothing is inlined.
    pub inlining: Option<&'m Inlining>,
}

impl Shape<'_> {
    /// All functions, in lists: each comes in a later one than those that may be inlined into it.
    pub fn callees_first(&self) -> Vec<Vec<u32>> {
        let mut functions: Vec<u32> = (0..self.scans.len() as u32).collect();
        let Some(inlining) = self.inlining else { return vec![functions] };
        functions.sort_by_key(|function| inlining.cycle_of[*function as usize]);
        let mut lists: Vec<Vec<u32>> = Vec::new();
        let mut list_of = vec![0; functions.len()];
        for function in functions {
            let inlined = self.refs(function).iter().filter_map(|func| {
                let callee = func.checked_sub(self.imported).filter(|callee| self.is_defined(*callee))?;
                self.follows(function, callee).then(|| list_of[callee as usize] + 1)
            });
            let list = inlined.max().unwrap_or(0);
            list_of[function as usize] = list;
            if list == lists.len() {
                lists.push(Vec::new());
            }
            lists[list].push(function);
        }
        lists
    }

    fn is_defined(&self, callee: u32) -> bool {
        (callee as usize) < self.scans.len()
    }

    /// Whether a callee may be inlined.
    pub fn follows(&self, function: u32, callee: u32) -> bool {
        self.inlining.is_some_and(|inlining| inlining.may_inline(function, callee))
    }

    /// What decides, beside its body, whether a function has code of its own.
    pub fn standing(&self, function: u32) -> [u8; 2] {
        self.inlining.map_or([0; 2], |inlining| inlining.standing(function))
    }

    pub fn is_only_call(&self, callee: u32) -> bool {
        self.inlining.is_some_and(|inlining| inlining.graph.call_sites[callee as usize] == 1)
    }

    fn refs(&self, function: u32) -> &[u32] {
        self.scans[function as usize].identity.as_ref().map_or(&[], |identity| &identity.refs)
    }

    /// The function, by function index, that a path leads to.
    fn resolve(&self, function: u32, path: &[u32]) -> Option<u32> {
        let (mut from, mut func) = (function, function + self.imported);
        for (step, position) in path.iter().enumerate() {
            if step > 0 {
                let callee = func.checked_sub(self.imported)?;
                if !self.follows(from, callee) {
                    return None;
                }
                from = callee;
            }
            func = *self.refs(from).get(*position as usize)?;
        }
        Some(func)
    }

    /// The defined function whose body an offset is in.
    fn body_at(&self, offset: u32) -> Option<u32> {
        let offset = u64::from(offset);
        let next = self.bodies.partition_point(|body| body.start <= offset);
        let function = next.checked_sub(1)?;
        self.bodies[function].contains(&offset).then_some(function as u32)
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// Paths to all functions that are named below, by their positions here: the length of each, and its steps.
    functions: Vec<u32>,
    is_candidate: bool,
    calls: Vec<u32>,
    code: Option<StoredCode>,
}

#[derive(Serialize, Deserialize)]
struct StoredCode {
    /// Bytes of code, which come after all entries.
    len: u32,
    alignment: Alignment,
    /// Bytes of packed relocations, traps and lines, which come after the code.
    relocs: u32,
    traps: u32,
    lines: u32,
    /// What relocations put in, each once.
    targets: Vec<(Reloc, StoredTarget, i64)>,
    calls: Vec<StoredCall>,
    values: Vec<ValueRange>,
    prologue: Vec<(u32, UnwindInst)>,
    dwarf: Option<CfaUnwindInfo>,
    uses_vectors: bool,
}

impl StoredCode {
    /// How many bytes come after all entries.
    fn beside(&self) -> usize {
        [self.len, self.relocs, self.traps, self.lines].map(|len| len as usize).iter().sum()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum StoredTarget {
    Function(u32),
    External { namespace: u32, index: u32 },
    Helper(LibCall),
    Code(u32),
}

/// A call that was inlined: the callee's position, and where the call is, as places of [`packed`] are.
#[derive(Serialize, Deserialize)]
struct StoredCall(u32, Option<packed::Place>);

/// An entry in its stored form, with its code and what is packed beside it.
pub(super) struct Encoded<'c>(Stored, &'c [u8], [Vec<u8>; 3]);

/// The stored form of a function; nothing if it cannot be named what it refers to.
pub(super) fn store<'c>(
    shape: &Shape<'_>,
    function: u32,
    made: &Made,
    code: Option<&'c CompiledFunction>,
) -> Option<Encoded<'c>> {
    let mut names = Names::new(shape, function);
    let calls = made.calls.iter().map(|callee| names.name(callee + shape.imported)).collect::<Option<_>>()?;
    let (stored, packed) = match code {
        Some(code) => {
            let (stored, packed) = store_code(&mut names, code)?;
            (Some(stored), packed)
        }
        None => (None, Default::default()),
    };
    let stored = Stored { is_candidate: made.is_candidate, calls, code: stored, functions: names.paths };
    Some(Encoded(stored, code.map_or(&[], |code| &code.code), packed))
}

fn store_code(names: &mut Names<'_>, compiled: &CompiledFunction) -> Option<(StoredCode, [Vec<u8>; 3])> {
    // All fields: one that is added has to be stored, or to be known as one of trampolines or of text.
    let CompiledFunction {
        code,
        alignment,
        relocs,
        traps,
        debug: FunctionDebug { lines, calls, values },
        unwind: Unwind { prologue, dwarf },
        uses_vectors,
        landing_pad: None,
        clif: None,
        asm: None,
    } = compiled
    else {
        return None;
    };
    let mut targets = Vec::new();
    let mut positions: HashMap<_, usize> = HashMap::new();
    let mut packed_relocs = Vec::with_capacity(relocs.len());
    for CodeReloc { offset, kind, target, addend } in relocs {
        let target = match target {
            CodeTarget::Code(offset) => StoredTarget::Code(*offset),
            CodeTarget::Symbol(Symbol::Function(func)) => StoredTarget::Function(names.name(*func)?),
            CodeTarget::Symbol(Symbol::Helper(libcall)) => StoredTarget::Helper(*libcall),
            CodeTarget::Symbol(symbol) => {
                let UserExternalName { namespace, index } = symbol.external_name()?;
                StoredTarget::External { namespace, index }
            }
        };
        let new = (*kind, target, *addend);
        let position = positions.entry((target, *addend)).or_insert(targets.len());
        if targets.get(*position) != Some(&new) {
            *position = targets.len();
            targets.push(new);
        }
        packed_relocs.push((*offset, *position as u32));
    }
    let relocs = packed::pack_pairs(packed_relocs.into_iter());
    let traps = traps.iter().map(|TrapSite { code_offset, code, wasm_offset }| {
        Some((*code_offset, *code as u8, names.offset(*wasm_offset)?))
    });
    let traps = packed::pack_traps(traps)?;
    let place = |frame: u32, wasm: u32| {
        let callee = frame.checked_sub(1).map(|call| calls[call as usize].callee);
        let body = &names.shape.bodies[callee.unwrap_or(names.function) as usize];
        let distance = body.contains(&u64::from(wasm)).then(|| u64::from(wasm) - body.start);
        Some((frame, u32::try_from(distance?).ok()?))
    };
    let lines = lines.iter().map(|Line { code, wasm, frame }| match wasm {
        0 => Some((*code, None)),
        _ => Some((*code, Some(place(*frame, *wasm)?))),
    });
    let lines = packed::pack_lines(lines)?;
    let callers = calls.iter().map(|call| match call.caller {
        Some(Caller { frame, wasm }) => place(frame, wasm).map(Some),
        None => Some(None),
    });
    let callers: Vec<_> = callers.collect::<Option<_>>()?;
    let calls = calls.iter().zip(callers).map(|(InlinedCall { callee, .. }, caller)| {
        Some(StoredCall(names.name(callee + names.shape.imported)?, caller))
    });
    let calls = calls.collect::<Option<_>>()?;
    let stored = StoredCode {
        len: u32::try_from(code.len()).ok()?,
        alignment: *alignment,
        relocs: u32::try_from(relocs.len()).ok()?,
        traps: u32::try_from(traps.len()).ok()?,
        lines: u32::try_from(lines.len()).ok()?,
        targets,
        calls,
        values: values.clone(),
        prologue: prologue.clone(),
        dwarf: dwarf.clone(),
        uses_vectors: *uses_vectors,
    };
    Some((stored, [relocs, traps, lines]))
}

/// The bytes of a chunk: the number of bytes of the entries, the entries, the code of each and what is packed.
pub(super) fn encode(entries: Vec<Option<Encoded<'_>>>) -> Option<Vec<u8>> {
    let (entries, beside): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .map(|entry| match entry {
            Some(Encoded(stored, code, packed)) => (Some(stored), Some((code, packed))),
            None => (None, None),
        })
        .unzip();
    let head = postcard::to_stdvec(&entries).ok()?;
    let mut bytes = u32::try_from(head.len()).ok()?.to_le_bytes().to_vec();
    bytes.extend(head);
    for (code, packed) in beside.into_iter().flatten() {
        bytes.extend_from_slice(code);
        bytes.extend(packed.into_iter().flatten());
    }
    Some(bytes)
}

/// The entries of a chunk of so many functions; those that have no number are left out. Nothing if the bytes are not those
/// of such a chunk.
pub(super) fn decode(
    shape: &Shape<'_>,
    functions: &[Option<u32>],
    bytes: &[u8],
) -> Option<Vec<(u32, Entry)>> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (head, mut code) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    let stored: Vec<Option<Stored>> = postcard::from_bytes(head).ok()?;
    if stored.len() != functions.len() {
        return None;
    }
    let mut entries = Vec::with_capacity(stored.len());
    for (function, stored) in functions.iter().zip(stored) {
        let Some(stored) = stored else { continue };
        match function {
            Some(function) => entries.push((*function, restore(shape, *function, stored, &mut code)?)),
            None => skip(&stored, &mut code)?,
        }
    }
    code.is_empty().then_some(entries)
}

/// Leaves out the code of an entry and what is packed.
fn skip(stored: &Stored, code: &mut &[u8]) -> Option<()> {
    *code = code.get(stored.code.as_ref().map_or(0, StoredCode::beside)..)?;
    Some(())
}

fn restore(shape: &Shape<'_>, function: u32, stored: Stored, code: &mut &[u8]) -> Option<Entry> {
    let Stored { functions, is_candidate, calls, code: stored_code } = stored;
    let functions = resolve_all(shape, function, &functions)?;
    let defined = |position: u32| functions.get(position as usize)?.checked_sub(shape.imported);
    let calls = calls.into_iter().map(defined).collect::<Option<_>>()?;
    let made = Made { is_candidate, calls };
    let Some(stored) = stored_code else {
        return Some(Entry { made, code: None, had_code: false });
    };
    let StoredCode {
        len,
        alignment,
        relocs,
        traps,
        lines,
        targets,
        calls,
        values,
        prologue,
        dwarf,
        uses_vectors,
    } = stored;
    let mut beside = |len: u32| {
        let part;
        (part, *code) = code.split_at_checked(len as usize)?;
        Some(part)
    };
    let (own, relocs, traps, lines) = (beside(len)?, beside(relocs)?, beside(traps)?, beside(lines)?);
    let targets = targets.into_iter().map(|(kind, target, addend)| {
        let target = match target {
            StoredTarget::Code(at) => CodeTarget::Code((at <= len).then_some(at)?),
            StoredTarget::Function(position) => {
                CodeTarget::Symbol(Symbol::Function(*functions.get(position as usize)?))
            }
            StoredTarget::Helper(libcall) => CodeTarget::Symbol(Symbol::Helper(libcall)),
            StoredTarget::External { namespace, index } => {
                CodeTarget::Symbol(Symbol::from_external_name(&UserExternalName { namespace, index })?)
            }
        };
        Some((kind, target, addend))
    });
    let targets: Vec<_> = targets.collect::<Option<_>>()?;
    let relocs = packed::unpack_pairs(relocs, |offset, target| {
        let (kind, target, addend) = *targets.get(target as usize)?;
        (offset < len).then_some(CodeReloc { offset, kind, target, addend })
    })?;
    let in_body = |function: u32, distance: u32| {
        let body = &shape.bodies[function as usize];
        let offset = body.start.checked_add(u64::from(distance)).filter(|offset| body.contains(offset))?;
        u32::try_from(offset).ok()
    };
    let mut inlined: Vec<InlinedCall> = Vec::with_capacity(calls.len());
    let place = |inlined: &[InlinedCall], (frame, distance): packed::Place| {
        let callee = match frame.checked_sub(1) {
            Some(call) => inlined.get(call as usize)?.callee,
            None => function,
        };
        in_body(callee, distance)
    };
    for StoredCall(callee, caller) in calls {
        // A call comes after the one that it is part of.
        let caller = match caller {
            Some(at) => Some(Caller { frame: at.0, wasm: place(&inlined, at)? }),
            None => None,
        };
        inlined.push(InlinedCall { callee: defined(callee)?, caller });
    }
    let lines = packed::unpack_lines(lines, |code, at| {
        let (frame, wasm) = match at {
            Some(at) => (at.0, place(&inlined, at)?),
            None => (0, 0),
        };
        (code <= len).then_some(Line { code, wasm, frame })
    })?;
    let traps = packed::unpack_traps(traps, |code_offset, code, at| {
        let wasm_offset = match at {
            Some((position, distance)) => in_body(defined(position)?, distance)?,
            None => 0,
        };
        (code_offset <= len).then_some(TrapSite { code_offset, code: TrapCode::from_u8(code)?, wasm_offset })
    })?;
    if !alignment.is_valid() {
        return None;
    }
    let code = CompiledFunction {
        code: own.to_vec(),
        alignment,
        relocs,
        traps,
        debug: FunctionDebug { lines, calls: inlined, values },
        unwind: Unwind { prologue, dwarf },
        uses_vectors,
        landing_pad: None,
        clif: None,
        asm: None,
    };
    Some(Entry { made, code: Some(code), had_code: true })
}

/// The functions, by function index, that paths lead to.
fn resolve_all(shape: &Shape<'_>, function: u32, mut paths: &[u32]) -> Option<Vec<u32>> {
    let mut functions = Vec::new();
    while let Some((len, rest)) = paths.split_first() {
        let path;
        (path, paths) = rest.split_at_checked(*len as usize)?;
        functions.push(shape.resolve(function, path)?);
    }
    Some(functions)
}

/// The paths to what one function refers to.
struct Names<'s> {
    shape: &'s Shape<'s>,
    function: u32,
    /// By function index.
    known: HashMap<u32, Vec<u32>>,
    /// Functions whose references are still to be looked at, and what leads to them.
    queue: VecDeque<(u32, Vec<u32>)>,
    /// What was named, and its position in `paths`.
    named: HashMap<u32, u32>,
    /// The length of each, and its steps.
    paths: Vec<u32>,
}

impl<'s> Names<'s> {
    fn new(shape: &'s Shape<'_>, function: u32) -> Self {
        Names {
            shape,
            function,
            known: HashMap::from([(function + shape.imported, Vec::new())]),
            queue: VecDeque::from([(function, Vec::new())]),
            named: HashMap::new(),
            paths: Vec::new(),
        }
    }

    /// The position of a function, by function index, among the paths. Nothing if none leads to it.
    fn name(&mut self, func: u32) -> Option<u32> {
        if let Some(position) = self.named.get(&func) {
            return Some(*position);
        }
        let path = self.path(func)?;
        debug_assert_eq!(self.shape.resolve(self.function, &path), Some(func));
        let position = self.named.len() as u32;
        self.paths.push(path.len() as u32);
        self.paths.extend(path);
        self.named.insert(func, position);
        Some(position)
    }

    /// The shortest path to a function; the search goes on where the last one ended.
    fn path(&mut self, func: u32) -> Option<Vec<u32>> {
        while !self.known.contains_key(&func) {
            let (from, path) = self.queue.pop_front()?;
            for (position, to) in self.shape.refs(from).iter().enumerate() {
                if self.known.contains_key(to) {
                    continue;
                }
                let path: Vec<u32> = path.iter().copied().chain([position as u32]).collect();
                if let Some(callee) = to.checked_sub(self.shape.imported)
                    && self.shape.follows(from, callee)
                {
                    self.queue.push_back((callee, path.clone()));
                }
                self.known.insert(*to, path);
            }
        }
        self.known.get(&func).cloned()
    }

    /// Where an offset in the file is, with the position of the function; 0 is nowhere.
    fn offset(&mut self, offset: u32) -> Option<Option<packed::Place>> {
        if offset == 0 {
            return Some(None);
        }
        let body = self.shape.body_at(offset)?;
        let position = self.name(body + self.shape.imported)?;
        let distance = u64::from(offset) - self.shape.bodies[body as usize].start;
        Some(Some((position, u32::try_from(distance).ok()?)))
    }
}
