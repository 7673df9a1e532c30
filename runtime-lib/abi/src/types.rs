//! Types of the wasm specification as plain data, with their encoding in module descriptions.

use crate::cursor::{Reader, Writer};
use alloc::string::String;
use alloc::vec::Vec;

/// A value type. The encoding is that of the binary format (core specification 5.3.1–5.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ValType {
    I32 = 0x7f,
    I64 = 0x7e,
    F32 = 0x7d,
    F64 = 0x7c,
    V128 = 0x7b,
    FuncRef = 0x70,
    ExternRef = 0x6f,
}

impl ValType {
    /// Whether values of this type are references.
    pub fn is_ref(self) -> bool {
        matches!(self, ValType::FuncRef | ValType::ExternRef)
    }

    /// The name in the text format.
    pub fn name(self) -> &'static str {
        match self {
            ValType::I32 => "i32",
            ValType::I64 => "i64",
            ValType::F32 => "f32",
            ValType::F64 => "f64",
            ValType::V128 => "v128",
            ValType::FuncRef => "funcref",
            ValType::ExternRef => "externref",
        }
    }

    pub(crate) fn encode(self, w: &mut Writer) {
        w.u8(self as u8);
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Self {
        match r.u8() {
            0x7f => ValType::I32,
            0x7e => ValType::I64,
            0x7d => ValType::F32,
            0x7c => ValType::F64,
            0x7b => ValType::V128,
            0x70 => ValType::FuncRef,
            0x6f => ValType::ExternRef,
            _ => r.fail("value type", ValType::I32),
        }
    }
}

/// A function type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FuncType {
    pub params: Vec<ValType>,
    pub results: Vec<ValType>,
}

impl FuncType {
    /// Whether a C function can have this type: at most one result, and no vectors.
    pub fn is_c(&self) -> bool {
        self.results.len() <= 1 && self.params.iter().chain(&self.results).all(|ty| *ty != ValType::V128)
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        w.list(&self.params, |w, t| t.encode(w));
        w.list(&self.results, |w, t| t.encode(w));
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Self {
        FuncType { params: r.list(ValType::decode), results: r.list(ValType::decode) }
    }
}

/// Minimum and maximum size: pages of a memory, elements of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    pub min: u64,
    pub max: Option<u64>,
}

impl Limits {
    /// Whether something with limits `self` and current size `size` can be given where `wanted` is declared
    /// (core specification 4.5.2.1: external typing uses the current size as minimum).
    pub fn satisfies(&self, size: u64, wanted: &Limits) -> bool {
        size >= wanted.min
            && match (self.max, wanted.max) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(have), Some(want)) => have <= want,
            }
    }

    fn encode(&self, w: &mut Writer) {
        w.u64(self.min);
        w.option(self.max, Writer::u64);
    }

    fn decode(r: &mut Reader<'_>) -> Self {
        Limits { min: r.u64(), max: r.option(Reader::u64) }
    }
}

/// A table type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableType {
    pub element: ValType,
    pub limits: Limits,
}

/// A memory type; sizes are in pages of 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoryType {
    pub limits: Limits,
}

/// Bytes in a page of linear memory (core specification 4.2.8).
pub const PAGE_SIZE: u64 = 65536;

/// A global type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlobalType {
    pub content: ValType,
    pub mutable: bool,
}

/// The type of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntityType {
    /// A function; the number is an index into the module's types.
    Func(u32),
    Table(TableType),
    Memory(MemoryType),
    Global(GlobalType),
}

impl EntityType {
    pub fn kind(&self) -> EntityKind {
        match self {
            EntityType::Func(_) => EntityKind::Func,
            EntityType::Table(_) => EntityKind::Table,
            EntityType::Memory(_) => EntityKind::Memory,
            EntityType::Global(_) => EntityKind::Global,
        }
    }
}

/// What an export names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntityKind {
    Func = 0,
    Table = 1,
    Memory = 2,
    Global = 3,
}

impl EntityKind {
    /// The name in the text format.
    pub fn name(self) -> &'static str {
        match self {
            EntityKind::Func => "func",
            EntityKind::Table => "table",
            EntityKind::Memory => "memory",
            EntityKind::Global => "global",
        }
    }
}

/// An import: two names and a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    pub module: String,
    pub name: String,
    pub ty: EntityType,
}

/// An export: a name for an entity of the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    pub name: String,
    pub kind: EntityKind,
    pub index: u32,
}

impl TableType {
    pub(crate) fn encode(&self, w: &mut Writer) {
        self.element.encode(w);
        self.limits.encode(w);
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Self {
        TableType { element: ValType::decode(r), limits: Limits::decode(r) }
    }
}

impl MemoryType {
    pub(crate) fn encode(&self, w: &mut Writer) {
        self.limits.encode(w);
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Self {
        MemoryType { limits: Limits::decode(r) }
    }
}

impl GlobalType {
    pub(crate) fn encode(&self, w: &mut Writer) {
        self.content.encode(w);
        w.u8(u8::from(self.mutable));
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Self {
        GlobalType { content: ValType::decode(r), mutable: r.bool() }
    }
}

impl Import {
    pub(crate) fn encode(&self, w: &mut Writer) {
        w.str(&self.module);
        w.str(&self.name);
        match &self.ty {
            EntityType::Func(ty) => {
                w.u8(EntityKind::Func as u8);
                w.u32(*ty);
            }
            EntityType::Table(ty) => {
                w.u8(EntityKind::Table as u8);
                ty.encode(w);
            }
            EntityType::Memory(ty) => {
                w.u8(EntityKind::Memory as u8);
                ty.encode(w);
            }
            EntityType::Global(ty) => {
                w.u8(EntityKind::Global as u8);
                ty.encode(w);
            }
        }
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Self {
        Import {
            module: r.str(),
            name: r.str(),
            ty: match EntityKind::decode(r) {
                EntityKind::Func => EntityType::Func(r.u32()),
                EntityKind::Table => EntityType::Table(TableType::decode(r)),
                EntityKind::Memory => EntityType::Memory(MemoryType::decode(r)),
                EntityKind::Global => EntityType::Global(GlobalType::decode(r)),
            },
        }
    }
}

impl EntityKind {
    fn decode(r: &mut Reader<'_>) -> Self {
        match r.u8() {
            0 => EntityKind::Func,
            1 => EntityKind::Table,
            2 => EntityKind::Memory,
            3 => EntityKind::Global,
            _ => r.fail("kind of import or export", EntityKind::Func),
        }
    }
}

impl Export {
    pub(crate) fn encode(&self, w: &mut Writer) {
        w.str(&self.name);
        w.u8(self.kind as u8);
        w.u32(self.index);
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Self {
        Export { name: r.str(), kind: EntityKind::decode(r), index: r.u32() }
    }
}
