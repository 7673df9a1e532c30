//! The limit of the stack that wasm code shares with its host.

use core::ffi::CStr;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::read;
use rustix::process::{Resource, getrlimit};

/// What stays free below wasm code, for functions of the host and of the runtime: bytes.
const HEADROOM: usize = 96 * 1024;

/// A stack, as far as it is known.
#[derive(Clone, Copy, Default)]
pub(super) struct Stack {
    low: usize,
    high: usize,
}

impl Stack {
    pub fn contains(self, sp: usize) -> bool {
        (self.low..self.high).contains(&sp)
    }

    /// The stack around an address; what is not known is as large as needed.
    pub fn around(sp: usize) -> Stack {
        find(sp).unwrap_or(Stack { low: 0, high: 0 })
    }

    /// How far down wasm code may go that starts at `sp` and may use some bytes.
    pub fn limit(self, sp: usize, bytes: usize) -> usize {
        let wanted = sp.saturating_sub(bytes);
        if !self.contains(sp) {
            return wanted;
        }
        // Of a small stack, half stays for the host.
        let headroom = HEADROOM.min((self.high - self.low) / 2);
        wanted.max(self.low + headroom)
    }
}

/// Finds the mapping of an address in the list of the kernel.
fn find(sp: usize) -> Option<Stack> {
    const MAPS: &CStr = c"/proc/self/maps";
    let file = openat(CWD, MAPS, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // A line is `low-high flags offset device inode path`; the numbers are hexadecimal.
    let mut buffer = [0u8; 1024];
    let mut line = [0u8; 256];
    let mut len = 0;
    loop {
        let count = read(&file, &mut buffer[..]).ok().filter(|count| *count > 0)?;
        for byte in &buffer[..count] {
            if *byte != b'\n' {
                if let Some(place) = line.get_mut(len) {
                    *place = *byte;
                    len += 1;
                }
                continue;
            }
            let text = &line[..len];
            len = 0;
            let Some((low, high)) = range(text) else { continue };
            if (low..high).contains(&sp) {
                // The main stack grows up to its limit when it is used.
                let grows = text.ends_with(b"[stack]");
                let limit = getrlimit(Resource::Stack).current.unwrap_or(8 << 20) as usize;
                let low = if grows { low.min(high.saturating_sub(limit)) } else { low };
                return Some(Stack { low, high });
            }
        }
    }
}

fn range(line: &[u8]) -> Option<(usize, usize)> {
    let text = core::str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok()?;
    let (low, high) = text.split_once('-')?;
    Some((usize::from_str_radix(low, 16).ok()?, usize::from_str_radix(high, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_found() {
        let here = 0u8;
        let sp = &raw const here as usize;
        let stack = Stack::around(sp);
        assert!(stack.contains(sp));
        assert_eq!(stack.limit(sp, 4096), sp - 4096);
        assert!(stack.limit(sp, usize::MAX) > stack.low);
        assert!(!stack.contains(1));
        assert_eq!(Stack::default().limit(1 << 20, 4096), (1 << 20) - 4096);
    }
}
