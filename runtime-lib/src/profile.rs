//! Writes the profile of an executable that was built to count how often its code runs (`aot_abi::profile`).
//!
//! Several runs, one after the other or at once, add their counts to one file.

use crate::message::Message;
use alloc::vec::Vec;
use aot_abi::profile::{HEADER_WORDS, SITE_WORDS, VARIABLE};
use core::ffi::CStr;
use core::ptr;
use core::slice;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, fstat, ftruncate, openat};
use rustix::io::{self, Errno, pwrite};
use rustix::mm::{MapFlags, ProtFlags, mmap};

/// Adds what was counted to the file of the profile. What goes wrong is told, and changes nothing for the program.
///
/// # Safety
/// `profile` is what the compiler made; `environ` are `count` strings of the environment.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_write_profile(profile: *mut u64, environ: *const &[u8], count: usize) {
    const WORD: usize = size_of::<u64>();
    // SAFETY: the compiler wrote the length of the file before it, and the name after it.
    let (own, default) = unsafe {
        let len = profile.read() as usize;
        let file = profile.add(1);
        (slice::from_raw_parts(file, len / WORD), CStr::from_ptr(file.byte_add(len).cast()))
    };
    // SAFETY: the caller vouches for it.
    let environ = unsafe { slice::from_raw_parts(environ, count) };
    let name = environ.iter().find_map(|entry| entry.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"="));
    let mut path = Vec::from(name.filter(|name| !name.is_empty()).unwrap_or(default.to_bytes()));
    path.push(0);
    let Ok(name) = CStr::from_bytes_with_nul(&path) else { return };
    if let Err(error) = write(own, name) {
        let mut message = Message::new();
        message.text("warning: cannot write the profile `").bytes(name.to_bytes());
        message.text("`: error ").decimal(error.raw_os_error().unsigned_abs().into()).text("\n").flush();
    }
}

fn write(own: &[u64], name: &CStr) -> io::Result<()> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let file = openat(CWD, name, flags, Mode::from_raw_mode(0o666))?;
    // Of programs that end at once, one after the other writes. The lock goes with the process.
    flock(&file, FlockOperation::LockExclusive)?;
    let len = size_of_val(own);
    if fstat(&file)?.st_size != len as i64 {
        return write_new(own, &file);
    }
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, of as many bytes as the file has. Who cuts the file off meanwhile stops a process that has ended.
    let kept = unsafe {
        let start = mmap(ptr::null_mut(), len, access, MapFlags::SHARED, &file, 0)?;
        slice::from_raw_parts_mut(start.cast::<u64>(), own.len())
    };
    let head = HEADER_WORDS + own[2] as usize / size_of::<u64>();
    if kept[..head] != own[..head] {
        return write_new(own, &file);
    }
    let (counters, sites) = kept[head..].split_at_mut(own[3] as usize);
    let (own_counters, own_sites) = own[head..].split_at(own[3] as usize);
    for (sum, count) in counters.iter_mut().zip(own_counters) {
        *sum = sum.wrapping_add(*count);
    }
    for (sum, site) in sites.chunks_exact_mut(SITE_WORDS).zip(own_sites.chunks_exact(SITE_WORDS)) {
        add_site(sum, site);
    }
    Ok(())
}

/// Writes the file anew.
fn write_new(own: &[u64], file: &OwnedFd) -> io::Result<()> {
    ftruncate(file, 0)?;
    let (magic, rest) = own.split_at(1);
    // The first word comes last: a file without it is not whole.
    write_at(rest, size_of_val(magic), file)?;
    write_at(magic, 0, file)
}

fn write_at(words: &[u64], offset: usize, file: &OwnedFd) -> io::Result<()> {
    // SAFETY: words are bytes, too.
    let mut bytes = unsafe { slice::from_raw_parts(words.as_ptr().cast::<u8>(), size_of_val(words)) };
    let mut offset = offset as u64;
    while !bytes.is_empty() {
        let written = match pwrite(file, bytes, offset) {
            Err(Errno::INTR) => 0,
            other => other?,
        };
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

/// Adds the votes for a target to those for another, or the same one.
fn add_site(sum: &mut [u64], site: &[u64]) {
    let ([target, votes, calls], [own_target, own_votes, own_calls]) = (sum, site) else { return };
    *calls = calls.wrapping_add(*own_calls);
    if target == own_target {
        *votes = votes.wrapping_add(*own_votes);
    } else if *votes >= *own_votes {
        *votes -= own_votes;
    } else {
        *votes = own_votes - *votes;
        *target = *own_target;
    }
}
