//! The functions of WASI, for libraries.
//!
//! As for executables, but a guest that exits does not take the program with it.

use super::instance::Library;
use super::trap::Trap;
use crate::instance::wasi_caller;
use crate::vmctx::VmContext;
use crate::wasi::{self, Caller};

macro_rules! preview1 {
    ($($kind:ident $name:ident($($param:ident: $ty:ident),* $(,)?);)*) => {
        $(preview1!(@$kind $name($($param: $ty),*));)*
    };
    (@errno $name:ident($($param:ident: $ty:ident),*)) => {
        #[unsafe(export_name = concat!("aot_lib_wasi_", stringify!($name)))]
        unsafe extern "C" fn $name(vmctx: *mut VmContext, $($param: $ty),*) -> u32 {
            // SAFETY: compiled code passes its own instance, and waits.
            let Caller { ctx, mut memory } = unsafe { wasi_caller(vmctx) };
            wasi::to_raw(wasi::$name(ctx, &mut memory, $($param.cast_unsigned()),*))
        }
    };
    (@never $name:ident($($param:ident: $ty:ident),*)) => {
        #[unsafe(export_name = concat!("aot_lib_wasi_", stringify!($name)))]
        unsafe extern "C" fn $name(vmctx: *mut VmContext, $($param: $ty),*) {
            // SAFETY: compiled code passes its own instance, and waits.
            let Caller { ctx, mut memory } = unsafe { wasi_caller(vmctx) };
            let wasi::Exit(status) = wasi::$name(ctx, &mut memory, $($param.cast_unsigned()),*);
            // SAFETY: as above; the context is not used any more.
            unsafe { Library::of(vmctx) }.fail(Trap::exit(status));
        }
    };
}
aot_abi::for_each_wasi_function!(preview1);

macro_rules! preview0 {
    ($(errno $name:ident($($param:ident: $ty:ident),* $(,)?);)*) => {
        mod preview0 {
            use super::{Caller, VmContext, wasi, wasi_caller};

            $(
                #[unsafe(export_name = concat!("aot_lib_wasi0_", stringify!($name)))]
                unsafe extern "C" fn $name(vmctx: *mut VmContext, $($param: $ty),*) -> u32 {
                    // SAFETY: compiled code passes its own instance, and waits.
                    let Caller { ctx, mut memory } = unsafe { wasi_caller(vmctx) };
                    wasi::to_raw(wasi::preview0::$name(ctx, &mut memory, $($param.cast_unsigned()),*))
                }
            )*
        }
    };
}
aot_abi::for_each_wasi_preview0_function!(preview0);
