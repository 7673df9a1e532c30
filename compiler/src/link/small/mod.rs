//! A small static linker, for machines that `libwild` does not know: s390x.
//!
//! It does what our executables need and refuses the rest: relocatable objects and archives of them go in; sections that are
//! reachable from the entry come out, in four segments (read-only, code, data, zeros) at fixed addresses, or at any: then
//! with a table of the addresses that the program has to put in itself. There are no shared libraries, no thread-local storage, no linker scripts.
//!
//! ```text
//! input   objects → sections, symbols, relocations
//! live    which sections are needed
//! layout  addresses and file offsets
//! s390x   relocations of the machine
//! write   the ELF file
//! ```

mod input;
mod layout;
mod live;
mod s390x;
mod write;

use super::exe::LinkOptions;

/// Links objects and archives. The order of `files` decides which definition of a symbol counts.
///
/// # Errors
/// What is wrong with an input, or what is not supported, in one line.
pub(super) fn link(files: &[(String, &[u8])], entry: &str, options: LinkOptions) -> Result<Vec<u8>, String> {
    let mut inputs = input::read(files)?;
    if options.pie {
        inputs.define_position();
    }
    let live = live::find(&inputs, entry)?;
    let layout = layout::lay_out(&inputs, &live, options.pie)?;
    write::write(&inputs, &layout, entry, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::elf::new_object;
    use object::read::elf::ElfFile64;
    use object::write::{Object, Relocation, StandardSection, Symbol, SymbolId, SymbolSection};
    use object::{
        Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, SymbolFlags,
        SymbolKind, SymbolScope, elf,
    };

    fn symbol(object: &mut Object<'_>, name: &str) -> SymbolId {
        object.add_symbol(Symbol {
            name: name.into(),
            value: 0,
            size: 0,
            kind: SymbolKind::Text,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        })
    }

    /// An object that defines `name` as code that calls `callee`, and as data that points to it.
    fn object(name: &str, callee: &str) -> Vec<u8> {
        let mut object = new_object(&"s390x-linux".parse().unwrap()).unwrap();
        let text = object.add_subsection(StandardSection::Text, name.as_bytes());
        let data = object.add_subsection(StandardSection::Data, name.as_bytes());
        let (defined, used) = (symbol(&mut object, name), symbol(&mut object, callee));
        object.add_symbol_data(defined, text, &[0xc0, 0xe5, 0, 0, 0, 0, 0x07, 0xfe], 4);
        let pointer = symbol(&mut object, &format!("{name}_pointer"));
        object.add_symbol_data(pointer, data, &[0; 8], 8);
        for (section, offset, symbol, addend, r_type) in
            [(text, 2, used, 2, elf::R_390_PLT32DBL), (data, 0, defined, 0, elf::R_390_64)]
        {
            let flags = RelocationFlags::Elf { r_type };
            object.add_relocation(section, Relocation { offset, symbol, addend, flags }).unwrap();
        }
        object.write().unwrap()
    }

    fn link_objects(objects: &[(&str, &str)]) -> Result<Vec<u8>, String> {
        let objects: Vec<_> = objects.iter().map(|(name, callee)| object(name, callee)).collect();
        let files: Vec<_> = objects.iter().map(|bytes| (String::from("x.o"), &bytes[..])).collect();
        link(&files, "_start", LinkOptions::default())
    }

    #[test]
    fn only_what_is_reachable_is_linked() {
        let bytes = link_objects(&[("_start", "f"), ("f", "_start"), ("unused", "f")]).unwrap();
        let file = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
        let names: Vec<_> = file.symbols().map(|symbol| symbol.name().unwrap().to_owned()).collect();
        assert_eq!(names, ["_start", "f"]);
        let text = file.section_by_name(".text").unwrap();
        assert_eq!((text.size(), file.entry()), (16, text.address()));
        // Four halfwords ahead, and as many back.
        let calls = [0xc0, 0xe5, 0, 0, 0, 4, 0x07, 0xfe, 0xc0, 0xe5, 0xff, 0xff, 0xff, 0xfc, 0x07, 0xfe];
        assert_eq!(text.data().unwrap(), calls);
    }

    #[test]
    fn weak_definitions_give_way() {
        let mut weak = new_object(&"s390x-linux".parse().unwrap()).unwrap();
        let text = weak.section_id(StandardSection::Text);
        for (name, weakly) in [("_start", false), ("f", true)] {
            let id = symbol(&mut weak, name);
            weak.symbol_mut(id).weak = weakly;
            weak.add_symbol_data(id, text, &[0xc0, 0xe5, 0, 0, 0, 0, 0x07, 0xfe], 4);
        }
        let used = symbol(&mut weak, "f");
        let flags = RelocationFlags::Elf { r_type: elf::R_390_PLT32DBL };
        weak.add_relocation(text, Relocation { offset: 2, symbol: used, addend: 2, flags }).unwrap();
        let files = [weak.write().unwrap(), object("f", "f")];
        let files: Vec<_> = files.iter().map(|bytes| (String::from("x.o"), &bytes[..])).collect();
        let bytes = link(&files, "_start", LinkOptions::default()).unwrap();
        let file = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
        let text = file.section_by_name(".text").unwrap();
        // Eight halfwords ahead: behind the weak definition.
        assert_eq!(text.data().unwrap()[..6], [0xc0, 0xe5, 0, 0, 0, 8]);
    }

    #[test]
    fn missing_and_double_symbols_are_named() {
        assert!(link_objects(&[("_start", "f")]).unwrap_err().contains("undefined symbol `f`"));
        assert!(link_objects(&[("f", "f")]).unwrap_err().contains("`_start`"));
        assert!(
            link_objects(&[("_start", "_start"), ("_start", "_start")])
                .unwrap_err()
                .contains("is defined in")
        );
    }

    #[test]
    fn damage_never_panics() {
        let objects = [object("_start", "f"), object("f", "_start")];
        let mut seed = 1u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % below
        };
        for _ in 0..3000 {
            let mut objects = objects.clone();
            let object = &mut objects[random(2)];
            let at = random(object.len());
            object[at] ^= 1 << random(8);
            let files: Vec<_> = objects.iter().map(|bytes| (String::from("x.o"), &bytes[..])).collect();
            if let Ok(bytes) = link(&files, "_start", LinkOptions::default()) {
                drop(ElfFile64::<Endianness>::parse(&*bytes));
            }
        }
    }
}
