//! Stage 4, first half: what we change in CLIF before Cranelift optimises it. One pass, one file.

mod call_graph;
mod inline;
mod schedule;

pub(crate) use inline::inline;
pub(crate) use schedule::schedule;
