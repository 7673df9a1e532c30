//! Which sections an executable needs: those that its entry reaches.

use super::input::{Inputs, Place};
use aot_abi::source;
use object::elf;

/// For each section whether it is needed.
pub(super) fn find(inputs: &Inputs<'_>, entry: &str) -> Result<Vec<bool>, String> {
    let mut live = vec![false; inputs.sections.len()];
    let mut waiting = Vec::new();
    let reach = |place: Place, live: &mut Vec<bool>, waiting: &mut Vec<usize>| {
        if let Place::Section(section, _) = place
            && !std::mem::replace(&mut live[section], true)
        {
            waiting.push(section);
        }
    };
    let entry_symbol = inputs.globals.get(entry).ok_or_else(|| format!("undefined symbol `{entry}`"))?;
    reach(inputs.place(*entry_symbol), &mut live, &mut waiting);
    for (index, section) in inputs.sections.iter().enumerate() {
        // What must stay although nothing refers to it.
        if section.flags.contains(elf::SHF_GNU_RETAIN) {
            reach(Place::Section(index, 0), &mut live, &mut waiting);
        }
    }
    while let Some(section) = waiting.pop() {
        for relocation in &inputs.sections[section].relocations {
            let place = inputs.place(relocation.symbol);
            let symbol = &inputs.symbols[relocation.symbol];
            if place == Place::Undefined && !symbol.is_weak {
                let file = &inputs.file_names[symbol.file];
                return Err(format!("undefined symbol `{}`, referenced by {file}", symbol.name));
            }
            reach(place, &mut live, &mut waiting);
        }
    }
    // What describes code (unwinding, debugging) is needed if all the code is.
    for (index, section) in inputs.sections.iter().enumerate() {
        // It counts from the start of the module's code, which is always there.
        if section.name == source::SECTION {
            live[index] = true;
        }
        let describes = section.name == ".eh_frame" || section.name.starts_with(".debug_");
        let is_live = |symbol| match inputs.place(symbol) {
            Place::Section(section, _) => {
                live[section] || inputs.sections[section].name.starts_with(".debug_")
            }
            _ => false,
        };
        let mut targets = section.relocations.iter().map(|relocation| relocation.symbol);
        if describes && !section.relocations.is_empty() && targets.all(is_live) {
            live[index] = true;
        }
    }
    // Debug sections refer to each other, also to those that refer to nothing.
    let mut waiting: Vec<usize> = (0..inputs.sections.len())
        .filter(|index| live[*index] && inputs.sections[*index].name.starts_with(".debug_"))
        .collect();
    while let Some(section) = waiting.pop() {
        for relocation in &inputs.sections[section].relocations {
            if let Place::Section(target, _) = inputs.place(relocation.symbol)
                && !std::mem::replace(&mut live[target], true)
            {
                waiting.push(target);
            }
        }
    }
    Ok(live)
}
