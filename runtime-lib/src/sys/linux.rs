//! Linux.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{BorrowedFd, OwnedFd, RawFd};
use rustix::ffi::CStr;
use rustix::fs::{self, CWD, Mode, OFlags, ResolveFlags};
use rustix::io;

/// Opens `path` inside the directory `dir`, whatever symbolic links and `..` it has.
///
/// # Errors
///
/// `EXDEV` if the path leads out of `dir`; `EAGAIN` if something was renamed meanwhile and the kernel can't tell;
/// `ENOSYS` before Linux 5.6.
pub fn open_beneath(dir: BorrowedFd<'_>, path: &CStr, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    // Magic links are those of /proc/PID/fd, which lead to any open file.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // The kernel refuses a mode where nothing can be created.
    let mode = if flags.contains(OFlags::CREATE) { mode } else { Mode::empty() };
    fs::openat2(dir, path, flags | OFlags::CLOEXEC, mode, resolve)
}

/// The standard stream number 0, 1 or 2 of the process.
pub fn standard_stream(number: u8) -> BorrowedFd<'static> {
    // SAFETY: the runtime never closes the standard streams, and `fill_standard_streams` has opened them in
    // programs that were started without. In a host program the host keeps them open.
    unsafe { BorrowedFd::borrow_raw(RawFd::from(number)) }
}

/// Opens `/dev/null` for every standard stream that is closed. Otherwise the next file that is opened would take
/// its number, and messages of the runtime would end up in that file. To be called before anything is opened.
pub fn fill_standard_streams() {
    let mut streams =
        [0, 1, 2].map(|number| PollFd::from_borrowed_fd(standard_stream(number), PollFlags::empty()));
    // One call for all three. Where it fails, the process may have fewer than three files.
    if poll(&mut streams, Some(&Timespec::default())).is_err() {
        return;
    }
    for stream in &streams {
        if stream.revents().contains(PollFlags::NVAL) {
            // The lowest free number is that of the stream, since those below are open. If there is no /dev/null, the
            // program runs with the stream closed, as it was started.
            if let Ok(fd) = fs::openat(CWD, c"/dev/null", OFlags::RDWR, Mode::empty()) {
                core::mem::forget(fd);
            }
        }
    }
}

/// Ends the process and all its threads.
pub fn exit_group(code: i32) -> ! {
    // `rustix` hides its `runtime` module behind this name to say that it may change with every version; ours is
    // fixed.
    rustix::runtime_448b8ad740e2a26f::exit_group(code)
}
