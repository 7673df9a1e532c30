//! Instances as C knows them.

use super::options::Options;
use super::stack::Stack;
use super::trap::Trap;
use super::{Descriptor, fault};
use crate::call::{self, Activation, Slot};
use crate::instance::{Callee, Extern, Import, Instance, InstantiateError, Resources};
use crate::libcalls::LIBCALLS;
use crate::module::LoadedModule;
use crate::trap::TrapSite;
use crate::vmctx::{FuncImport, FuncRef, MemoryDef, VmContext};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use aot_abi::call::library::{FAILED_POINTERS, SET_AT_POINTERS};
use aot_abi::image::ABI_HASH;
use aot_abi::trap::TrapCode;
use aot_abi::types::{EntityType, FuncType};
use aot_abi::wasi;
use core::ffi::{CStr, c_char, c_void};
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize};

/// What compiled code looks at, and other threads may change (`aot_abi::call`).
#[repr(C)]
struct Cells {
    stack_limit: AtomicUsize,
    _fuel: AtomicI64,
    /// The address on the stack for which the limit was set; 0 if each call is to look.
    set_at: AtomicUsize,
    /// Not zero if a function of the host has failed.
    failed: AtomicU32,
}

const _: () = assert!(
    offset_of!(Cells, set_at) == SET_AT_POINTERS as usize * size_of::<usize>()
        && offset_of!(Cells, failed) == FAILED_POINTERS as usize * size_of::<usize>(),
    "compiled code finds them here"
);

/// An instance and what belongs to it. Its VM context, which is what C has, points to the cells.
#[repr(C)]
pub(super) struct Library {
    cells: Cells,
    instance: Option<Box<Instance>>,
    host: *mut c_void,
    /// The stack of the last call.
    stack: Stack,
    stack_bytes: usize,
    /// Why a function of the host has failed.
    failure: Option<Trap>,
    /// Why the instance could not be entered.
    refusal: Option<Trap>,
    interrupted: AtomicBool,
    /// Whether uses after the end and by other threads are looked for.
    is_checked: bool,
    is_deleted: bool,
    /// The thread that uses a checked instance; 0 if that is still open.
    owner: i32,
}

/// In the flags of [`aot_instance_new`]: look for uses after the end and by other threads.
const CHECKED: u32 = 1;

/// One thread at a time makes modules known.
static LOADING: AtomicBool = AtomicBool::new(false);

impl Library {
    /// # Safety
    /// The context is that of an instance of this file; no other reference to the result is alive.
    pub unsafe fn of<'a>(vmctx: *mut VmContext) -> &'a mut Library {
        // The pointer to the stack limit is the second of every context, and the limit is the first thing in here.
        // SAFETY: the caller vouches for the context.
        unsafe { &mut *vmctx.cast::<*mut Library>().add(1).read() }
    }

    fn instance(&mut self) -> &mut Instance {
        self.instance.as_deref_mut().expect("set before the context is given away")
    }

    pub fn module(&mut self) -> &'static LoadedModule {
        let module: *const LoadedModule = self.instance().module();
        // SAFETY: modules are never unloaded.
        unsafe { &*module }
    }

    /// Makes the code that called the host trap.
    pub fn fail(&mut self, why: Trap) {
        self.failure.get_or_insert(why);
        self.cells.failed.store(1, Relaxed);
    }

    /// Prepares an entry with this stack pointer. What is in the way becomes the refusal.
    fn enter(&mut self, sp: usize) -> bool {
        let refusal = match self.is_checked {
            true => self.misuse(),
            false => None,
        };
        if let Some(text) = refusal {
            self.refusal = Some(Trap::error(text));
            return false;
        }
        if !self.stack.contains(sp) {
            self.stack = Stack::around(sp);
        }
        let limit = self.stack.limit(sp, self.stack_bytes);
        if sp <= limit {
            self.refusal = Some(Trap::new(TrapCode::StackOverflow, None, String::new()));
            return false;
        }
        self.cells.stack_limit.swap(limit, SeqCst);
        if self.interrupted.load(SeqCst) {
            self.cells.stack_limit.store(usize::MAX, SeqCst);
        }
        self.cells.set_at.store(if self.is_checked { 0 } else { sp }, Relaxed);
        true
    }

    /// What is wrong with using the instance now.
    fn misuse(&mut self) -> Option<&'static str> {
        if self.is_deleted {
            return Some("the instance is used after it was deleted");
        }
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        if self.owner == 0 {
            self.owner = thread;
        }
        (self.owner != thread).then_some(
            "the instance is called by another thread than before; if they take turns, let the first one disown it",
        )
    }

    /// Why the last entry was refused.
    pub fn take_refusal(&mut self) -> Trap {
        self.refusal.take().unwrap_or_else(|| Trap::error("the instance cannot be entered"))
    }

    /// What a trap of compiled code is to the host.
    pub fn trap(&mut self, site: TrapSite, backtrace: String) -> Trap {
        if site.code == TrapCode::HostFunction {
            self.cells.failed.store(0, Relaxed);
            let failure = self.failure.take();
            return failure
                .unwrap_or_else(|| Trap::error("a function of the host failed"))
                .with_backtrace(backtrace);
        }
        // The limit that stops a guest is found by the check of the stack too.
        let may_be_stopped = matches!(site.code, TrapCode::StackOverflow | TrapCode::Interrupt);
        if may_be_stopped && self.interrupted.swap(false, SeqCst) {
            // The next call sets the limit.
            self.cells.set_at.store(0, Relaxed);
            return Trap::new(TrapCode::Interrupt, site.wasm_offset, backtrace);
        }
        Trap::new(site.code, site.wasm_offset, backtrace)
    }
}

/// Calls a function without parameters and results.
///
/// # Safety
/// The instance exists, and no reference to it: functions of the host that the guest calls make their own.
unsafe fn run(library: *mut Library, callee: Callee) -> Result<(), Trap> {
    let here = 0u8;
    // SAFETY: the caller vouches for the instance. The trampoline is that of the function's type, which has neither
    // parameters nor results.
    unsafe {
        if !(*library).enter(&raw const here as usize) {
            return Err((*library).take_refusal());
        }
        let mut activation = Activation::default();
        let mut slots: [Slot; 1] = [[0; 16]];
        let Callee { entry, code, vmctx } = callee;
        if call::enter(&mut activation, entry, code, vmctx, slots.as_mut_ptr()) {
            return Ok(());
        }
        // The landing pad stored what the handler of faults passed on.
        let mut record = [0; size_of::<usize>()];
        record.copy_from_slice(&slots[0][..size_of::<usize>()]);
        let record = ptr::NonNull::new(usize::from_ne_bytes(record) as *mut fault::Record);
        let record = record.ok_or_else(|| Trap::error("the guest trapped"))?;
        Err(fault::take(&mut *library, record))
    }
}

/// The module of a descriptor.
///
/// # Safety
/// The descriptor is one that the compiler made; it and all that it points to stay for ever.
unsafe fn load(descriptor: *const Descriptor) -> Result<&'static LoadedModule, Trap> {
    while LOADING.compare_exchange(false, true, Acquire, Relaxed).is_err() {
        rustix::thread::sched_yield();
    }
    let loaded = match fault::find(descriptor) {
        Some(module) => Ok(module),
        // SAFETY: the caller vouches for the descriptor; the lock is held.
        None => unsafe { read_module(descriptor) },
    };
    LOADING.store(false, Release);
    loaded
}

/// # Safety
/// As [`load`].
unsafe fn read_module(descriptor: *const Descriptor) -> Result<&'static LoadedModule, Trap> {
    let damaged = || Trap::error("the object is damaged: the description of the module cannot be read");
    let mut seen: Vec<FuncType> = Vec::new();
    let type_id = |ty: &FuncType| match seen.iter().position(|other| other == ty) {
        Some(id) => id as u32,
        None => {
            seen.push(ty.clone());
            seen.len() as u32 - 1
        }
    };
    // SAFETY: the caller vouches for the descriptor.
    let module = unsafe {
        let Descriptor { text, text_len, info, info_len, data, data_len, .. } = *descriptor;
        let info = core::slice::from_raw_parts(info, info_len);
        let data = core::slice::from_raw_parts(data, data_len);
        LoadedModule::new(text, text_len, info, data, type_id).map_err(|_| damaged())?
    };
    fault::add(module, descriptor).map_err(|()| Trap::error("the system takes no handlers of faults"))
}

/// Makes an instance of a module, and runs its start function and `_initialize`. Null, and a trap, if that fails.
///
/// # Safety
/// Called by the generated header: `descriptor` is that of a module, `imports` has `count` pointers to functions, of
/// the types that the header declares for the interface with that number; `options` is null or was made by this library;
/// `place` is null or valid for writes.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_instance_new(
    descriptor: *const Descriptor,
    interface: u64,
    imports: *const *const u8,
    count: usize,
    host: *mut c_void,
    options: *const Options,
    flags: u32,
    place: *mut *mut Trap,
) -> *mut VmContext {
    let default = Options::default();
    // SAFETY: the caller vouches for all.
    let made = unsafe {
        let imports = if imports.is_null() { &[] } else { core::slice::from_raw_parts(imports, count) };
        let options = options.as_ref().unwrap_or(&default);
        make(descriptor, interface, imports, host, options, flags)
    };
    match made {
        Ok(vmctx) => vmctx,
        Err(trap) => {
            // SAFETY: the caller vouches for the place.
            unsafe { trap.give(place) };
            ptr::null_mut()
        }
    }
}

/// # Safety
/// As [`aot_instance_new`].
unsafe fn make(
    descriptor: *const Descriptor,
    interface: u64,
    imports: &[*const u8],
    host: *mut c_void,
    options: &Options,
    flags: u32,
) -> Result<*mut VmContext, Trap> {
    // SAFETY: the caller vouches for the descriptor.
    unsafe { check(&*descriptor, interface)? };
    // SAFETY: as above.
    let (module, has_wasi) = unsafe { (load(descriptor)?, (*descriptor).wasi != 0) };
    let is_wasi = |module: &str, name: &str| has_wasi && wasi::lookup(module, name).is_some();
    let mut given = imports.iter();
    let mut bound = Vec::new();
    let mut uses_wasi = false;
    let declarations = module.declarations();
    // Linked modules may import the same function; it is given once.
    let mut seen: BTreeMap<(&str, &str), Vec<(Option<&FuncType>, *const u8)>> = BTreeMap::new();
    for import in &declarations.imports {
        let EntityType::Func(ty) = import.ty else {
            return Err(Trap::error("the object is damaged: it imports what is no function"));
        };
        let mut code = ptr::null();
        if is_wasi(&import.module, &import.name) {
            uses_wasi = true;
        } else {
            let ty = declarations.types.get(ty as usize);
            let same_name = seen.entry((&import.module, &import.name)).or_default();
            code = match same_name.iter().find(|(other, _)| *other == ty) {
                Some((_, code)) => *code,
                None => {
                    let code = given.next().copied().unwrap_or(ptr::null());
                    same_name.push((ty, code));
                    code
                }
            };
            if code.is_null() {
                let what = format!("missing import: function `{}` of `{}`", import.name, import.module);
                return Err(Trap::error(&what));
            }
        }
        bound.push(Import::Func(FuncImport { code, vmctx: ptr::null_mut() }));
    }
    let wasi = if uses_wasi { Some(options.wasi().map_err(|text| Trap::error(&text))?) } else { None };

    let library = Box::into_raw(Box::new(Library {
        cells: Cells {
            stack_limit: AtomicUsize::new(usize::MAX),
            _fuel: AtomicI64::new(0),
            set_at: AtomicUsize::new(0),
            failed: AtomicU32::new(0),
        },
        instance: None,
        host,
        stack: Stack::default(),
        stack_bytes: options.stack_bytes(),
        failure: None,
        refusal: None,
        interrupted: AtomicBool::new(false),
        is_checked: flags & CHECKED != 0,
        is_deleted: false,
        owner: 0,
    }));
    let limits = options.limits();
    let resources = Resources {
        stack_limit: library.cast(),
        libcalls: LIBCALLS.as_ptr(),
        limits: &limits,
        vmctx: None,
        memory: None,
        has_image: false,
    };
    // SAFETY: the module is never unloaded; the host vouches for its functions; the library outlives its instance.
    let (instance, result) = unsafe { Instance::new(module, bound.into_iter(), resources) };
    let result = match (instance, result) {
        (Some(mut instance), Ok(())) => {
            if let Some(wasi) = wasi {
                instance.set_wasi(Box::new(wasi));
            }
            let vmctx = instance.vmctx();
            // SAFETY: made above, and used by nobody else.
            unsafe {
                (*library).instance = Some(instance);
                start(library, module).map(|()| vmctx)
            }
        }
        (_, Err(error)) => Err(instantiate_error(error)),
        (None, Ok(())) => Err(instantiate_error(InstantiateError::Damaged)),
    };
    if result.is_err() {
        // SAFETY: made above, and given to nobody.
        drop(unsafe { Box::from_raw(library) });
    }
    result
}

/// Compares what the object, the header and this library were made for.
fn check(descriptor: &Descriptor, interface: u64) -> Result<(), Trap> {
    if descriptor.abi != ABI_HASH as u64 {
        return Err(Trap::error(
            "the object was made for another version of the runtime library: link it with the one that the aot which \
             built it writes (`aot runtime`)",
        ));
    }
    if descriptor.interface != interface {
        return Err(Trap::error(
            "the header is not that of the object: their functions differ; build the program with the header that was \
             written together with the object",
        ));
    }
    if let Some(has_features) = descriptor.check_cpu {
        // SAFETY: the descriptor is the compiler's.
        if !unsafe { has_features(descriptor.cpu_features, descriptor.cpu_features_len) } {
            return Err(Trap::error(
                "the object was built for a CPU with features that this machine lacks; build it with \
                 `--cpu baseline` or another `--cpu`",
            ));
        }
    }
    Ok(())
}

/// Runs what a module wants to be run before its exports are called.
///
/// # Safety
/// As [`run`].
unsafe fn start(library: *mut Library, module: &'static LoadedModule) -> Result<(), Trap> {
    let damaged = || instantiate_error(InstantiateError::Damaged);
    let declarations = module.declarations();
    if let Some(start) = declarations.start {
        // SAFETY: the caller vouches for the instance.
        unsafe {
            let callee = (*library).instance().callee(start).ok_or_else(damaged)?;
            run(library, callee)?;
        }
    }
    let ty = declarations.export("_initialize").and_then(|export| declarations.func_type_index(export.index));
    let ty = ty.and_then(|ty| declarations.types.get(ty as usize));
    if ty.is_some_and(|ty| ty.params.is_empty() && ty.results.is_empty()) {
        // SAFETY: as above; the reference is one of the instance.
        unsafe {
            if let Some(Extern::Func(func)) = (*library).instance().export("_initialize") {
                let FuncRef { code, vmctx, entry, .. } = *func;
                run(library, Callee { entry, code, vmctx })?;
            }
        }
    }
    Ok(())
}

fn instantiate_error(error: InstantiateError) -> Trap {
    match error {
        InstantiateError::Trap(code) => Trap::new(code, None, String::new()),
        InstantiateError::OutOfMemory(kind) => {
            Trap::error(&format!("not enough memory for a {}, or a limit is below its size", kind.name()))
        }
        InstantiateError::Damaged => {
            Trap::error("the object is damaged: the description of the module contradicts itself")
        }
    }
}

/// Ends an instance. Null is none.
///
/// # Safety
/// The instance is not used any more, also by none of its own functions.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_instance_delete(vmctx: *mut VmContext) {
    if vmctx.is_null() {
        return;
    }
    // SAFETY: the caller vouches for the instance. A checked one stays, to be recognised.
    unsafe {
        let library = Library::of(vmctx);
        if library.is_checked {
            if library.is_deleted {
                super::abort("an instance is deleted twice");
            }
            library.is_deleted = true;
        } else {
            drop(Box::from_raw(ptr::from_mut(library)));
        }
    }
}

/// What the host gave when it made the instance.
///
/// # Safety
/// The instance exists.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_instance_host(vmctx: *mut VmContext) -> *mut c_void {
    // SAFETY: the caller vouches for the instance.
    unsafe { Library::of(vmctx).host }
}

/// Says that a function of the host has failed, which then returns anything: the guest traps with this message.
///
/// # Safety
/// The instance exists; the message is a string.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_instance_fail(vmctx: *mut VmContext, message: *const c_char) {
    // SAFETY: the caller vouches for both.
    unsafe {
        let message =
            if message.is_null() { c"a function of the host failed" } else { CStr::from_ptr(message) };
        Library::of(vmctx).fail(Trap::error(&String::from_utf8_lossy(message.to_bytes())));
    }
}

/// Stops the guest at the next function, or, in objects built with `-W epoch-interruption`, loop. Any thread may call it.
///
/// # Safety
/// The instance exists.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_instance_interrupt(vmctx: *mut VmContext) {
    // SAFETY: the caller vouches for the instance. Only atomics are used, since the instance may be running.
    unsafe {
        let library = vmctx.cast::<*mut Library>().add(1).read();
        (*library).interrupted.store(true, SeqCst);
        (*library).cells.stack_limit.store(usize::MAX, SeqCst);
    }
}

/// Lets another thread use a checked instance from now on.
///
/// # Safety
/// The instance exists.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_instance_disown(vmctx: *mut VmContext) {
    // SAFETY: the caller vouches for the instance.
    unsafe { Library::of(vmctx).owner = 0 };
}

/// Grows a memory of the instance by pages of 64 KiB. Whether that was possible.
///
/// # Safety
/// The instance exists; the memory is one of its own.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_instance_grow_memory(
    vmctx: *mut VmContext,
    memory: *const MemoryDef,
    pages: u64,
) -> bool {
    // SAFETY: the caller vouches for the instance.
    let instance = unsafe { Library::of(vmctx).instance() };
    let mut memories = (0..).map_while(|index| instance.memory(index));
    // SAFETY: memories live as long as their instance.
    unsafe {
        let found = memories.find(|found| ptr::addr_eq((**found).def(), memory));
        found.is_some_and(|found| (*found).grow(pages).is_some())
    }
}

/// The bytes of a memory from an offset on, if it has them all.
///
/// # Safety
/// The memory is one of an instance that exists.
unsafe fn bytes_at(memory: *const MemoryDef, offset: u64, len: usize) -> Option<*mut u8> {
    // SAFETY: the caller vouches for the memory.
    let MemoryDef { base, len: size } = unsafe { memory.read() };
    let fits = offset.checked_add(len as u64).is_some_and(|end| end <= size as u64);
    fits.then(|| base.wrapping_add(offset as usize))
}

/// Copies out of a memory. False if not all bytes are in it.
///
/// # Safety
/// The memory is one of an instance that exists and is not running; `to` is valid for writes of `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_memory_read(memory: *const MemoryDef, offset: u64, to: *mut u8, len: usize) -> bool {
    // SAFETY: the caller vouches for both. They may be the same memory.
    unsafe {
        let from = bytes_at(memory, offset, len);
        from.is_some_and(|from| {
            ptr::copy(from, to, len);
            true
        })
    }
}

/// Copies into a memory. False if not all bytes are in it.
///
/// # Safety
/// The memory is one of an instance that exists and is not running; `from` is valid for reads of `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_memory_write(
    memory: *const MemoryDef,
    offset: u64,
    from: *const u8,
    len: usize,
) -> bool {
    // SAFETY: the caller vouches for both. They may be the same memory.
    unsafe {
        let to = bytes_at(memory, offset, len);
        to.is_some_and(|to| {
            ptr::copy(from, to, len);
            true
        })
    }
}

/// What an export does whose stack limit may not be good.
///
/// # Safety
/// Called by compiled code only, with its instance and stack pointer.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_lib_enter(vmctx: *mut VmContext, sp: usize) -> usize {
    // SAFETY: the host vouches for the instance; it waits if it has called the host.
    usize::from(unsafe { Library::of(vmctx) }.enter(sp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_field_is_what_contexts_point_to() {
        assert_eq!(offset_of!(Library, cells), 0);
        assert_eq!(offset_of!(Cells, stack_limit), 0);
    }
}
