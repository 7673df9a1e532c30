//! What C has of an object: a pointer to a handle, which knows its class and whether it was deleted.
//!
//! A wrong pointer (null, deleted, of another class) is a bug of the host program that nothing can be returned for:
//! it ends the process with a message. To find every use after deletion, deleted handles are kept in debug mode
//! (`AOT_DEBUG=1`, `aot_set_debug`), so that their memory is never another object's.

use core::ffi::{CStr, c_char};
use core::mem::ManuallyDrop;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Something that C has handles of.
pub trait Object {
    /// A name that C knows it by. Its address is the mark of live handles.
    const CLASS: &'static Class;
}

/// A kind of objects.
pub struct Class {
    pub name: &'static str,
}

impl Class {
    fn mark(&'static self) -> usize {
        &raw const *self as usize
    }
}

/// What deleted handles have in place of their mark.
const DELETED: usize = 0xdead;
/// Set in the mark of handles that were deleted in debug mode.
const KEPT_BIT: usize = 1;
/// Set in the mark of handles that C borrows for the time of a callback.
const LOCAL_BIT: usize = 2;

/// An object on the heap (or, for the time of a callback, on the stack).
#[repr(C, align(8))]
pub struct Handle<T> {
    mark: AtomicUsize,
    value: ManuallyDrop<T>,
}

/// An object on the stack, for C to borrow as long as the value lives.
pub struct Local<T: Object>(Handle<T>);

impl<T: Object> Local<T> {
    pub fn new(value: T) -> Local<T> {
        let mark = AtomicUsize::new(T::CLASS.mark() | LOCAL_BIT);
        Local(Handle { mark, value: ManuallyDrop::new(value) })
    }

    /// What C gets.
    pub fn handle(&self) -> *const Handle<T> {
        &raw const self.0
    }
}

impl<T: Object> Drop for Local<T> {
    fn drop(&mut self) {
        self.0.mark.store(DELETED, Relaxed);
        // SAFETY: nothing uses the value any more.
        unsafe { ManuallyDrop::drop(&mut self.0.value) };
    }
}

/// Whether deleted handles are kept.
static DEBUG: LazyLock<AtomicBool> = LazyLock::new(|| {
    let set = std::env::var_os("AOT_DEBUG").is_some_and(|value| !value.is_empty() && value != "0");
    AtomicBool::new(set)
});

/// Deleted handles in debug mode: kept, and known to leak checkers.
static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());

impl<T: Object> Handle<T> {
    /// A handle for C, which has to delete it.
    pub fn give(value: T) -> *mut Handle<T> {
        Box::into_raw(Box::new(Handle {
            mark: AtomicUsize::new(T::CLASS.mark()),
            value: ManuallyDrop::new(value),
        }))
    }

    /// The object of a pointer that C gave.
    ///
    /// # Safety
    /// The pointer is null or one that this library gave; the object is not deleted while the result is used.
    pub unsafe fn get<'a>(pointer: *const Handle<T>, function: &str) -> &'a T {
        if pointer.is_null() {
            misuse(function, &format!("a {} is NULL", T::CLASS.name));
        }
        // SAFETY: the caller vouches for the pointer.
        let handle = unsafe { &*pointer };
        let mark = handle.mark.load(Relaxed);
        if mark & !LOCAL_BIT != T::CLASS.mark() {
            wrong_mark(T::CLASS, mark, pointer.cast(), function);
        }
        &handle.value
    }

    /// As [`Handle::get`], to change it.
    ///
    /// # Safety
    /// As [`Handle::get`]; nothing else uses the object meanwhile.
    pub unsafe fn get_mut<'a>(pointer: *mut Handle<T>, function: &str) -> &'a mut T {
        // SAFETY: the caller vouches for the pointer.
        unsafe {
            Handle::get(pointer, function);
            &mut (*pointer).value
        }
    }

    /// Takes an object back from C, and deletes the handle.
    ///
    /// # Safety
    /// The pointer is null or one that [`Handle::give`] gave; nothing else uses the object.
    pub unsafe fn take(pointer: *mut Handle<T>, function: &str) -> T {
        // SAFETY: the caller vouches for the pointer, and does not use it again.
        unsafe {
            Handle::get(pointer, function);
            if (*pointer).mark.load(Relaxed) & LOCAL_BIT != 0 {
                misuse(function, &format!("the {} is borrowed, and cannot be deleted", T::CLASS.name));
            }
            let value = ManuallyDrop::take(&mut (*pointer).value);
            if DEBUG.load(Relaxed) {
                (*pointer).mark.store(T::CLASS.mark() | KEPT_BIT, Relaxed);
                KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(pointer as usize);
            } else {
                (*pointer).mark.store(DELETED, Relaxed);
                drop(Box::from_raw(pointer));
            }
            value
        }
    }

    /// Deletes an object; null is none.
    ///
    /// # Safety
    /// As [`Handle::take`].
    pub unsafe fn delete(pointer: *mut Handle<T>, function: &str) {
        if !pointer.is_null() {
            // SAFETY: the caller vouches for the pointer.
            drop(unsafe { Handle::take(pointer, function) });
        }
    }
}

#[cold]
#[inline(never)]
fn wrong_mark(wanted: &'static Class, mark: usize, pointer: *const (), function: &str) -> ! {
    let name = wanted.name;
    if mark == wanted.mark() | KEPT_BIT || mark == DELETED {
        misuse(function, &format!("the {name} at {pointer:p} was deleted before"));
    }
    misuse(
        function,
        &format!("what is at {pointer:p} is no {name}: it was deleted before, or is something else"),
    );
}

/// Ends the process: the host program broke a rule of the API, and there is nothing to go on with.
#[cold]
#[inline(never)]
pub fn misuse(function: &str, message: &str) -> ! {
    let hint = match DEBUG.load(Relaxed) {
        true => "",
        false => " (with AOT_DEBUG=1 in the environment every use after deletion is found)",
    };
    eprintln!("libaot: {}: {message}{hint}", function_name(function));
    std::process::abort()
}

/// A plain pointer of C's, which must not be null.
///
/// # Safety
/// The pointer is null or valid as long as the result is used.
pub unsafe fn plain<'a, T>(pointer: *const T, what: &str, function: &str) -> &'a T {
    // SAFETY: the caller vouches for the pointer.
    unsafe { pointer.as_ref() }.unwrap_or_else(|| misuse(function, &format!("{what} is NULL")))
}

/// A text of C's.
///
/// # Safety
/// The pointer is null or one of a text that ends with a zero, which stays as it is while the result is used.
pub unsafe fn text<'a>(pointer: *const c_char, function: &str) -> &'a CStr {
    // SAFETY: the caller vouches for the text.
    unsafe { CStr::from_ptr(plain(pointer, "a text", function)) }
}

/// A function pointer of C's, which must not be null.
pub fn callback<F>(pointer: Option<F>, function: &str) -> F {
    pointer.unwrap_or_else(|| misuse(function, "the callback is NULL"))
}

/// The name of a C function, of that of an item in it.
fn function_name(item: &str) -> &str {
    let path = item.strip_suffix("::here").unwrap_or(item);
    path.rsplit("::").find(|part| !part.contains('{')).unwrap_or(item)
}

/// The function that this is in, for [`misuse`].
macro_rules! here {
    () => {{
        fn here() {}
        core::any::type_name_of_val(&here)
    }};
}

/// The object of a pointer that C gave.
macro_rules! get {
    ($pointer:expr) => {
        // SAFETY: C vouches for its pointers, as the guide says.
        unsafe { $crate::handle::Handle::get($pointer, here!()) }
    };
}

/// As `get`, to change it.
macro_rules! get_mut {
    ($pointer:expr) => {
        // SAFETY: C vouches for its pointers, and uses such objects in one thread at a time.
        unsafe { $crate::handle::Handle::get_mut($pointer, here!()) }
    };
}

/// The object that C gives away.
macro_rules! take {
    ($pointer:expr) => {
        // SAFETY: C vouches for its pointers, and that it owns this one.
        unsafe { $crate::handle::Handle::take($pointer, here!()) }
    };
}

/// Defines functions that delete objects.
macro_rules! delete {
    ($($function:ident($class:ty);)*) => {
        $(#[unsafe(no_mangle)]
        unsafe extern "C" fn $function(object: *mut $crate::handle::Handle<$class>) {
            // SAFETY: C vouches for its pointers, and that it owns this one.
            unsafe { $crate::handle::Handle::delete(object, here!()) }
        })*
    };
}

/// Names the class of objects.
macro_rules! class {
    ($($class:ty, $name:literal;)*) => {
        $(impl $crate::handle::Object for $class {
            const CLASS: &'static $crate::handle::Class = {
                static CLASS: $crate::handle::Class = $crate::handle::Class { name: $name };
                &CLASS
            };
        })*
    };
}

#[unsafe(no_mangle)]
extern "C" fn aot_set_debug(on: bool) {
    DEBUG.store(on, Relaxed);
}
