//! The one instance of the static model, made of the state that the compiler computed (`aot_abi::descriptor`).

use super::{Descriptor, Start, fail, fail_damaged, fail_out_of_memory, run, set_module};
use crate::instance::Instance;
use crate::memory::{MAPPING_SIZE, Memory, Reservation, make_accessible, reserve};
use crate::message::Message;
use crate::module::LoadedModule;
use crate::vmctx::{MemoryDef, VmContext};
use alloc::boxed::Box;
use aot_abi::types::{EntityKind, Limits, MemoryType, PAGE_SIZE};
use core::ptr::{self, NonNull};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// State after instantiation.
#[repr(C)]
pub struct Initial {
    /// Null without a memory.
    memory: *mut MemoryDef,
    pages: usize,
    max_pages: usize,
    /// What the kernel has mapped of the memory; null if nothing.
    image: *mut u8,
    image_len: usize,
    funcs: usize,
    imported_funcs: usize,
    calls: usize,
    copies: usize,
}

const _: () = assert!(
    size_of::<Initial>() == aot_abi::descriptor::INITIAL_WORDS * size_of::<usize>(),
    "the compiler writes it"
);

#[repr(C)]
struct Call {
    entry: *const u8,
    code: *const u8,
}

#[repr(C)]
struct Copy {
    to: *mut u8,
    from: *const u8,
    len: usize,
}

impl Initial {
    fn calls(&self) -> &[Call] {
        // SAFETY: the compiler wrote them there.
        unsafe { core::slice::from_raw_parts(ptr::from_ref(self).add(1).cast(), self.calls) }
    }

    /// Fills in what is not zero from an address on.
    ///
    /// # Safety
    /// Context and memory are there, and nothing else uses them.
    #[inline(never)]
    pub unsafe fn copy(&self, from: *mut u8) {
        // SAFETY: the compiler wrote them behind the calls; the caller vouches for the places.
        unsafe {
            let copies = self.calls().as_ptr_range().end.cast::<Copy>();
            for copy in core::slice::from_raw_parts(copies, self.copies) {
                if copy.to >= from {
                    ptr::copy_nonoverlapping(copy.from, copy.to, copy.len);
                }
            }
        }
    }
}

/// Makes the instance and makes its calls.
///
/// # Safety
/// The descriptor is the compiler's, with a complete initial state; called once.
pub unsafe extern "C" fn instantiate(start: Start<'_>) -> &'static mut Instance {
    let Descriptor { text, text_len, info, info_len, .. } = start.descriptor;
    // SAFETY: the compiler's; all that the descriptor points to is part of the executable.
    let (initial, module) = unsafe {
        let Some(initial) = start.descriptor.initial.as_ref() else { fail_damaged() };
        let info = core::slice::from_raw_parts(info, info_len);
        let (funcs, imported) = (initial.funcs as u32, initial.imported_funcs as u32);
        match LoadedModule::without_declarations(text, text_len, info, funcs, imported) {
            Ok(module) => (initial, set_module(module, start.stack_end)),
            Err(_) => fail_damaged(),
        }
    };
    let Some((vmctx, space)) = fixed_place(&start.descriptor, Some(initial), initial.pages) else {
        fail_damaged()
    };
    let memory = (!initial.memory.is_null()).then(|| {
        let limits = Limits { min: initial.pages as u64, max: Some(initial.max_pages as u64) };
        let ty = MemoryType { limits };
        // SAFETY: the definition lies in the context, which was reserved just now.
        let memory = unsafe { Memory::new(&ty, initial.memory, start.options.max_memory_size, Some(space)) };
        memory.unwrap_or_else(|_| fail_out_of_memory(EntityKind::Memory))
    });
    // SAFETY: the place was made just now, and the compiler wrote the rest.
    let instance = unsafe {
        initial.copy(ptr::null_mut());
        Box::leak(Instance::of_initial_state(module, vmctx, memory))
    };
    instance.set_wasi(start.context);
    for call in initial.calls() {
        // SAFETY: the compiler wrote them.
        unsafe { run(call.entry, call.code, vmctx.as_ptr()) };
    }
    instance
}

/// Reserves the addresses that the code of the static model has in it, around what the kernel has mapped there, and
/// makes the context and the first pages of the memory accessible. Nothing in the instance model.
#[inline(never)]
pub fn fixed_place(
    descriptor: &Descriptor,
    initial: Option<&Initial>,
    pages: usize,
) -> Option<(NonNull<VmContext>, Reservation)> {
    let context = NonNull::new(descriptor.vmctx)?;
    let memory = descriptor.memory;
    // The largest page of any machine.
    let start = descriptor.vmctx.map_addr(|address| address & !0xffff);
    let end = memory.wrapping_add(MAPPING_SIZE);
    let (image, image_len) = match initial {
        Some(initial) if initial.image_len > 0 => (initial.image, initial.image_len),
        _ => (end, 0),
    };
    // Nothing is mapped between the segments of an executable but by those who run it: an emulator keeps their gaps for it.
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
    let gap = image as usize - start as usize;
    // SAFETY: the executable's own gap, which nothing refers to.
    let below =
        image_len == 0 || unsafe { mmap_anonymous(start.cast(), gap, ProtFlags::empty(), flags) }.is_ok();
    let rest = if image_len == 0 { start } else { image.wrapping_add(image_len) };
    if !below || reserve(rest, end as usize - rest as usize).is_err() {
        let mut message = Message::new();
        message.text("cannot reserve the addresses of the program's memory, 6 GiB from 0x");
        message.hexadecimal(start as u64);
        message.text(": address space is limited (`ulimit -v`), or something else is there, which a program built with `-C model=instance` does not mind");
        fail(message.as_bytes());
    }
    let accessible = pages * PAGE_SIZE as usize;
    let len = memory as usize - start as usize + accessible;
    // SAFETY: the range was just reserved, or mapped from the file, and nothing refers to it.
    if unsafe { make_accessible(start, len) }.is_err() {
        fail_out_of_memory(EntityKind::Memory);
    }
    // SAFETY: reserved and made accessible just now.
    Some((context.cast(), unsafe { Reservation::from_raw(memory, accessible) }))
}
