//! Linear memories as array buffers.

use crate::store::{Context, StoreCell, StoreObject};
use aot_runtime::embed::Memory;
use rquickjs::class::{Trace, Tracer};
use rquickjs::{ArrayBuffer, ArrayBufferSource, Ctx, Result};
use std::ptr::NonNull;
use std::rc::Rc;

/// The bytes of a linear memory, as long as its store lives. Memories never move or shrink, so these bytes stay accessible
/// even when the memory has grown and its buffer is an old one.
struct View {
    bytes: NonNull<[u8]>,
    _store: Rc<StoreCell>,
}

// SAFETY: a memory of the store, which lives as long as this value; see above.
unsafe impl ArrayBufferSource for View {
    fn as_ptr(&self) -> *mut u8 {
        self.bytes.as_ptr().cast()
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// The array buffer of a memory.
pub struct Buffer<'js> {
    memory: Memory,
    pages: u64,
    buffer: ArrayBuffer<'js>,
}

impl<'js> Trace<'js> for Buffer<'js> {
    fn trace(&self, tracer: Tracer<'_, 'js>) {
        self.buffer.as_value().trace(tracer);
    }
}

impl<'js> StoreObject<'js> {
    /// The array buffer of a memory: the same one until the memory grows.
    pub fn buffer(&self, ctx: &Ctx<'js>, memory: Memory) -> Result<ArrayBuffer<'js>> {
        self.refresh_buffers();
        let known = self.buffers.borrow().iter().position(|known| known.memory == memory);
        if let Some(index) = known {
            let mut buffers = self.buffers.borrow_mut();
            // A script can transfer it, which detaches it.
            if buffers[index].buffer.as_raw().is_some() {
                return Ok(buffers[index].buffer.clone());
            }
            ctx.catch();
            buffers.swap_remove(index);
        }
        let (pages, bytes) = self.with(ctx, |context| {
            (memory.size(&*context).unwrap_or(0), NonNull::from(memory.data_mut(context)))
        })?;
        let view = View { bytes, _store: Rc::clone(&self.cell) };
        let buffer = ArrayBuffer::from_source(ctx.clone(), view)?;
        self.buffers.borrow_mut().push(Buffer { memory, pages, buffer: buffer.clone() });
        Ok(buffer)
    }

    /// Detaches the buffers of memories that have grown. To be called whenever JavaScript runs again.
    #[inline]
    pub fn refresh_buffers(&self) {
        if !self.buffers.borrow().is_empty() {
            self.detach_buffers(|memory, pages, context| memory.size(context).is_ok_and(|now| now == pages));
        }
    }

    /// Detaches the buffer of a memory, whether it has grown or not.
    pub fn detach_buffer(&self, memory: Memory) {
        self.detach_buffers(|other, _, _| *other != memory);
    }

    /// Detaches and forgets the buffers that are not to be kept.
    fn detach_buffers(&self, keep: impl Fn(&Memory, u64, &Context) -> bool) {
        let old = self.cell.with(|context| {
            let mut buffers = self.buffers.borrow_mut();
            buffers.extract_if(.., |buffer| !keep(&buffer.memory, buffer.pages, context)).collect::<Vec<_>>()
        });
        for mut old in old.into_iter().flatten() {
            old.buffer.detach();
        }
    }
}
