//! Who calls whom directly.

use crate::codegen::symbol::Symbol;
use crate::graph::components;
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

    /// For each function the number of its cycle; functions of one cycle have the same.
    pub fn cycles(&self) -> Vec<u32> {
        let mut cycle_of = vec![0; self.callees.len()];
        for (number, component) in
            components(self.callees.len(), |func| &self.callees[func]).into_iter().enumerate()
        {
            for func in component {
                cycle_of[func as usize] = number as u32;
            }
        }
        cycle_of
    }
}

#[cfg(test)]
mod tests {
    use super::CallGraph;

    #[test]
    fn cycles_are_found() {
        // 0 → 1 → 2 → 1 (a cycle), 0 → 3, 2 → 3, 4 alone, 5 → 5.
        let graph = CallGraph::new(vec![vec![3, 1, 1], vec![2], vec![1, 3], vec![], vec![], vec![5]]);
        assert_eq!(graph.call_sites, [0, 3, 1, 2, 0, 1]);
        let cycles = graph.cycles();
        assert_eq!(cycles[1], cycles[2]);
        let others = [0, 1, 3, 4, 5].map(|func: usize| cycles[func]);
        assert!(others.iter().all(|cycle| others.iter().filter(|other| *other == cycle).count() == 1));
    }

    #[test]
    fn long_chains_need_no_stack() {
        let count = 200_000;
        let calls = (0..count).map(|func| if func + 1 < count { vec![func + 1] } else { vec![] }).collect();
        let cycles = CallGraph::new(calls).cycles();
        // Callees have the lower numbers.
        assert!(cycles.is_sorted_by(|caller, callee| caller > callee));
    }
}
