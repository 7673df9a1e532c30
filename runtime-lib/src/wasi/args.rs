//! Arguments and environment of the guest.

use super::context::WasiCtx;
use super::errno::Errno;
use super::memory::{GuestMemory, field};
use alloc::vec::Vec;

/// A list of strings in the form in which the guest gets it: each ends in a NUL.
#[derive(Debug, Default)]
pub struct StringTable {
    bytes: Vec<u8>,
    count: u32,
}

impl StringTable {
    /// Adds a string. What follows a NUL in it is lost, as it is in C.
    pub fn push(&mut self, string: &[u8]) {
        self.bytes.extend(string.iter().take_while(|&&byte| byte != 0));
        self.bytes.push(0);
        self.count += 1;
    }

    fn sizes_get(&self, memory: &mut GuestMemory<'_>, count: u32, size: u32) -> Result<(), Errno> {
        let total = u32::try_from(self.bytes.len()).map_err(|_| Errno::Overflow)?;
        memory.write_u32(count, self.count)?;
        memory.write_u32(size, total)
    }

    fn get(&self, memory: &mut GuestMemory<'_>, pointers: u32, buf: u32) -> Result<(), Errno> {
        memory.write_bytes(buf, &self.bytes)?;
        let mut pointer = pointers;
        let mut addr = buf;
        for string in self.bytes.split_inclusive(|&byte| byte == 0) {
            memory.write_u32(pointer, addr)?;
            pointer = field(pointer, 4)?;
            addr = field(addr, u32::try_from(string.len()).map_err(|_| Errno::Fault)?)?;
        }
        Ok(())
    }
}

/// Copies the arguments to `argv_buf` and their addresses to `argv`.
pub fn args_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    argv: u32,
    argv_buf: u32,
) -> Result<(), Errno> {
    ctx.args.get(memory, argv, argv_buf)
}

/// The number of arguments and the bytes they need.
pub fn args_sizes_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    argc: u32,
    argv_buf_size: u32,
) -> Result<(), Errno> {
    ctx.args.sizes_get(memory, argc, argv_buf_size)
}

/// Copies the environment to `environ_buf` and the addresses of its variables to `environ`.
pub fn environ_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    environ: u32,
    environ_buf: u32,
) -> Result<(), Errno> {
    ctx.env.get(memory, environ, environ_buf)
}

/// The number of environment variables and the bytes they need.
pub fn environ_sizes_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    environc: u32,
    environ_buf_size: u32,
) -> Result<(), Errno> {
    ctx.env.sizes_get(memory, environc, environ_buf_size)
}
