//! A compiled module in memory, ready to be instantiated.

use alloc::vec::Vec;
use aot_abi::DecodeError;
use aot_abi::module::{Description, Module};
use aot_abi::types::{EntityKind, FuncType};
use aot_abi::vmctx::VmOffsets;

/// A compiled module: its code, its description, and the bytes of its data segments.
pub struct LoadedModule {
    text: *const u8,
    text_len: usize,
    description: Description<'static>,
    data: &'static [u8],
    declarations: Module,
    offsets: VmOffsets,
    type_ids: Vec<u32>,
    main_memory: Option<u32>,
    imported_funcs: u32,
    /// Number of defined functions.
    funcs: u32,
    /// The slot of each function's reference, by function index; [`NO_SLOT`] if it does not escape. An executable, which
    /// makes one instance, has no use for it.
    #[cfg(feature = "embed")]
    slots: Vec<u32>,
}

#[cfg(feature = "embed")]
const NO_SLOT: u32 = u32::MAX;

impl LoadedModule {
    /// Reads the description of a module.
    ///
    /// # Errors
    /// If the description is damaged.
    ///
    /// # Safety
    /// `text` is executable code of `text_len` bytes that the compiler made together with `description` and `data`;
    /// all three stay in place as long as the value exists.
    pub unsafe fn new(
        text: *const u8,
        text_len: usize,
        description: &'static [u8],
        data: &'static [u8],
        type_id: impl FnMut(&FuncType) -> u32,
    ) -> Result<LoadedModule, DecodeError> {
        let description = Description::new(description)?;
        let declarations = description.module()?;
        // SAFETY: the caller vouches for the parts.
        unsafe { LoadedModule::from_parts(text, text_len, description, declarations, data, type_id) }
    }

    /// As [`LoadedModule::new`], of a description that was read already.
    ///
    /// # Errors
    /// If the declarations need more state than an instance can have.
    ///
    /// # Safety
    /// As [`LoadedModule::new`].
    pub unsafe fn from_parts(
        text: *const u8,
        text_len: usize,
        description: Description<'static>,
        declarations: Module,
        data: &'static [u8],
        mut type_id: impl FnMut(&FuncType) -> u32,
    ) -> Result<LoadedModule, DecodeError> {
        let damaged = DecodeError { offset: 0, expected: "declarations of a possible size" };
        let counts = declarations.counts();
        let offsets = VmOffsets::new(size_of::<usize>() as u32, counts).ok_or(damaged)?;
        let type_ids = declarations.types.iter().map(&mut type_id).collect();
        let imported_funcs = counts.imported_funcs;
        let funcs = declarations.funcs.len() as u32;
        #[cfg(feature = "embed")]
        let mut slots = alloc::vec![NO_SLOT; imported_funcs as usize + declarations.funcs.len()];
        #[cfg(feature = "embed")]
        for (slot, func) in declarations.escaped.iter().enumerate() {
            if let Some(place) = slots.get_mut(*func as usize) {
                *place = slot as u32;
            }
        }
        let main_memory = declarations.export("memory").filter(|export| export.kind == EntityKind::Memory);
        let main_memory = main_memory.map(|export| export.index);
        Ok(LoadedModule {
            main_memory,
            text,
            text_len,
            description,
            data,
            declarations,
            offsets,
            type_ids,
            imported_funcs,
            funcs,
            #[cfg(feature = "embed")]
            slots,
        })
    }

    /// A module of which no declarations are needed, for an instance that was made in advance.
    ///
    /// # Errors
    /// If the description is damaged.
    ///
    /// # Safety
    /// As [`LoadedModule::new`].
    #[cfg(feature = "standalone")]
    pub unsafe fn without_declarations(
        text: *const u8,
        text_len: usize,
        description: &'static [u8],
        funcs: u32,
        imported_funcs: u32,
    ) -> Result<LoadedModule, DecodeError> {
        Ok(LoadedModule {
            main_memory: None,
            text,
            text_len,
            description: Description::new(description)?,
            data: &[],
            declarations: Module::default(),
            offsets: VmOffsets::header(size_of::<usize>() as u32),
            type_ids: Vec::new(),
            imported_funcs,
            funcs,
            #[cfg(feature = "embed")]
            slots: Vec::new(),
        })
    }

    pub fn declarations(&self) -> &Module {
        &self.declarations
    }

    pub fn description(&self) -> &Description<'static> {
        &self.description
    }

    pub fn offsets(&self) -> &VmOffsets {
        &self.offsets
    }

    /// Canonical type ids, by type index.
    pub fn type_ids(&self) -> &[u32] {
        &self.type_ids
    }

    pub fn imported_funcs(&self) -> u32 {
        self.imported_funcs
    }

    /// Number of defined functions.
    pub fn funcs(&self) -> u32 {
        self.funcs
    }

    /// Type index of a function, imported or defined.
    pub fn func_type(&self, func: u32) -> Option<u32> {
        match func.checked_sub(self.imported_funcs()) {
            Some(defined) => self.declarations.funcs.get(defined as usize).copied(),
            None => self.declarations.func_type_index(func),
        }
    }

    /// Where the reference to a function is in the VM context, if it escapes.
    pub fn slot(&self, func: u32) -> Option<u32> {
        #[cfg(feature = "embed")]
        let slot = self.slots.get(func as usize).copied().filter(|slot| *slot != NO_SLOT);
        #[cfg(not(feature = "embed"))]
        let slot = self.declarations.escaped.binary_search(&func).ok().map(|slot| slot as u32);
        slot
    }

    /// Index of the memory that is exported as `memory`.
    pub fn main_memory(&self) -> Option<u32> {
        self.main_memory
    }

    /// The address of an offset in the text section.
    pub fn code(&self, offset: u32) -> *const u8 {
        self.text.wrapping_add(offset as usize)
    }

    /// A part of the text section.
    #[cfg(feature = "embed")]
    pub fn code_bytes(&self, offset: u32, len: u32) -> Option<&[u8]> {
        let end = (offset as usize).checked_add(len as usize)?;
        // SAFETY: the text is readable as long as the module exists (`new`), and the part lies in it.
        (end <= self.text_len)
            .then(|| unsafe { core::slice::from_raw_parts(self.code(offset), len as usize) })
    }

    /// The offset in the text section of an address.
    pub fn text_offset(&self, address: usize) -> Option<u32> {
        let offset = address.wrapping_sub(self.text as usize);
        (offset < self.text_len).then_some(offset as u32)
    }

    /// Code of a function of this module: of a defined one its body, of an imported one its shim if there is one.
    pub fn func_code(&self, func: u32) -> Option<*const u8> {
        match func.checked_sub(self.imported_funcs()) {
            Some(defined) => {
                let exists = (defined as usize) < self.declarations.funcs.len();
                exists.then(|| self.code(self.description.code_range(defined).0))
            }
            None => self.declarations.import_shims.get(func as usize).map(|offset| self.code(*offset)),
        }
    }

    /// The code of the entry trampoline of a type.
    pub fn entry(&self, type_index: u32) -> Option<*const u8> {
        let wanted = self.type_ids.get(type_index as usize)?;
        let mut entries = self.declarations.entries.iter();
        let found = entries.find(|entry| self.type_ids.get(entry.type_index as usize) == Some(wanted))?;
        Some(self.code(found.code_offset))
    }

    /// The typed entry trampoline of the function whose code starts at an offset in the text section.
    #[cfg(feature = "embed")]
    pub fn typed_entry(&self, code_offset: u32) -> Option<&aot_abi::module::TypedEntry> {
        let location = self.description.locate(code_offset)?;
        let func = location.range.checked_add(self.imported_funcs()).filter(|_| location.offset == 0)?;
        let entries = &self.declarations.typed_entries;
        let index = entries.binary_search_by_key(&func, |entry| entry.func).ok()?;
        entries.get(index)
    }

    /// Bytes of a data segment.
    pub fn data(&self, segment: u32) -> &'static [u8] {
        let Some(segment) = self.declarations.data.get(segment as usize) else { return &[] };
        let (start, len) = (segment.offset as usize, segment.len as usize);
        self.data.get(start..).and_then(|data| data.get(..len)).unwrap_or(&[])
    }
}
