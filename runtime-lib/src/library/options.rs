//! What an instance may use, as C sets it.

use crate::instance::ResourceLimits;
use crate::wasi::{Stdio, WasiCtx, WasiCtxBuilder};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use rustix::fd::BorrowedFd;
use rustix::io::fcntl_dupfd_cloexec;

/// Bytes of stack for wasm code if nothing is said.
const STACK_BYTES: usize = 512 * 1024;

/// Options of instances. C knows only pointers to it. They can be used for several instances.
#[derive(Default)]
pub struct Options {
    memory_bytes: Option<u64>,
    table_elements: Option<u64>,
    stack_bytes: Option<usize>,
    args: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
    dirs: Vec<(Vec<u8>, Vec<u8>)>,
    /// File descriptors of the host; without one the stream is empty.
    streams: [Option<c_int>; 3],
}

impl Options {
    pub(super) fn stack_bytes(&self) -> usize {
        self.stack_bytes.unwrap_or(STACK_BYTES)
    }

    pub(super) fn limits(&self) -> ResourceLimits {
        ResourceLimits { memory_bytes: self.memory_bytes, table_elements: self.table_elements }
    }

    /// The WASI context of an instance.
    pub(super) fn wasi(&self) -> Result<WasiCtx, String> {
        let text = |what: &str, error: rustix::io::Errno| {
            format!("cannot use {what}: error {}", error.raw_os_error())
        };
        let stream = |number: usize| match self.streams[number] {
            None => Ok(Stdio::Null),
            // SAFETY: the host keeps the file open; a closed one is an error of the call.
            Some(fd) => fcntl_dupfd_cloexec(unsafe { BorrowedFd::borrow_raw(fd) }, 3).map(Stdio::File),
        };
        let streams = [stream(0), stream(1), stream(2)];
        let [stdin, stdout, stderr] =
            streams.map(|stream| stream.map_err(|error| text("a standard stream", error)));
        let builder = WasiCtxBuilder::new(stdin?, stdout?, stderr?);
        let mut builder = builder.map_err(|error| text("the standard streams", error))?;
        for arg in &self.args {
            builder.arg(arg);
        }
        for variable in &self.env {
            builder.env(variable);
        }
        for (host, guest) in &self.dirs {
            let what = || format!("the directory `{}`", String::from_utf8_lossy(host));
            builder.preopen(host, guest).map_err(|error| text(&what(), error))?;
        }
        Ok(builder.build())
    }
}

/// Options that give nothing, and limit only the stack.
#[unsafe(no_mangle)]
pub extern "C" fn aot_options_new() -> *mut Options {
    Box::into_raw(Box::default())
}

/// Deletes options. Null is none.
///
/// # Safety
/// They were made by [`aot_options_new`] and are not used any more. So for the functions below: they exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_options_delete(options: *mut Options) {
    if !options.is_null() {
        // SAFETY: the caller vouches for them.
        drop(unsafe { Box::from_raw(options) });
    }
}

/// The most bytes that each memory may have.
///
/// # Safety
/// See [`aot_options_delete`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_options_max_memory(options: *mut Options, bytes: u64) {
    // SAFETY: the caller vouches for the options.
    unsafe { (*options).memory_bytes = Some(bytes) };
}

/// The most elements that each table may have.
///
/// # Safety
/// See [`aot_options_delete`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_options_max_table(options: *mut Options, elements: u64) {
    // SAFETY: the caller vouches for the options.
    unsafe { (*options).table_elements = Some(elements) };
}

/// Bytes of the caller's stack that wasm code may use.
///
/// # Safety
/// See [`aot_options_delete`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_options_max_stack(options: *mut Options, bytes: usize) {
    // SAFETY: the caller vouches for the options.
    unsafe { (*options).stack_bytes = Some(bytes) };
}

/// Adds an argument; the first is the name of the program.
///
/// # Safety
/// See [`aot_options_delete`]; `text` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_options_arg(options: *mut Options, text: *const c_char) {
    // SAFETY: the caller vouches for both.
    unsafe { (*options).args.push(bytes(text)) };
}

/// Adds an environment variable, `NAME=VALUE`.
///
/// # Safety
/// See [`aot_options_delete`]; `variable` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_options_env(options: *mut Options, variable: *const c_char) {
    // SAFETY: the caller vouches for both.
    unsafe { (*options).env.push(bytes(variable)) };
}

/// Gives the guest a directory of the host under a name. It is opened when an instance is made.
///
/// # Safety
/// See [`aot_options_delete`]; both names are strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_options_dir(options: *mut Options, host: *const c_char, guest: *const c_char) {
    // SAFETY: the caller vouches for all.
    unsafe { (*options).dirs.push((bytes(host), bytes(guest))) };
}

/// Gives the guest an open file as standard stream 0, 1 or 2. It is duplicated when an instance is made.
///
/// # Safety
/// See [`aot_options_delete`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_options_stream(options: *mut Options, number: c_int, file: c_int) {
    // SAFETY: the caller vouches for the options.
    let streams = unsafe { &mut (*options).streams };
    if let Some(stream) = usize::try_from(number).ok().and_then(|number| streams.get_mut(number)) {
        *stream = (file >= 0).then_some(file);
    }
}

/// Gives the guest the standard streams of the process.
///
/// # Safety
/// See [`aot_options_delete`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_options_inherit_stdio(options: *mut Options) {
    // SAFETY: the caller vouches for the options.
    unsafe { (*options).streams = [Some(0), Some(1), Some(2)] };
}

/// # Safety
/// `text` is a string.
unsafe fn bytes(text: *const c_char) -> Vec<u8> {
    // SAFETY: the caller vouches for it.
    unsafe { CStr::from_ptr(text) }.to_bytes().to_vec()
}
