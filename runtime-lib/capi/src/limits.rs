//! What a store may use, and how it is stopped.

use crate::handle::{self, Handle};
use crate::store::StoreObject;
use aot_runtime::embed::{InterruptHandle, StoreLimits};

/// `aot_limits_t`; `u64::MAX` is no limit.
#[repr(C)]
#[derive(Clone, Copy)]
struct Limits {
    memory_bytes: u64,
    table_elements: u64,
    instances: u64,
    memories: u64,
    tables: u64,
}

/// `aot_interrupt_t`.
struct InterruptObject(InterruptHandle);

class! { InterruptObject, "aot_interrupt_t"; }
delete! { aot_interrupt_delete(InterruptObject); }

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_store_set_limits(store: *const Handle<StoreObject>, limits: *const Limits) -> bool {
    // SAFETY: C vouches for its pointers.
    let limits = *unsafe { handle::plain(limits, "an aot_limits_t", here!()) };
    let number = |limit: u64| (limit != u64::MAX).then_some(limit);
    let count = |limit| number(limit).and_then(|limit| usize::try_from(limit).ok());
    let limits = StoreLimits {
        memory_bytes: number(limits.memory_bytes),
        table_elements: number(limits.table_elements),
        instances: count(limits.instances),
        memories: count(limits.memories),
        tables: count(limits.tables),
    };
    let Some(mut entered) = get!(store).0.enter() else { return false };
    // SAFETY: nothing else uses the store meanwhile.
    unsafe { entered.store_mut() }.set_limits(limits);
    true
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_store_set_fuel(store: *const Handle<StoreObject>, fuel: u64) -> bool {
    let Some(mut entered) = get!(store).0.enter() else { return false };
    // SAFETY: nothing else uses the store meanwhile.
    unsafe { entered.store_mut() }.set_fuel(fuel);
    true
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_store_fuel(store: *const Handle<StoreObject>) -> u64 {
    let Some(mut entered) = get!(store).0.enter() else { return 0 };
    // SAFETY: nothing else uses the store meanwhile.
    unsafe { entered.store_mut() }.fuel()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_store_set_deadline(store: *const Handle<StoreObject>, ticks: u64) -> bool {
    let Some(mut entered) = get!(store).0.enter() else { return false };
    // SAFETY: nothing else uses the store meanwhile.
    unsafe { entered.store_mut() }.set_epoch_deadline(ticks);
    true
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_store_clear_deadline(store: *const Handle<StoreObject>) -> bool {
    let Some(mut entered) = get!(store).0.enter() else { return false };
    // SAFETY: nothing else uses the store meanwhile.
    unsafe { entered.store_mut() }.clear_epoch_deadline();
    true
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_store_interrupt(store: *const Handle<StoreObject>) -> *mut Handle<InterruptObject> {
    let Some(mut entered) = get!(store).0.enter() else { return core::ptr::null_mut() };
    // SAFETY: nothing else uses the store meanwhile.
    Handle::give(InterruptObject(unsafe { entered.store_mut() }.interrupt_handle()))
}

/// From any thread.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_interrupt_now(interrupt: *const Handle<InterruptObject>) {
    get!(interrupt).0.interrupt();
}
