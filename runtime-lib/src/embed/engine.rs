//! Engines: what the stores of a process share.

use super::activation;
use super::code::Module;
use super::error::Error;
use super::pool::Pool;
use super::profiler::ProfilingStrategy;
use super::store::Cells;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use aot_abi::types::{EntityKind, PAGE_SIZE};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Mutex, PoisonError};

/// Options of an [`Engine`].
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Bytes of the host's stack that a guest may use, host functions that it calls included. Threads that enter wasm
    /// code need more than that, for the host functions. 512 KiB by default.
    pub max_wasm_stack: usize,
    /// How many memories' address space, 6 GiB each and no memory, is kept for later when stores are dropped: making an
    /// instance is several times quicker with it. 64 by default.
    pub pooled_memories: usize,
    /// Tells debuggers of the modules that are instantiated, by the interface that GDB and LLDB have for it: breakpoints in the
    /// source of the guest, backtraces through it and, in images built with `-g`, its variables. Costs a copy of each image.
    /// Off by default.
    pub debugger: bool,
    /// How profilers get to know the functions of the modules that are instantiated. Not at all by default.
    pub profiling: ProfilingStrategy,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig {
            max_wasm_stack: 512 * 1024,
            pooled_memories: 64,
            debugger: false,
            profiling: ProfilingStrategy::None,
        }
    }
}

/// What stores share: limits, address space of memories, and the clock of deadlines. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(super) inner: Arc<Shared>,
}

pub(super) struct Shared {
    pub config: EngineConfig,
    pub pool: Arc<Pool>,
    epoch: AtomicU64,
    /// Stores that have had a deadline.
    deadlines: Mutex<Vec<Weak<Cells>>>,
}

impl Engine {
    /// An engine. Installs handlers of the signals by which traps are noticed (`SIGSEGV`, `SIGBUS`, `SIGILL`, `SIGFPE`);
    /// faults that are not those of wasm code go to the handlers that were there before.
    pub fn new(config: &EngineConfig) -> Engine {
        activation::install();
        let shared = Shared {
            pool: Arc::new(Pool::new(config.pooled_memories)),
            config: config.clone(),
            epoch: AtomicU64::new(0),
            deadlines: Mutex::new(Vec::new()),
        };
        Engine { inner: Arc::new(shared) }
    }

    /// Prepares the address space of `count` instances of a module, up to [`EngineConfig::pooled_memories`].
    ///
    /// # Errors
    /// If there is not enough address space.
    pub fn prepare(&self, module: &Module, count: usize) -> Result<(), Error> {
        let Some(ty) = module.declarations().memories.first() else { return Ok(()) };
        let bytes = (ty.limits.min * PAGE_SIZE) as usize;
        let filled = self.inner.pool.fill(count, bytes, module.memory_image());
        filled.map_err(|_| Error::OutOfMemory(EntityKind::Memory))
    }

    /// Moves the clock of deadlines on by one tick: stores whose deadline this is are interrupted, in whatever thread
    /// they run. To be called by a timer of the host.
    pub fn increment_epoch(&self) {
        let now = self.inner.epoch.fetch_add(1, SeqCst) + 1;
        let mut deadlines = self.inner.deadlines.lock().unwrap_or_else(PoisonError::into_inner);
        deadlines.retain(|cells| {
            let Some(cells) = cells.upgrade() else { return false };
            if cells.deadline.load(SeqCst) <= now {
                cells.deadline.store(u64::MAX, SeqCst);
                cells.interrupt();
            }
            true
        });
    }

    /// Interrupts a store when the clock has ticked that often.
    pub(super) fn set_deadline(&self, cells: &Arc<Cells>, ticks: u64) {
        let deadline = self.inner.epoch.load(SeqCst).saturating_add(ticks);
        if !cells.has_deadline.swap(true, Relaxed) {
            let mut deadlines = self.inner.deadlines.lock().unwrap_or_else(PoisonError::into_inner);
            deadlines.push(Arc::downgrade(cells));
        }
        cells.deadline.store(deadline, SeqCst);
        if ticks == 0 {
            cells.interrupt();
        }
    }
}

impl Default for Engine {
    fn default() -> Engine {
        Engine::new(&EngineConfig::default())
    }
}
