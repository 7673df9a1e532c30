//! What objects that are libraries of C programs are linked with: the C interface of instances, traps and options.
//!
//! Compiled code gives C functions of the right types for the module's exports, and calls those of the host program
//! for its imports (`aot_abi::call::library` is what both agree on). To C, an instance is its VM context. The generated
//! header declares all of this.
//!
//! Nothing here needs a libc, and nothing is global but the handlers of faults and the list of modules. An instance is
//! used by one thread at a time.

mod fault;
mod instance;
mod options;
mod stack;
mod trap;
mod wasi;

use crate::message::Message;
use crate::sys;

/// What the compiler says of a module (`aot_abi::descriptor`).
#[repr(C)]
struct Descriptor {
    text: *const u8,
    text_len: usize,
    info: *const u8,
    info_len: usize,
    data: *const u8,
    data_len: usize,
    /// Only in executables.
    _fixed: [usize; 2],
    /// `aot_lib_check_cpu`, if the code uses features that not every machine has.
    check_cpu: Option<CheckCpu>,
    cpu_features: *const u8,
    cpu_features_len: usize,
    /// Only programs have these.
    _instantiate: usize,
    _initial: usize,
    _print_source: usize,
    _profile: [usize; 2],
    /// The agreement of compiler and runtime that the object was made for.
    abi: u64,
    /// A number of the declarations in the header.
    interface: u64,
    /// Not zero if functions of WASI are the runtime's.
    wasi: u64,
}

/// Whether the machine has features: names that are each ended by NUL.
type CheckCpu = unsafe extern "C" fn(names: *const u8, len: usize) -> bool;

/// Exit code of a process that aborts, as a shell reports it.
const ABORTED: i32 = 134;

/// Ends the process: the program has done what leaves no other way.
fn abort(text: &str) -> ! {
    let mut message = Message::new();
    message.text("error: ").text(text).text("\n").flush();
    sys::exit_group(ABORTED)
}

/// What `alloc` was compiled to call when it unwinds, which nothing here does.
#[cfg(not(test))]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    abort("bug in the runtime of aot: it unwinds")
}

#[cfg(not(test))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let mut message = Message::new();
    message.text("error: bug in the runtime of aot");
    if let Some(location) = info.location() {
        message.text(" at ").text(location.file()).text(":").decimal(u64::from(location.line()));
    }
    message.text("\n").flush();
    sys::exit_group(ABORTED)
}
