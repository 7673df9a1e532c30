//! Stores: who uses them now, what their guests' external references stand for, and the host's information.

use crate::engine::EngineObject;
use crate::error::{self, Kind};
use crate::handle::Handle;
use crate::reference::{Key, Object};
use aot_runtime::embed::wasi::{OutputBuffer, WasiCtx};
use aot_runtime::embed::{AsContextMut, Store, StoreContextMut};
use core::cell::{Cell, UnsafeCell};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicUsize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What host functions find in a store.
pub struct Data {
    pub cell: Weak<StoreCell>,
    pub wasi: Option<WasiCtx>,
    /// What guests write to the streams 1 and 2, if that is kept.
    pub outputs: [Option<OutputBuffer>; 2],
}

/// A store, shared by the handles of what it owns.
pub struct StoreCell {
    /// Entered by [`StoreCell::enter`] only.
    store: UnsafeCell<Store<Data>>,
    /// The thread that uses the store, by [`this_thread`]; 0 if none does.
    owner: AtomicUsize,
    /// How often the owner has entered it.
    depth: Cell<usize>,
    tables: Mutex<Tables>,
    /// The host's pointer (`aot_store_set_data`).
    pub data: AtomicPtr<c_void>,
    pub engine: EngineObject,
}

// SAFETY: the store and the depth are used by the owner only, of which there is one at a time.
unsafe impl Send for StoreCell {}
// SAFETY: as above.
unsafe impl Sync for StoreCell {}

/// What is known of references, beside what the store knows.
#[derive(Default)]
struct Tables {
    /// What external references stand for: guests have the index. Kept as long as the store, since nobody knows what
    /// guests still have.
    objects: Vec<Object>,
    numbers: HashMap<Key, u32>,
    /// Places in `info_list`, which is dropped in its order.
    infos: HashMap<Key, usize>,
    info_list: Vec<HostInfo>,
}

/// A pointer of the host, with what is to be called for it in the end.
pub struct HostInfo {
    data: *mut c_void,
    finalizer: Option<unsafe extern "C" fn(*mut c_void)>,
}

// SAFETY: a pointer of the host's, who is told that it is used by any thread.
unsafe impl Send for HostInfo {}
// SAFETY: as above.
unsafe impl Sync for HostInfo {}

impl HostInfo {
    pub fn new(data: *mut c_void, finalizer: Option<unsafe extern "C" fn(*mut c_void)>) -> HostInfo {
        HostInfo { data, finalizer }
    }

    pub fn data(&self) -> *mut c_void {
        self.data
    }
}

impl Drop for HostInfo {
    fn drop(&mut self) {
        if let Some(finalizer) = self.finalizer {
            // SAFETY: the host gave it for this pointer.
            unsafe { finalizer(self.data) };
        }
    }
}

/// The handle that C has of a store itself.
pub struct StoreObject(pub Arc<StoreCell>);

class! { StoreObject, "wasm_store_t"; }
delete! { wasm_store_delete(StoreObject); }

/// A number of the running thread, never 0.
fn this_thread() -> usize {
    std::thread_local! {
        static PLACE: u8 = const { 0 };
    }
    PLACE.with(|place| ptr::from_ref(place) as usize)
}

/// The message of an error: two threads use a store.
pub const BUSY: &str = "the store is in use by another thread; a store can be used by one thread at a time";

/// A store in use by this thread.
pub struct Entered<'a> {
    cell: &'a StoreCell,
}

impl StoreCell {
    pub fn new(engine: &EngineObject) -> Arc<StoreCell> {
        Arc::new_cyclic(|cell| {
            let data = Data { cell: Weak::clone(cell), wasi: None, outputs: [None, None] };
            StoreCell {
                store: UnsafeCell::new(Store::new(&engine.engine, data)),
                owner: AtomicUsize::new(0),
                depth: Cell::new(0),
                tables: Mutex::default(),
                data: AtomicPtr::new(ptr::null_mut()),
                engine: engine.clone(),
            }
        })
    }

    /// Begins to use the store. Nothing, and the error is noted, if another thread uses it. Inside of callbacks of the
    /// same thread it can be entered again.
    #[inline]
    pub fn enter(&self) -> Option<Entered<'_>> {
        let this = this_thread();
        if self.owner.load(Relaxed) != this && self.owner.compare_exchange(0, this, Acquire, Relaxed).is_err()
        {
            error::set(Kind::Busy, BUSY);
            return None;
        }
        self.depth.set(self.depth.get() + 1);
        Some(Entered { cell: self })
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number that guests of this store have for an object. Nothing if there are too many.
    pub fn number_of(&self, object: &Object) -> Option<u32> {
        let mut tables = self.tables();
        let key = object.key();
        if let Some(number) = tables.numbers.get(&key) {
            return Some(*number);
        }
        // The last number would not fit where references have one more, for null.
        let number = u32::try_from(tables.objects.len()).ok().filter(|number| *number < u32::MAX)?;
        tables.objects.push(object.clone());
        tables.numbers.insert(key, number);
        Some(number)
    }

    /// The object that a number stands for.
    pub fn object(&self, number: u32) -> Option<Object> {
        self.tables().objects.get(number as usize).cloned()
    }

    /// The host's information for something in the store.
    pub fn info(&self, key: Key) -> *mut c_void {
        let tables = self.tables();
        tables.infos.get(&key).map_or(ptr::null_mut(), |place| tables.info_list[*place].data())
    }

    pub fn set_info(&self, key: Key, info: HostInfo) {
        let mut tables = self.tables();
        let old = match tables.infos.get(&key).copied() {
            Some(place) => Some(core::mem::replace(&mut tables.info_list[place], info)),
            None => {
                let place = tables.info_list.len();
                tables.infos.insert(key, place);
                tables.info_list.push(info);
                None
            }
        };
        drop(tables);
        // Its finalizer may use the store.
        drop(old);
    }
}

impl Entered<'_> {
    /// The store. Callbacks of the host make others like it while one is used, as they do through their callers.
    #[inline]
    pub fn context(&self) -> StoreContextMut<'_, Data> {
        // SAFETY: this thread owns the store. The reference to it is gone when the function returns: what stays is the
        // address of its content.
        unsafe { (*self.cell.store.get()).as_context_mut() }
    }

    /// The store's data, while no callback runs.
    ///
    /// # Safety
    /// Nothing that runs before the result is dropped uses the store.
    pub unsafe fn data_mut(&mut self) -> &mut Data {
        // SAFETY: this thread owns the store; the caller vouches for the rest.
        unsafe { (*self.cell.store.get()).data_mut() }
    }

    /// The store itself.
    ///
    /// # Safety
    /// As [`Entered::data_mut`].
    pub unsafe fn store_mut(&mut self) -> &mut Store<Data> {
        // SAFETY: as above.
        unsafe { &mut *self.cell.store.get() }
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        let depth = self.cell.depth.get() - 1;
        self.cell.depth.set(depth);
        if depth == 0 {
            self.cell.owner.store(0, Release);
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_store_new(engine: *const Handle<EngineObject>) -> *mut Handle<StoreObject> {
    Handle::give(StoreObject(StoreCell::new(get!(engine))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_store_set_data(store: *const Handle<StoreObject>, data: *mut c_void) {
    get!(store).0.data.store(data, Relaxed);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_store_data(store: *const Handle<StoreObject>) -> *mut c_void {
    get!(store).0.data.load(Relaxed)
}
