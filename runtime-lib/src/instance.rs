//! Instances: a module's state, made by the rules of instantiation (core specification 4.5.4).

use crate::memory::{Memory, Reservation};
use crate::module::LoadedModule;
use crate::table::Table;
use crate::vmctx::{FuncImport, FuncRef, GlobalCell, Vm, VmContext};
use crate::wasi::{Caller, GuestMemory, WasiCtx};
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use aot_abi::module::{ConstOp, ElementItems, SegmentMode};
use aot_abi::trap::TrapCode;
use aot_abi::types::{EntityKind, ValType};
use aot_abi::vmctx::NO_MEMORY;
use core::ptr::{self, NonNull};

/// What an export gives. The pointers belong to instances that must outlive their users.
#[derive(Clone, Copy, Debug)]
pub enum Extern {
    Func(*mut FuncRef),
    Table(*mut Table),
    Memory(*mut Memory),
    Global(*mut GlobalCell),
}

/// What an import is bound to. As [`Extern`], but a function needs no reference to itself.
#[derive(Clone, Copy, Debug)]
pub enum Import {
    Func(FuncImport),
    Table(*mut Table),
    Memory(*mut Memory),
    Global(*mut GlobalCell),
}

impl Extern {
    /// The import that this export is good for.
    ///
    /// # Safety
    /// A function is valid for reads.
    pub unsafe fn import(self) -> Import {
        match self {
            Extern::Func(func) => {
                // SAFETY: the caller vouches for it.
                let FuncRef { code, vmctx, .. } = unsafe { *func };
                Import::Func(FuncImport { code, vmctx })
            }
            Extern::Table(table) => Import::Table(table),
            Extern::Memory(memory) => Import::Memory(memory),
            Extern::Global(global) => Import::Global(global),
        }
    }
}

/// What a call of a function from the host needs.
#[derive(Clone, Copy, Debug)]
pub struct Callee {
    /// The entry trampoline of the function's type.
    pub entry: *const u8,
    pub code: *const u8,
    pub vmctx: *mut VmContext,
}

/// Limits that the host sets.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResourceLimits {
    /// The most bytes that one memory may have.
    pub memory_bytes: Option<u64>,
    /// The most elements that one table may have.
    pub table_elements: Option<u64>,
}

/// What an instance gets from its host.
pub struct Resources<'a> {
    /// The cells that compiled code looks at: the stack limit, and the fuel if the module counts it.
    pub stack_limit: *const usize,
    /// `libcalls::LIBCALLS`, if compiled code calls functions of the runtime by it; else null.
    pub libcalls: *const *const (),
    pub limits: &'a ResourceLimits,
    /// Where the VM context has to be, if that is fixed: zeroed, readable and writable, and as large as it has to be.
    pub vmctx: Option<NonNull<VmContext>>,
    /// Where the first memory of the module has to be, if that is fixed.
    pub memory: Option<Reservation>,
    /// The reservation has the module's memory image mapped already.
    pub has_image: bool,
}

/// Why a module could not be instantiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstantiateError {
    /// There is not enough memory or address space, or a limit of the host is too low for the initial size.
    OutOfMemory(EntityKind),
    /// Initialising a table or memory trapped.
    Trap(TrapCode),
    /// The module's description contradicts itself.
    Damaged,
}

/// An instance. Compiled code knows its [`VmContext`], the runtime knows all of it.
pub struct Instance {
    module: *const LoadedModule,
    vmctx: NonNull<VmContext>,
    /// How the context was allocated, if it was.
    layout: Option<Layout>,
    #[expect(clippy::vec_box, reason = "others point to them, so they must not move")]
    own_memories: Vec<Box<Memory>>,
    #[expect(clippy::vec_box, reason = "others point to them, so they must not move")]
    own_tables: Vec<Box<Table>>,
    /// By index, imported ones first.
    memories: Vec<*mut Memory>,
    tables: Vec<*mut Table>,
    dropped_data: Vec<bool>,
    dropped_elements: Vec<bool>,
    wasi: Option<Box<WasiCtx>>,
}

/// The WASI context of an instance, and the memory that the function acts on (empty if there is none).
///
/// # Safety
/// `vmctx` is the context of an instance that exists, has a WASI context, and is used by no one else while the result
/// is.
pub unsafe fn wasi_caller<'a>(vmctx: *mut VmContext) -> Caller<'a> {
    // SAFETY: the caller vouches for `vmctx`; memories outlive the instances that use them.
    unsafe {
        let instance = Instance::of(vmctx);
        let memory = instance.vm().caller_memory().read();
        let memory = guest_memory(instance.memory(memory));
        Caller { ctx: instance.wasi.as_deref_mut().expect("set before WASI functions are bound"), memory }
    }
}

/// A memory as WASI functions see it; empty if there is none.
///
/// # Safety
/// The memory exists, and nothing else uses it, while the result is used.
pub unsafe fn guest_memory<'a>(memory: Option<*mut Memory>) -> GuestMemory<'a> {
    // SAFETY: the caller vouches for it.
    unsafe {
        match memory {
            Some(memory) => GuestMemory::from_raw_parts((*memory).base(), (*memory).len()),
            None => GuestMemory::from_raw_parts(ptr::dangling_mut(), 0),
        }
    }
}

/// A value of a constant expression: bits of a number, or a reference.
#[derive(Clone, Copy)]
enum Constant {
    Number([u8; 16]),
    Reference(*mut ()),
}

impl Constant {
    fn i64(value: i64) -> Constant {
        let mut bits = [0; 16];
        bits[..8].copy_from_slice(&value.to_le_bytes());
        Constant::Number(bits)
    }

    /// The value as an integer; `i32`s are kept sign-extended.
    fn as_i64(self) -> i64 {
        match self {
            Constant::Number(bits) => {
                let mut low = [0; 8];
                low.copy_from_slice(&bits[..8]);
                i64::from_le_bytes(low)
            }
            Constant::Reference(_) => 0,
        }
    }

    fn as_ref(self) -> *mut () {
        match self {
            Constant::Number(_) => ptr::null_mut(),
            Constant::Reference(reference) => reference,
        }
    }
}

impl Instance {
    /// Makes an instance, all but running its start function. `imports` are those of the module, in order, with the
    /// types that it declares. If initialisation traps, what it changed in imported tables and memories stays, and
    /// may refer to the instance: so it is returned in either case, and must be kept.
    ///
    /// # Errors
    /// If there is not enough memory, or initialising trapped.
    ///
    /// # Safety
    /// `module` and all that `imports` and `resources` point to outlive the instance; the imports' types were checked.
    pub unsafe fn new(
        module: *const LoadedModule,
        imports: impl Iterator<Item = Import>,
        resources: Resources<'_>,
    ) -> (Option<Box<Instance>>, Result<(), InstantiateError>) {
        // SAFETY: the caller keeps the module.
        let loaded = unsafe { &*module };
        let size = loaded.offsets().size().max(16) as usize;
        let out_of_memory = |kind| (None, Err(InstantiateError::OutOfMemory(kind)));
        let (vmctx, layout) = match resources.vmctx {
            Some(vmctx) => (vmctx, None),
            None => {
                let Ok(layout) = Layout::from_size_align(size, 16) else {
                    return out_of_memory(EntityKind::Global);
                };
                // SAFETY: the size is not zero.
                let Some(vmctx) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
                    return out_of_memory(EntityKind::Global);
                };
                (vmctx.cast(), Some(layout))
            }
        };
        let declarations = loaded.declarations();
        let mut instance = Box::new(Instance {
            module,
            vmctx,
            layout,
            own_memories: Vec::new(),
            own_tables: Vec::new(),
            memories: Vec::new(),
            tables: Vec::new(),
            dropped_data: vec![false; declarations.data.len()],
            dropped_elements: vec![false; declarations.elements.len()],
            wasi: None,
        });
        let vm = instance.vm();
        // SAFETY: `vm` is the context just made.
        unsafe {
            vm.instance_data().write(ptr::from_mut(&mut *instance).cast());
            vm.stack_limit().write(resources.stack_limit);
            vm.libcalls().write(resources.libcalls);
            vm.type_ids().write(loaded.type_ids().as_ptr());
            vm.caller_memory().write(loaded.main_memory().unwrap_or(NO_MEMORY));
        }
        let result = instance.initialise(loaded, imports, resources);
        (Some(instance), result)
    }

    /// The instance whose context is complete but for where it is and where its memory is.
    ///
    /// # Safety
    /// `module` and the context outlive the instance, which is the only one of the context.
    #[cfg(feature = "standalone")]
    pub unsafe fn of_initial_state(
        module: *const LoadedModule,
        vmctx: NonNull<VmContext>,
        memory: Option<Memory>,
    ) -> Box<Instance> {
        let mut own_memories = Vec::new();
        let mut memories = Vec::new();
        if let Some(memory) = memory {
            own_memories = vec![Box::new(memory)];
            memories = vec![ptr::from_mut(&mut *own_memories[0])];
        }
        let mut instance = Box::new(Instance {
            module,
            vmctx,
            layout: None,
            own_memories,
            own_tables: Vec::new(),
            memories,
            tables: Vec::new(),
            dropped_data: Vec::new(),
            dropped_elements: Vec::new(),
            wasi: None,
        });
        let data = ptr::from_mut(&mut *instance).cast();
        // SAFETY: the caller vouches for the context.
        unsafe { instance.vm().instance_data().write(data) };
        instance
    }

    fn initialise(
        &mut self,
        loaded: &LoadedModule,
        imports: impl Iterator<Item = Import>,
        resources: Resources<'_>,
    ) -> Result<(), InstantiateError> {
        let Resources { limits, has_image, .. } = resources;
        self.bind_imports(imports);
        self.make_funcrefs(loaded)?;
        self.make_memories(loaded, limits, resources.memory)?;
        self.make_globals(loaded)?;
        self.make_tables(loaded, limits)?;
        self.initialise_tables(loaded)?;
        self.initialise_memories(loaded, has_image)
    }

    fn bind_imports(&mut self, imports: impl Iterator<Item = Import>) {
        let vm = self.vm();
        let (mut funcs, mut globals) = (0, 0);
        for import in imports {
            // SAFETY: the caller of `new` gave the module's own imports, so every index is one of its layout, and the
            // pointers are valid.
            unsafe {
                match import {
                    Import::Func(func) => {
                        vm.imported_func(funcs).write(func);
                        funcs += 1;
                    }
                    Import::Table(table) => {
                        vm.imported_table(self.tables.len() as u32).write((*table).def());
                        self.tables.push(table);
                    }
                    Import::Memory(memory) => {
                        vm.imported_memory(self.memories.len() as u32).write((*memory).def());
                        self.memories.push(memory);
                    }
                    Import::Global(global) => {
                        vm.imported_global(globals).write(global);
                        globals += 1;
                    }
                }
            }
        }
    }

    fn make_funcrefs(&mut self, loaded: &LoadedModule) -> Result<(), InstantiateError> {
        let vm = self.vm();
        let declarations = loaded.declarations();
        for (slot, func) in declarations.escaped.iter().enumerate() {
            let Callee { entry, code, vmctx } = self.callee(*func).ok_or(InstantiateError::Damaged)?;
            let ty = loaded.func_type(*func).ok_or(InstantiateError::Damaged)?;
            let type_id = *loaded.type_ids().get(ty as usize).ok_or(InstantiateError::Damaged)?;
            // SAFETY: `slot` is one of the layout's.
            unsafe { vm.funcref(slot as u32).write(FuncRef { code, vmctx, entry, type_id }) };
        }
        Ok(())
    }

    fn make_memories(
        &mut self,
        loaded: &LoadedModule,
        limits: &ResourceLimits,
        mut first: Option<Reservation>,
    ) -> Result<(), InstantiateError> {
        let vm = self.vm();
        for (index, ty) in loaded.declarations().memories.iter().enumerate() {
            let def = vm.memory(index as u32);
            // SAFETY: the definition lies in this instance's context, which outlives its memories.
            let memory = unsafe { Memory::new(ty, def, limits.memory_bytes, first.take()) };
            let memory = memory.map_err(|_| InstantiateError::OutOfMemory(EntityKind::Memory))?;
            let mut memory = Box::new(memory);
            self.memories.push(&mut *memory);
            self.own_memories.push(memory);
        }
        Ok(())
    }

    fn make_globals(&mut self, loaded: &LoadedModule) -> Result<(), InstantiateError> {
        let vm = self.vm();
        for (index, global) in loaded.declarations().globals.iter().enumerate() {
            let value = self.evaluate(loaded, &global.init)?;
            // SAFETY: `index` is one of the layout's.
            unsafe { write_global(vm.global(index as u32), global.ty.content, value) };
        }
        Ok(())
    }

    fn make_tables(
        &mut self,
        loaded: &LoadedModule,
        limits: &ResourceLimits,
    ) -> Result<(), InstantiateError> {
        let vm = self.vm();
        for (index, table) in loaded.declarations().tables.iter().enumerate() {
            let init = self.evaluate(loaded, &table.init)?.as_ref();
            // SAFETY: the definition lies in this instance's context, which outlives its tables.
            let table = unsafe { Table::new(&table.ty, vm.table(index as u32), limits.table_elements, init) };
            let mut table = Box::new(table.map_err(|_| InstantiateError::OutOfMemory(EntityKind::Table))?);
            self.tables.push(&mut *table);
            self.own_tables.push(table);
        }
        Ok(())
    }

    fn initialise_tables(&mut self, loaded: &LoadedModule) -> Result<(), InstantiateError> {
        for (index, segment) in loaded.declarations().elements.iter().enumerate() {
            if let SegmentMode::Active { target, offset } = &segment.mode {
                // The offset of a 32-bit table is unsigned.
                let offset = u64::from(self.evaluate(loaded, offset)?.as_i64() as u32);
                let len = match &segment.items {
                    ElementItems::Functions(items) => items.len(),
                    ElementItems::Expressions(items) => items.len(),
                };
                self.table_init(*target, index as u32, offset, 0, len as u64)
                    .ok_or(InstantiateError::Trap(TrapCode::TableOutOfBounds))?;
            }
            if segment.mode != SegmentMode::Passive {
                self.elem_drop(index as u32);
            }
        }
        Ok(())
    }

    /// `has_image`: the active segments of the first memory are in it already.
    fn initialise_memories(
        &mut self,
        loaded: &LoadedModule,
        has_image: bool,
    ) -> Result<(), InstantiateError> {
        for (index, segment) in loaded.declarations().data.iter().enumerate() {
            if let SegmentMode::Active { target, offset } = &segment.mode {
                if has_image && *target == 0 {
                    self.data_drop(index as u32);
                    continue;
                }
                let offset = u64::from(self.evaluate(loaded, offset)?.as_i64() as u32);
                let len = loaded.data(index as u32).len() as u64;
                self.memory_init(*target, index as u32, offset, 0, len)
                    .ok_or(InstantiateError::Trap(TrapCode::MemoryOutOfBounds))?;
                self.data_drop(index as u32);
            }
        }
        Ok(())
    }

    /// Evaluates a constant expression that was validated at compile time.
    fn evaluate(&self, loaded: &LoadedModule, expr: &[ConstOp]) -> Result<Constant, InstantiateError> {
        let mut stack: Vec<Constant> = Vec::with_capacity(2);
        for op in expr {
            let value = match *op {
                ConstOp::I32Const(value) => Constant::i64(i64::from(value)),
                ConstOp::I64Const(value) => Constant::i64(value),
                ConstOp::F32Const(bits) => Constant::i64(i64::from(bits)),
                ConstOp::F64Const(bits) => Constant::i64(bits as i64),
                ConstOp::V128Const(bytes) => Constant::Number(bytes),
                ConstOp::GlobalGet(global) => {
                    self.read_global(loaded, global).ok_or(InstantiateError::Damaged)?
                }
                ConstOp::RefNull => Constant::Reference(ptr::null_mut()),
                ConstOp::RefFunc(func) => {
                    Constant::Reference(self.func_ref(func).ok_or(InstantiateError::Damaged)?.cast())
                }
                ConstOp::I32Add
                | ConstOp::I32Sub
                | ConstOp::I32Mul
                | ConstOp::I64Add
                | ConstOp::I64Sub
                | ConstOp::I64Mul => {
                    let (Some(y), Some(x)) = (stack.pop(), stack.pop()) else {
                        return Err(InstantiateError::Damaged);
                    };
                    Constant::i64(arithmetic(*op, x.as_i64(), y.as_i64()))
                }
            };
            stack.push(value);
        }
        stack.pop().ok_or(InstantiateError::Damaged)
    }

    fn read_global(&self, loaded: &LoadedModule, global: u32) -> Option<Constant> {
        let cell = self.global(global)?;
        let ty = loaded.declarations().global_type(global)?.content;
        // SAFETY: the cell is valid, and has the type that the module declares.
        Some(unsafe {
            match ty {
                ValType::I32 => Constant::i64(i64::from(cell.cast::<i32>().read())),
                ValType::I64 => Constant::i64(cell.cast::<i64>().read()),
                ValType::F32 => Constant::i64(i64::from(cell.cast::<u32>().read())),
                ValType::F64 => Constant::i64(cell.cast::<i64>().read()),
                ValType::V128 => Constant::Number(cell.read()),
                ValType::FuncRef | ValType::ExternRef => Constant::Reference(cell.cast::<*mut ()>().read()),
            }
        })
    }

    /// Gives the instance what its WASI functions act on.
    pub fn set_wasi(&mut self, ctx: Box<WasiCtx>) {
        self.wasi = Some(ctx);
    }

    /// The memory that an imported function acts on, if it acts on that of its caller, as those of WASI do.
    #[cfg(feature = "embed")]
    pub fn caller_memory(&self, func: u32) -> Option<*mut Memory> {
        self.memory(self.module().declarations().caller_memory(func)?)
    }

    fn vm(&self) -> Vm<'static> {
        // SAFETY: the context was made with the module's layout; the module outlives the instance.
        unsafe { Vm::new(self.vmctx, (*self.module).offsets()) }
    }

    /// The instance that a VM context belongs to.
    ///
    /// # Safety
    /// `vmctx` is the context of an instance that exists and is not borrowed otherwise.
    pub unsafe fn of<'a>(vmctx: *mut VmContext) -> &'a mut Instance {
        // SAFETY: the first word of a context is the pointer that `new` put there.
        unsafe { &mut *vmctx.cast::<*mut Instance>().read() }
    }

    pub fn module(&self) -> &LoadedModule {
        // SAFETY: the caller of `new` keeps the module.
        unsafe { &*self.module }
    }

    pub fn vmctx(&self) -> *mut VmContext {
        self.vmctx.as_ptr()
    }

    /// What a call of a function needs, whether it escapes or not.
    pub fn callee(&self, func: u32) -> Option<Callee> {
        let loaded = self.module();
        let entry = loaded.entry(loaded.func_type(func)?)?;
        let (code, vmctx) = match loaded.func_code(func) {
            Some(code) => (code, self.vmctx()),
            None if func < loaded.imported_funcs() => {
                // SAFETY: imports were bound before anything is called.
                let FuncImport { code, vmctx } = unsafe { self.vm().imported_func(func).read() };
                (code, vmctx)
            }
            None => return None,
        };
        Some(Callee { entry, code, vmctx })
    }

    /// The reference to a function that escapes.
    pub fn func_ref(&self, func: u32) -> Option<*mut FuncRef> {
        Some(self.vm().funcref(self.module().slot(func)?))
    }

    /// The cell of a global, by index.
    pub fn global(&self, index: u32) -> Option<*mut GlobalCell> {
        let counts = self.module().offsets().counts();
        match index.checked_sub(counts.imported_globals) {
            // SAFETY: imports were bound before anything asks for them.
            None => Some(unsafe { self.vm().imported_global(index).read() }),
            Some(defined) => (defined < counts.globals).then(|| self.vm().global(defined)),
        }
    }

    pub fn memory(&self, index: u32) -> Option<*mut Memory> {
        self.memories.get(index as usize).copied()
    }

    pub fn table(&self, index: u32) -> Option<*mut Table> {
        self.tables.get(index as usize).copied()
    }

    /// What the module exports under a name.
    pub fn export(&self, name: &str) -> Option<Extern> {
        let export = self.module().declarations().export(name)?;
        self.item(export.kind, export.index)
    }

    /// The item of a kind with an index.
    pub fn item(&self, kind: EntityKind, index: u32) -> Option<Extern> {
        Some(match kind {
            EntityKind::Func => Extern::Func(self.func_ref(index)?),
            EntityKind::Table => Extern::Table(self.table(index)?),
            EntityKind::Memory => Extern::Memory(self.memory(index)?),
            EntityKind::Global => Extern::Global(self.global(index)?),
        })
    }

    /// `memory.init`; `None` if a range is out of bounds.
    pub fn memory_init(&mut self, memory: u32, segment: u32, to: u64, from: u64, len: u64) -> Option<()> {
        let dropped = self.dropped_data.get(segment as usize).copied().unwrap_or(true);
        let data = if dropped { &[] } else { self.module().data(segment) };
        let end = from.checked_add(len).filter(|end| *end <= data.len() as u64)?;
        // SAFETY: memories outlive the instances that use them.
        unsafe { (*self.memory(memory)?).write(to, &data[from as usize..end as usize]) }
    }

    pub fn data_drop(&mut self, segment: u32) {
        if let Some(dropped) = self.dropped_data.get_mut(segment as usize) {
            *dropped = true;
        }
    }

    /// `table.init`; `None` if a range is out of bounds.
    pub fn table_init(&mut self, table: u32, segment: u32, to: u64, from: u64, len: u64) -> Option<()> {
        // SAFETY: tables outlive the instances that use them.
        let table = unsafe { &mut *self.table(table)? };
        let loaded = self.module();
        let dropped = self.dropped_elements.get(segment as usize).copied().unwrap_or(true);
        let end = from.checked_add(len)?;
        let segment = loaded.declarations().elements.get(segment as usize).filter(|_| !dropped);
        let Some(segment) = segment else {
            return (end == 0).then(|| table.fill(to, 0, ptr::null_mut())).flatten();
        };
        match &segment.items {
            ElementItems::Functions(items) => {
                let items = items.get(from as usize..end as usize)?;
                let reference = |func: &u32| self.func_ref(*func).map_or(ptr::null_mut(), |func| func.cast());
                table.write(to, items.iter().map(reference))
            }
            ElementItems::Expressions(items) => {
                let items = items.get(from as usize..end as usize)?;
                let value = |expr: &Vec<ConstOp>| match self.evaluate(loaded, expr) {
                    Ok(value) => value.as_ref(),
                    Err(_) => ptr::null_mut(),
                };
                table.write(to, items.iter().map(value))
            }
        }
    }

    pub fn elem_drop(&mut self, segment: u32) {
        if let Some(dropped) = self.dropped_elements.get_mut(segment as usize) {
            *dropped = true;
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Tables and memories read their definitions, which lie in the context, when they are dropped.
        self.own_tables.clear();
        self.own_memories.clear();
        if let Some(layout) = self.layout {
            // SAFETY: allocated by `new` with this layout.
            unsafe { dealloc(self.vmctx.as_ptr().cast(), layout) };
        }
    }
}

fn arithmetic(op: ConstOp, x: i64, y: i64) -> i64 {
    let wrap = |value: i64| i64::from(value as i32);
    match op {
        ConstOp::I32Add => wrap(x.wrapping_add(y)),
        ConstOp::I32Sub => wrap(x.wrapping_sub(y)),
        ConstOp::I32Mul => wrap(x.wrapping_mul(y)),
        ConstOp::I64Add => x.wrapping_add(y),
        ConstOp::I64Sub => x.wrapping_sub(y),
        _ => x.wrapping_mul(y),
    }
}

/// # Safety
/// `cell` is valid for writes.
unsafe fn write_global(cell: *mut GlobalCell, ty: ValType, value: Constant) {
    // SAFETY: the caller vouches for `cell`, which is 16 bytes with an alignment of 16.
    unsafe {
        match ty {
            ValType::I32 | ValType::F32 => cell.cast::<u32>().write(value.as_i64() as u32),
            ValType::I64 | ValType::F64 => cell.cast::<i64>().write(value.as_i64()),
            ValType::V128 => {
                if let Constant::Number(bits) = value {
                    cell.write(bits);
                }
            }
            ValType::FuncRef | ValType::ExternRef => cell.cast::<*mut ()>().write(value.as_ref()),
        }
    }
}
