//! Stage 4, first half: what we change in CLIF before and after Cranelift optimises it. One pass, one file.

mod address;
pub(crate) mod call_graph;
mod dispatch;
mod forward;
mod inline;
mod leaf;
mod location;
mod schedule;
mod ssa;
mod thread;
mod wide_multiply;

pub(crate) use address::constant_addresses;
pub(crate) use dispatch::thread_dispatch;
pub(crate) use forward::forward_stores;
pub(crate) use inline::{Candidate, Rules, inline};
pub(crate) use leaf::{inline_leaf, is_leaf};
pub(crate) use location::{Located, Locations};
pub(crate) use schedule::schedule;
pub(crate) use thread::thread_jumps;
pub(crate) use wide_multiply::widen_multiplication;
