//! The module description: all that the runtime needs to know of a compiled module, in one block of bytes.
//!
//! Code is referred to by offset from the start of the module's text section, so the block needs no relocation
//! and is the same in objects, executables and images. All numbers are little-endian.
//!
//! ```text
//! 0   8 bytes    "aotmod\0" and the layout version
//! 8   u32 × 8    offset and length of: declarations, code ranges, traps, names
//! 40             the four sections
//!
//! declarations   a stream (LEB128): see `Module::encode`
//! code ranges    16 bytes each, sorted by offset: defined functions in index order, then trampolines:
//!                u32 code offset, u32 code length, u32 offset into traps, u32 offset into names (or !0)
//! traps          for each code range a stream: count, then (code offset delta, trap code, wasm offset delta)
//! names          length and UTF-8 bytes
//! ```

use crate::cursor::{DecodeError, Reader, Writer};
use crate::trap::TrapCode;
use crate::types::{
    EntityKind, EntityType, Export, FuncType, GlobalType, Import, MemoryType, TableType, ValType,
};
use crate::vmctx::Counts;
use alloc::vec::Vec;

const MAGIC: [u8; 8] = *b"aotmod\0\x03";
const HEADER_LEN: usize = 40;
const RANGE_LEN: usize = 16;
const NO_NAME: u32 = u32::MAX;

/// One instruction of a constant expression (core specification 3.3.10, with extended-const).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConstOp {
    I32Const(i32),
    I64Const(i64),
    /// Bits of the number.
    F32Const(u32),
    /// Bits of the number.
    F64Const(u64),
    V128Const([u8; 16]),
    GlobalGet(u32),
    RefNull,
    RefFunc(u32),
    I32Add,
    I32Sub,
    I32Mul,
    I64Add,
    I64Sub,
    I64Mul,
}

/// A constant expression in postfix order; it leaves one value.
pub type ConstExpr = Vec<ConstOp>;

/// When a segment is copied to its table or memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentMode {
    /// By an instruction.
    Passive,
    /// At instantiation, to this table or memory at this offset.
    Active { target: u32, offset: ConstExpr },
    /// Never (element segments that only declare functions).
    Declared,
}

/// The items of an element segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElementItems {
    /// Function indices.
    Functions(Vec<u32>),
    Expressions(Vec<ConstExpr>),
}

/// An element segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementSegment {
    pub mode: SegmentMode,
    pub ty: ValType,
    pub items: ElementItems,
}

/// A data segment: a range of the module's data section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSegment {
    pub mode: SegmentMode,
    pub offset: u32,
    pub len: u32,
}

/// The initial contents of memory 0, computed when the module was built: its bytes come with the module, beside the
/// data segments. What is outside of the range is zero.
///
/// A module that has one defines memory 0, and its active data segments cannot trap: the image takes the place of those
/// of memory 0, whose own bytes may have been left out (length 0). After instantiation they count as dropped, like any
/// active segment; those of other memories are to be copied as ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryImage {
    /// Where it starts in the memory, in bytes: a multiple of [`PAGE_SIZE`](crate::types::PAGE_SIZE).
    pub offset: u64,
    /// Bytes: whole pages too, and at least one. It ends within the memory's initial size.
    pub len: u64,
}

/// A defined global.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    pub ty: GlobalType,
    pub init: ConstExpr,
}

/// A defined table; elements start as the value of `init`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub ty: TableType,
    pub init: ConstExpr,
}

/// A trampoline through which the host enters functions of one type.
///
/// C signature: `u32 entry(*mut Activation, code, vmctx, *mut [u8; 16] values)`: parameters are read from and
/// results written to `values`, one slot of 16 bytes each. Returns 0, or 1 after a trap landed at `pad_offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub type_index: u32,
    /// Offset of its code in the text section.
    pub code_offset: u32,
    /// Where a trap resumes: an offset in the text section.
    pub pad_offset: u32,
    /// Bytes from the stack pointer, as the landing pad wants it, up to the frame pointer.
    pub frame_size: u32,
}

/// A trampoline through which the host calls one exported function that C can have (`FuncType::is_c`).
///
/// C signature: `result entry(vmctx, parameters…, *mut Activation)`; after a trap the result is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypedEntry {
    /// The function, a defined one.
    pub func: u32,
    /// Offset of its code in the text section.
    pub code_offset: u32,
    /// Where a trap resumes: an offset in the text section.
    pub pad_offset: u32,
    /// Bytes from the stack pointer, as the landing pad wants it, up to the frame pointer.
    pub frame_size: u32,
}

/// A trampoline through which wasm code calls host functions of one type.
///
/// It has the calling convention of wasm code, and calls the C function that its context pointer points to as
/// `u32 host(context, *mut [u8; 16] values)`. Another result than 0 is a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostTrampoline {
    pub type_index: u32,
    pub code_offset: u32,
}

/// Everything that a module declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    pub types: Vec<FuncType>,
    pub imports: Vec<Import>,
    /// Type indices of the defined functions.
    pub funcs: Vec<u32>,
    pub tables: Vec<Table>,
    pub memories: Vec<MemoryType>,
    pub globals: Vec<Global>,
    pub exports: Vec<Export>,
    pub start: Option<u32>,
    pub elements: Vec<ElementSegment>,
    pub data: Vec<DataSegment>,
    /// Indices of the functions that have a `FuncRef` in the VM context, ascending.
    pub escaped: Vec<u32>,
    /// Ascending by type index.
    pub entries: Vec<Entry>,
    /// Ascending by function; empty where nothing enters that way (executables).
    pub typed_entries: Vec<TypedEntry>,
    /// Ascending by type index.
    pub host_trampolines: Vec<HostTrampoline>,
    /// Code that stands in for imported functions when they are bound at build time: offsets in the text section,
    /// one for each imported function; empty when imports are bound at instantiation.
    pub import_shims: Vec<u32>,
    /// The memory, if any, that each imported function acts on if it acts on that of its caller, as those of WASI do.
    /// Empty: the one that is exported as `memory`, for all.
    pub import_memories: Vec<Option<u32>>,
    /// What memory 0 contains at first, if that was computed.
    pub memory_image: Option<MemoryImage>,
}

/// Code of one function or trampoline, for the tables of the description.
#[derive(Clone, Debug, Default)]
pub struct CodeRange<'a> {
    /// Offset in the text section.
    pub offset: u32,
    pub len: u32,
    /// Ascending by code offset.
    pub traps: &'a [TrapSite],
    pub name: Option<&'a str>,
}

/// An instruction that can trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrapSite {
    /// Offset in the function's code, in bytes.
    pub code_offset: u32,
    pub code: TrapCode,
    /// Offset in the wasm file of the instruction.
    pub wasm_offset: u32,
}

impl Module {
    /// The counts that fix the layout of the VM context.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            memories: self.memories.len() as u32,
            tables: self.tables.len() as u32,
            globals: self.globals.len() as u32,
            funcrefs: self.escaped.len() as u32,
            ..Counts::default()
        };
        for import in &self.imports {
            *match import.ty {
                EntityType::Func(_) => &mut counts.imported_funcs,
                EntityType::Table(_) => &mut counts.imported_tables,
                EntityType::Memory(_) => &mut counts.imported_memories,
                EntityType::Global(_) => &mut counts.imported_globals,
            } += 1;
        }
        counts
    }

    /// Type index of a function, imported or defined.
    pub fn func_type_index(&self, func: u32) -> Option<u32> {
        let mut imported = 0;
        for import in &self.imports {
            if let EntityType::Func(ty) = import.ty {
                if imported == func {
                    return Some(ty);
                }
                imported += 1;
            }
        }
        self.funcs.get((func - imported) as usize).copied()
    }

    /// Type of a global, imported or defined.
    pub fn global_type(&self, global: u32) -> Option<GlobalType> {
        let imported = self.imports.iter().filter_map(|import| match import.ty {
            EntityType::Global(ty) => Some(ty),
            _ => None,
        });
        imported.chain(self.globals.iter().map(|global| global.ty)).nth(global as usize)
    }

    /// Type of an entity, imported or defined.
    pub fn entity_type(&self, kind: EntityKind, index: u32) -> Option<EntityType> {
        if kind == EntityKind::Func {
            return self.func_type_index(index).map(EntityType::Func);
        }
        let imported = self.imports.iter().map(|import| import.ty);
        let tables = self.tables.iter().map(|table| EntityType::Table(table.ty));
        let memories = self.memories.iter().map(|memory| EntityType::Memory(*memory));
        let globals = self.globals.iter().map(|global| EntityType::Global(global.ty));
        let all = imported.chain(tables).chain(memories).chain(globals);
        all.filter(|ty| ty.kind() == kind).nth(index as usize)
    }

    /// The memory that an imported function acts on, if it acts on that of its caller.
    pub fn caller_memory(&self, func: u32) -> Option<u32> {
        match &self.import_memories[..] {
            [] => self
                .export("memory")
                .filter(|export| export.kind == EntityKind::Memory)
                .map(|export| export.index),
            memories => memories.get(func as usize).copied().flatten(),
        }
    }

    /// The export with this name.
    pub fn export(&self, name: &str) -> Option<&Export> {
        self.exports.iter().find(|export| export.name == name)
    }

    /// Writes the description of a module whose code is `ranges` (defined functions in index order, then
    /// trampolines, ascending by offset).
    pub fn encode(&self, ranges: &[CodeRange<'_>]) -> Vec<u8> {
        let mut declarations = Writer::default();
        self.encode_declarations(&mut declarations);
        let (mut table, mut traps, mut names) = (Writer::default(), Writer::default(), Writer::default());
        for range in ranges {
            table.fixed_u32(range.offset);
            table.fixed_u32(range.len);
            table.fixed_u32(traps.bytes.len() as u32);
            table.fixed_u32(if range.name.is_some() { names.bytes.len() as u32 } else { NO_NAME });
            let mut last = (0, 0);
            traps.list(range.traps, |w, trap| {
                w.u32(trap.code_offset - last.0);
                w.u8(trap.code as u8);
                w.i64(i64::from(trap.wasm_offset) - last.1);
                last = (trap.code_offset, i64::from(trap.wasm_offset));
            });
            if let Some(name) = range.name {
                names.str(name);
            }
        }
        let mut out = Writer::default();
        out.raw(&MAGIC);
        let sections = [declarations.bytes, table.bytes, traps.bytes, names.bytes];
        let mut offset = HEADER_LEN;
        for section in &sections {
            out.fixed_u32(offset as u32);
            out.fixed_u32(section.len() as u32);
            offset += section.len();
        }
        for section in &sections {
            out.raw(section);
        }
        out.bytes
    }

    fn encode_declarations(&self, w: &mut Writer) {
        w.list(&self.types, |w, ty| ty.encode(w));
        w.list(&self.imports, |w, import| import.encode(w));
        w.list(&self.funcs, |w, ty| w.u32(*ty));
        w.list(&self.tables, |w, table| {
            table.ty.encode(w);
            encode_expr(w, &table.init);
        });
        w.list(&self.memories, |w, memory| memory.encode(w));
        w.list(&self.globals, |w, global| {
            global.ty.encode(w);
            encode_expr(w, &global.init);
        });
        w.list(&self.exports, |w, export| export.encode(w));
        w.option(self.start, Writer::u32);
        w.list(&self.elements, |w, segment| {
            encode_mode(w, &segment.mode);
            segment.ty.encode(w);
            match &segment.items {
                ElementItems::Functions(funcs) => {
                    w.u8(0);
                    w.list(funcs, |w, func| w.u32(*func));
                }
                ElementItems::Expressions(exprs) => {
                    w.u8(1);
                    w.list(exprs, encode_expr);
                }
            }
        });
        w.list(&self.data, |w, segment| {
            encode_mode(w, &segment.mode);
            w.u32(segment.offset);
            w.u32(segment.len);
        });
        w.list(&self.escaped, |w, func| w.u32(*func));
        w.list(&self.entries, |w, entry| {
            w.u32(entry.type_index);
            w.u32(entry.code_offset);
            w.u32(entry.pad_offset);
            w.u32(entry.frame_size);
        });
        w.list(&self.typed_entries, |w, entry| {
            w.u32(entry.func);
            w.u32(entry.code_offset);
            w.u32(entry.pad_offset);
            w.u32(entry.frame_size);
        });
        w.list(&self.host_trampolines, |w, trampoline| {
            w.u32(trampoline.type_index);
            w.u32(trampoline.code_offset);
        });
        w.list(&self.import_shims, |w, offset| w.u32(*offset));
        w.list(&self.import_memories, |w, memory| w.option(*memory, Writer::u32));
        w.option(self.memory_image, |w, image| {
            w.u64(image.offset);
            w.u64(image.len);
        });
    }

    fn decode(r: &mut Reader<'_>) -> Result<Module, DecodeError> {
        let module = Module {
            types: r.list(FuncType::decode),
            imports: r.list(Import::decode),
            funcs: r.list(Reader::u32),
            tables: r.list(|r| Table { ty: TableType::decode(r), init: decode_expr(r) }),
            memories: r.list(MemoryType::decode),
            globals: r.list(|r| Global { ty: GlobalType::decode(r), init: decode_expr(r) }),
            exports: r.list(Export::decode),
            start: r.option(Reader::u32),
            elements: r.list(|r| ElementSegment {
                mode: decode_mode(r),
                ty: ValType::decode(r),
                items: match r.bool() {
                    false => ElementItems::Functions(r.list(Reader::u32)),
                    true => ElementItems::Expressions(r.list(decode_expr)),
                },
            }),
            data: r.list(|r| DataSegment { mode: decode_mode(r), offset: r.u32(), len: r.u32() }),
            escaped: r.list(Reader::u32),
            entries: r.list(|r| Entry {
                type_index: r.u32(),
                code_offset: r.u32(),
                pad_offset: r.u32(),
                frame_size: r.u32(),
            }),
            typed_entries: r.list(|r| TypedEntry {
                func: r.u32(),
                code_offset: r.u32(),
                pad_offset: r.u32(),
                frame_size: r.u32(),
            }),
            host_trampolines: r.list(|r| HostTrampoline { type_index: r.u32(), code_offset: r.u32() }),
            import_shims: r.list(Reader::u32),
            import_memories: r.list(|r| r.option(Reader::u32)),
            memory_image: r.option(|r| MemoryImage { offset: r.u64(), len: r.u64() }),
        };
        r.finish("end of declarations")?;
        Ok(module)
    }
}

fn encode_mode(w: &mut Writer, mode: &SegmentMode) {
    match mode {
        SegmentMode::Passive => w.u8(0),
        SegmentMode::Active { target, offset } => {
            w.u8(1);
            w.u32(*target);
            encode_expr(w, offset);
        }
        SegmentMode::Declared => w.u8(2),
    }
}

fn decode_mode(r: &mut Reader<'_>) -> SegmentMode {
    match r.u8() {
        0 => SegmentMode::Passive,
        1 => SegmentMode::Active { target: r.u32(), offset: decode_expr(r) },
        2 => SegmentMode::Declared,
        _ => r.fail("segment mode", SegmentMode::Passive),
    }
}

fn encode_expr(w: &mut Writer, expr: &ConstExpr) {
    w.list(expr, |w, op| match *op {
        ConstOp::I32Const(v) => {
            w.u8(0);
            w.i64(i64::from(v));
        }
        ConstOp::I64Const(v) => {
            w.u8(1);
            w.i64(v);
        }
        ConstOp::F32Const(v) => {
            w.u8(2);
            w.fixed_u32(v);
        }
        ConstOp::F64Const(v) => {
            w.u8(3);
            w.raw(&v.to_le_bytes());
        }
        ConstOp::V128Const(v) => {
            w.u8(4);
            w.raw(&v);
        }
        ConstOp::GlobalGet(v) => {
            w.u8(5);
            w.u32(v);
        }
        ConstOp::RefNull => w.u8(6),
        ConstOp::RefFunc(v) => {
            w.u8(7);
            w.u32(v);
        }
        ConstOp::I32Add => w.u8(8),
        ConstOp::I32Sub => w.u8(9),
        ConstOp::I32Mul => w.u8(10),
        ConstOp::I64Add => w.u8(11),
        ConstOp::I64Sub => w.u8(12),
        ConstOp::I64Mul => w.u8(13),
    });
}

fn decode_expr(r: &mut Reader<'_>) -> ConstExpr {
    r.list(|r| match r.u8() {
        0 => ConstOp::I32Const(r.i64() as i32),
        1 => ConstOp::I64Const(r.i64()),
        2 => ConstOp::F32Const(r.fixed_u32()),
        3 => ConstOp::F64Const(u64::from(r.fixed_u32()) | u64::from(r.fixed_u32()) << 32),
        4 => ConstOp::V128Const(core::array::from_fn(|_| r.u8())),
        5 => ConstOp::GlobalGet(r.u32()),
        6 => ConstOp::RefNull,
        7 => ConstOp::RefFunc(r.u32()),
        8 => ConstOp::I32Add,
        9 => ConstOp::I32Sub,
        10 => ConstOp::I32Mul,
        11 => ConstOp::I64Add,
        12 => ConstOp::I64Sub,
        13 => ConstOp::I64Mul,
        _ => r.fail("constant instruction", ConstOp::RefNull),
    })
}

/// A module description in memory. Lookups by code offset read the bytes directly and never allocate, so that a
/// signal handler can use them.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    declarations: &'a [u8],
    ranges: &'a [u8],
    traps: &'a [u8],
    names: &'a [u8],
}

/// The function or trampoline that a code offset belongs to.
#[derive(Clone, Copy, Debug)]
pub struct CodeLocation<'a> {
    /// Position among the code ranges: a defined function's index less the imported functions, if it is smaller
    /// than the number of defined functions; else a trampoline.
    pub range: u32,
    /// Offset from the start of the function's code.
    pub offset: u32,
    names: Option<&'a [u8]>,
    traps: &'a [u8],
}

impl<'a> Description<'a> {
    /// Checks the header.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        if r.raw(MAGIC.len()) != MAGIC {
            return Err(DecodeError { offset: 0, expected: "module description of this version" });
        }
        let mut section = || {
            let (offset, len) = (r.fixed_u32() as usize, r.fixed_u32() as usize);
            let section = bytes.get(offset..).and_then(|bytes| bytes.get(..len));
            section.unwrap_or_else(|| r.fail("section within the description", &[]))
        };
        let description =
            Description { declarations: section(), ranges: section(), traps: section(), names: section() };
        r.check()?;
        if !description.ranges.len().is_multiple_of(RANGE_LEN) {
            return Err(DecodeError { offset: HEADER_LEN, expected: "whole code ranges" });
        }
        Ok(description)
    }

    /// Reads the declarations.
    pub fn module(&self) -> Result<Module, DecodeError> {
        Module::decode(&mut Reader::new(self.declarations))
    }

    /// Number of code ranges.
    pub fn range_count(&self) -> u32 {
        (self.ranges.len() / RANGE_LEN) as u32
    }

    fn field(&self, range: u32, field: usize) -> u32 {
        let at = range as usize * RANGE_LEN + field * 4;
        match self.ranges.get(at..at + 4) {
            Some(b) => u32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            None => 0,
        }
    }

    /// Offset and length of a code range, in bytes of the text section.
    pub fn code_range(&self, range: u32) -> (u32, u32) {
        (self.field(range, 0), self.field(range, 1))
    }

    /// Name of the function or trampoline of a code range.
    pub fn name(&self, range: u32) -> Option<&'a str> {
        Some(Reader::new(self.names_from(range)?).str_ref())
    }

    /// The names from that of a code range on.
    fn names_from(&self, range: u32) -> Option<&'a [u8]> {
        let offset = self.field(range, 3);
        self.names.get(offset as usize..).filter(|_| offset != NO_NAME)
    }

    /// Whether the traps and the name of a code range are where it says.
    pub(crate) fn has_tables(&self, range: u32) -> bool {
        let (traps, name) = (self.field(range, 2) as usize, self.field(range, 3));
        traps < self.traps.len() && (name == NO_NAME || (name as usize) < self.names.len())
    }

    /// Finds the function or trampoline that contains a byte of the text section.
    pub fn locate(&self, text_offset: u32) -> Option<CodeLocation<'a>> {
        let (mut low, mut high) = (0, self.range_count());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.field(middle, 0) <= text_offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let range = low.checked_sub(1)?;
        let (start, len) = self.code_range(range);
        let offset = text_offset - start;
        (offset < len).then(|| CodeLocation {
            range,
            offset,
            names: self.names_from(range),
            traps: self.traps.get(self.field(range, 2) as usize..).unwrap_or(&[]),
        })
    }
}

impl<'a> CodeLocation<'a> {
    /// The name of the function or trampoline.
    pub fn name(&self) -> Option<&'a str> {
        Some(Reader::new(self.names?).str_ref())
    }

    /// The bytes of the name, which are UTF-8 unless the description is damaged.
    pub fn name_bytes(&self) -> Option<&'a [u8]> {
        Some(Reader::new(self.names?).counted_bytes())
    }

    /// The trap that the instruction at this location raises.
    pub fn trap(&self) -> Option<TrapSite> {
        let mut r = Reader::new(self.traps);
        let count = r.u32();
        let (mut code_offset, mut wasm_offset) = (0u32, 0i64);
        for _ in 0..count {
            code_offset = code_offset.checked_add(r.u32())?;
            let code = TrapCode::from_u8(r.u8())?;
            wasm_offset = wasm_offset.checked_add(r.i64())?;
            r.check().ok()?;
            if code_offset == self.offset {
                return Some(TrapSite { code_offset, code, wasm_offset: wasm_offset as u32 });
            }
            if code_offset > self.offset {
                return None;
            }
        }
        None
    }
}

impl Export {
    /// Whether the export names an entity that the module has.
    pub fn is_valid(&self, counts: &Counts) -> bool {
        let count = match self.kind {
            EntityKind::Func => return true,
            EntityKind::Table => counts.imported_tables + counts.tables,
            EntityKind::Memory => counts.imported_memories + counts.memories,
            EntityKind::Global => counts.imported_globals + counts.globals,
        };
        self.index < count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Limits;
    use alloc::string::String;
    use alloc::vec;

    fn sample() -> Module {
        Module {
            types: vec![FuncType { params: vec![ValType::I32, ValType::V128], results: vec![ValType::F64] }],
            imports: vec![Import {
                module: String::from("env"),
                name: String::from("f"),
                ty: EntityType::Func(0),
            }],
            funcs: vec![0, 0],
            tables: vec![Table {
                ty: TableType { element: ValType::FuncRef, limits: Limits { min: 1, max: None } },
                init: vec![ConstOp::RefNull],
            }],
            memories: vec![MemoryType { limits: Limits { min: 0, max: Some(65536) } }],
            globals: vec![Global {
                ty: GlobalType { content: ValType::I64, mutable: true },
                init: vec![ConstOp::I64Const(i64::MIN), ConstOp::I64Const(-1), ConstOp::I64Add],
            }],
            exports: vec![Export { name: String::from("run"), kind: EntityKind::Func, index: 1 }],
            start: Some(2),
            elements: vec![ElementSegment {
                mode: SegmentMode::Active { target: 0, offset: vec![ConstOp::I32Const(-1)] },
                ty: ValType::FuncRef,
                items: ElementItems::Functions(vec![1]),
            }],
            data: vec![DataSegment { mode: SegmentMode::Passive, offset: 4, len: 5 }],
            escaped: vec![1],
            entries: vec![Entry { type_index: 0, code_offset: 32, pad_offset: 40, frame_size: 16 }],
            typed_entries: vec![TypedEntry { func: 1, code_offset: 64, pad_offset: 80, frame_size: 32 }],
            host_trampolines: vec![],
            import_shims: vec![],
            import_memories: vec![Some(0)],
            memory_image: Some(MemoryImage { offset: 65536, len: 131072 }),
        }
    }

    #[test]
    fn descriptions_round_trip() {
        let module = sample();
        let traps = [
            TrapSite { code_offset: 3, code: TrapCode::Unreachable, wasm_offset: 100 },
            TrapSite { code_offset: 7, code: TrapCode::StackOverflow, wasm_offset: 90 },
        ];
        let ranges = [
            CodeRange { offset: 0, len: 10, traps: &traps, name: Some("first") },
            CodeRange { offset: 16, len: 8, traps: &[], name: None },
            CodeRange { offset: 32, len: 9, traps: &traps[..1], name: Some("entry") },
        ];
        let bytes = module.encode(&ranges);
        let description = Description::new(&bytes).unwrap();
        assert_eq!(description.module().unwrap(), module);
        assert_eq!(description.locate(9).unwrap().name(), Some("first"));
        assert_eq!(description.locate(7).unwrap().trap(), Some(traps[1]));
        assert_eq!(description.locate(35).unwrap().trap(), Some(traps[0]));
        assert!(description.locate(4).unwrap().trap().is_none());
        assert!(description.locate(10).is_none());
        assert!(description.locate(17).unwrap().name().is_none());
        assert!(description.locate(41).is_none());
        assert_eq!(module.func_type_index(2), Some(0));
        assert_eq!(module.func_type_index(3), None);
    }

    #[test]
    fn damage_never_panics() {
        let bytes = sample().encode(&[CodeRange { offset: 0, len: 10, traps: &[], name: Some("x") }]);
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                if let Ok(description) = Description::new(&damaged) {
                    let _ = description.module();
                    description.locate(5).and_then(|location| location.trap());
                }
            }
            if let Ok(description) = Description::new(&bytes[..at]) {
                assert!(description.module().is_err() || at == bytes.len());
            }
        }
    }
}
