//! What C and Rust programs see of a module that is a library, and by which names.

use crate::error::{Error, ErrorKind, Result};
use crate::module::ModuleInfo;
use aot_abi::image::ABI_HASH;
use aot_abi::types::{EntityKind, EntityType, FuncType, ValType};
use std::collections::{HashMap, HashSet};

/// The names that C programs use, of one module.
pub struct Interface {
    /// What all of them start with, without the underscore.
    pub prefix: String,
    /// In the order of the exports; so the others.
    pub functions: Vec<Function>,
    pub memories: Vec<Memory>,
    pub globals: Vec<Global>,
    /// The functions that the program gives, in the order of the imports.
    pub imports: Vec<Import>,
    /// Exports that C cannot use: their names in wasm.
    pub left_out: Vec<String>,
    /// A number for all of the above: header and object belong together if they have the same.
    pub number: u64,
}

/// An exported function: its C type is that of [`results_by_address`](crate::interface::results_by_address).
pub struct Function {
    pub symbol: String,
    /// In wasm; so below.
    pub name: String,
    pub func: u32,
    pub ty: FuncType,
}

/// An exported memory.
pub struct Memory {
    /// Of the function that gives the address of its base and length.
    pub symbol: String,
    pub name: String,
    pub index: u32,
}

/// An exported global.
pub struct Global {
    /// The symbol of the function that gives its value.
    pub get: String,
    /// The symbol of the one that sets it; nothing if it never changes.
    pub set: Option<String>,
    pub name: String,
    pub index: u32,
    pub ty: ValType,
}

/// A function that the program gives.
pub struct Import {
    /// Its field in the structure of imports.
    pub field: String,
    pub module: String,
    pub name: String,
    pub ty: FuncType,
}

/// What the header defines itself, after the prefix.
const OWN_NAMES: [&str; 10] =
    ["instance", "imports", "module", "new", "delete", "host", "fail", "interrupt", "disown", "grow_memory"];

impl Interface {
    /// # Errors
    /// If no name in C can start with the prefix.
    pub(crate) fn new(
        info: &ModuleInfo<'_>,
        import_symbols: &[Option<String>],
        prefix: &str,
    ) -> Result<Interface> {
        let is_name = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
        };
        if !is_name(prefix) || prefix == "aot" {
            let message = format!("`{prefix}` is no prefix for names in C");
            return Err(Error::new(ErrorKind::Config, message)
                .with_help("give one of letters, digits and underscores, other than `aot`"));
        }
        let mut names = Names::default();
        names.taken.extend(OWN_NAMES.map(|name| format!("{prefix}_{name}")));
        let mut interface = Interface {
            prefix: prefix.to_owned(),
            functions: Vec::new(),
            memories: Vec::new(),
            globals: Vec::new(),
            imports: Vec::new(),
            left_out: Vec::new(),
            number: 0,
        };
        for export in &info.exports {
            let (index, name) = (export.index, export.name.clone());
            match export.kind {
                EntityKind::Func => {
                    let symbol = names.make(&format!("{prefix}_{name}"));
                    let ty = info.func_type(index).clone();
                    interface.functions.push(Function { symbol, name, func: index, ty });
                }
                EntityKind::Memory => {
                    let symbol = names.make(&format!("{prefix}_{name}"));
                    interface.memories.push(Memory { symbol, name, index });
                }
                EntityKind::Global if info.globals[index as usize].ty.content != ValType::V128 => {
                    let ty = info.globals[index as usize].ty;
                    let get = names.make(&format!("{prefix}_get_{name}"));
                    let set = ty.mutable.then(|| names.make(&format!("{prefix}_set_{name}")));
                    interface.globals.push(Global { get, set, name, index, ty: ty.content });
                }
                _ => interface.left_out.push(name),
            }
        }
        let mut fields = Names::default();
        let mut symbols = import_symbols.iter();
        // Linked modules may import the same function, with different memories.
        let mut known = HashSet::new();
        for import in &info.imports {
            let EntityType::Func(ty) = import.ty else { continue };
            let ty = &info.types[ty as usize];
            let is_given = symbols.next().is_some_and(Option::is_none);
            if is_given && known.insert((&import.module, &import.name, ty)) {
                interface.imports.push(Import {
                    field: fields.make(&format!("{}_{}", import.module, import.name)),
                    module: import.module.clone(),
                    name: import.name.clone(),
                    ty: ty.clone(),
                });
            }
        }
        interface.number = interface.hash();
        Ok(interface)
    }

    /// The symbol of the module's descriptor.
    pub fn module_symbol(&self) -> String {
        format!("{}_module", self.prefix)
    }

    /// FNV-1a of all that header and object have to agree on.
    fn hash(&self) -> u64 {
        let mut text = format!("{:x} {}\n", ABI_HASH, self.prefix);
        for Function { symbol, ty, .. } in &self.functions {
            text += &format!("{symbol} {ty:?}\n");
        }
        for Memory { symbol, .. } in &self.memories {
            text += &format!("{symbol}\n");
        }
        for Global { get, set, ty, .. } in &self.globals {
            text += &format!("{get} {set:?} {ty:?}\n");
        }
        for Import { field, module, name, ty } in &self.imports {
            text += &format!("{field} {module:?} {name:?} {ty:?}\n");
        }
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}

/// Identifiers of one scope.
#[derive(Default)]
struct Names {
    taken: HashSet<String>,
    /// The number to try next for each name that was wanted more than once: a module may want one a million times.
    next: HashMap<String, u32>,
}

impl Names {
    /// An identifier that nothing else has, as much like `wanted` as possible.
    fn make(&mut self, wanted: &str) -> String {
        let plain = |char: char| if char.is_ascii_alphanumeric() { char } else { '_' };
        let mut base: String = wanted.chars().map(plain).collect();
        if base.starts_with(|char: char| char.is_ascii_digit()) {
            base.insert(0, '_');
        }
        if self.taken.insert(base.clone()) {
            return base;
        }
        let next = self.next.entry(base.clone()).or_insert(2);
        loop {
            let name = format!("{base}_{next}");
            *next += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn names_are_identifiers_and_differ() {
        let mut names = Names::default();
        let made = ["a_b", "a.b", "a b", "1x", "é", "", "a_b_4", "a-b"].map(|name| names.make(name));
        assert_eq!(
            made,
            ["a_b", "a_b_2", "a_b_3", "_1x", "_", "", "a_b_4", "a_b_5"].map(|name| name.to_owned())
        );
    }
}
