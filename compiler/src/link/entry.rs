//! What an executable runs: a small object beside the module's.
//!
//! ```text
//! aot_entry        two pointers: zero for a command; else the address of the runtime's `aot_invoke` or `aot_drive`, and that
//!                  of the function that makes the instance for it, with all that the module declares
//! aot_invoke_name  the name of the export that `aot_invoke` calls, ended by NUL
//! ```
//! So the code that reads numbers from arguments and prints results is only in executables that use it.

use crate::emit::elf::new_object;
use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;
use aot_abi::descriptor;
use object::write::{Object, Relocation, Symbol, SymbolSection};
use object::{
    RelocationEncoding, RelocationFlags, RelocationKind, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};

/// What an executable does when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// Runs the export `_start`.
    Command,
    /// Calls an export with the arguments of the process as its parameters, and prints the results.
    Invoke(&'a str),
    /// Does what requests on standard input ask for: the runtime's `drive`, for tests.
    Driver,
}

/// Makes the object that says what runs.
///
/// # Errors
/// [`ErrorKind::Config`] if a name contains a NUL byte, or objects cannot be made for the target.
pub fn entry_object(runs: Entry<'_>, target: &Target) -> Result<Vec<u8>> {
    let (name, function) = match runs {
        Entry::Command => ("", None),
        Entry::Invoke(name) => (name, Some("aot_invoke")),
        Entry::Driver => ("", Some("aot_drive")),
    };
    if name.contains('\0') {
        let message = format!("the name `{}` contains NUL", name.escape_default());
        return Err(Error::new(ErrorKind::Config, message));
    }
    let mut object = new_object(target)?;
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
    let offset = object.add_symbol_data(entry, section, &vec![0; 2 * pointer as usize], u64::from(pointer));
    let bytes = [name.as_bytes(), &[0]].concat();
    let name = symbol(&mut object, "aot_invoke_name");
    object.add_symbol_data(name, section, &bytes, 1);
    let written = |error: object::write::Error| {
        Error::internal("cannot write the object of the entry").with_source(error)
    };
    if let Some(function) = function {
        let flags = RelocationFlags::Generic {
            kind: RelocationKind::Absolute,
            encoding: RelocationEncoding::Generic,
            size: pointer as u8 * 8,
        };
        for (index, name) in [function, descriptor::INSTANTIATE].into_iter().enumerate() {
            let symbol = symbol(&mut object, name);
            let offset = offset + index as u64 * u64::from(pointer);
            object
                .add_relocation(section, Relocation { offset, symbol, addend: 0, flags })
                .map_err(written)?;
        }
    }
    object.write().map_err(written)
}

#[cfg(test)]
mod tests {
    use super::{Entry, entry_object};
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

    fn needs_invoke(runs: Entry<'_>) -> bool {
        let bytes = entry_object(runs, &"x86_64-linux".parse().unwrap()).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        assert!(file.symbols().any(|symbol| symbol.name() == Ok("aot_entry")));
        let undefined =
            file.symbols().any(|symbol| symbol.name() == Ok("aot_invoke") && symbol.is_undefined());
        assert_eq!(
            file.sections().map(|section| section.relocations().count()).sum::<usize>(),
            2 * usize::from(undefined)
        );
        undefined
    }

    #[test]
    fn only_invocations_need_their_code() {
        assert!(!needs_invoke(Entry::Command));
        assert!(needs_invoke(Entry::Invoke("add")));
    }
}
