//! The static runtime library of each target, carried inside the compiler as data.
//!
//! The build script compiles `aot-runtime` for every target that it can, drops what executables never need, and
//! compresses the rest. Nothing here knows what the library does.
#![forbid(unsafe_code)]

struct Archive {
    compressed: &'static [u8],
    len: usize,
}

include!(concat!(env!("OUT_DIR"), "/archives.rs"));

/// The targets, by their short names, that there is a runtime library for.
pub fn available() -> &'static [&'static str] {
    TARGETS
}

/// The runtime library of a target, by its short name (`x86_64-linux`): the bytes of an `ar` archive of objects.
pub fn runtime(target_name: &str) -> Option<Vec<u8>> {
    let index = TARGETS.iter().position(|name| *name == target_name)?;
    let Archive { compressed, len } = ARCHIVES[index];
    let bytes = miniz_oxide::inflate::decompress_to_vec_with_limit(compressed, len);
    Some(bytes.expect("the build script compressed it"))
}

/// The targets that there is no runtime library for, by their short names, and what is missing.
pub fn missing() -> &'static [(&'static str, &'static str)] {
    MISSING
}

#[cfg(test)]
mod tests {
    use super::{available, runtime};
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
    use std::collections::BTreeSet;

    /// What the object of a module and of its options define, and what the linker defines.
    fn is_given(symbol: &str) -> bool {
        symbol.starts_with("aot_") || symbol.starts_with('_')
    }

    #[test]
    fn archives_are_whole() {
        for target in available() {
            let archive = runtime(target).unwrap();
            let file = object::read::archive::ArchiveFile::parse(&*archive).unwrap();
            let (mut defined, mut undefined) = (BTreeSet::new(), BTreeSet::new());
            for member in file.members() {
                let object = object::File::parse(member.unwrap().data(&*archive).unwrap()).unwrap();
                for symbol in object.symbols().filter(|symbol| symbol.is_global()) {
                    let set = if symbol.is_undefined() { &mut undefined } else { &mut defined };
                    set.insert(symbol.name().unwrap().to_owned());
                }
                assert!(!object.sections().any(|section| section.name().unwrap().starts_with(".debug")));
            }
            assert!(defined.contains("_start"), "{target}: no `_start`");
            assert!(defined.contains("aot_instance_new"), "{target}: nothing for libraries");

            assert!(file.symbols().unwrap().is_some(), "{target}: no symbol index");
            // There is no libc to find `memcpy` in.
            let missing: Vec<_> = undefined.difference(&defined).filter(|symbol| !is_given(symbol)).collect();
            assert!(missing.is_empty(), "{target}: nothing defines {missing:?}");
        }
    }

    /// Each part of the archive is good alone, and defines what no other one does.
    #[test]
    fn members_do_not_clash() {
        for target in available() {
            let archive = runtime(target).unwrap();
            let file = object::read::archive::ArchiveFile::parse(&*archive).unwrap();
            let mut all = BTreeSet::new();
            for member in file.members() {
                let object = object::File::parse(member.unwrap().data(&*archive).unwrap()).unwrap();
                let globals = object.symbols().filter(|symbol| symbol.is_global() && !symbol.is_undefined());
                let names: Vec<String> = globals.map(|symbol| symbol.name().unwrap().to_owned()).collect();
                // A linker that takes `strlen` from the member with `_start` has two entries.
                if names.iter().any(|name| name.starts_with("aot_")) {
                    let others: Vec<_> = names.iter().filter(|name| !is_given(name)).collect();
                    assert!(others.is_empty(), "{target}: `{others:?}` beside functions of ours");
                }
                for name in names {
                    assert!(all.insert(name.clone()), "{target}: `{name}` twice");
                }
            }
        }
    }

    /// Compilers make calls of `memcpy` and its kin out of what looks like them: also out of these functions themselves.
    #[test]
    fn memory_functions_do_not_call_themselves() {
        for target in available() {
            let archive = runtime(target).unwrap();
            let file = object::read::archive::ArchiveFile::parse(&*archive).unwrap();
            for member in file.members() {
                let object = object::File::parse(member.unwrap().data(&*archive).unwrap()).unwrap();
                for name in ["memcpy", "memmove", "memset", "memcmp", "bcmp"] {
                    let Some(section) = object.section_by_name(&format!(".text.{name}")) else { continue };
                    let prefixed = ["aot_memcpy", "aot_memmove", "aot_memset"];
                    for (_, relocation) in section.relocations() {
                        let object::RelocationTarget::Symbol(symbol) = relocation.target() else { continue };
                        let callee = object.symbol_by_index(symbol).unwrap();
                        let callee = callee.name().unwrap();
                        let is_allowed = (name, callee) == ("memmove", "aot_memcpy");
                        let is_one = prefixed.contains(&callee);
                        assert!(is_allowed || !is_one, "{target}: `{name}` calls `{callee}`");
                    }
                }
            }
        }
    }

    #[test]
    fn unknown_targets_have_none() {
        assert_eq!(runtime("pdp11-unix"), None);
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn the_host_has_one() {
        assert!(available().contains(&"x86_64-linux"));
    }
}
