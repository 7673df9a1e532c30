//! Vectors of the C API: a size and an array. C's allocator makes the array, as C programs expect of arrays they fill.

use crate::error::{self, Kind};
use crate::handle::{Handle, Object};
use core::ffi::c_void;
use core::ptr;

unsafe extern "C" {
    fn calloc(count: usize, size: usize) -> *mut c_void;
    fn free(array: *mut c_void);
}

/// A vector whose elements lie in it.
#[repr(C)]
pub struct CVec<T> {
    pub size: usize,
    pub data: *mut T,
}

/// A vector of pointers to objects.
pub type ObjectVec<T> = CVec<*mut Handle<T>>;
pub type ByteVec = CVec<u8>;

impl<T> CVec<T> {
    pub fn empty() -> CVec<T> {
        CVec { size: 0, data: ptr::null_mut() }
    }

    /// A vector whose bytes are zero. It is empty, and the error noted, if there is no memory.
    pub fn zeroed(size: usize) -> CVec<T> {
        if size == 0 {
            return CVec::empty();
        }
        let data: *mut T = match core::alloc::Layout::array::<T>(size) {
            // SAFETY: `calloc` takes any sizes.
            Ok(_) => unsafe { calloc(size, size_of::<T>()) }.cast(),
            Err(_) => ptr::null_mut(),
        };
        if data.is_null() {
            error::set(Kind::Memory, format!("not enough memory for a vector of {size} elements"));
            return CVec::empty();
        }
        CVec { size, data }
    }

    /// A vector of these elements, which it owns. If there is no memory the elements are lost.
    pub fn from_iter(elements: impl ExactSizeIterator<Item = T>) -> CVec<T> {
        let vec: CVec<T> = CVec::zeroed(elements.len());
        for (index, element) in elements.take(vec.size).enumerate() {
            // SAFETY: there is room for `size` elements.
            unsafe { vec.data.add(index).write(element) };
        }
        vec
    }

    /// # Safety
    /// The vector is as this library or C made it: `size` elements at `data`.
    pub unsafe fn as_slice<'a>(&self) -> &'a [T] {
        // SAFETY: the caller vouches for the elements.
        unsafe { slice(self.data, self.size) }
    }

    /// # Safety
    /// As [`CVec::as_slice`]; nothing else uses the elements meanwhile.
    pub unsafe fn as_mut_slice<'a>(&mut self) -> &'a mut [T] {
        match self.size == 0 || self.data.is_null() {
            true => &mut [],
            // SAFETY: the caller vouches for the elements.
            false => unsafe { core::slice::from_raw_parts_mut(self.data, self.size) },
        }
    }

    /// Takes the vector out, and leaves an empty one.
    pub fn take(&mut self) -> CVec<T> {
        core::mem::replace(self, CVec::empty())
    }

    /// Frees the array; the elements are the caller's business.
    ///
    /// # Safety
    /// The array was made by this library, and nothing uses it any more.
    pub unsafe fn free(&mut self) {
        // SAFETY: the caller vouches for the array.
        unsafe { free(self.take().data.cast()) };
    }
}

impl<T: Object> ObjectVec<T> {
    /// Deletes the elements and the array.
    ///
    /// # Safety
    /// The vector owns its elements, and was made by this library.
    pub unsafe fn delete(&mut self, function: &str) {
        // SAFETY: the caller vouches for them.
        unsafe {
            for element in self.as_slice() {
                Handle::delete(*element, function);
            }
            self.free();
        }
    }
}

/// A slice of what C has; null is an empty one.
///
/// # Safety
/// There are `size` elements, if `data` is not null.
pub unsafe fn slice<'a, T>(data: *const T, size: usize) -> &'a [T] {
    match size == 0 || data.is_null() {
        true => &[],
        // SAFETY: the caller vouches for the elements.
        false => unsafe { core::slice::from_raw_parts(data, size) },
    }
}

/// Defines the functions of a kind of vectors, with what copies and what deletes an element.
macro_rules! vec_functions {
    ($element:ty, copy $copy:expr, delete $delete:expr; $empty:ident $uninit:ident $new:ident $vec_copy:ident $vec_delete:ident) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $empty(out: *mut $crate::vec::CVec<$element>) {
            // SAFETY: C vouches for its pointers.
            unsafe { out.write($crate::vec::CVec::empty()) };
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn $uninit(out: *mut $crate::vec::CVec<$element>, size: usize) {
            // SAFETY: C vouches for its pointers.
            unsafe { out.write($crate::vec::CVec::zeroed(size)) };
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn $new(out: *mut $crate::vec::CVec<$element>, size: usize, data: *const $element) {
            // SAFETY: C vouches for its pointers: `size` elements, which it gives away.
            unsafe {
                let elements = $crate::vec::slice(data, size);
                out.write($crate::vec::CVec::from_iter(
                    elements.iter().map(|element| core::ptr::read(element)),
                ));
            }
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn $vec_copy(
            out: *mut $crate::vec::CVec<$element>,
            vec: *const $crate::vec::CVec<$element>,
        ) {
            let copy: unsafe fn(&$element) -> $element = $copy;
            // SAFETY: C vouches for its pointers.
            unsafe {
                let elements = (*vec).as_slice();
                out.write($crate::vec::CVec::from_iter(elements.iter().map(|element| copy(element))));
            }
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn $vec_delete(vec: *mut $crate::vec::CVec<$element>) {
            let delete: unsafe fn(&mut $element) = $delete;
            // SAFETY: C vouches for its pointers, and that it owns the vector.
            unsafe {
                if vec.is_null() {
                    return;
                }
                for element in (*vec).as_mut_slice() {
                    delete(element);
                }
                (*vec).free();
            }
        }
    };
}

vec_functions! {
    u8, copy |byte| *byte, delete |_| ();
    wasm_byte_vec_new_empty wasm_byte_vec_new_uninitialized wasm_byte_vec_new wasm_byte_vec_copy wasm_byte_vec_delete
}

/// As `vec_functions`, for vectors of pointers to objects; null stays null.
macro_rules! object_vec_functions {
    ($($object:ty, copy $copy:expr; $empty:ident $uninit:ident $new:ident $vec_copy:ident $vec_delete:ident)*) => {
        $(vec_functions! {
            *mut $crate::handle::Handle<$object>,
            copy |object| match object.is_null() {
                true => core::ptr::null_mut(),
                false => {
                    let copy: fn(&$object) -> $object = $copy;
                    $crate::handle::Handle::give(copy(get!(*object)))
                }
            },
            delete |object| {
                // SAFETY: C vouches for its pointers, and the vector owns them.
                unsafe { $crate::handle::Handle::delete(*object, stringify!($vec_delete)) }
            };
            $empty $uninit $new $vec_copy $vec_delete
        })*
    };
}
