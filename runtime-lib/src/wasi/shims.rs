//! The WASI functions as C symbols, for compiled code in executables.
//!
//! Each takes the instance and the parameters of the wasm function, and returns the errno. Names and types come
//! from the lists in `aot-abi`, the implementation is the function of the same name in [`super`].

use super::context::Caller;
use crate::vmctx::VmContext;

/// The context and memory of the instance that calls.
///
/// # Safety
///
/// `vmctx` must be the pointer that compiled code got for its instance, and the returned value the only one for
/// that instance while it lives.
unsafe fn caller<'a>(vmctx: *mut VmContext) -> Caller<'a> {
    // SAFETY: the conditions are the same.
    unsafe { crate::instance::wasi_caller(vmctx) }
}

/// Turns a wasm parameter into the unsigned number that the WASI functions take.
macro_rules! unsigned {
    ($value:ident) => {
        $value.cast_unsigned()
    };
}

macro_rules! preview1_shims {
    ($($kind:ident $name:ident($($param:ident: $ty:ident),* $(,)?);)*) => {
        $(preview1_shims!(@$kind $name($($param: $ty),*));)*
    };
    (@errno $name:ident($($param:ident: $ty:ident),*)) => {
        /// See the function of the same name.
        ///
        /// # Safety
        ///
        /// `vmctx` must be the instance that calls.
        #[unsafe(export_name = concat!("aot_wasi_", stringify!($name)))]
        pub unsafe extern "C" fn $name(vmctx: *mut VmContext, $($param: $ty),*) -> u32 {
            // SAFETY: the caller gives its own instance, and waits for this call to return.
            let Caller { ctx, mut memory } = unsafe { caller(vmctx) };
            crate::wasi::to_raw(crate::wasi::$name(ctx, &mut memory, $(unsigned!($param)),*))
        }
    };
    (@never $name:ident($($param:ident: $ty:ident),*)) => {
        /// See the function of the same name. Ends the process.
        ///
        /// # Safety
        ///
        /// `vmctx` must be the instance that calls.
        #[unsafe(export_name = concat!("aot_wasi_", stringify!($name)))]
        pub unsafe extern "C" fn $name(vmctx: *mut VmContext, $($param: $ty),*) -> ! {
            // SAFETY: the caller gives its own instance, and waits for this call.
            let Caller { ctx, mut memory } = unsafe { caller(vmctx) };
            let exit = crate::wasi::$name(ctx, &mut memory, $(unsigned!($param)),*);
            crate::start::exit(exit.process_status())
        }
    };
}

macro_rules! preview0_shims {
    ($(errno $name:ident($($param:ident: $ty:ident),* $(,)?);)*) => {
        $(
            /// See the function of the same name.
            ///
            /// # Safety
            ///
            /// `vmctx` must be the instance that calls.
            #[unsafe(export_name = concat!("aot_wasi0_", stringify!($name)))]
            pub unsafe extern "C" fn $name(vmctx: *mut VmContext, $($param: $ty),*) -> u32 {
                // SAFETY: the caller gives its own instance, and waits for this call to return.
                let Caller { ctx, mut memory } = unsafe { caller(vmctx) };
                crate::wasi::to_raw(crate::wasi::preview0::$name(ctx, &mut memory, $(unsigned!($param)),*))
            }
        )*
    };
}

mod preview1 {
    use super::{Caller, VmContext, caller};

    aot_abi::for_each_wasi_function!(preview1_shims);
}

mod preview0 {
    use super::{Caller, VmContext, caller};

    aot_abi::for_each_wasi_preview0_function!(preview0_shims);
}
