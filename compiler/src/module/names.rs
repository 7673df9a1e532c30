//! Function names: the `name` custom section, then export names for what it leaves out.
//!
//! The section is not validated by anyone: a damaged one costs names, never the build.

use super::ModuleInfo;
use aot_abi::types::EntityKind;
use wasmparser::{KnownCustom, Name};

/// Takes the names of functions and the module from a custom section, if it is the `name` section.
pub(super) fn read<'a>(section: &wasmparser::CustomSectionReader<'a>, info: &mut ModuleInfo<'a>) {
    let KnownCustom::Name(subsections) = section.as_known() else { return };
    for subsection in subsections {
        let map = match subsection {
            Ok(Name::Function(map)) => map,
            Ok(Name::Module { name, .. }) => {
                info.name = Some(name);
                continue;
            }
            _ => continue,
        };
        for naming in map {
            let Ok(naming) = naming else { break };
            if let Some(slot) = info.func_names.get_mut(naming.index as usize) {
                *slot = Some(naming.name);
            }
        }
    }
}

/// Names functions after their exports where they have no name yet.
pub(super) fn from_exports<'a>(exports: &[(&'a str, EntityKind, u32)], info: &mut ModuleInfo<'a>) {
    for (name, kind, index) in exports {
        if let (EntityKind::Func, Some(slot)) = (kind, info.func_names.get_mut(*index as usize)) {
            slot.get_or_insert(name);
        }
    }
}
