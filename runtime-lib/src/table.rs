//! Tables of references.

use crate::vmctx::TableDef;
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use aot_abi::types::{Limits, TableType};
use core::mem::size_of;
use core::ptr;
use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};

const ELEMENT_SIZE: usize = size_of::<*mut ()>();

/// The most elements that a table can have; a bound of the wasm embeddings in browsers too.
const MAX_ELEMENTS: u64 = 10_000_000;

/// A table. Its definition lives where compiled code looks for it.
#[derive(Debug)]
pub struct Table {
    def: *mut TableDef,
    ty: TableType,
    /// The most elements that this table may get.
    max: u64,
    /// Bytes at `def.base`.
    capacity: usize,
}

/// Tables up to this size, in bytes, are on the heap, larger ones have a mapping of their own. An executable makes its
/// tables once, and has no use for a quicker way.
const MAX_HEAP: usize = if cfg!(any(feature = "embed", feature = "library", test)) { 16 * 1024 } else { 0 };

/// The layout of a table on the heap.
fn heap_layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, align_of::<*mut ()>()).ok()
}

impl Table {
    /// Makes a table whose elements are `init`. Writes `def`.
    ///
    /// # Errors
    /// If there is not enough memory, or the table is larger than `limit` elements, or than this implementation allows.
    ///
    /// # Safety
    /// `def` is valid for writes as long as the table exists.
    pub unsafe fn new(
        ty: &TableType,
        def: *mut TableDef,
        limit: Option<u64>,
        init: *mut (),
    ) -> Result<Table, rustix::io::Errno> {
        // SAFETY: the caller vouches for `def`. A dangling base is never read: the length is zero.
        unsafe { def.write(TableDef { base: ptr::dangling_mut(), len: 0 }) };
        let max = ty.limits.max.unwrap_or(MAX_ELEMENTS).min(MAX_ELEMENTS).min(limit.unwrap_or(MAX_ELEMENTS));
        let mut table = Table { def, ty: *ty, max, capacity: 0 };
        match table.grow(ty.limits.min, init) {
            Some(_) => Ok(table),
            None => Err(rustix::io::Errno::NOMEM),
        }
    }

    /// Adds `delta` elements and returns the previous size; `None` if that is not possible.
    pub fn grow(&mut self, delta: u64, init: *mut ()) -> Option<u64> {
        let old = self.len();
        let new = old.checked_add(delta).filter(|new| *new <= self.max || delta == 0)?;
        self.reserve(new as usize * ELEMENT_SIZE)?;
        // SAFETY: `new`'s caller vouches for `def`; `reserve` made room for the new elements.
        unsafe {
            (*self.def).len = new as usize;
            // Fresh pages are null already.
            if !init.is_null() {
                let start = (*self.def).base.add(old as usize);
                core::slice::from_raw_parts_mut(start, (new - old) as usize).fill(init);
            }
        }
        Some(old)
    }

    /// Makes at least `size` bytes of storage available; new storage is zero.
    fn reserve(&mut self, size: usize) -> Option<()> {
        let old = self.capacity;
        if size <= old {
            return Some(());
        }
        let size = size.max(old * 2);
        // SAFETY: `new`'s caller vouches for `def`.
        let base = unsafe { (*self.def).base };
        let (new, capacity) = if size <= MAX_HEAP {
            // SAFETY: the size is not zero; what is on the heap has the layout of its capacity.
            unsafe {
                let new: *mut u8 = alloc_zeroed(heap_layout(size)?);
                if new.is_null() {
                    return None;
                }
                ptr::copy_nonoverlapping(base.cast(), new, old);
                (new.cast(), size)
            }
        } else {
            let size = size.next_multiple_of(4096);
            // SAFETY: either a new mapping, or this table's own grown, possibly elsewhere; `def` is updated below.
            unsafe {
                let new: *mut *mut () = if old <= MAX_HEAP {
                    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
                    let new =
                        mmap_anonymous(ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, flags);
                    let new: *mut *mut () = new.ok()?.cast();
                    ptr::copy_nonoverlapping(base.cast::<u8>(), new.cast(), old);
                    new
                } else {
                    mremap(base.cast(), old, size, MremapFlags::MAYMOVE).ok()?.cast()
                };
                (new, size)
            }
        };
        if old <= MAX_HEAP {
            // SAFETY: on the heap; its elements were copied.
            unsafe { free_heap(base, old) };
        }
        // SAFETY: `new`'s caller vouches for `def`.
        unsafe { (*self.def).base = new };
        self.capacity = capacity;
        Some(())
    }

    /// Number of elements.
    #[expect(clippy::len_without_is_empty, reason = "the word of the specification is `size`")]
    pub fn len(&self) -> u64 {
        // SAFETY: `new`'s caller vouches for `def`.
        unsafe { (*self.def).len as u64 }
    }

    /// The type that the table was declared with.
    pub fn ty(&self) -> &TableType {
        &self.ty
    }

    /// The limits that the table was declared with.
    pub fn limits(&self) -> &Limits {
        &self.ty.limits
    }

    /// Where compiled code finds the table.
    pub fn def(&self) -> *mut TableDef {
        self.def
    }

    /// The elements `[start, start + len)`; `None` if they are not all in the table.
    fn range(&self, start: u64, len: u64) -> Option<*mut *mut ()> {
        start.checked_add(len).filter(|end| *end <= self.len())?;
        // SAFETY: `new`'s caller vouches for `def`; `start` is at most the length.
        Some(unsafe { (*self.def).base.add(start as usize) })
    }

    /// An element; `None` if it is out of bounds.
    pub fn get(&self, index: u64) -> Option<*mut ()> {
        // SAFETY: the range was checked.
        self.range(index, 1).map(|at| unsafe { at.read() })
    }

    /// Sets `len` elements; `None` if they are not all in the table.
    pub fn fill(&mut self, start: u64, len: u64, value: *mut ()) -> Option<()> {
        let at = self.range(start, len)?;
        // SAFETY: the range was checked.
        unsafe { core::slice::from_raw_parts_mut(at, len as usize) }.fill(value);
        Some(())
    }

    /// Sets the elements from `start` on; `None`, and nothing is changed, if they are not all in the table.
    pub fn write(&mut self, start: u64, values: impl ExactSizeIterator<Item = *mut ()>) -> Option<()> {
        let len = values.len();
        let at = self.range(start, len as u64)?;
        // SAFETY: the range was checked; an `ExactSizeIterator` may lie about its length, hence `take`.
        values.take(len).enumerate().for_each(|(index, value)| unsafe { at.add(index).write(value) });
        Some(())
    }

    /// Copies elements between tables that may be the same; `None` if a range is out of bounds.
    ///
    /// # Safety
    /// Both tables exist.
    pub unsafe fn copy(dst: *mut Table, src: *mut Table, to: u64, from: u64, len: u64) -> Option<()> {
        // SAFETY: the caller vouches for both; neither is borrowed otherwise.
        unsafe {
            let from = (*src).range(from, len)?;
            let to = (*dst).range(to, len)?;
            ptr::copy(from, to, len as usize);
        }
        Some(())
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: `reserve` made the storage, and nothing refers to it any more.
        unsafe {
            let base = (*self.def).base;
            if self.capacity > MAX_HEAP {
                let unmapped = munmap(base.cast(), self.capacity);
                debug_assert!(unmapped.is_ok());
            } else {
                free_heap(base, self.capacity);
            }
        }
    }
}

/// # Safety
/// `base` are `capacity` bytes on the heap, which nothing refers to any more.
unsafe fn free_heap(base: *mut *mut (), capacity: usize) {
    if let Some(layout) = heap_layout(capacity).filter(|_| capacity > 0) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(base.cast(), layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aot_abi::types::ValType;

    #[test]
    fn tables_grow_and_check_bounds() {
        let mut def = TableDef { base: ptr::null_mut(), len: 0 };
        let ty = TableType { element: ValType::ExternRef, limits: Limits { min: 2, max: Some(4000) } };
        let value = ptr::without_provenance_mut::<()>(42);
        // SAFETY: `def` outlives the table.
        let mut table = unsafe { Table::new(&ty, &mut def, None, value) }.unwrap();
        assert_eq!(table.get(1), Some(value));
        assert_eq!(table.get(2), None);
        assert_eq!(table.grow(5, ptr::null_mut()), Some(2));
        assert_eq!(table.grow(1495, ptr::null_mut()), Some(7));
        assert_eq!(table.get(1), Some(value));
        assert_eq!(table.get(1501), Some(ptr::null_mut()));
        assert_eq!(table.grow(2500, value), None);
        assert_eq!(table.fill(1500, 2, value), Some(()));
        assert_eq!(table.fill(1501, 2, value), None);
        assert_eq!(table.fill(1502, 0, value), Some(()));
        assert_eq!(table.fill(u64::MAX, 2, value), None);
        // From the heap to a mapping, and to a larger one.
        assert_eq!(table.grow(1000, value), Some(1502));
        assert_eq!(table.grow(1498, value), Some(2502));
        assert_eq!(table.get(0), Some(value));
        assert_eq!(table.get(3999), Some(value));
        let table: *mut Table = &mut table;
        // SAFETY: the table exists.
        unsafe {
            assert_eq!(Table::copy(table, table, 0, 1500, 2), Some(()));
            assert_eq!(Table::copy(table, table, 3999, 0, 2), None);
        }
    }

    #[test]
    fn absurd_tables_are_refused() {
        let mut def = TableDef { base: ptr::null_mut(), len: 0 };
        let ty =
            TableType { element: ValType::FuncRef, limits: Limits { min: u64::from(u32::MAX), max: None } };
        // SAFETY: `def` outlives the table.
        assert!(unsafe { Table::new(&ty, &mut def, None, ptr::null_mut()) }.is_err());
    }
}
