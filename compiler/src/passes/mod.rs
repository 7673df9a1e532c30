//! Stage 4, first half: what we change in CLIF before and after Cranelift optimises it. One pass, one file.

mod address;
mod advance;
pub(crate) mod call_graph;
mod cold;
mod constants;
mod dispatch;
mod forward;
mod hoist;
mod immediate;
mod inline;
mod invariants;
mod leaf;
mod location;
mod loops;
mod masks;
mod pure;
mod rotate;
mod schedule;
mod ssa;
mod stores;
mod thread;
mod wide_multiply;
mod widen;

pub(crate) use address::constant_addresses;
pub(crate) use advance::share_advances;
pub(crate) use cold::skip_cold;
pub(crate) use constants::keep_constants;
pub(crate) use dispatch::thread_dispatch;
pub(crate) use forward::forward_stores;
pub(crate) use hoist::hoist;
pub(crate) use immediate::Machine;
pub(crate) use inline::{Candidate, Rules, inline};
pub(crate) use invariants::move_invariants;
pub(crate) use leaf::{inline_leaf, is_leaf};
pub(crate) use location::{Located, Locations};
pub(crate) use masks::leave_out_masks;
pub(crate) use rotate::rotate_loops;
pub(crate) use schedule::schedule;
pub(crate) use ssa::constant;
pub(crate) use stores::store_constants;
pub(crate) use thread::thread_jumps;
pub(crate) use wide_multiply::widen_multiplication;
pub(crate) use widen::{Halves, widen};

#[cfg(test)]
mod tests {
    use cranelift_codegen::ir::Function;
    use cranelift_codegen::settings::{self, Configurable as _};
    use cranelift_codegen::{Context, verify_function};

    /// What a pass makes of a function, which is valid before and after.
    pub fn rewritten(function: Function, pass: impl FnOnce(&mut Context)) -> Function {
        let mut flags = settings::builder();
        flags.set("enable_verifier", "true").unwrap();
        let flags = settings::Flags::new(flags);
        verify_function(&function, &flags).unwrap();
        let mut context = Context::for_function(function);
        pass(&mut context);
        verify_function(&context.func, &flags)
            .unwrap_or_else(|error| panic!("{error}\n{}", context.func.display()));
        context.func
    }
}
