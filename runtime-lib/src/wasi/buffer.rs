//! Standard streams as buffers of the host program: files that exist in memory only.

use super::context::Stdio;
use alloc::vec;
use alloc::vec::Vec;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, SealFlags, SeekFrom, fcntl_add_seals, ftruncate, memfd_create, seek, tell};
use rustix::io::{self, dup, pread, retry_on_intr, write};

impl Stdio {
    /// Input that is read from memory.
    ///
    /// # Errors
    /// If there is no memory for a copy.
    pub fn input(bytes: &[u8]) -> io::Result<Stdio> {
        let file = memfd_create("stdin", MemfdFlags::CLOEXEC)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = retry_on_intr(|| write(&file, rest))?;
            rest = rest.get(written..).unwrap_or(&[]);
        }
        seek(&file, SeekFrom::Start(0))?;
        Ok(Stdio::File(file))
    }
}

/// What guests write to a stream, kept in memory. Writing fails when it is full.
///
/// ```
/// use aot_runtime::embed::wasi::{OutputBuffer, Stdio, WasiCtxBuilder};
///
/// let output = OutputBuffer::new(1 << 20)?;
/// let mut guest = WasiCtxBuilder::new(Stdio::input(b"some text")?, output.stream()?, Stdio::Null)?;
/// guest.arg(b"program").env(b"LANG=C.UTF-8");
/// // ... run it with `guest.build()` ...
/// assert_eq!(output.contents()?, b"");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct OutputBuffer {
    file: OwnedFd,
}

impl OutputBuffer {
    /// A buffer for up to `capacity` bytes, which take memory only when they are written.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(capacity: u64) -> io::Result<OutputBuffer> {
        let file = memfd_create("stdout", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, capacity)?;
        // A guest can fill it, but not make it larger.
        fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(OutputBuffer { file })
    }

    /// The stream for a guest. Several of one buffer write one after the other.
    ///
    /// # Errors
    /// If the process has no file descriptor left.
    pub fn stream(&self) -> io::Result<Stdio> {
        // It shares the offset.
        Ok(Stdio::Buffer(dup(&self.file)?))
    }

    /// What was written so far.
    ///
    /// # Errors
    /// If there is no memory for a copy.
    pub fn contents(&self) -> io::Result<Vec<u8>> {
        let len = usize::try_from(tell(&self.file)?).map_err(|_| io::Errno::OVERFLOW)?;
        let mut bytes = vec![0; len];
        let mut read = 0;
        while read < len {
            match retry_on_intr(|| pread(self.file.as_fd(), &mut bytes[read..], read as u64))? {
                0 => break,
                count => read += count,
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }
}
