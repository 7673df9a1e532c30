//! Modules: images, mapped.

use super::debugger::Registration;
use super::engine::EngineConfig;
use super::error::Error;
use super::pool::MemoryImage;
use super::profiler::{self, ProfilingStrategy};
use super::types::{ExternType, type_id};
use crate::module::LoadedModule;
use crate::{arch, cpu};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use aot_abi::image::{HASH_LEN, ImageError, ImageFile, Machine, at_address, flags};
use core::ptr;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, fstat, memfd_create, openat};
use rustix::io::{Errno, retry_on_intr, write};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mprotect, munmap};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock};

/// Why a module could not be loaded.
#[derive(Clone, Debug)]
pub enum LoadError {
    /// It is not an image that this machine and library can run: each reason.
    Image { path: Option<PathBuf>, reasons: Vec<ImageError> },
    /// The system refused to open or map it.
    System { path: Option<PathBuf>, error: Errno },
}

impl core::fmt::Display for LoadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (LoadError::Image { path, .. } | LoadError::System { path, .. }) = self;
        match path {
            Some(path) => write!(f, "cannot load `{}`: ", path.display())?,
            None => f.write_str("cannot load the image: ")?,
        }
        match self {
            LoadError::Image { reasons, .. } => {
                for (number, reason) in reasons.iter().enumerate() {
                    let separator = if number > 0 { "; " } else { "" };
                    write!(f, "{separator}{reason}; {}", reason.help())?;
                }
                Ok(())
            }
            LoadError::System { error, .. } => {
                error.fmt(f)?;
                Ok(())
            }
        }
    }
}

impl core::error::Error for LoadError {}

impl LoadError {
    /// The same error, of an image that was read from this file.
    pub fn of_file(self, path: &Path) -> LoadError {
        let path = Some(path.to_path_buf());
        match self {
            LoadError::Image { reasons, .. } => LoadError::Image { path, reasons },
            LoadError::System { error, .. } => LoadError::System { path, error },
        }
    }
}

/// A compiled module, mapped into memory. Cheap to clone, good for any number of stores and threads.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Inner>,
}

struct Inner {
    loaded: Box<LoadedModule>,
    flags: u64,
    memory: Option<MemoryImage>,
    /// What debuggers and profilers were told.
    debugger: OnceLock<Option<Registration>>,
    perf_map: OnceLock<Result<(), String>>,
    jit_dump: OnceLock<Result<(), String>>,
    // `loaded` refers to it, so it is dropped after that.
    mapping: Mapping,
}

/// A file in memory: readable, and its code executable. Never written.
struct Mapping {
    base: *mut u8,
    len: usize,
}

impl Mapping {
    fn new(file: &OwnedFd) -> Result<Mapping, Errno> {
        let len = usize::try_from(fstat(file)?.st_size).map_err(|_| Errno::FBIG)?;
        if len == 0 {
            return Ok(Mapping { base: ptr::dangling_mut(), len });
        }
        // SAFETY: a new private mapping.
        let base = unsafe { mmap(ptr::null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, file, 0)? };
        Ok(Mapping { base: base.cast(), len })
    }

    /// # Safety
    /// The mapping outlives the result.
    unsafe fn bytes(&self) -> &'static [u8] {
        // SAFETY: readable as long as the mapping exists.
        unsafe { core::slice::from_raw_parts(self.base, self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: mapped by `new`; nothing refers to it any more.
            let unmapped = unsafe { munmap(self.base.cast(), self.len) };
            debug_assert!(unmapped.is_ok());
        }
    }
}

// SAFETY: code and tables are never written after they were loaded.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

/// Code in memory: its first address, its length, its module, and the image that it is of.
#[derive(Clone, Copy)]
struct Code(usize, usize, *const LoadedModule, &'static [u8]);

// SAFETY: addresses; what they point to is shared and never written.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

/// The code in memory, ascending, for the signal handler too: it runs only while wasm code does, never inside of these
/// functions in the same thread.
static LOADED: RwLock<Vec<Code>> = RwLock::new(Vec::new());

/// Calls `use_module` with the module whose code contains `address`.
pub(super) fn with_module_at<R>(address: usize, use_module: impl FnOnce(&LoadedModule) -> R) -> Option<R> {
    with_image_at(address, |module, _| use_module(module))
}

/// The same, with the bytes of the image.
pub(super) fn with_image_at<R>(
    address: usize,
    use_module: impl FnOnce(&LoadedModule, &[u8]) -> R,
) -> Option<R> {
    let modules = LOADED.read().unwrap_or_else(PoisonError::into_inner);
    let index = modules.partition_point(|code| code.0 <= address).checked_sub(1)?;
    let Code(start, len, module, image) = modules[index];
    // SAFETY: modules leave the list before they are freed, and the lock is held.
    (address - start < len).then(|| use_module(unsafe { &*module }, image))
}

/// Something that a module imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportType<'a> {
    pub module: &'a str,
    pub name: &'a str,
    pub ty: ExternType,
}

/// Something that a module exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportType<'a> {
    pub name: &'a str,
    pub ty: ExternType,
}

impl Module {
    /// Maps an image file (`aot build --emit cwasm`). Nothing is copied or relocated: code, tables and the initial memory
    /// of instances are the pages of the file.
    ///
    /// # Errors
    /// If the file cannot be mapped, was damaged or cut off, or is not an image for this machine and this version of the
    /// library. The message says which and what to do.
    ///
    /// # Safety
    /// The image's machine code will be executed: whoever made the file is trusted like the author of this program. The
    /// file is not written while it is mapped; replacing it by another one, as `aot build` does, is harmless.
    pub unsafe fn deserialize_file(path: impl AsRef<Path>) -> Result<Module, LoadError> {
        let path = path.as_ref();
        let at = |error| LoadError::System { path: Some(path.to_path_buf()), error };
        let file = openat(CWD, path.as_os_str().as_bytes(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(at)?;
        // SAFETY: the caller vouches for the file.
        unsafe { Module::map(file, Some(path)) }
    }

    /// Loads an image from memory. It is copied once.
    ///
    /// # Errors
    /// As [`Module::deserialize_file`].
    ///
    /// # Safety
    /// As [`Module::deserialize_file`].
    pub unsafe fn deserialize(image: &[u8]) -> Result<Module, LoadError> {
        let file = in_memory(image).map_err(|error| LoadError::System { path: None, error })?;
        // SAFETY: the caller vouches for the image; nobody else has the file.
        unsafe { Module::map(file, None) }
    }

    /// # Safety
    /// As [`Module::deserialize_file`].
    unsafe fn map(file: OwnedFd, path: Option<&Path>) -> Result<Module, LoadError> {
        let system = |error| LoadError::System { path: path.map(Path::to_path_buf), error };
        let refuse = |reasons| LoadError::Image { path: path.map(Path::to_path_buf), reasons };
        let mapping = Mapping::new(&file).map_err(system)?;
        // SAFETY: what refers to the bytes is dropped before the mapping.
        let bytes = unsafe { mapping.bytes() };
        let image = ImageFile::parse(bytes).map_err(|reason| refuse(alloc::vec![reason]))?;
        image.verify(blake3).map_err(|reason| refuse(alloc::vec![reason]))?;
        let mut reasons = image.refusals(Machine::HOST, cpu::has_feature);
        if image.note.flags & flags::STACK_CHECKED == 0 {
            // Without checks of the stack a guest could overrun the host's.
            reasons.push(ImageError::Flags { offset: 0, found: image.note.flags });
        }
        if !reasons.is_empty() {
            return Err(refuse(reasons));
        }
        let (description, declarations) = image.describe().map_err(|reason| refuse(alloc::vec![reason]))?;
        let text = image.text;
        // Parts lie in the file (`parse`), so in the address space too.
        let code = mapping.base.wrapping_add(text.offset as usize);
        let text_len = text.len as usize;
        if text_len > 0 {
            // SAFETY: nothing else is in the pages of the text (`parse`); it is in the mapping.
            unsafe {
                let flags = MprotectFlags::READ | MprotectFlags::EXEC;
                mprotect(code.cast(), text_len, flags).map_err(system)?;
                arch::sync_code(code, text_len);
            }
        }
        static IMAGES: AtomicU64 = AtomicU64::new(1);
        let memory = declarations.memory_image.map(|memory| MemoryImage {
            file: Arc::new(file),
            file_offset: image.memory.offset,
            offset: memory.offset as usize,
            len: memory.len as usize,
            id: IMAGES.fetch_add(1, Relaxed),
        });
        // SAFETY: the caller vouches for the code; `describe` checked that the description leads nowhere else. All of it
        // stays in place as long as the mapping, which lives as long as the module.
        let loaded = unsafe {
            LoadedModule::from_parts(
                code,
                text_len,
                description,
                declarations,
                image.bytes(image.data),
                type_id,
            )
        };
        let loaded = loaded.map_err(|error| {
            let offset = image.description.offset;
            refuse(alloc::vec![ImageError::Description { offset, error }])
        })?;
        let loaded = Box::new(loaded);
        if text_len > 0 {
            let mut modules = LOADED.write().unwrap_or_else(PoisonError::into_inner);
            let index = modules.partition_point(|other| other.0 < code as usize);
            modules.insert(index, Code(code as usize, text_len, &raw const *loaded, bytes));
        }
        let inner = Inner {
            loaded,
            flags: image.note.flags,
            memory,
            debugger: OnceLock::new(),
            perf_map: OnceLock::new(),
            jit_dump: OnceLock::new(),
            mapping,
        };
        Ok(Module { inner: Arc::new(inner) })
    }

    pub(super) fn loaded(&self) -> &LoadedModule {
        &self.inner.loaded
    }

    pub(super) fn memory_image(&self) -> Option<&MemoryImage> {
        self.inner.memory.as_ref()
    }

    /// Tells debuggers and profilers of the module, once, as an engine's configuration wants it.
    ///
    /// # Errors
    /// If a file for profilers cannot be written.
    pub(super) fn announce(&self, config: &EngineConfig) -> Result<(), Error> {
        if config.debugger {
            self.inner.debugger.get_or_init(|| {
                at_address(self.image(), self.inner.mapping.base as u64).map(Registration::new)
            });
        }
        let told = match config.profiling {
            ProfilingStrategy::None => return Ok(()),
            ProfilingStrategy::PerfMap => &self.inner.perf_map,
            ProfilingStrategy::JitDump => &self.inner.jit_dump,
        };
        let told = told.get_or_init(|| profiler::describe(self.loaded(), self.image(), config.profiling));
        told.clone().map_err(Error::usage)
    }

    /// The code by which this module calls host functions of a type, through slots.
    pub(super) fn host_trampoline(&self, type_index: u32) -> Option<*const u8> {
        let declarations = self.declarations();
        let wanted = declarations.types.get(type_index as usize)?;
        let mut trampolines = declarations.host_trampolines.iter();
        let found = trampolines.find(|t| declarations.types.get(t.type_index as usize) == Some(wanted))?;
        Some(self.loaded().code(found.code_offset))
    }

    /// What the module declares.
    pub fn declarations(&self) -> &aot_abi::module::Module {
        self.loaded().declarations()
    }

    /// The bytes of the image that the module was loaded from.
    pub fn image(&self) -> &[u8] {
        // SAFETY: the module keeps the mapping for longer than the result is borrowed.
        unsafe { self.inner.mapping.bytes() }
    }

    /// Whether loops look for an interruption.
    pub fn is_interruptible(&self) -> bool {
        self.inner.flags & flags::INTERRUPTIBLE != 0
    }

    /// Whether the code counts fuel.
    pub fn counts_fuel(&self) -> bool {
        self.inner.flags & flags::FUEL != 0
    }

    /// What the module imports, in order.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = ImportType<'_>> {
        let declarations = self.declarations();
        declarations.imports.iter().map(|import| ImportType {
            module: &import.module,
            name: &import.name,
            ty: ExternType::new(&import.ty, &declarations.types),
        })
    }

    /// What the module exports, in order.
    pub fn exports(&self) -> impl Iterator<Item = ExportType<'_>> {
        let declarations = self.declarations();
        declarations.exports.iter().filter_map(|export| {
            let ty = declarations.entity_type(export.kind, export.index)?;
            Some(ExportType { name: &export.name, ty: ExternType::new(&ty, &declarations.types) })
        })
    }

    /// The type of an export.
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        let declarations = self.declarations();
        let export = declarations.export(name)?;
        let ty = declarations.entity_type(export.kind, export.index)?;
        Some(ExternType::new(&ty, &declarations.types))
    }
}

impl core::fmt::Debug for Module {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let declarations = self.declarations();
        f.debug_struct("Module")
            .field("imports", &declarations.imports.len())
            .field("exports", &declarations.exports.len())
            .field("functions", &declarations.funcs.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let address = &raw const *self.loaded;
        LOADED.write().unwrap_or_else(PoisonError::into_inner).retain(|code| code.2 != address);
    }
}

/// A file that exists in memory only.
fn in_memory(bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let file = memfd_create("aot-image", MemfdFlags::CLOEXEC)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = retry_on_intr(|| write(&file, rest))?;
        rest = rest.get(written..).unwrap_or(&[]);
    }
    Ok(file)
}

fn blake3(pieces: [&[u8]; 2]) -> [u8; HASH_LEN] {
    let mut hasher = blake3::Hasher::new();
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finalize().into()
}
