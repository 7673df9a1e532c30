//! The allocator of executables and libraries: small blocks from free lists by power of two, large ones from the kernel.
//!
//! The runtime allocates little and seldom (file names, directory listings, tables of files). In an executable there is
//! one thread; in a library, a lock.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Blocks of 16 bytes up to half a chunk come from lists, one for each power of two.
const SMALLEST_LOG2: u32 = 4;
const CLASSES: usize = 11;
const CHUNK_SIZE: usize = 32 * 1024;

struct Lists {
    free: [*mut Block; CLASSES],
    chunk: *mut u8,
    chunk_end: *mut u8,
}

/// Memory that is part of the program, so that most never ask the kernel for more.
const FIRST_CHUNK_SIZE: usize = 3072;

#[repr(align(16))]
struct FirstChunk([u8; FIRST_CHUNK_SIZE]);

struct Block {
    next: *mut Block,
}

/// The first chunk lies beside the lists: they share a page.
struct Allocator {
    lists: UnsafeCell<Lists>,
    first_chunk: UnsafeCell<FirstChunk>,
}

// SAFETY: an executable has one thread, and signal handlers do not allocate; libraries have a lock.
unsafe impl Sync for Allocator {}

/// Held while the lists are used.
struct Guard;

#[cfg(feature = "library")]
static LOCKED: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);

impl Guard {
    fn new() -> Guard {
        #[cfg(feature = "library")]
        while LOCKED.swap(true, core::sync::atomic::Ordering::Acquire) {
            rustix::thread::sched_yield();
        }
        Guard
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        #[cfg(feature = "library")]
        LOCKED.store(false, core::sync::atomic::Ordering::Release);
    }
}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator {
    lists: UnsafeCell::new(Lists {
        free: [ptr::null_mut(); CLASSES],
        chunk: ptr::null_mut(),
        chunk_end: ptr::null_mut(),
    }),
    first_chunk: UnsafeCell::new(FirstChunk([0; FIRST_CHUNK_SIZE])),
};

/// The size class of a layout; `None` if the kernel serves it.
fn class(layout: Layout) -> Option<usize> {
    let size = layout.size().max(layout.align()).max(1 << SMALLEST_LOG2).checked_next_power_of_two()?;
    let class = (size.trailing_zeros() - SMALLEST_LOG2) as usize;
    (class < CLASSES).then_some(class)
}

fn map(size: usize) -> *mut u8 {
    // SAFETY: a new private mapping at an address that the kernel chooses.
    let mapped = unsafe {
        mmap_anonymous(ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
    };
    mapped.map_or(ptr::null_mut(), |base| base.cast())
}

// SAFETY: blocks are disjoint, and aligned to their size, which is at least the layout's alignment: each chunk is
// cut into blocks at multiples of their size, and those of the kernel are aligned to pages.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class(layout) else { return map(layout.size()) };
        let _guard = Guard::new();
        // SAFETY: nothing else refers to the lists.
        let lists = unsafe { &mut *self.lists.get() };
        let head = lists.free[class];
        if !head.is_null() {
            // SAFETY: a block on a list is free, and starts with its link.
            lists.free[class] = unsafe { (*head).next };
            return head.cast();
        }
        let size = 1usize << (class as u32 + SMALLEST_LOG2);
        let is_first = lists.chunk.is_null();
        let mut block = (lists.chunk as usize).next_multiple_of(size);
        if is_first || block + size > lists.chunk_end as usize {
            // Half of it holds a block at a multiple of its size, wherever it starts.
            let (chunk, len) = match is_first && size <= FIRST_CHUNK_SIZE / 2 {
                true => (self.first_chunk.get().cast(), FIRST_CHUNK_SIZE),
                false => (map(CHUNK_SIZE), CHUNK_SIZE),
            };
            if chunk.is_null() {
                return ptr::null_mut();
            }
            lists.chunk = chunk;
            lists.chunk_end = chunk.wrapping_add(len);
            block = (chunk as usize).next_multiple_of(size);
        }
        let start = lists.chunk.wrapping_add(block - lists.chunk as usize);
        lists.chunk = start.wrapping_add(size);
        start
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class(layout) {
            Some(class) => {
                let _guard = Guard::new();
                // SAFETY: nothing else refers to the lists; the block is the caller's to give back.
                unsafe {
                    let lists = &mut *self.lists.get();
                    let block = block.cast::<Block>();
                    block.write(Block { next: lists.free[class] });
                    lists.free[class] = block;
                }
            }
            None => {
                // SAFETY: a layout without a class was mapped on its own.
                let unmapped = unsafe { munmap(block.cast(), layout.size()) };
                debug_assert!(unmapped.is_ok());
            }
        }
    }
}
