//! Who calls whom directly.

use crate::codegen::symbol::Symbol;
use cranelift_codegen::ir::{ExternalName, FuncRef, Function, InstructionData};

/// Direct calls among functions that are numbered from zero.
#[derive(Debug, Default)]
pub(crate) struct CallGraph {
    /// Callees of each function, ascending, each once.
    pub callees: Vec<Vec<u32>>,
    /// Call sites of each function.
    pub call_sites: Vec<u32>,
}

/// The defined function that a reference calls, if it is one. `imported` functions have the lowest indices.
pub(super) fn callee(function: &Function, callee: FuncRef, imported: u32) -> Option<u32> {
    let ExternalName::User(name) = function.dfg.ext_funcs[callee].name else { return None };
    match Symbol::from_external_name(&function.params.user_named_funcs()[name]) {
        Some(Symbol::Function(func)) => func.checked_sub(imported),
        _ => None,
    }
}

/// The functions that code still calls, one item for each call site.
pub(crate) fn callees(function: &Function, imported: u32) -> Vec<u32> {
    let mut callees = Vec::new();
    for block in function.layout.blocks() {
        for inst in function.layout.block_insts(block) {
            if let InstructionData::Call { func_ref, .. } = function.dfg.insts[inst] {
                callees.extend(callee(function, func_ref, imported));
            }
        }
    }
    callees
}

impl CallGraph {
    /// The graph of the functions whose call sites are given.
    pub fn new(mut call_sites: Vec<Vec<u32>>) -> CallGraph {
        let mut counts = vec![0; call_sites.len()];
        for callees in &mut call_sites {
            for callee in &*callees {
                counts[*callee as usize] += 1;
            }
            callees.sort_unstable();
            callees.dedup();
        }
        CallGraph { callees: call_sites, call_sites: counts }
    }
}

#[cfg(test)]
mod tests {
    use super::CallGraph;

    #[test]
    fn sites_are_counted() {
        let graph = CallGraph::new(vec![vec![3, 1, 1], vec![2], vec![1, 3], vec![], vec![], vec![5]]);
        assert_eq!(graph.call_sites, [0, 3, 1, 2, 0, 1]);
        assert_eq!(graph.callees[0], [1, 3]);
    }
}
