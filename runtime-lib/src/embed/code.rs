//! Modules as code in memory.

use crate::arch;
use crate::module::LoadedModule;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use aot_abi::DecodeError;
use aot_abi::types::FuncType;
use core::ptr;
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError, RwLock};

/// Why a module could not be loaded.
#[derive(Clone, Copy, Debug)]
pub enum LoadError {
    /// The module description is damaged.
    Damaged(DecodeError),
    /// There is no memory for the code.
    System(Errno),
}

impl core::fmt::Display for LoadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            LoadError::Damaged(error) => error.fmt(f),
            LoadError::System(error) => write!(f, "cannot map the module's code: {error}"),
        }
    }
}

impl core::error::Error for LoadError {}

/// A compiled module, loaded into memory. Cheap to clone.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Inner>,
}

struct Inner {
    loaded: Box<LoadedModule>,
    text: *mut u8,
    text_mapped: usize,
    // `loaded` refers to both.
    _description: Box<[u8]>,
    _data: Box<[u8]>,
}

// SAFETY: code and tables are never written after they were loaded.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

/// The modules in memory, for the signal handler: it runs only while wasm code does, never inside of these functions
/// in the same thread.
static LOADED: RwLock<Vec<LoadedAddress>> = RwLock::new(Vec::new());

#[derive(Clone, Copy, PartialEq, Eq)]
struct LoadedAddress(*const LoadedModule);

// SAFETY: an address; what it points to is shared and never written.
unsafe impl Send for LoadedAddress {}
// SAFETY: as above.
unsafe impl Sync for LoadedAddress {}

/// The number of each function type in the process: two types are equal if their numbers are.
pub(super) fn type_id(ty: &FuncType) -> u32 {
    static IDS: LazyLock<Mutex<HashMap<FuncType, u32>>> = LazyLock::new(Mutex::default);
    let mut ids = IDS.lock().unwrap_or_else(PoisonError::into_inner);
    let next = ids.len() as u32;
    *ids.entry(ty.clone()).or_insert(next)
}

/// Calls `use_module` with the module whose code contains `address`.
pub(super) fn with_module_at<R>(address: usize, use_module: impl FnOnce(&LoadedModule) -> R) -> Option<R> {
    let modules = LOADED.read().unwrap_or_else(PoisonError::into_inner);
    modules
        .iter()
        .find_map(|module| {
            // SAFETY: modules leave the list before they are freed, and the lock is held.
            let module = unsafe { &*module.0 };
            module.text_offset(address).map(|_| module)
        })
        .map(use_module)
}

impl Module {
    /// Copies the parts of an image into memory that is executable and not writable.
    ///
    /// # Errors
    /// If the description is damaged, or there is no memory.
    ///
    /// # Safety
    /// The compiler made the three parts together, for this machine: the text will be executed.
    pub unsafe fn new(text: &[u8], description: Vec<u8>, data: Vec<u8>) -> Result<Module, LoadError> {
        let (description, data) = (description.into_boxed_slice(), data.into_boxed_slice());
        let text_mapped = text.len().max(1).next_multiple_of(4096);
        // SAFETY: a new private mapping; it is written before anyone else knows it.
        let base = unsafe {
            let writable = ProtFlags::READ | ProtFlags::WRITE;
            let base = mmap_anonymous(ptr::null_mut(), text_mapped, writable, MapFlags::PRIVATE)
                .map_err(LoadError::System)?
                .cast::<u8>();
            ptr::copy_nonoverlapping(text.as_ptr(), base, text.len());
            mprotect(base.cast(), text_mapped, MprotectFlags::READ | MprotectFlags::EXEC)
                .map_err(LoadError::System)?;
            arch::sync_code(base, text.len());
            base
        };
        // SAFETY: the boxes live in the same value as the module that refers to them, and are dropped after it. The
        // caller vouches for the code.
        let loaded = unsafe {
            let description: &'static [u8] = &*ptr::from_ref(&*description);
            let data: &'static [u8] = &*ptr::from_ref(&*data);
            LoadedModule::new(base, text.len(), description, data, type_id)
        };
        match loaded {
            Ok(loaded) => {
                let loaded = Box::new(loaded);
                LOADED
                    .write()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(LoadedAddress(&raw const *loaded));
                let inner = Inner { loaded, text: base, text_mapped, _description: description, _data: data };
                Ok(Module { inner: Arc::new(inner) })
            }
            Err(error) => {
                // SAFETY: mapped above, and known to no one.
                let unmapped = unsafe { munmap(base.cast(), text_mapped) };
                debug_assert!(unmapped.is_ok());
                Err(LoadError::Damaged(error))
            }
        }
    }

    pub(super) fn loaded(&self) -> &LoadedModule {
        &self.inner.loaded
    }

    /// What the module declares.
    pub fn declarations(&self) -> &aot_abi::module::Module {
        self.loaded().declarations()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let address = LoadedAddress(&raw const *self.loaded);
        LOADED.write().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != address);
        // SAFETY: mapped by `Module::new`; no instance is left, since each keeps its module.
        let unmapped = unsafe { munmap(self.text.cast(), self.text_mapped) };
        debug_assert!(unmapped.is_ok());
    }
}
