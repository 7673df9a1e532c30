//! Types of functions, imports and exports.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use aot_abi::types::{EntityType, FuncType, GlobalType, Limits, MemoryType, TableType, ValType};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

/// The type of something that is imported or exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternType {
    Func(FuncType),
    Table(TableType),
    Memory(MemoryType),
    Global(GlobalType),
}

impl ExternType {
    pub(super) fn new(ty: &EntityType, types: &[FuncType]) -> ExternType {
        match ty {
            EntityType::Func(ty) => ExternType::Func(types.get(*ty as usize).cloned().unwrap_or_default()),
            EntityType::Table(ty) => ExternType::Table(*ty),
            EntityType::Memory(ty) => ExternType::Memory(*ty),
            EntityType::Global(ty) => ExternType::Global(*ty),
        }
    }
}

impl core::fmt::Display for ExternType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ExternType::Func(ty) => f.write_str(&func_text(ty)),
            ExternType::Table(ty) => {
                write!(f, "table of {}, {}", ty.element.name(), limits_text(&ty.limits, "elements"))
            }
            ExternType::Memory(ty) => write!(f, "memory of {}", limits_text(&ty.limits, "pages")),
            ExternType::Global(ty) => {
                let mutable = if ty.mutable { "mutable " } else { "" };
                write!(f, "{mutable}global of type {}", ty.content.name())
            }
        }
    }
}

/// A function type as in error messages.
pub(super) fn func_text(ty: &FuncType) -> String {
    format!("function of type {}", signature_text(ty))
}

/// `(i32, i64) -> (f32)`.
pub(super) fn signature_text(ty: &FuncType) -> String {
    let list = |types: &[ValType]| {
        let names: alloc::vec::Vec<&str> = types.iter().map(|ty| ty.name()).collect();
        names.join(", ")
    };
    format!("({}) -> ({})", list(&ty.params), list(&ty.results))
}

fn limits_text(limits: &Limits, unit: &str) -> String {
    match limits.max {
        Some(max) => format!("{} to {max} {unit}", limits.min),
        None => format!("{} {unit} and more", limits.min),
    }
}

/// The chunks of the table of types: chunk `n` has `2^n` places, so that places never move and reading needs no lock.
static CHUNKS: [OnceLock<Box<[OnceLock<FuncType>]>>; 32] = [const { OnceLock::new() }; 32];

#[inline]
fn place(id: u32) -> (usize, usize) {
    let number = u64::from(id) + 1;
    let chunk = number.ilog2();
    (chunk as usize, (number - (1 << chunk)) as usize)
}

/// The number of a function type in this process: two types are equal if their numbers are. Types are never forgotten.
pub(super) fn type_id(ty: &FuncType) -> u32 {
    static IDS: LazyLock<Mutex<HashMap<FuncType, u32>>> = LazyLock::new(Mutex::default);
    let mut ids = IDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(id) = ids.get(ty) {
        return *id;
    }
    let id = ids.len() as u32;
    let (chunk, index) = place(id);
    let chunk = CHUNKS[chunk].get_or_init(|| (0..1usize << chunk).map(|_| OnceLock::new()).collect());
    chunk[index].get_or_init(|| ty.clone());
    ids.insert(ty.clone(), id);
    id
}

/// The type with a number.
#[inline]
pub(super) fn type_of(id: u32) -> Option<&'static FuncType> {
    let (chunk, index) = place(id);
    CHUNKS.get(chunk)?.get()?.get(index)?.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn types_have_one_number_each() {
        let ty = |count| FuncType { params: vec![ValType::I32; count], results: vec![] };
        let ids: alloc::vec::Vec<u32> = (0..100).map(|count| type_id(&ty(count))).collect();
        for (count, id) in ids.iter().enumerate() {
            assert_eq!(type_id(&ty(count)), *id);
            assert_eq!(type_of(*id), Some(&ty(count)));
        }
        assert_eq!(type_of(u32::MAX - 1), None);
    }
}
