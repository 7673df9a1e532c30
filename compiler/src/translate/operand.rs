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

/// Operands that are looked after at once, at most: all are looked at with each instruction.
const MOST_OPEN: usize = 64;

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
                && self.open.len() < MOST_OPEN
                && let Some(value) = stack.get(index)
                && let Some(number) = operand(self.passed)
            {
                let label = ValueLabel::from_u32(number);
                // What it becomes when it is extended gets the label too (`extended`).
                add_label(dfg, *value, ValueLabelStart { from: RelSourceLoc::new(0), label });
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
            add_label(dfg, value, start);
        }
    }
}

/// Labels of one value, at most: what it is extended to gets all of them again.
const MOST_LABELS: usize = 64;

/// Labels a value. A label that it has gets another beginning.
pub(super) fn add_label(dfg: &mut DataFlowGraph, value: Value, start: ValueLabelStart) {
    let Some(labels) = &mut dfg.values_labels else { return };
    let known = labels.entry(value).or_insert_with(|| ValueLabelAssignments::Starts(Vec::new()));
    let ValueLabelAssignments::Starts(known) = known else { return };
    if let Some(known) = known.iter_mut().find(|known| known.label == start.label) {
        *known = start;
    } else if known.len() < MOST_LABELS {
        known.push(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_codegen::ir::{SourceLoc, types};

    fn labels(dfg: &DataFlowGraph, value: Value) -> Vec<(u32, u32)> {
        match dfg.values_labels.as_ref().and_then(|labels| labels.get(&value)) {
            Some(ValueLabelAssignments::Starts(starts)) => {
                let from = |start: &ValueLabelStart| start.from.expand(SourceLoc::new(0)).bits();
                starts.iter().map(|start| (start.label.as_u32(), from(start))).collect()
            }
            _ => Vec::new(),
        }
    }

    fn start(label: u32, from: u32) -> ValueLabelStart {
        ValueLabelStart { from: RelSourceLoc::new(from), label: ValueLabel::from_u32(label) }
    }

    #[test]
    fn values_have_each_label_once_and_not_too_many() {
        let mut dfg = DataFlowGraph::new();
        let value = Value::from_u32(3);
        add_label(&mut dfg, value, start(1, 2));
        assert_eq!(labels(&dfg, value), []);
        dfg.collect_debug_info();
        for from in 0..1000 {
            add_label(&mut dfg, value, start(7, from));
        }
        assert_eq!(labels(&dfg, value), [(7, 999)]);
        (0..1000).for_each(|label| add_label(&mut dfg, value, start(label, 0)));
        assert_eq!(labels(&dfg, value).len(), MOST_LABELS);
    }

    #[test]
    fn operands_end_where_they_are_taken() {
        let mut dfg = DataFlowGraph::new();
        dfg.collect_debug_info();
        let block = dfg.make_block();
        let [first, second, third] = [(); 3].map(|()| dfg.append_block_param(block, types::I32));
        let list = [(2, 0), (2, 9), (4, 1), (5, 0), (8, 0), (9, 0)].map(|(at, index)| Operand { at, index });
        let mut wanted = Wanted::new(&list);
        wanted.pass(2, true, &[first], &mut dfg);
        wanted.pass(4, true, &[first, second], &mut dfg);
        // In the middle of an instruction there is nothing.
        wanted.pass(6, true, &[first], &mut dfg);
        wanted.pass(8, false, &[third], &mut dfg);
        wanted.pass(9, true, &[third], &mut dfg);
        wanted.finish(12, &mut dfg);
        let number = |position| operand(position).expect("a small one");
        assert_eq!(labels(&dfg, first), [(number(0), 8)]);
        assert_eq!(labels(&dfg, second), [(number(2), 6)]);
        assert_eq!(labels(&dfg, third), [(number(5), 12)]);
    }
}
