//! Random numbers.

use super::context::WasiCtx;
use super::errno::Errno;
use super::memory::GuestMemory;
use rustix::io::retry_on_intr;
use rustix::rand::{GetRandomFlags, getrandom};

/// Fills a buffer with random bytes: of cryptographic quality, unless the host gave a source of its own.
pub fn random_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    buf: u32,
    buf_len: u32,
) -> Result<(), Errno> {
    let mut rest = memory.bytes_mut(buf, buf_len)?;
    #[cfg(not(feature = "embed"))]
    let _ = ctx;
    #[cfg(feature = "embed")]
    if let Some(random) = &mut ctx.host.random {
        random(rest);
        return Ok(());
    }
    while !rest.is_empty() {
        let filled = retry_on_intr(|| getrandom(&mut *rest, GetRandomFlags::empty()))?;
        rest = rest.get_mut(filled..).unwrap_or(&mut []);
    }
    Ok(())
}
