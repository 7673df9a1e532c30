//! The last error of a thread, as text and as a kind.

use aot_runtime::embed::Error;
use core::cell::RefCell;
use core::ffi::{c_char, c_int};
use std::ffi::CString;

/// What went wrong; `aot_error_kind_t` of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    None = 0,
    Usage = 1,
    Load = 2,
    #[cfg_attr(
        not(feature = "compiler"),
        expect(dead_code, reason = "the header has the same numbers always")
    )]
    Compile = 3,
    Import = 4,
    Memory = 5,
    Limit = 6,
    Trap = 7,
    Host = 8,
    Exit = 9,
    Busy = 10,
    System = 11,
}

impl Kind {
    pub fn of(error: &Error) -> Kind {
        match error {
            Error::Trap(_) => Kind::Trap,
            Error::Host(_) => Kind::Host,
            Error::Exit(_) => Kind::Exit,
            Error::Import(_) => Kind::Import,
            Error::OutOfMemory(_) => Kind::Memory,
            Error::Limit(_) => Kind::Limit,
            Error::Load(_) => Kind::Load,
            #[cfg(feature = "compiler")]
            Error::Compile(_) => Kind::Compile,
            _ => Kind::Usage,
        }
    }
}

struct Last {
    kind: Kind,
    message: CString,
}

std::thread_local! {
    static LAST: RefCell<Last> = RefCell::new(Last { kind: Kind::None, message: CString::default() });
}

/// Text as C has it; a zero in it ends it.
pub fn c_text(text: impl Into<Vec<u8>>) -> CString {
    let mut bytes = text.into();
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    CString::new(bytes).unwrap_or_default()
}

/// Notes an error.
pub fn set(kind: Kind, message: impl Into<Vec<u8>>) {
    let message = c_text(message);
    // At the end of a thread there is no place for it.
    let _ = LAST.try_with(|last| *last.borrow_mut() = Last { kind, message });
}

/// Notes an error of the library below.
pub fn note(error: &Error) {
    set(Kind::of(error), error.to_string());
}

/// The value, or nothing after the error was noted.
pub fn noted<T>(result: Result<T, Error>) -> Option<T> {
    result.inspect_err(note).ok()
}

#[unsafe(no_mangle)]
extern "C" fn aot_last_error() -> *const c_char {
    LAST.with(|last| last.borrow().message.as_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn aot_last_error_kind() -> c_int {
    LAST.with(|last| last.borrow().kind as c_int)
}

#[unsafe(no_mangle)]
extern "C" fn aot_clear_error() {
    set(Kind::None, "");
}

#[unsafe(no_mangle)]
extern "C" fn aot_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
