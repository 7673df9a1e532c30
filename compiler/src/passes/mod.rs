//! Stage 4, first half: what we change in CLIF before Cranelift optimises it. One pass, one file.

mod address;
mod call_graph;
mod inline;
mod schedule;
mod wide_multiply;

pub(crate) use address::constant_addresses;
pub(crate) use inline::inline;
pub(crate) use schedule::schedule;
pub(crate) use wide_multiply::widen_multiplication;
