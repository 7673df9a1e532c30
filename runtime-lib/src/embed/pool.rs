//! Address space of memories, used again.
//!
//! Reserving and unmapping gigabytes costs more than all else that makes an instance. So what a memory leaves is kept:
//! its pages are given back to the system at once, the mapping stays, and the next memory of the same module finds it as
//! it needs it.

use crate::memory::{
    MAPPING_SIZE, Recycler, Reservation, leave_out_of_dumps, make_accessible, make_inaccessible, reserve,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ptr;
use rustix::fd::OwnedFd;
use rustix::io;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use std::sync::{Mutex, PoisonError};

/// Initial contents of a memory, in a file that is mapped where the memory lies.
#[derive(Debug)]
pub(super) struct MemoryImage {
    pub file: Arc<OwnedFd>,
    /// Where the image starts in the file: a multiple of the system's page.
    pub file_offset: u64,
    /// Where it starts in the memory: a multiple of the system's page.
    pub offset: usize,
    /// Bytes.
    pub len: usize,
    /// A number for each image of the process.
    pub id: u64,
}

/// Address space that no memory uses.
struct Idle {
    base: *mut u8,
    accessible: usize,
    /// The image that is mapped at its place; 0 is none.
    image: u64,
}

// SAFETY: an address; the pool owns what is there.
unsafe impl Send for Idle {}

/// Keeps idle address space.
pub(super) struct Pool {
    idle: Mutex<Vec<Idle>>,
    max_idle: usize,
}

/// What a reservation of a pool is given back to: the pool, and what is mapped.
struct Return {
    pool: Arc<Pool>,
    /// As the memory started.
    accessible: usize,
    image: u64,
}

impl Pool {
    pub fn new(max_idle: usize) -> Pool {
        Pool { idle: Mutex::new(Vec::new()), max_idle }
    }

    /// Reserves address space ahead, for `count` memories of this size.
    pub fn fill(self: &Arc<Pool>, count: usize, bytes: usize, image: Option<&MemoryImage>) -> io::Result<()> {
        let reservations: Vec<Reservation> =
            (0..count.min(self.max_idle)).map(|_| self.reserve(bytes, image)).collect::<io::Result<_>>()?;
        drop(reservations);
        Ok(())
    }

    /// Address space for a memory that starts with `bytes` (whole wasm pages) and this image.
    ///
    /// # Errors
    /// If the system has no memory or address space for it.
    pub fn reserve(self: &Arc<Pool>, bytes: usize, image: Option<&MemoryImage>) -> io::Result<Reservation> {
        let id = image.map_or(0, |image| image.id);
        let mut space = match self.take(bytes, id) {
            Some(space) => space,
            None => Idle { base: reserve(ptr::null_mut(), MAPPING_SIZE)?, accessible: 0, image: 0 },
        };
        if let Err(error) = adapt(&mut space, bytes, image) {
            unmap(&space);
            return Err(error);
        }
        let home = Return { pool: Arc::clone(self), accessible: space.accessible, image: id };
        // SAFETY: the address space is ours, and mapped as it has to be.
        let reservation = unsafe { Reservation::from_raw(space.base, space.accessible) };
        Ok(reservation.recycled_by(Arc::new(home)))
    }

    /// Idle address space, at best one that is mapped as it is wanted.
    fn take(&self, bytes: usize, image: u64) -> Option<Idle> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |space: &Idle| space.accessible == bytes && space.image == image;
        let index = idle.iter().rposition(fits).or_else(|| idle.len().checked_sub(1))?;
        Some(idle.swap_remove(index))
    }

    fn give(&self, space: Idle) {
        {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < self.max_idle {
                idle.push(space);
                return;
            }
        }
        unmap(&space);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let idle = self.idle.get_mut().unwrap_or_else(PoisonError::into_inner);
        idle.iter().for_each(unmap);
    }
}

impl Recycler for Return {
    unsafe fn recycle(&self, base: *mut u8, accessible: usize) {
        let mut space = Idle { base, accessible, image: self.image };
        // SAFETY: the range is that of the memory that is no more.
        let cleared = unsafe { madvise(base.cast(), accessible, Advice::LinuxDontNeed) };
        let shrunk = cleared.and_then(|()| match accessible > self.accessible {
            // SAFETY: as above.
            true => unsafe { make_inaccessible(base.add(self.accessible), accessible - self.accessible) },
            false => Ok(()),
        });
        space.accessible = self.accessible;
        match shrunk {
            Ok(()) => self.pool.give(space),
            Err(_) => unmap(&space),
        }
    }
}

/// Makes the first `bytes` accessible, and maps the image.
fn adapt(space: &mut Idle, bytes: usize, image: Option<&MemoryImage>) -> io::Result<()> {
    let wanted = image.map_or(0, |image| image.id);
    if space.image != wanted && space.image != 0 {
        // SAFETY: the range is ours, and nothing refers to it.
        unsafe {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
            mmap_anonymous(space.base.cast(), space.accessible, ProtFlags::empty(), flags)?;
            leave_out_of_dumps(space.base, space.accessible);
        }
        (space.image, space.accessible) = (0, 0);
    }
    // SAFETY: as above; `bytes` is at most the size of a memory.
    unsafe {
        match bytes.cmp(&space.accessible) {
            Ordering::Less => make_inaccessible(space.base.add(bytes), space.accessible - bytes)?,
            Ordering::Equal => {}
            Ordering::Greater => {
                make_accessible(space.base.add(space.accessible), bytes - space.accessible)?;
            }
        }
    }
    space.accessible = bytes;
    if let Some(image) = image.filter(|image| space.image != image.id && image.len > 0) {
        // SAFETY: the image lies in the memory (`Module` checked it).
        unsafe {
            let at = space.base.add(image.offset).cast();
            let flags = MapFlags::PRIVATE | MapFlags::FIXED;
            mmap(at, image.len, ProtFlags::READ | ProtFlags::WRITE, flags, &*image.file, image.file_offset)?;
        }
        space.image = image.id;
    }
    Ok(())
}

fn unmap(space: &Idle) {
    // SAFETY: the pool owns it, and nothing refers to it.
    let unmapped = unsafe { munmap(space.base.cast(), MAPPING_SIZE) };
    debug_assert!(unmapped.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use crate::vmctx::MemoryDef;
    use aot_abi::types::{Limits, MemoryType, PAGE_SIZE};
    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::io::pwrite;

    fn memory(space: Reservation, pages: u64, def: &mut MemoryDef) -> Memory {
        let ty = MemoryType { limits: Limits { min: pages, max: None } };
        // SAFETY: every test keeps the definition longer than the memory.
        unsafe { Memory::new(&ty, def, None, Some(space)) }.unwrap()
    }

    #[test]
    fn what_a_guest_leaves_is_gone() {
        let file = memfd_create("image", MemfdFlags::CLOEXEC).unwrap();
        let mut page = [7; 65536];
        page[0] = 1;
        pwrite(&file, &page, 0).unwrap();
        let image = MemoryImage { file: Arc::new(file), file_offset: 0, offset: 65536, len: 65536, id: 5 };
        let pool = Arc::new(Pool::new(1));
        let mut def = MemoryDef { base: ptr::null_mut(), len: 0 };
        for (pages, image) in [
            (2, Some(&image)),
            (2, Some(&image)),
            (3, None),
            (1, None),
            (4, Some(&image)),
            (2, Some(&image)),
            (0, None),
        ] {
            let bytes = (pages * PAGE_SIZE) as usize;
            let mut memory = memory(pool.reserve(bytes, image).unwrap(), pages, &mut def);
            assert_eq!(memory.pages(), pages);
            let mut found = alloc::vec![0; bytes];
            memory.read(0, &mut found).unwrap();
            let mut expected = alloc::vec![0; bytes];
            if image.is_some() {
                expected[65536..131072].copy_from_slice(&page);
            }
            assert!(found == expected);
            assert_eq!(memory.grow(2), Some(pages));
            assert!(memory.write(0, &alloc::vec![9; bytes + 2 * 65536]).is_some());
            drop(memory);
        }
        assert_eq!(pool.idle.lock().unwrap().len(), 1);
    }
}
