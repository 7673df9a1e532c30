//! WASI preview 1 for guests of a host program.

use super::error::{Error, HostError};
use super::host::Caller;
use super::linker::Linker;
use crate::instance::guest_memory;
use crate::wasi;
use aot_abi::wasi::{FUNCTIONS, MODULE, MODULE_PREVIEW0, lookup};

pub use crate::wasi::{Clock, OutputBuffer, Stdio, WasiCtx, WasiCtxBuilder};

/// Defines the functions of WASI preview 1, and of its predecessor `wasi_unstable`. `context` finds the guest's context
/// in the data of its store. They act on the memory that the calling instance exports as `memory`.
///
/// # Errors
/// If one of the names is defined already.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    context: impl Fn(&mut T) -> &mut WasiCtx + Copy + Send + Sync + 'static,
) -> Result<(), Error> {
    preview1(linker, MODULE, context)?;
    preview1(linker, MODULE_PREVIEW0, context)?;
    preview0(linker, context)
}

/// Whether a module of WASI has the function of preview 1 with this name: the older one has some of its own.
fn is_preview1(module: &str, name: &str) -> bool {
    lookup(module, name).is_some_and(|function| FUNCTIONS.contains(function))
}

/// The context of the calling guest, and its memory.
fn guest<'a, T: 'static>(
    caller: &'a mut Caller<'_, T>,
    context: impl Fn(&mut T) -> &mut WasiCtx,
) -> Result<wasi::Caller<'a>, HostError> {
    if !caller.is_instance() {
        return Err("functions of WASI can only be called by instances".into());
    }
    // SAFETY: the instance waits for the function, and the memory is no part of the store's data.
    let memory = unsafe { guest_memory(caller.raw_memory()) };
    Ok(wasi::Caller { ctx: context(caller.data_mut()), memory })
}

macro_rules! define_preview1 {
    ($($kind:ident $name:ident($($param:ident: $ty:ident),* $(,)?);)*) => {
        fn preview1<T: 'static>(
            linker: &mut Linker<T>,
            module: &str,
            context: impl Fn(&mut T) -> &mut WasiCtx + Copy + Send + Sync + 'static,
        ) -> Result<(), Error> {
            $(if is_preview1(module, stringify!($name)) {
                define_preview1!(@$kind linker, module, context, $name($($param: $ty),*));
            })*
            Ok(())
        }
    };
    (@errno $linker:ident, $module:ident, $context:ident, $name:ident($($param:ident: $ty:ident),*)) => {
        let function = move |mut caller: Caller<'_, T>, $($param: $ty),*| -> Result<u32, HostError> {
            let wasi::Caller { ctx, mut memory } = guest(&mut caller, $context)?;
            Ok(wasi::to_raw(wasi::$name(ctx, &mut memory, $($param.cast_unsigned()),*)))
        };
        $linker.func_wrap($module, stringify!($name), function)?;
    };
    (@never $linker:ident, $module:ident, $context:ident, $name:ident($($param:ident: $ty:ident),*)) => {
        let function = move |mut caller: Caller<'_, T>, $($param: $ty),*| -> Result<(), HostError> {
            let wasi::Caller { ctx, mut memory } = guest(&mut caller, $context)?;
            let wasi::Exit(status) = wasi::$name(ctx, &mut memory, $($param.cast_unsigned()),*);
            Err(Error::Exit(status).into())
        };
        $linker.func_wrap($module, stringify!($name), function)?;
    };
}
aot_abi::for_each_wasi_function!(define_preview1);

macro_rules! define_preview0 {
    ($(errno $name:ident($($param:ident: $ty:ident),* $(,)?);)*) => {
        fn preview0<T: 'static>(
            linker: &mut Linker<T>,
            context: impl Fn(&mut T) -> &mut WasiCtx + Copy + Send + Sync + 'static,
        ) -> Result<(), Error> {
            $(
                let function = move |mut caller: Caller<'_, T>, $($param: $ty),*| -> Result<u32, HostError> {
                    let wasi::Caller { ctx, mut memory } = guest(&mut caller, context)?;
                    Ok(wasi::to_raw(wasi::preview0::$name(ctx, &mut memory, $($param.cast_unsigned()),*)))
                };
                linker.func_wrap(MODULE_PREVIEW0, stringify!($name), function)?;
            )*
            Ok(())
        }
    };
}
aot_abi::for_each_wasi_preview0_function!(define_preview0);
