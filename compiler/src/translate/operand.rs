//! Labels of values on the operand stack, by which debuggers find them.

use crate::debug::{Operand, operand};
use cranelift_codegen::ir::{
    DataFlowGraph, RelSourceLoc, Value, ValueLabel, ValueLabelAssignments, ValueLabelStart,
};

/// The operands of a function that debuggers may look for.
pub(super) struct Wanted<'m> {
    list: &'m [Operand],
    /// How many of them lie behind.
    passed: usize,
    /// Those that are on the stack.
    open: Vec<Open>,
    /// The labels of those that are not any more.
    closed: Vec<(Value, ValueLabelStart)>,
}

struct Open {
    label: ValueLabel,
    /// Its place on the stack.
    index: usize,
    value: Value,
}

impl<'m> Wanted<'m> {
    pub fn new(list: &'m [Operand]) -> Self {
        Wanted { list, passed: 0, open: Vec::new(), closed: Vec::new() }
    }

    /// Comes to an instruction, `at` so many bytes from the start of the body, with the stack that it finds. Operands that are
    /// not there, or not in code that can be reached, are left out.
    pub fn pass(&mut self, at: u64, is_reachable: bool, stack: &[Value], dfg: &mut DataFlowGraph) {
        if !self.open.is_empty() {
            self.close(at, if is_reachable { stack } else { &[] });
        }
        while let Some(wanted) = self.list.get(self.passed)
            && u64::from(wanted.at) <= at
        {
            let index = wanted.index as usize;
            if is_reachable
                && u64::from(wanted.at) == at
                && let Some(value) = stack.get(index)
                && let Some(number) = operand(self.passed)
            {
                let label = ValueLabel::from_u32(number);
                // What it becomes when it is extended gets the label too (`extended`).
                add(dfg, *value, ValueLabelStart { from: RelSourceLoc::new(0), label });
                self.open.push(Open { label, index, value: *value });
            }
            self.passed += 1;
        }
    }

    /// Notes where operands end that are gone from the stack.
    fn close(&mut self, at: u64, stack: &[Value]) {
        let from = RelSourceLoc::new(u32::try_from(at).unwrap_or(u32::MAX));
        self.open.retain(|Open { label, index, value }| {
            let is_there = stack.get(*index) == Some(value);
            if !is_there {
                self.closed.push((*value, ValueLabelStart { from, label: *label }));
            }
            is_there
        });
    }

    /// Labels the values with where they end, in a body of so many bytes.
    pub fn finish(&mut self, len: u64, dfg: &mut DataFlowGraph) {
        self.close(len, &[]);
        for (value, start) in self.closed.drain(..) {
            // What turned out to be another value has no labels for the code generator.
            let value = dfg.resolve_aliases(value);
            add(dfg, value, start);
        }
    }
}

/// Adds a label to those of a value, or says anew where it begins.
fn add(dfg: &mut DataFlowGraph, value: Value, start: ValueLabelStart) {
    let Some(labels) = &mut dfg.values_labels else { return };
    let known = labels.entry(value).or_insert_with(|| ValueLabelAssignments::Starts(Vec::new()));
    let ValueLabelAssignments::Starts(known) = known else { return };
    match known.iter_mut().find(|known| known.label == start.label) {
        Some(known) => *known = start,
        None => known.push(start),
    }
}
