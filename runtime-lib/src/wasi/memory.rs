//! The guest's linear memory as the WASI functions see it: every access is checked against its length.
//!
//! Linear memory is little-endian on every target. An address out of bounds is an error of the call
//! ([`Errno::Fault`]); nothing has been read or written then.

use super::errno::Errno;
use core::array;
use core::marker::PhantomData;
use core::slice;
use rustix::io::{IoSlice, IoSliceMut};

/// How many buffers of a scatter/gather list one call handles. Longer lists get a short count, which callers must
/// expect anyway; so the list never needs memory beyond the stack.
pub const MAX_IOVECS: usize = 64;

/// Bytes of an `$iovec` in memory: address and length.
const IOVEC_SIZE: u32 = 8;

/// A view of one instance's linear memory for the time of one call.
#[derive(Debug)]
pub struct GuestMemory<'a> {
    base: *mut u8,
    len: usize,
    _borrow: PhantomData<&'a mut [u8]>,
}

impl<'a> GuestMemory<'a> {
    /// A view of `len` bytes at `base`.
    ///
    /// # Safety
    ///
    /// For `'a`, `len` bytes at `base` must be readable and writable, nobody else may hold references into them,
    /// and the memory must neither move nor shrink.
    pub unsafe fn from_raw_parts(base: *mut u8, len: usize) -> GuestMemory<'a> {
        GuestMemory { base, len, _borrow: PhantomData }
    }

    /// A view of a slice.
    pub fn from_slice(bytes: &'a mut [u8]) -> GuestMemory<'a> {
        GuestMemory { base: bytes.as_mut_ptr(), len: bytes.len(), _borrow: PhantomData }
    }

    /// The pointer to `len` bytes at a guest address: the only way from an address to a pointer.
    fn pointer(&self, addr: u32, len: usize) -> Result<*mut u8, Errno> {
        let start = usize::try_from(addr).map_err(|_| Errno::Fault)?;
        let end = start.checked_add(len).ok_or(Errno::Fault)?;
        if end > self.len {
            return Err(Errno::Fault);
        }
        Ok(self.base.wrapping_add(start))
    }

    /// `len` bytes at `addr`.
    pub fn bytes(&self, addr: u32, len: u32) -> Result<&[u8], Errno> {
        let len = usize::try_from(len).map_err(|_| Errno::Fault)?;
        let pointer = self.pointer(addr, len)?;
        // SAFETY: `pointer` checked the range; the creator of the view keeps it valid and unshared, and `&self`
        // keeps `bytes_mut` away.
        Ok(unsafe { slice::from_raw_parts(pointer, len) })
    }

    /// `len` bytes at `addr`, to write to.
    pub fn bytes_mut(&mut self, addr: u32, len: u32) -> Result<&mut [u8], Errno> {
        let len = usize::try_from(len).map_err(|_| Errno::Fault)?;
        let pointer = self.pointer(addr, len)?;
        // SAFETY: `pointer` checked the range; the creator of the view keeps it valid and unshared, and
        // `&mut self` makes this the only reference.
        Ok(unsafe { slice::from_raw_parts_mut(pointer, len) })
    }

    fn read<const N: usize>(&self, addr: u32) -> Result<[u8; N], Errno> {
        let pointer = self.pointer(addr, N)?;
        // SAFETY: `pointer` checked that N bytes are readable; an array of bytes has no alignment.
        Ok(unsafe { pointer.cast::<[u8; N]>().read() })
    }

    fn write<const N: usize>(&mut self, addr: u32, bytes: [u8; N]) -> Result<(), Errno> {
        let pointer = self.pointer(addr, N)?;
        // SAFETY: `pointer` checked that N bytes are writable; an array of bytes has no alignment.
        unsafe { pointer.cast::<[u8; N]>().write(bytes) };
        Ok(())
    }

    /// The byte at `addr`.
    pub fn read_u8(&self, addr: u32) -> Result<u8, Errno> {
        self.read::<1>(addr).map(|[byte]| byte)
    }

    /// The 16-bit number at `addr`.
    pub fn read_u16(&self, addr: u32) -> Result<u16, Errno> {
        self.read(addr).map(u16::from_le_bytes)
    }

    /// The 32-bit number at `addr`.
    pub fn read_u32(&self, addr: u32) -> Result<u32, Errno> {
        self.read(addr).map(u32::from_le_bytes)
    }

    /// The 64-bit number at `addr`.
    pub fn read_u64(&self, addr: u32) -> Result<u64, Errno> {
        self.read(addr).map(u64::from_le_bytes)
    }

    /// Writes a 32-bit number to `addr`.
    pub fn write_u32(&mut self, addr: u32, value: u32) -> Result<(), Errno> {
        self.write(addr, value.to_le_bytes())
    }

    /// Writes a 64-bit number to `addr`.
    pub fn write_u64(&mut self, addr: u32, value: u64) -> Result<(), Errno> {
        self.write(addr, value.to_le_bytes())
    }

    /// Writes a 16-bit number to `addr`.
    pub fn write_u16(&mut self, addr: u32, value: u16) -> Result<(), Errno> {
        self.write(addr, value.to_le_bytes())
    }

    /// Copies `bytes` to `addr`.
    pub fn write_bytes(&mut self, addr: u32, bytes: &[u8]) -> Result<(), Errno> {
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::Fault)?;
        self.bytes_mut(addr, len)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Checks that `len` bytes at `addr` can be written, before a call does something that it can't take back.
    pub fn check(&self, addr: u32, len: u32) -> Result<(), Errno> {
        self.bytes(addr, len).map(|_| ())
    }

    /// The first buffers of the list of `len` `$ciovec`s at `iovs`, and how many there are.
    ///
    /// Empty buffers are left out, here and in [`GuestMemory::scatter`]: else a list that starts with many of them
    /// would look like the end of a file.
    pub fn gather(&self, iovs: u32, len: u32) -> Result<([IoSlice<'_>; MAX_IOVECS], usize), Errno> {
        let mut slices = array::from_fn(|_| IoSlice::new(&[]));
        let mut used = 0;
        for addr in entries(iovs, len) {
            let (buf, buf_len) = self.iovec(addr?)?;
            let bytes = self.bytes(buf, buf_len)?;
            if bytes.is_empty() {
                continue;
            }
            let Some(slot) = slices.get_mut(used) else { break };
            *slot = IoSlice::new(bytes);
            used += 1;
        }
        Ok((slices, used))
    }

    /// The first buffers of the list of `len` `$iovec`s at `iovs`, and how many there are.
    ///
    /// The list ends before the first buffer that overlaps an earlier one: two writable references to the same
    /// bytes must not exist, and a short count is allowed.
    pub fn scatter(&mut self, iovs: u32, len: u32) -> Result<([IoSliceMut<'_>; MAX_IOVECS], usize), Errno> {
        let mut slices: [_; MAX_IOVECS] = array::from_fn(|_| IoSliceMut::new(&mut []));
        let mut ranges = [(0u64, 0u64); MAX_IOVECS];
        let mut used = 0;
        for addr in entries(iovs, len) {
            let (buf, buf_len) = self.iovec(addr?)?;
            let len = usize::try_from(buf_len).map_err(|_| Errno::Fault)?;
            let pointer = self.pointer(buf, len)?;
            if len == 0 {
                continue;
            }
            let (Some(slot), Some(range)) = (slices.get_mut(used), ranges.get_mut(used)) else { break };
            let start = u64::from(buf);
            let end = start + u64::from(buf_len);
            *range = (start, end);
            if ranges.iter().take(used).any(|&(first, last)| start < last && first < end) {
                break;
            }
            // SAFETY: `pointer` checked the range, it overlaps none of the slices made before, and `&mut self`
            // is borrowed for as long as they live.
            *slot = IoSliceMut::new(unsafe { slice::from_raw_parts_mut(pointer, len) });
            used += 1;
        }
        Ok((slices, used))
    }

    fn iovec(&self, addr: u32) -> Result<(u32, u32), Errno> {
        let length_addr = addr.checked_add(4).ok_or(Errno::Fault)?;
        Ok((self.read_u32(addr)?, self.read_u32(length_addr)?))
    }
}

/// The addresses of the entries of a scatter/gather list.
fn entries(iovs: u32, len: u32) -> impl Iterator<Item = Result<u32, Errno>> {
    (0..len).map(move |index| {
        index.checked_mul(IOVEC_SIZE).and_then(|offset| iovs.checked_add(offset)).ok_or(Errno::Fault)
    })
}

/// The address of field number `offset` bytes into the record at `addr`.
pub fn field(addr: u32, offset: u32) -> Result<u32, Errno> {
    addr.checked_add(offset).ok_or(Errno::Fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_exact() {
        let mut bytes = [0u8; 16];
        let mut memory = GuestMemory::from_slice(&mut bytes);
        assert_eq!(memory.write_u64(8, 0x0102_0304_0506_0708), Ok(()));
        assert_eq!(memory.read_u32(8), Ok(0x0506_0708));
        assert_eq!(memory.read_u8(15), Ok(1));
        assert_eq!(memory.read_u8(16), Err(Errno::Fault));
        assert_eq!(memory.write_u64(9, 0), Err(Errno::Fault));
        assert_eq!(memory.read_u32(u32::MAX), Err(Errno::Fault));
        assert_eq!(memory.bytes(16, 0), Ok(&[][..]));
        assert_eq!(memory.bytes(17, 0), Err(Errno::Fault));
        assert_eq!(memory.bytes(1, u32::MAX), Err(Errno::Fault));
    }

    #[test]
    fn lists_are_checked_and_bounded() {
        let mut bytes = [0u8; 2048];
        let mut memory = GuestMemory::from_slice(&mut bytes);
        for index in 0..200 {
            memory.write_u32(index * 8, 1800 + index).unwrap();
            memory.write_u32(index * 8 + 4, 1).unwrap();
        }
        assert_eq!(memory.gather(0, 200).unwrap().1, MAX_IOVECS);
        assert_eq!(memory.gather(0, u32::MAX).unwrap().1, MAX_IOVECS);
        assert_eq!(memory.scatter(0, 3).unwrap().1, 3);
        assert_eq!(memory.gather(2044, 1).map(|_| ()), Err(Errno::Fault));
        assert_eq!(memory.gather(u32::MAX - 3, 2).map(|_| ()), Err(Errno::Fault));
        memory.write_u32(12, 5000).unwrap();
        assert_eq!(memory.gather(0, 3).map(|_| ()), Err(Errno::Fault));
    }

    #[test]
    fn overlapping_buffers_end_a_scatter_list() {
        let mut bytes = [0u8; 64];
        let mut memory = GuestMemory::from_slice(&mut bytes);
        for (index, (buf, len)) in [(32, 8), (40, 8), (36, 2)].into_iter().enumerate() {
            memory.write_u32(index as u32 * 8, buf).unwrap();
            memory.write_u32(index as u32 * 8 + 4, len).unwrap();
        }
        assert_eq!(memory.scatter(0, 3).unwrap().1, 2);
        assert_eq!(memory.gather(0, 3).unwrap().1, 3);
    }

    #[test]
    fn empty_buffers_are_left_out() {
        let mut bytes = [0u8; 2048];
        let mut memory = GuestMemory::from_slice(&mut bytes);
        memory.write_u32(100 * 8, 1024).unwrap();
        memory.write_u32(100 * 8 + 4, 16).unwrap();
        assert_eq!(memory.gather(0, 101).unwrap().1, 1);
        assert_eq!(memory.scatter(0, 101).unwrap().1, 1);
        // An empty buffer inside another one is no overlap, but it must be in bounds.
        memory.write_u32(0, 1030).unwrap();
        assert_eq!(memory.scatter(0, 101).unwrap().1, 1);
        memory.write_u32(0, 4096).unwrap();
        assert_eq!(memory.scatter(0, 101).map(|_| ()), Err(Errno::Fault));
    }
}
