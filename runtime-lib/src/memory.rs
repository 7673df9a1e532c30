//! Linear memories: address space reserved once, pages made accessible as the memory grows.

use crate::vmctx::MemoryDef;
#[cfg(feature = "embed")]
use alloc::sync::Arc;
use aot_abi::memory::{GUARD_SIZE, MAX_PAGES, RESERVATION};
use aot_abi::types::{Limits, MemoryType, PAGE_SIZE};
use core::ptr;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect, munmap};

/// Address space of one memory.
pub const MAPPING_SIZE: usize = (RESERVATION + GUARD_SIZE) as usize;

/// Of how many bytes a memory is that the kernel is asked for huge pages for, where it grows beyond: a large heap spares the
/// faults of small pages (docs/speed.md). What a module declares from the start is often not used.
const LARGE: u64 = 32 << 20;

/// Reserves address space that is not accessible: at `address`, or anywhere if that is null.
///
/// # Errors
/// If there is not enough address space, or something else is there.
pub fn reserve(address: *mut u8, size: usize) -> Result<*mut u8, rustix::io::Errno> {
    let mut flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    flags.set(MapFlags::FIXED_NOREPLACE, !address.is_null());
    // SAFETY: a new private mapping, which never takes the place of another one.
    let base: *mut u8 = unsafe { mmap_anonymous(address.cast(), size, ProtFlags::empty(), flags)?.cast() };
    if !address.is_null() && base != address {
        // Kernels before 4.17 take the address as a hint.
        // SAFETY: the mapping just made, which nobody knows of.
        unsafe { munmap(base.cast(), size)? };
        return Err(rustix::io::Errno::EXIST);
    }
    // SAFETY: the mapping just made.
    unsafe { leave_out_of_dumps(base, size) };
    Ok(base)
}

/// Keeps address space that is not accessible out of core files: debuggers write all of it, gigabytes of zeros, where the kernel
/// would leave holes. Nothing else changes, so a refusal doesn't matter.
///
/// # Safety
/// The range is mapped, and the caller's.
pub unsafe fn leave_out_of_dumps(start: *mut u8, len: usize) {
    // SAFETY: the caller vouches for the range, whose contents stay.
    let _ = unsafe { madvise(start.cast(), len, Advice::LinuxDontDump) };
}

/// Makes reserved address space readable and writable, and part of core files.
///
/// # Errors
/// If there is not enough memory.
///
/// # Safety
/// The range (whole pages) is reserved by the caller.
pub unsafe fn make_accessible(start: *mut u8, len: usize) -> Result<(), rustix::io::Errno> {
    // SAFETY: the caller vouches for the range.
    unsafe {
        mprotect(start.cast(), len, MprotectFlags::READ | MprotectFlags::WRITE)?;
        let _ = madvise(start.cast(), len, Advice::LinuxDoDump);
    }
    Ok(())
}

/// Takes back what [`make_accessible`] did.
///
/// # Errors
/// If the kernel has no memory for it.
///
/// # Safety
/// The range (whole pages) is reserved by the caller, and nothing refers to it.
#[cfg(feature = "embed")]
pub unsafe fn make_inaccessible(start: *mut u8, len: usize) -> Result<(), rustix::io::Errno> {
    // SAFETY: the caller vouches for the range.
    unsafe {
        mprotect(start.cast(), len, MprotectFlags::empty())?;
        leave_out_of_dumps(start, len);
    }
    Ok(())
}

/// Address space for one memory. It is unmapped, or given back, when the value is dropped.
pub struct Reservation {
    base: *mut u8,
    accessible: usize,
    #[cfg(feature = "embed")]
    recycler: Option<Arc<dyn Recycler>>,
}

/// Takes back the address space of memories that are no more.
#[cfg(feature = "embed")]
pub trait Recycler: Send + Sync {
    /// Takes back [`MAPPING_SIZE`] bytes that nothing refers to any more, of which the first `accessible` are readable
    /// and writable.
    ///
    /// # Safety
    /// The recycler gave the address space.
    unsafe fn recycle(&self, base: *mut u8, accessible: usize);
}

impl Reservation {
    /// Reserves address space anywhere.
    ///
    /// # Errors
    /// If there is not enough.
    pub fn new() -> Result<Reservation, rustix::io::Errno> {
        let base = reserve(ptr::null_mut(), MAPPING_SIZE)?;
        // SAFETY: reserved just now.
        Ok(unsafe { Reservation::from_raw(base, 0) })
    }

    /// Takes over address space.
    ///
    /// # Safety
    /// `base` points to [`MAPPING_SIZE`] bytes that nothing else uses, mapped so that the first `accessible` ones (whole
    /// wasm pages) are readable and writable and no others are accessible.
    pub unsafe fn from_raw(base: *mut u8, accessible: usize) -> Self {
        Reservation {
            base,
            accessible,
            #[cfg(feature = "embed")]
            recycler: None,
        }
    }

    /// Gives the address space to `recycler` in the end, instead of unmapping it.
    #[cfg(feature = "embed")]
    pub fn recycled_by(mut self, recycler: Arc<dyn Recycler>) -> Self {
        self.recycler = Some(recycler);
        self
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        #[cfg(feature = "embed")]
        if let Some(recycler) = &self.recycler {
            // SAFETY: it came from this recycler, and nothing refers to it any more.
            unsafe { recycler.recycle(self.base, self.accessible) };
            return;
        }
        // SAFETY: the value owns the mapping, and nothing refers to it any more.
        let unmapped = unsafe { munmap(self.base.cast(), MAPPING_SIZE) };
        debug_assert!(unmapped.is_ok());
    }
}

/// A linear memory. Its definition lives where compiled code looks for it.
pub struct Memory {
    space: Reservation,
    def: *mut MemoryDef,
    limits: Limits,
    /// The most pages that this memory may get.
    max_pages: u64,
    /// Whether the kernel was asked for huge pages.
    has_huge_pages: bool,
}

impl Memory {
    /// Reserves the address space of a memory and maps its first pages, which are zero. Writes `def`.
    ///
    /// # Errors
    /// If there is not enough address space or memory, or `limit_bytes` is below the initial size.
    ///
    /// # Safety
    /// `def` is valid for writes as long as the memory exists.
    pub unsafe fn new(
        ty: &MemoryType,
        def: *mut MemoryDef,
        limit_bytes: Option<u64>,
        space: Option<Reservation>,
    ) -> Result<Memory, rustix::io::Errno> {
        let limit_pages = limit_bytes.map_or(MAX_PAGES, |limit| limit / PAGE_SIZE).min(MAX_PAGES);
        if ty.limits.min > limit_pages {
            return Err(rustix::io::Errno::NOMEM);
        }
        let space = match space {
            Some(space) => space,
            None => Reservation::new()?,
        };
        // SAFETY: the caller vouches for `def`.
        unsafe { def.write(MemoryDef { base: space.base, len: space.accessible }) };
        let missing = ty.limits.min.saturating_sub(space.accessible as u64 / PAGE_SIZE);
        let max_pages = ty.limits.max.unwrap_or(MAX_PAGES).min(limit_pages);
        let mut memory = Memory { space, def, limits: ty.limits, max_pages, has_huge_pages: false };
        match memory.grow(missing) {
            Some(_) => Ok(memory),
            None => Err(rustix::io::Errno::NOMEM),
        }
    }

    /// Makes the memory `delta` pages larger and returns its previous size in pages; `None` if that is not possible.
    pub fn grow(&mut self, delta: u64) -> Option<u64> {
        let old = self.pages();
        let new = old.checked_add(delta).filter(|new| *new <= self.max_pages)?;
        if delta > 0 {
            // SAFETY: the range lies in the reservation, since `new` is at most `MAX_PAGES`; nothing is mapped there.
            unsafe {
                let start = self.space.base.add((old * PAGE_SIZE) as usize);
                make_accessible(start, (delta * PAGE_SIZE) as usize).ok()?;
            }
            // SAFETY: `new`'s caller vouches for `def`.
            unsafe { (*self.def).len = (new * PAGE_SIZE) as usize };
            self.space.accessible = (new * PAGE_SIZE) as usize;
            if old > 0 && new * PAGE_SIZE >= LARGE && !self.has_huge_pages {
                self.has_huge_pages = true;
                self.ask_for_huge_pages((old * PAGE_SIZE) as usize);
            }
        }
        Some(old)
    }

    /// Asks for huge pages behind the first `start` bytes, also where the memory has yet to grow. It makes no other difference, and
    /// kernels without such pages refuse.
    fn ask_for_huge_pages(&self, start: usize) {
        // SAFETY: the rest of the reservation, whose contents stay.
        let _ = unsafe {
            madvise(self.space.base.add(start).cast(), MAPPING_SIZE - start, Advice::LinuxHugepage)
        };
    }

    /// Size in pages.
    pub fn pages(&self) -> u64 {
        self.len() as u64 / PAGE_SIZE
    }

    /// Size in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a size, not a number of items")]
    pub fn len(&self) -> usize {
        // SAFETY: `new`'s caller vouches for `def`.
        unsafe { (*self.def).len }
    }

    /// First byte.
    pub fn base(&self) -> *mut u8 {
        self.space.base
    }

    /// The limits that the memory was declared with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Where compiled code finds the memory.
    pub fn def(&self) -> *mut MemoryDef {
        self.def
    }

    /// Copies `bytes` to `offset`; `None` if they do not fit.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Option<()> {
        let end = offset.checked_add(bytes.len() as u64)?;
        if end > self.len() as u64 {
            return None;
        }
        // SAFETY: the range was checked to lie in the memory, and `bytes` is not part of it: a shared slice of guest
        // memory is never made while this is called.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.base().add(offset as usize), bytes.len()) };
        Some(())
    }

    /// Copies bytes from `offset` to `bytes`; `None` if the memory has not that many.
    #[cfg(feature = "embed")]
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Option<()> {
        let end = offset.checked_add(bytes.len() as u64)?;
        if end > self.len() as u64 {
            return None;
        }
        // SAFETY: the range was checked to lie in the memory, and `bytes` is not part of it: a shared slice of guest
        // memory is never made while this is called.
        unsafe {
            ptr::copy_nonoverlapping(self.base().add(offset as usize), bytes.as_mut_ptr(), bytes.len())
        };
        Some(())
    }

    /// Whether `address` is in the memory or its guard.
    pub fn covers(&self, address: usize) -> bool {
        address.wrapping_sub(self.base() as usize) < MAPPING_SIZE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;

    fn memory(min: u64, max: Option<u64>, limit: Option<u64>) -> Option<(Box<MemoryDef>, Memory)> {
        let mut def = Box::new(MemoryDef { base: ptr::null_mut(), len: 0 });
        let ty = MemoryType { limits: Limits { min, max } };
        // SAFETY: the box outlives the memory in every test.
        let memory = unsafe { Memory::new(&ty, &mut *def, limit, None) };
        memory.ok().map(|memory| (def, memory))
    }

    #[test]
    fn growth_stops_at_the_maximum() {
        let (def, mut memory) = memory(1, Some(3), None).unwrap();
        assert_eq!(memory.grow(1), Some(1));
        assert_eq!(memory.grow(2), None);
        assert_eq!(memory.grow(1), Some(2));
        assert_eq!(memory.grow(0), Some(3));
        assert_eq!(def.len, 3 * PAGE_SIZE as usize);
        assert_eq!(memory.grow(u64::MAX), None);
    }

    /// The flags of the mapping that an address is in, as the kernel lists them.
    fn mapping_flags(address: *const u8) -> alloc::string::String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_here = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let bound = |text| usize::from_str_radix(text, 16).ok();
            if let Some((Some(start), Some(end))) = range.map(|(start, end)| (bound(start), bound(end))) {
                is_here = (start..end).contains(&(address as usize));
            } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_here) {
                return flags.into();
            }
        }
        panic!("no mapping has {address:p}");
    }

    #[test]
    fn large_heaps_have_huge_pages() {
        let pages = LARGE / PAGE_SIZE;
        let (_def, mut memory) = memory(pages + 1, None, None).unwrap();
        let has_huge = |at: u64| mapping_flags(memory.base().wrapping_add(at as usize)).contains(" hg");
        assert!(!has_huge(0) && !has_huge(LARGE + PAGE_SIZE));
        memory.grow(1).unwrap();
        let has_huge = |at: u64| mapping_flags(memory.base().wrapping_add(at as usize)).contains(" hg");
        // Kernels without huge pages refuse.
        let is_offered = std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists();
        assert_eq!([0, LARGE + PAGE_SIZE].map(has_huge), [false, is_offered]);
    }

    #[test]
    fn limits_of_the_host_hold() {
        assert!(memory(2, None, Some(PAGE_SIZE)).is_none());
        let (_def, mut memory) = memory(1, None, Some(2 * PAGE_SIZE + 1)).unwrap();
        assert_eq!(memory.grow(1), Some(1));
        assert_eq!(memory.grow(1), None);
    }

    #[test]
    #[cfg(feature = "embed")]
    fn reads_are_checked() {
        let (_def, mut memory) = memory(1, None, None).unwrap();
        memory.write(PAGE_SIZE - 2, &[1, 2]).unwrap();
        let mut bytes = [0; 2];
        assert_eq!(memory.read(PAGE_SIZE - 2, &mut bytes), Some(()));
        assert_eq!(bytes, [1, 2]);
        assert_eq!(memory.read(PAGE_SIZE - 1, &mut bytes), None);
        assert_eq!(memory.read(u64::MAX, &mut bytes), None);
        assert_eq!(memory.read(PAGE_SIZE, &mut []), Some(()));
    }

    #[test]
    fn writes_are_checked() {
        let (_def, mut memory) = memory(1, None, None).unwrap();
        assert_eq!(memory.write(PAGE_SIZE - 2, &[1, 2]), Some(()));
        assert_eq!(memory.write(PAGE_SIZE - 1, &[1, 2]), None);
        assert_eq!(memory.write(u64::MAX, &[1]), None);
        assert_eq!(memory.write(PAGE_SIZE, &[]), Some(()));
    }
}
