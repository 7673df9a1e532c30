//! Traps, and the frames of wasm functions that they have.

use crate::error::{Kind, c_text};
use crate::handle::Handle;
use crate::reference::{Object, Reference, WithInfo};
use crate::store::StoreObject;
use crate::vec::{ByteVec, CVec, ObjectVec};
use aot_runtime::embed::{Error, FrameSymbol, HostError};
use core::ffi::{CStr, c_char};
use core::{fmt, ptr};
use std::ffi::CString;
use std::sync::Arc;

/// Why a call did not return: a trap of the guest, or any other error.
pub struct TrapObject {
    /// Without the zero at its end.
    message: Vec<u8>,
    frames: Vec<FrameObject>,
    /// The functions on the stack, for people.
    backtrace: Vec<u8>,
    /// `aot_code_t`; 0 if it is no trap of the guest.
    code: u8,
    exit: Option<u32>,
    kind: Kind,
}

#[derive(Clone)]
pub struct FrameObject {
    func: u32,
    name: Option<CString>,
    /// Offset in the wasm file, if it is known.
    offset: Option<u32>,
    symbols: Vec<Symbol>,
}

/// A function of the source, and a position in it.
#[derive(Clone)]
struct Symbol {
    name: Option<CString>,
    file: Option<CString>,
    line: u32,
    column: u32,
}

/// A trap that a callback returned, on its way through wasm code.
struct HostTrap(Arc<WithInfo<TrapObject>>);

class! { FrameObject, "wasm_frame_t"; }
delete! { wasm_frame_delete(FrameObject); }
object_vec_functions! {
    FrameObject, copy |frame| frame.clone();
    wasm_frame_vec_new_empty wasm_frame_vec_new_uninitialized wasm_frame_vec_new wasm_frame_vec_copy
    wasm_frame_vec_delete
}

impl fmt::Debug for HostTrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostTrap").field(&String::from_utf8_lossy(&self.0.value.message)).finish()
    }
}

impl fmt::Display for HostTrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0.value.message))
    }
}

impl core::error::Error for HostTrap {}

impl TrapObject {
    fn of_message(message: Vec<u8>, kind: Kind) -> TrapObject {
        TrapObject { message, frames: Vec::new(), backtrace: Vec::new(), code: 0, exit: None, kind }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn message(&self) -> &[u8] {
        &self.message
    }
}

/// A trap for C with this message. The error is noted too.
pub fn give_message(message: impl Into<Vec<u8>>, kind: Kind) -> *mut Handle<Reference> {
    let message = message.into();
    crate::error::set(kind, message.clone());
    Reference::free(Object::Trap(WithInfo::new(TrapObject::of_message(message, kind))))
}

/// A trap for C of an error. The error is noted too.
pub fn give_error(error: Error) -> *mut Handle<Reference> {
    let trap = of_error(error);
    crate::error::set(trap.value.kind(), trap.value.message().to_vec());
    Reference::free(Object::Trap(trap))
}

fn of_error(error: Error) -> Arc<WithInfo<TrapObject>> {
    let kind = Kind::of(&error);
    let mut object = TrapObject::of_message(error.to_string().into_bytes(), kind);
    match error {
        Error::Host(error) => match error.downcast::<HostTrap>() {
            Ok(trap) => return trap.0,
            Err(error) => object.message = error.to_string().into_bytes(),
        },
        Error::Exit(status) => object.exit = Some(status),
        Error::Trap(trap) => {
            object.code = trap.code() as u8;
            let frames = trap.frames().iter().enumerate();
            let lines = frames.map(|(number, frame)| format!("   {number}: {frame}\n"));
            object.backtrace = lines.collect::<String>().into_bytes();
            object.frames = trap
                .frames()
                .iter()
                .enumerate()
                .map(|(number, frame)| FrameObject {
                    func: frame.func,
                    name: frame.name.as_ref().map(|name| c_text(name.as_str())),
                    offset: trap.wasm_offset().filter(|_| number == 0),
                    symbols: frame.symbols.iter().map(symbol).collect(),
                })
                .collect();
        }
        _ => {}
    }
    WithInfo::new(object)
}

fn symbol(symbol: &FrameSymbol) -> Symbol {
    let text = |text: &Option<String>| text.as_ref().map(|text| c_text(text.as_str()));
    Symbol {
        name: text(&symbol.name),
        file: text(&symbol.file),
        line: symbol.line.unwrap_or(0),
        column: symbol.column.unwrap_or(0),
    }
}

/// What a callback returned as an error of a host function; null is none.
pub fn callback_result(trap: *mut Handle<Reference>) -> Result<(), HostError> {
    if trap.is_null() {
        return Ok(());
    }
    let reference = take!(trap);
    match reference.object {
        Object::Trap(trap) => Err(Box::new(HostTrap(trap))),
        _ => reference.wrong_kind("wasm_trap_t", "a callback"),
    }
}

fn get<'a>(trap: *const Handle<Reference>, function: &str) -> &'a TrapObject {
    // SAFETY: C vouches for its pointers.
    let reference = unsafe { Handle::get(trap, function) };
    match &reference.object {
        Object::Trap(trap) => &trap.value,
        _ => reference.wrong_kind("wasm_trap_t", function),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_trap_new(
    _store: *const Handle<StoreObject>,
    message: *const ByteVec,
) -> *mut Handle<Reference> {
    // SAFETY: C vouches for its pointers.
    let bytes = unsafe { message.as_ref().map_or(&[][..], |message| message.as_slice()) };
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    Reference::free(Object::Trap(WithInfo::new(TrapObject::of_message(bytes.to_vec(), Kind::Host))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasm_trap_new(message: *const c_char) -> *mut Handle<Reference> {
    let message = match message.is_null() {
        true => Vec::new(),
        // SAFETY: C vouches for its texts.
        false => unsafe { CStr::from_ptr(message) }.to_bytes().to_vec(),
    };
    Reference::free(Object::Trap(WithInfo::new(TrapObject::of_message(message, Kind::Host))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_trap_message(trap: *const Handle<Reference>, out: *mut ByteVec) {
    // SAFETY: C vouches for its pointers.
    unsafe { give_text(&get(trap, here!()).message, out) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasm_trap_backtrace(trap: *const Handle<Reference>, out: *mut ByteVec) {
    // SAFETY: C vouches for its pointers.
    unsafe { give_text(&get(trap, here!()).backtrace, out) };
}

/// Gives C a text, with a zero at its end.
unsafe fn give_text(text: &[u8], out: *mut ByteVec) {
    let vec = CVec::zeroed(text.len() + 1);
    // SAFETY: the caller vouches for the place; there is room for the text and a zero, or for nothing.
    unsafe {
        let count = text.len().min(vec.size);
        if count > 0 {
            ptr::copy_nonoverlapping(text.as_ptr(), vec.data, count);
        }
        out.write(vec);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_trap_origin(trap: *const Handle<Reference>) -> *mut Handle<FrameObject> {
    get(trap, here!()).frames.first().map_or(ptr::null_mut(), |frame| Handle::give(frame.clone()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_trap_trace(trap: *const Handle<Reference>, out: *mut ObjectVec<FrameObject>) {
    let frames = get(trap, here!()).frames.iter().map(|frame| Handle::give(frame.clone()));
    // SAFETY: C vouches for its pointers.
    unsafe { out.write(CVec::from_iter(frames)) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasm_trap_code(trap: *const Handle<Reference>) -> u8 {
    get(trap, here!()).code
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasm_trap_kind(trap: *const Handle<Reference>) -> core::ffi::c_int {
    get(trap, here!()).kind as core::ffi::c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasm_trap_exit_status(trap: *const Handle<Reference>, status: *mut u32) -> bool {
    let Some(exit) = get(trap, here!()).exit else { return false };
    if !status.is_null() {
        // SAFETY: C vouches for its pointers.
        unsafe { status.write(exit) };
    }
    true
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_frame_copy(frame: *const Handle<FrameObject>) -> *mut Handle<FrameObject> {
    Handle::give(get!(frame).clone())
}

/// Frames do not know their instance.
#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_frame_instance(frame: *const Handle<FrameObject>) -> *mut Handle<Reference> {
    get!(frame);
    ptr::null_mut()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_frame_func_index(frame: *const Handle<FrameObject>) -> u32 {
    get!(frame).func
}

/// Images do not say where in the file a function began.
#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_frame_func_offset(frame: *const Handle<FrameObject>) -> usize {
    get!(frame);
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_frame_module_offset(frame: *const Handle<FrameObject>) -> usize {
    get!(frame).offset.map_or(0, |offset| offset as usize)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_frame_func_name(frame: *const Handle<FrameObject>) -> *const c_char {
    get!(frame).name.as_ref().map_or(ptr::null(), |name| name.as_ptr())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_frame_symbol_count(frame: *const Handle<FrameObject>) -> usize {
    get!(frame).symbols.len()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_frame_symbol_name(frame: *const Handle<FrameObject>, index: usize) -> *const c_char {
    let name = get!(frame).symbols.get(index).and_then(|symbol| symbol.name.as_ref());
    name.map_or(ptr::null(), |name| name.as_ptr())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_frame_symbol_file(frame: *const Handle<FrameObject>, index: usize) -> *const c_char {
    let file = get!(frame).symbols.get(index).and_then(|symbol| symbol.file.as_ref());
    file.map_or(ptr::null(), |file| file.as_ptr())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_frame_symbol_line(frame: *const Handle<FrameObject>, index: usize) -> u32 {
    get!(frame).symbols.get(index).map_or(0, |symbol| symbol.line)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_frame_symbol_column(frame: *const Handle<FrameObject>, index: usize) -> u32 {
    get!(frame).symbols.get(index).map_or(0, |symbol| symbol.column)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_foreign_new(store: *const Handle<StoreObject>) -> *mut Handle<Reference> {
    get!(store);
    Reference::free(Object::Foreign(WithInfo::new(())))
}
