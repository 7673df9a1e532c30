//! What an executable runs: a small object beside the module's.
//!
//! ```text
//! aot_entry        pointer: zero for a command, or the address of the runtime's `aot_invoke`
//! aot_invoke_name  the name of the export that `aot_invoke` calls, ended by NUL
//! ```
//! So the code that reads numbers from arguments and prints results is only in executables that use it.

use super::options::object_format;
use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;
use object::write::{Object, Relocation, Symbol, SymbolSection};
use object::{
    BinaryFormat, RelocationEncoding, RelocationFlags, RelocationKind, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};

/// Makes the object that says what runs: the export `invoke` with the arguments of the process as its parameters, or
/// without a name `_start`.
///
/// # Errors
/// [`ErrorKind::Config`] if the name contains a NUL byte, or objects cannot be made for the target.
pub fn entry_object(invoke: Option<&str>, target: &Target) -> Result<Vec<u8>> {
    let name = invoke.unwrap_or("");
    if name.contains('\0') {
        let message = format!("the name `{}` contains NUL", name.escape_default());
        return Err(Error::new(ErrorKind::Config, message));
    }
    let (architecture, endianness) = object_format(target)?;
    let mut object = Object::new(BinaryFormat::Elf, architecture, endianness);
    let section = object.add_section(Vec::new(), b".data.rel.ro".to_vec(), SectionKind::ReadOnlyDataWithRel);
    let symbol = |object: &mut Object<'_>, name: &str| {
        object.add_symbol(Symbol {
            name: name.into(),
            value: 0,
            size: 0,
            kind: SymbolKind::Data,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        })
    };
    let pointer = target.pointer_size();
    let entry = symbol(&mut object, "aot_entry");
    let offset = object.add_symbol_data(entry, section, &vec![0; pointer as usize], u64::from(pointer));
    let bytes = [name.as_bytes(), &[0]].concat();
    let name = symbol(&mut object, "aot_invoke_name");
    object.add_symbol_data(name, section, &bytes, 1);
    let written = |error: object::write::Error| {
        Error::internal("cannot write the object of the entry").with_source(error)
    };
    if invoke.is_some() {
        let flags = RelocationFlags::Generic {
            kind: RelocationKind::Absolute,
            encoding: RelocationEncoding::Generic,
            size: pointer as u8 * 8,
        };
        let symbol = symbol(&mut object, "aot_invoke");
        object.add_relocation(section, Relocation { offset, symbol, addend: 0, flags }).map_err(written)?;
    }
    object.write().map_err(written)
}

#[cfg(test)]
mod tests {
    use super::entry_object;
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

    fn needs_invoke(invoke: Option<&str>) -> bool {
        let bytes = entry_object(invoke, &"x86_64-linux".parse().unwrap()).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        assert!(file.symbols().any(|symbol| symbol.name() == Ok("aot_entry")));
        let undefined =
            file.symbols().any(|symbol| symbol.name() == Ok("aot_invoke") && symbol.is_undefined());
        assert_eq!(
            file.sections().map(|section| section.relocations().count()).sum::<usize>(),
            usize::from(undefined)
        );
        undefined
    }

    #[test]
    fn only_invocations_need_their_code() {
        assert!(!needs_invoke(None));
        assert!(needs_invoke(Some("add")));
    }
}
