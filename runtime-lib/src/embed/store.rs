//! Stores: instances, and what they share with the host.

use super::activation::{Entered, Pending};
use super::code::Module;
use super::engine::Engine;
use super::error::MAX_FRAMES;
use super::host::{HostContext, HostFunc};
use crate::instance::{Instance, ResourceLimits};
use crate::vmctx::{FuncRef, GlobalCell, MemoryDef, TableDef};
use crate::{memory, table};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::num::NonZeroU64;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize};

/// What compiled code looks at, and other threads may change. Compiled code knows the first two (`aot_abi::call`).
#[repr(C)]
pub(super) struct Cells {
    pub stack_limit: AtomicUsize,
    pub fuel: AtomicI64,
    /// The stack limit when nobody interrupts.
    pub real_limit: AtomicUsize,
    pub interrupted: AtomicBool,
    pub has_deadline: AtomicBool,
    /// The tick of the engine's clock at which to interrupt.
    pub deadline: AtomicU64,
}

const _: () = assert!(
    core::mem::offset_of!(Cells, fuel) == aot_abi::call::FUEL_POINTERS as usize * size_of::<usize>(),
    "compiled code finds the fuel here"
);

/// A number for each store of the process.
pub(super) type StoreId = NonZeroU64;

/// Limits of a store.
///
/// ```
/// use aot_runtime::embed::{Limits, Memory, MemoryType, Store, StoreLimits};
///
/// let mut store: Store<()> = Store::default();
/// store.set_limits(StoreLimits { memory_bytes: Some(3 << 16), memories: Some(1), ..StoreLimits::default() });
/// let ty = MemoryType { limits: Limits { min: 1, max: None } };
/// let memory = Memory::new(&mut store, &ty)?;
/// assert!(memory.grow(&mut store, 2).is_ok());
/// assert!(memory.grow(&mut store, 1).is_err());
/// assert!(Memory::new(&mut store, &ty).is_err());
/// # Ok::<(), aot_runtime::embed::Error>(())
/// ```
///
/// What is `None` is limited by the machine, and by the modules themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreLimits {
    /// The most bytes that one memory may have. `memory.grow` beyond fails as the specification says: with -1.
    pub memory_bytes: Option<u64>,
    /// The most elements that one table may have.
    pub table_elements: Option<u64>,
    /// The most instances.
    pub instances: Option<usize>,
    /// The most memories, of instances and of the host.
    pub memories: Option<usize>,
    /// The most tables, of instances and of the host.
    pub tables: Option<usize>,
}

/// An instance with all that it refers to.
pub(super) struct InstanceEntry {
    pub instance: Box<Instance>,
    pub module: Module,
    /// One for each imported host function.
    pub _contexts: Box<[HostContext]>,
    pub _funcs: Arc<[Arc<HostFunc>]>,
}

/// A function that the host made.
pub(super) struct OwnFunc {
    pub funcref: FuncRef,
    pub context: HostContext,
    pub _func: Arc<HostFunc>,
}

/// Memories, tables and globals of the host have a definition of their own, at an address that does not change.
pub(super) struct OwnMemory {
    pub memory: memory::Memory,
    pub _def: Box<UnsafeCell<MemoryDef>>,
}

pub(super) struct OwnTable {
    pub table: table::Table,
    pub _def: Box<UnsafeCell<TableDef>>,
}

#[repr(align(16))]
pub(super) struct OwnGlobal(pub UnsafeCell<GlobalCell>);

/// The part of a store that does not depend on the host's data.
#[expect(clippy::vec_box, reason = "compiled code points to them, so they must not move")]
pub(super) struct StoreBase {
    pub id: StoreId,
    cells: Arc<Cells>,
    wasm_stack: usize,
    /// The address on the stack for which the stack limit was set; 0 if it was for another reason than an outermost entry.
    pub limit_set_at: usize,
    pub outermost: Entered,
    pub pending: Option<Pending>,
    pub backtrace: [usize; MAX_FRAMES],
    pub backtrace_len: usize,
    pub engine: Engine,
    pub limits: StoreLimits,
    pub counts: Counts,
    pub instances: Vec<InstanceEntry>,
    /// Modules whose trampolines host functions use.
    pub modules: Vec<Module>,
    pub funcs: Vec<Box<UnsafeCell<OwnFunc>>>,
    pub memories: Vec<Box<UnsafeCell<OwnMemory>>>,
    pub tables: Vec<Box<UnsafeCell<OwnTable>>>,
    pub globals: Vec<Box<OwnGlobal>>,
}

/// How many of what is limited there are.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub instances: usize,
    pub memories: usize,
    pub tables: usize,
}

impl StoreBase {
    pub fn cells(&self) -> *const Cells {
        Arc::as_ptr(&self.cells)
    }

    /// Bytes of stack that wasm code may use.
    pub fn wasm_stack(&self) -> usize {
        self.wasm_stack
    }

    fn set_epoch_deadline(&self, ticks: u64) {
        self.engine.set_deadline(&self.cells, ticks);
    }

    pub fn resource_limits(&self) -> ResourceLimits {
        ResourceLimits { memory_bytes: self.limits.memory_bytes, table_elements: self.limits.table_elements }
    }
}

#[repr(C)]
pub(super) struct StoreInner<T> {
    pub base: StoreBase,
    pub data: T,
}

/// Owns instances, what they share with the host, and data of the host that host functions see.
///
/// Nothing in a store is freed before the store itself, so handles into it stay valid as long as it lives; a handle of
/// another store is refused. A store is used by one thread at a time, and can move between threads.
pub struct Store<T: 'static> {
    inner: NonNull<StoreInner<T>>,
    owns: PhantomData<StoreInner<T>>,
}

// SAFETY: the pointers in a store are to what the store owns, or shares as `Sync` data (modules, host functions).
unsafe impl<T: Send> Send for Store<T> {}

impl<T: 'static> Store<T> {
    /// An empty store with data for host functions.
    pub fn new(engine: &Engine, data: T) -> Store<T> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let id = NonZeroU64::new(IDS.fetch_add(1, Relaxed)).expect("2^64 stores are never made");
        let cells = Arc::new(Cells {
            stack_limit: AtomicUsize::new(0),
            fuel: AtomicI64::new(0),
            real_limit: AtomicUsize::new(0),
            interrupted: AtomicBool::new(false),
            has_deadline: AtomicBool::new(false),
            deadline: AtomicU64::new(u64::MAX),
        });
        let base = StoreBase {
            id,
            cells,
            wasm_stack: engine.inner.config.max_wasm_stack,
            limit_set_at: 0,
            outermost: Entered::outermost(),
            pending: None,
            backtrace: [0; MAX_FRAMES],
            backtrace_len: 0,
            engine: engine.clone(),
            limits: StoreLimits::default(),
            counts: Counts::default(),
            instances: Vec::new(),
            modules: Vec::new(),
            funcs: Vec::new(),
            memories: Vec::new(),
            tables: Vec::new(),
            globals: Vec::new(),
        };
        let mut inner = NonNull::from(Box::leak(Box::new(StoreInner { base, data })));
        // SAFETY: the box is new, and its content does not move.
        unsafe { inner.as_mut().base.outermost.belongs_to(inner.cast()) };
        Store { inner, owns: PhantomData }
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        // SAFETY: the store owns it, and is borrowed.
        unsafe { &self.inner.as_ref().data }
    }

    /// The host's data.
    pub fn data_mut(&mut self) -> &mut T {
        // SAFETY: the store owns it, and is borrowed.
        unsafe { &mut self.inner.as_mut().data }
    }

    /// Drops the store and returns the host's data.
    pub fn into_data(self) -> T {
        let inner = self.inner;
        core::mem::forget(self);
        // SAFETY: made from a box, and no longer owned by the store.
        let inner = unsafe { Box::from_raw(inner.as_ptr()) };
        inner.data
    }

    /// The engine that the store was made with.
    pub fn engine(&self) -> &Engine {
        // SAFETY: the store owns it, and is borrowed.
        unsafe { &self.inner.as_ref().base.engine }
    }

    /// Sets limits, for instances and other things that are made from now on.
    pub fn set_limits(&mut self, limits: StoreLimits) {
        self.base_mut().limits = limits;
    }

    /// Sets the fuel that is left for modules that were built to count it (`Config::fuel`): one unit for an instruction
    /// other than `nop`, `drop`, `block` and `end`. Without fuel such modules trap at once.
    pub fn set_fuel(&mut self, fuel: u64) {
        self.base_mut().cells.fuel.store(i64::try_from(fuel).unwrap_or(i64::MAX), Relaxed);
    }

    /// The fuel that is left.
    pub fn fuel(&self) -> u64 {
        u64::try_from(self.base().cells.fuel.load(Relaxed)).unwrap_or(0)
    }

    /// What stops this store's guest from another thread.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        InterruptHandle { cells: Arc::clone(&self.base().cells) }
    }

    /// Interrupts the guest when the engine's clock has ticked that often ([`Engine::increment_epoch`]). The deadline is
    /// gone once it has passed.
    ///
    /// Code looks for it at the start of each function; in loops if it was built for that (`Config::interruptible`).
    pub fn set_epoch_deadline(&mut self, ticks: u64) {
        self.base().set_epoch_deadline(ticks);
    }

    /// Takes the deadline away.
    pub fn clear_epoch_deadline(&mut self) {
        self.base().cells.deadline.store(u64::MAX, SeqCst);
    }

    fn base(&self) -> &StoreBase {
        // SAFETY: the store owns it, and is borrowed.
        unsafe { &self.inner.as_ref().base }
    }

    fn base_mut(&mut self) -> &mut StoreBase {
        // SAFETY: the store owns it, and is borrowed.
        unsafe { &mut self.inner.as_mut().base }
    }
}

impl<T: Default + 'static> Default for Store<T> {
    fn default() -> Store<T> {
        Store::new(&Engine::default(), T::default())
    }
}

impl<T: 'static> Drop for Store<T> {
    fn drop(&mut self) {
        // SAFETY: made from a box, and owned by the store.
        drop(unsafe { Box::from_raw(self.inner.as_ptr()) });
    }
}

/// Stops the guest of a store, from any thread.
#[derive(Clone)]
pub struct InterruptHandle {
    cells: Arc<Cells>,
}

impl InterruptHandle {
    /// Makes the guest trap with [`TrapCode::Interrupt`](aot_abi::trap::TrapCode): now if it runs, else when it is
    /// called next. Code looks for it at the start of each function; in loops if it was built for that
    /// (`Config::interruptible`). A host function is not interrupted.
    pub fn interrupt(&self) {
        self.cells.interrupt();
    }
}

/// A store, borrowed.
pub struct StoreContext<'a, T: 'static> {
    pub(super) inner: NonNull<StoreInner<T>>,
    pub(super) borrow: PhantomData<&'a StoreInner<T>>,
}

/// A store, borrowed to change it.
pub struct StoreContextMut<'a, T: 'static> {
    pub(super) inner: NonNull<StoreInner<T>>,
    pub(super) borrow: PhantomData<&'a mut StoreInner<T>>,
}

impl<'a, T: 'static> StoreContext<'a, T> {
    pub(super) fn base(&self) -> &'a StoreBase {
        // SAFETY: the store is borrowed for that long.
        unsafe { &(*self.inner.as_ptr()).base }
    }

    /// The host's data.
    pub fn data(&self) -> &'a T {
        // SAFETY: as above.
        unsafe { &(*self.inner.as_ptr()).data }
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    pub(super) fn base(&self) -> &StoreBase {
        // SAFETY: the store is borrowed.
        unsafe { &self.inner.as_ref().base }
    }

    pub(super) fn base_mut(&mut self) -> &mut StoreBase {
        // SAFETY: the store is borrowed.
        unsafe { &mut self.inner.as_mut().base }
    }

    /// The part that wasm code is entered with.
    #[inline]
    pub(super) fn base_ptr(&self) -> NonNull<StoreBase> {
        // It comes first in its record.
        self.inner.cast()
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        // SAFETY: the store is borrowed.
        unsafe { &self.inner.as_ref().data }
    }

    /// The host's data.
    pub fn data_mut(&mut self) -> &mut T {
        // SAFETY: the store is borrowed.
        unsafe { &mut self.inner.as_mut().data }
    }

    /// As [`Store::set_epoch_deadline`]: a host function can give its guest more time.
    pub fn set_epoch_deadline(&mut self, ticks: u64) {
        self.base().set_epoch_deadline(ticks);
    }
}

/// What gives access to a store: the store itself, or the [`Caller`](super::Caller) of a host function.
pub trait AsContext {
    /// The host's data.
    type Data: 'static;

    fn as_context(&self) -> StoreContext<'_, Self::Data>;
}

/// As [`AsContext`], to change it.
pub trait AsContextMut: AsContext {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Self::Data>;
}

impl<T: 'static> AsContext for Store<T> {
    type Data = T;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext { inner: self.inner, borrow: PhantomData }
    }
}

impl<T: 'static> AsContextMut for Store<T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut { inner: self.inner, borrow: PhantomData }
    }
}

impl<T: 'static> AsContext for StoreContextMut<'_, T> {
    type Data = T;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext { inner: self.inner, borrow: PhantomData }
    }
}

impl<T: 'static> AsContextMut for StoreContextMut<'_, T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut { inner: self.inner, borrow: PhantomData }
    }
}

impl<T: 'static> AsContext for StoreContext<'_, T> {
    type Data = T;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext { inner: self.inner, borrow: PhantomData }
    }
}

impl<C: AsContext> AsContext for &C {
    type Data = C::Data;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}

impl<C: AsContext> AsContext for &mut C {
    type Data = C::Data;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}

impl<C: AsContextMut> AsContextMut for &mut C {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        C::as_context_mut(self)
    }
}
