//! A driver for tests: loads images, instantiates them and calls their exports, as another process asks for it.
//!
//! `aot wast --target T` links it into an executable in place of `_start`, and so runs the specification's test suite
//! on foreign machines, with the runtime library that executables have. Requests come on standard input, answers go to
//! standard output; both are a length (`u32`) and as many bytes. All numbers are little-endian.
//!
//! ```text
//! request   1 load         three lengths (u32), code, description, data     → 0
//!           2 instantiate  module (u32), per import instance (u32), name    → 0, or why not
//!           3 call         instance (u32), name, slots of the arguments     → 0, types and slots of the results
//!           4 read         instance (u32), name of a global                 → 0, type and slot
//! answer    0 done … · 1 trap, code (u8) · 2 import error, text · 3 other error, text
//! name      length (u32), bytes
//! ```
//! Modules and instances are numbered from 0, also instances that failed. Nothing is ever freed. An import of instance
//! `u32::MAX` is unknown.

use crate::arch::{self, Registers};
use crate::call::{Activation, Slot, enter};
use crate::instance::{Callee, Extern, Instance, InstantiateError, ResourceLimits, Resources};
use crate::libcalls::LIBCALLS;
use crate::module::LoadedModule;
use crate::signal;
use crate::start::fail;
use crate::sys;
use crate::trap;
use crate::vmctx::FuncRef;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use aot_abi::trap::TrapCode;
use aot_abi::types::{EntityType, FuncType, ValType};
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::ptr;
use rustix::io::{self, Errno};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
use rustix::runtime_448b8ad740e2a26f::{Siginfo, Signal};

/// Stack that wasm code may use, in bytes.
const MAX_WASM_STACK: usize = 512 * 1024;

/// What the signal handler needs to know.
struct Running {
    modules: Vec<&'static LoadedModule>,
    activation: Activation,
    entry: *const u8,
    trap: Option<TrapCode>,
}

struct Shared(UnsafeCell<Option<Running>>);

// SAFETY: the process has one thread; the signal handler interrupts only wasm code, while nothing else uses the value.
unsafe impl Sync for Shared {}

static RUNNING: Shared = Shared(UnsafeCell::new(None));

struct Driver {
    types: Vec<FuncType>,
    instances: Vec<Option<&'static Instance>>,
    stack_limit: &'static UnsafeCell<usize>,
}

/// Why a request could not be fulfilled.
enum Refusal {
    Trap(TrapCode),
    Import(&'static str),
    Other(&'static str),
}

/// Serves requests until there are no more; what the compiler's `link::entry` makes the entry of an executable.
///
/// # Safety
/// Called once, by the entry of the process.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_drive(_instance: &mut Instance, _args: *const &[u8], _count: usize) -> i32 {
    // SAFETY: first use of the value. The handler touches nothing else.
    let installed = unsafe {
        let running = Running {
            modules: Vec::new(),
            activation: Activation::default(),
            entry: ptr::null(),
            trap: None,
        };
        *RUNNING.0.get() = Some(running);
        signal::FAULTS.iter().try_for_each(|fault| signal::handle(*fault, on_fault).map(drop))
    };
    if installed.is_err() {
        fail(b"cannot install signal handlers");
    }
    let stack_limit = Box::leak(Box::new(UnsafeCell::new(0)));
    let mut driver = Driver { types: Vec::new(), instances: Vec::new(), stack_limit };
    while let Some(request) = receive() {
        let mut answer = vec![0; 5];
        if let Err(refusal) = driver.serve(Reader(&request), &mut answer) {
            answer.truncate(4);
            match refusal {
                Refusal::Trap(code) => answer.extend([1, code as u8]),
                Refusal::Import(text) => answer.extend([2].iter().chain(text.as_bytes())),
                Refusal::Other(text) => answer.extend([3].iter().chain(text.as_bytes())),
            }
        }
        let len = (answer.len() - 4) as u32;
        answer[..4].copy_from_slice(&len.to_le_bytes());
        send(&answer);
    }
    0
}

/// A request, from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Refusal> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Refusal::Other("the request is cut off"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, Refusal> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.bytes(4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    fn name(&mut self) -> Result<&'a str, Refusal> {
        let len = self.u32()? as usize;
        core::str::from_utf8(self.bytes(len)?).map_err(|_| Refusal::Other("a name is not UTF-8"))
    }
}

impl Driver {
    fn serve(&mut self, mut request: Reader<'_>, answer: &mut Vec<u8>) -> Result<(), Refusal> {
        match request.bytes(1)? {
            [1] => self.load(&mut request),
            [2] => self.instantiate(&mut request),
            [3] => self.call(&mut request, answer),
            [4] => self.read(&mut request, answer),
            _ => Err(Refusal::Other("unknown request")),
        }
    }

    fn load(&mut self, request: &mut Reader<'_>) -> Result<(), Refusal> {
        let [text, info, data] = [request.u32()?, request.u32()?, request.u32()?];
        let text = request.bytes(text as usize)?;
        let info: &'static [u8] = Vec::leak(request.bytes(info as usize)?.to_vec());
        let data: &'static [u8] = Vec::leak(request.bytes(data as usize)?.to_vec());
        let code = map_code(text).map_err(|_| Refusal::Other("no memory for code"))?;
        let types = &mut self.types;
        let type_id = |ty: &FuncType| match types.iter().position(|other| other == ty) {
            Some(id) => id as u32,
            None => {
                types.push(ty.clone());
                types.len() as u32 - 1
            }
        };
        // SAFETY: the compiler made the parts together; none is ever freed.
        let module = unsafe { LoadedModule::new(code, text.len(), info, data, type_id) };
        let module = module.map_err(|_| Refusal::Other("the description is damaged"))?;
        running().modules.push(Box::leak(Box::new(module)));
        Ok(())
    }

    fn instantiate(&mut self, request: &mut Reader<'_>) -> Result<(), Refusal> {
        let number = self.instances.len();
        self.instances.push(None);
        let module = request.u32()? as usize;
        let module = *running().modules.get(module).ok_or(Refusal::Other("no such module"))?;
        let mut imports = Vec::new();
        for import in &module.declarations().imports {
            let exporter = request.u32()? as usize;
            let name = request.name()?;
            let exporter = self.instances.get(exporter).copied().flatten();
            imports.push(bind(module, &import.ty, exporter.ok_or(Refusal::Import("unknown import"))?, name)?);
        }
        let resources = Resources {
            stack_limit: self.stack_limit.get(),
            libcalls: LIBCALLS.as_ptr(),
            limits: &ResourceLimits::default(),
            vmctx: None,
            memory: None,
            has_image: false,
        };
        // SAFETY: modules and instances are never freed; types were checked.
        let (instance, result) = unsafe {
            let imports = imports.into_iter().map(|import: Extern| import.import());
            Instance::new(module, imports, resources)
        };
        let instance: Option<&'static Instance> = instance.map(|instance| &*Box::leak(instance));
        result.map_err(|error| match error {
            InstantiateError::OutOfMemory(_) => Refusal::Other("not enough memory"),
            InstantiateError::Trap(code) => Refusal::Trap(code),
            InstantiateError::Damaged => Refusal::Other("the description contradicts itself"),
        })?;
        let start = module.declarations().start;
        if let Some(callee) = start.and_then(|start| instance.and_then(|instance| instance.callee(start))) {
            self.enter(callee, &mut [[0; 16]])?;
        }
        self.instances[number] = instance;
        Ok(())
    }

    fn instance(&self, request: &mut Reader<'_>) -> Result<&'static Instance, Refusal> {
        let number = request.u32()? as usize;
        self.instances.get(number).copied().flatten().ok_or(Refusal::Other("no such instance"))
    }

    fn call(&mut self, request: &mut Reader<'_>, answer: &mut Vec<u8>) -> Result<(), Refusal> {
        let instance = self.instance(request)?;
        let name = request.name()?;
        let Some(Extern::Func(func)) = instance.export(name) else {
            return Err(Refusal::Other("no exported function of this name"));
        };
        // SAFETY: functions are never freed.
        let FuncRef { code, vmctx, entry, type_id } = unsafe { *func };
        let ty = self.types.get(type_id as usize).ok_or(Refusal::Other("a type without a number"))?.clone();
        let mut slots: Vec<Slot> = vec![[0; 16]; ty.params.len().max(ty.results.len()).max(1)];
        for (slot, param) in slots.iter_mut().zip(&ty.params) {
            slot.copy_from_slice(request.bytes(16)?);
            turn_reference(slot, *param);
        }
        self.enter(Callee { entry, code, vmctx }, &mut slots)?;
        for (mut slot, result) in slots.into_iter().zip(&ty.results) {
            turn_reference(&mut slot, *result);
            answer.push(*result as u8);
            answer.extend(slot);
        }
        Ok(())
    }

    fn read(&mut self, request: &mut Reader<'_>, answer: &mut Vec<u8>) -> Result<(), Refusal> {
        let instance = self.instance(request)?;
        let name = request.name()?;
        let declarations = instance.module().declarations();
        let ty = declarations.export(name).and_then(|export| declarations.global_type(export.index));
        let (Some(Extern::Global(cell)), Some(ty)) = (instance.export(name), ty) else {
            return Err(Refusal::Other("no exported global of this name"));
        };
        // SAFETY: cells are never freed.
        let mut slot = unsafe { *cell };
        // In cells numbers have the machine's byte order, and vectors that of memory.
        match ty.content {
            ValType::I32 | ValType::F32 if cfg!(target_endian = "big") => slot[..4].reverse(),
            ValType::I64 | ValType::F64 if cfg!(target_endian = "big") => slot[..8].reverse(),
            other => turn_reference(&mut slot, other),
        }
        answer.push(ty.content as u8);
        answer.extend(slot);
        Ok(())
    }

    fn enter(&mut self, callee: Callee, slots: &mut [Slot]) -> Result<(), Refusal> {
        let here = ptr::from_ref(&callee) as usize;
        // SAFETY: no other reference to the cell exists; compiled code reads it by its address.
        unsafe { self.stack_limit.get().write(here.saturating_sub(MAX_WASM_STACK)) };
        let running = running();
        running.entry = callee.entry;
        running.trap = None;
        let activation = &raw mut running.activation;
        // SAFETY: the callee is an instance's own, with slots for its type.
        match unsafe { enter(activation, callee.entry, callee.code, callee.vmctx, slots.as_mut_ptr()) } {
            true => Ok(()),
            false => Err(Refusal::Trap(running.trap.unwrap_or(TrapCode::Unreachable))),
        }
    }
}

/// Checks that an export is what an import wants (core specification 4.5.2).
fn bind(
    module: &LoadedModule,
    wanted: &EntityType,
    exporter: &Instance,
    name: &str,
) -> Result<Extern, Refusal> {
    let found = exporter.export(name).ok_or(Refusal::Import("unknown import"))?;
    // SAFETY: what instances export is never freed.
    let fits = unsafe {
        match (wanted, found) {
            (EntityType::Func(ty), Extern::Func(func)) => {
                module.type_ids().get(*ty as usize) == Some(&(*func).type_id)
            }
            (EntityType::Table(wanted), Extern::Table(table)) => {
                let ty = (*table).ty();
                ty.element == wanted.element && ty.limits.satisfies((*table).len(), &wanted.limits)
            }
            (EntityType::Memory(wanted), Extern::Memory(memory)) => {
                (*memory).limits().satisfies((*memory).pages(), &wanted.limits)
            }
            (EntityType::Global(wanted), Extern::Global(_)) => {
                let declarations = exporter.module().declarations();
                let index = declarations.export(name).map(|export| export.index);
                index.and_then(|index| declarations.global_type(index)) == Some(*wanted)
            }
            _ => false,
        }
    };
    if fits { Ok(found) } else { Err(Refusal::Import("incompatible import type")) }
}

/// References travel as little-endian numbers, and are words of the machine in slots.
fn turn_reference(slot: &mut Slot, ty: ValType) {
    if ty.is_ref() && cfg!(target_endian = "big") {
        slot[..size_of::<usize>()].reverse();
    }
}

/// Copies code into memory that is executable and not writable.
fn map_code(text: &[u8]) -> io::Result<*const u8> {
    let len = text.len().max(1);
    // SAFETY: a new private mapping; it is written before anyone else knows it.
    unsafe {
        let writable = ProtFlags::READ | ProtFlags::WRITE;
        let base = mmap_anonymous(ptr::null_mut(), len, writable, MapFlags::PRIVATE)?.cast::<u8>();
        ptr::copy_nonoverlapping(text.as_ptr(), base, text.len());
        mprotect(base.cast(), len, MprotectFlags::READ | MprotectFlags::EXEC)?;
        arch::sync_code(base, text.len());
        Ok(base)
    }
}

/// The value that the signal handler shares.
fn running() -> &'static mut Running {
    // SAFETY: one thread, and each reference is used only until the next call; the handler runs only in wasm code.
    let running = unsafe { (*RUNNING.0.get()).as_mut() };
    running.unwrap_or_else(|| fail(b"the driver was not started"))
}

/// Makes the call that a fault interrupted return a trap.
unsafe extern "C" fn on_fault(number: c_int, info: *mut Siginfo, context: *mut c_void) {
    // SAFETY: the kernel passes valid records.
    let (registers, fault) = unsafe {
        let has_address = number == Signal::SEGV.as_raw() || number == Signal::BUS.as_raw();
        (arch::registers(number, context), has_address.then(|| signal::fault_address(info)))
    };
    let running = running();
    let mut modules = running.modules.iter();
    if let Some(site) = modules.find_map(|module| trap::classify(module, &registers, fault)) {
        let entry = running.modules.iter().find_map(|module| {
            let offset = module.text_offset(running.entry as usize)?;
            let entry = module.declarations().entries.iter().find(|entry| entry.code_offset == offset)?;
            Some((module.code(entry.pad_offset) as usize, entry.frame_size as usize))
        });
        if let Some((pc, frame_size)) = entry {
            running.trap = Some(site.code);
            let fp = running.activation.frame_pointer;
            // SAFETY: the landing pad of the trampoline that owns the frame expects exactly these registers.
            unsafe { arch::set_registers(context, &Registers { pc, sp: fp - frame_size, fp }) };
            return;
        }
    }
    // SAFETY: the default action is always valid: the fault happens again, and ends the process.
    unsafe { signal::reset(number) };
}

/// The next request; `None` at the end of the input.
fn receive() -> Option<Vec<u8>> {
    let mut len = [0; 4];
    fill(&mut len)?;
    let mut request = vec![0; u32::from_le_bytes(len) as usize];
    fill(&mut request)?;
    Some(request)
}

fn fill(mut bytes: &mut [u8]) -> Option<()> {
    while !bytes.is_empty() {
        match io::read(sys::standard_stream(0), &mut *bytes) {
            Ok(0) => return None,
            Ok(read) => bytes = &mut bytes[read..],
            Err(Errno::INTR) => {}
            Err(_) => fail(b"cannot read requests"),
        }
    }
    Some(())
}

fn send(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match io::write(sys::standard_stream(1), bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(_) => fail(b"cannot write answers"),
        }
    }
}
