//! Source positions in backtraces of executables. They are in the file of the program, and not in memory: the file is opened
//! when the program has trapped.

use crate::message::Message;
use crate::start::FrameLine;
use aot_abi::image;
use aot_abi::source::{SECTION, SourceLines};
use core::ptr;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicUsize};
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::mm::{MapFlags, ProtFlags, mmap};

/// Prints a function with its source positions: those of functions that were inlined into it first, which share its number.
/// The function that the object's descriptor points to if there are positions.
///
/// # Safety
/// Called by one thread at a time.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_print_source(line: &FrameLine<'_>) -> bool {
    let Some(frames) = lines().and_then(|lines| lines.frames(line.text_offset())) else { return false };
    for (index, frame) in frames.enumerate() {
        let name = if frame.function.is_empty() { line.name() } else { Some(frame.function.as_bytes()) };
        let mut message = Message::new();
        match index {
            0 => line.print(name),
            _ => message.text("      ").bytes(name.unwrap_or(b"?")).text("\n").flush(),
        }
        if !frame.file.is_empty() {
            message.text("             at ").text(frame.file);
            for number in [frame.line, frame.column].into_iter().take_while(|number| *number > 0) {
                message.text(":").decimal(u64::from(number));
            }
            message.text("\n").flush();
        }
    }
    true
}

/// The source positions, if the file of the program can be read and still has them.
fn lines() -> Option<SourceLines<'static>> {
    static FILE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
    static LEN: AtomicUsize = AtomicUsize::new(0);
    if FILE.load(Relaxed).is_null() {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(CWD, c"/proc/self/exe", flags, Mode::empty()).ok()?;
        let len = usize::try_from(fstat(&file).ok()?.st_size).ok()?;
        // SAFETY: a new mapping, which stays as long as the process.
        let start = unsafe { mmap(ptr::null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, &file, 0) };
        LEN.store(len, Relaxed);
        FILE.store(start.ok()?.cast(), Relaxed);
    }
    // SAFETY: mapped above. The kernel does not let anyone write to a program that runs.
    let bytes = unsafe { core::slice::from_raw_parts(FILE.load(Relaxed), LEN.load(Relaxed)) };
    SourceLines::new(image::section_bytes(bytes, SECTION)?).ok()
}
