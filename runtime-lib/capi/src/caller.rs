//! What a callback knows of the guest that calls it.

use crate::error::{self, Kind};
use crate::handle::{self, Handle, Local};
use crate::reference::{Object, Reference};
use crate::store::{Data, StoreCell, StoreObject};
use aot_runtime::embed::Caller;
use core::ffi::{c_char, c_void};
use core::ptr;
use std::sync::Arc;

/// `aot_caller_t`. It lives as long as the callback runs.
pub struct CallerObject {
    caller: *mut Caller<'static, Data>,
    store: Local<StoreObject>,
}

class! { CallerObject, "aot_caller_t"; }

impl CallerObject {
    pub fn new(caller: &mut Caller<'_, Data>, store: &Arc<StoreCell>) -> CallerObject {
        CallerObject {
            caller: ptr::from_mut(caller).cast(),
            store: Local::new(StoreObject(Arc::clone(store))),
        }
    }

    /// The bytes of the memory that the caller exports as `memory`.
    fn memory(&self) -> (*mut u8, usize) {
        // SAFETY: the callback runs, and its caller waits for it.
        let (bytes, _) = unsafe { (*self.caller).memory_and_data() };
        (bytes.as_mut_ptr(), bytes.len())
    }

    /// A part of that memory, if it is all there.
    fn range(&self, offset: u64, size: usize) -> Option<*mut u8> {
        let (bytes, len) = self.memory();
        let found =
            usize::try_from(offset).ok().filter(|o| o.checked_add(size).is_some_and(|end| end <= len));
        if found.is_none() {
            error::set(
                Kind::Usage,
                format!("{size} bytes at offset {offset:#x} are not all in the caller's memory"),
            );
        }
        found.map(|offset| bytes.wrapping_add(offset))
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_caller_store(caller: *const Handle<CallerObject>) -> *const Handle<StoreObject> {
    get!(caller).store.handle()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_caller_export(
    caller: *const Handle<CallerObject>,
    name: *const c_char,
) -> *mut Handle<Reference> {
    let caller = get!(caller);
    // SAFETY: C vouches for its texts.
    let Ok(name) = unsafe { handle::text(name, here!()) }.to_str() else { return ptr::null_mut() };
    // SAFETY: the callback runs, and its caller waits for it.
    let item = unsafe { (*caller.caller).get_export(name) };
    match item {
        Some(item) => Reference::in_store(Object::Extern(item), &get!(caller.store.handle()).0),
        None => {
            error::set(Kind::Usage, format!("the caller exports no `{name}`"));
            ptr::null_mut()
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_caller_memory(caller: *const Handle<CallerObject>, size: *mut usize) -> *mut c_void {
    let (bytes, len) = get!(caller).memory();
    if !size.is_null() {
        // SAFETY: C vouches for its pointers.
        unsafe { size.write(len) };
    }
    if len == 0 { ptr::null_mut() } else { bytes.cast() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_caller_range(
    caller: *const Handle<CallerObject>,
    offset: u64,
    size: usize,
) -> *mut c_void {
    get!(caller).range(offset, size).map_or(ptr::null_mut(), <*mut u8>::cast)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_caller_read(
    caller: *const Handle<CallerObject>,
    offset: u64,
    out: *mut c_void,
    size: usize,
) -> bool {
    let Some(from) = get!(caller).range(offset, size) else { return false };
    // SAFETY: so many bytes are in the memory, and C vouches for its buffer. It may lie in the memory itself.
    unsafe { ptr::copy(from, out.cast(), size) };
    true
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_caller_write(
    caller: *const Handle<CallerObject>,
    offset: u64,
    bytes: *const c_void,
    size: usize,
) -> bool {
    let Some(to) = get!(caller).range(offset, size) else { return false };
    // SAFETY: as above.
    unsafe { ptr::copy(bytes.cast(), to, size) };
    true
}
