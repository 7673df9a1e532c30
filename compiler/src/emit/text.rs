//! Lays the functions out in one text section.

use crate::codegen::function::{CodeReloc, CodeTarget};
use crate::codegen::symbol::Symbol;
use crate::codegen::{CompiledFunction, Unwind};
use crate::debug::FunctionDebug;
use crate::error::{Error, ErrorKind, Result};
use crate::translate::ModuleContext;
use aot_abi::module::{Entry, HostTrampoline, TrapSite, TypedEntry};
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::{Function, LibCall};
use cranelift_codegen::isa::unwind::UnwindInst;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

/// One function or trampoline in the text section.
#[derive(Default)]
pub(crate) struct TextRange {
    pub offset: u32,
    pub len: u32,
    /// A name for symbol tables; not necessarily unique.
    pub name: String,
    /// Whether the name is the wasm function's own, for backtraces.
    pub is_function: bool,
    /// The function of the module that C programs call by this one, in a library.
    pub export_of: Option<u32>,
    pub traps: Vec<TrapSite>,
    /// Nothing for a function without code.
    pub unwind: Option<Unwind>,
    pub debug: FunctionDebug,
}

impl TextRange {
    /// Bytes from the frame pointer up to the stack pointer before the call, if the function has a frame pointer.
    pub fn frame_size(&self) -> Option<i64> {
        let prologue = &self.unwind.as_ref()?.prologue;
        prologue.iter().find_map(|(_, event)| match event {
            UnwindInst::PushFrameRegs { offset_upward_to_caller_sp } => {
                Some(i64::from(*offset_upward_to_caller_sp))
            }
            _ => None,
        })
    }
}

/// A relocation of the text section.
pub(crate) struct TextReloc {
    pub offset: u32,
    pub kind: Reloc,
    /// [`CodeTarget::Code`] is an offset in the text section here.
    pub target: CodeTarget,
    pub addend: i64,
}

/// The text section: all code of the module.
pub(crate) struct Text {
    pub bytes: Vec<u8>,
    pub alignment: u32,
    /// Ascending by offset; defined functions in index order, then the rest.
    pub ranges: Vec<TextRange>,
    pub relocs: Vec<TextReloc>,
    /// Where each symbol of the module's own is.
    pub symbols: HashMap<Symbol, u32>,
    pub entries: Vec<Entry>,
    pub typed_entries: Vec<TypedEntry>,
    pub host_trampolines: Vec<HostTrampoline>,
    /// Offsets of the shims of imported functions, if they are bound at build time.
    pub import_shims: Vec<u32>,
    /// Offsets of the functions that other objects see by their names. Ascending.
    pub exported: Vec<u32>,
    /// Whether any of the code works on vectors.
    pub uses_vectors: bool,
}

impl Text {
    /// The name of each range's symbol. Where several have the same name, those that other objects see keep it, or else the
    /// first one; the others get a number.
    pub fn symbol_names(&self) -> Vec<Cow<'_, str>> {
        let is_seen = |range: &TextRange| self.exported.binary_search(&range.offset).is_ok();
        let seen = self.ranges.iter().filter(|range| is_seen(range));
        let mut taken: HashSet<Cow<'_, str>> = seen.map(|range| Cow::from(&range.name)).collect();
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let unique = |range: &'_ TextRange| range.len > 0 && !is_seen(range);
        let mut names = Vec::with_capacity(self.ranges.len());
        for range in &self.ranges {
            let mut name = Cow::from(&range.name);
            while unique(range) && !taken.insert(name.clone()) {
                let number = numbers.entry(&range.name).or_default();
                *number += 1;
                name = Cow::from(format!("{}.{number}", range.name));
            }
            names.push(name);
        }
        names
    }
}

/// Collects functions into a text section.
pub(crate) struct Builder<'m> {
    module: &'m ModuleContext<'m>,
    text: Text,
    /// By name: a `LibCall` has no order of its own.
    helpers: BTreeMap<String, LibCall>,
    clif: String,
    asm: String,
}

impl<'m> Builder<'m> {
    pub fn new(module: &'m ModuleContext<'m>) -> Self {
        Builder {
            module,
            text: Text {
                bytes: Vec::new(),
                alignment: 16,
                ranges: Vec::new(),
                relocs: Vec::new(),
                symbols: HashMap::new(),
                entries: Vec::new(),
                typed_entries: Vec::new(),
                host_trampolines: Vec::new(),
                import_shims: Vec::new(),
                exported: Vec::new(),
                uses_vectors: false,
            },
            helpers: BTreeMap::new(),
            clif: String::new(),
            asm: String::new(),
        }
    }

    /// Makes room for functions that will be added.
    pub fn reserve<'c>(&mut self, functions: impl Iterator<Item = &'c CompiledFunction>) {
        let (mut bytes, mut relocs, mut ranges) = (0, 0, 0);
        for function in functions {
            bytes += function.code.len() + function.alignment as usize;
            relocs += function.relocs.len();
            ranges += 1;
        }
        self.text.bytes.reserve(bytes);
        self.text.relocs.reserve(relocs);
        self.text.ranges.reserve(ranges);
    }

    /// Adds a wasm function, or the shim that stands for an imported one.
    pub fn function(&mut self, func: u32, compiled: CompiledFunction) -> Result<()> {
        let name = self.module.info.display_name(func);
        let offset = self.append(name, true, compiled)?;
        self.text.symbols.insert(Symbol::Function(func), offset);
        if func < self.module.info.imported_funcs {
            self.text.import_shims.push(offset);
        }
        Ok(())
    }

    /// Keeps the place of a function that has no code, since nothing calls it.
    pub fn dead_function(&mut self, func: u32) {
        let offset = self.text.bytes.len() as u32;
        let name = self.module.info.display_name(func);
        self.text.ranges.push(TextRange { offset, len: 0, name, is_function: true, ..TextRange::default() });
    }

    pub fn entry(&mut self, type_index: u32, compiled: CompiledFunction) -> Result<()> {
        let (code_offset, pad_offset, frame_size) =
            self.append_entry(format!("wasm-entry[{type_index}]"), compiled)?;
        self.text.entries.push(Entry { type_index, code_offset, pad_offset, frame_size });
        Ok(())
    }

    /// Adds the typed entry of an exported function.
    pub fn typed_entry(&mut self, func: u32, compiled: CompiledFunction) -> Result<()> {
        let name = format!("wasm-typed-entry[{func}]");
        let (code_offset, pad_offset, frame_size) = self.append_entry(name, compiled)?;
        self.text.typed_entries.push(TypedEntry { func, code_offset, pad_offset, frame_size });
        Ok(())
    }

    /// Adds the typed entry of an exported function of a library, under its name in C. If there is a `shortcut`, that
    /// gets the name, and the entry is what it refers to.
    pub fn library_entry(
        &mut self,
        symbol: &str,
        func: u32,
        compiled: CompiledFunction,
        shortcut: Option<CompiledFunction>,
    ) -> Result<()> {
        let Some(shortcut) = shortcut else {
            let (code_offset, pad_offset, frame_size) = self.append_entry(symbol.to_owned(), compiled)?;
            self.text.typed_entries.push(TypedEntry { func, code_offset, pad_offset, frame_size });
            self.text.exported.push(code_offset);
            self.set_export_of(func);
            return Ok(());
        };
        self.typed_entry(func, compiled)?;
        self.set_export_of(func);
        let entry = self.text.typed_entries.last().expect("just added").code_offset;
        self.text.symbols.insert(Symbol::Export(func), entry);
        self.c_function(symbol, shortcut)?;
        self.set_export_of(func);
        Ok(())
    }

    /// Says what the function that was just added stands for.
    fn set_export_of(&mut self, func: u32) {
        self.text.ranges.last_mut().expect("just added").export_of = Some(func);
    }

    /// Adds a function of a library that cannot trap, under its name in C.
    pub fn c_function(&mut self, symbol: &str, compiled: CompiledFunction) -> Result<()> {
        let offset = self.append(symbol.to_owned(), false, compiled)?;
        self.text.exported.push(offset);
        Ok(())
    }

    /// Where the code of an entry trampoline and its landing pad are, and how large its frame is.
    fn append_entry(&mut self, name: String, compiled: CompiledFunction) -> Result<(u32, u32, u32)> {
        let pad = compiled
            .landing_pad
            .ok_or_else(|| Error::internal("an entry trampoline has no landing pad for traps"))?;
        let offset = self.append(name, false, compiled)?;
        Ok((offset, offset + pad.code_offset, pad.frame_size))
    }

    pub fn host_trampoline(&mut self, type_index: u32, compiled: CompiledFunction) -> Result<()> {
        let code_offset = self.append(format!("wasm-host[{type_index}]"), false, compiled)?;
        self.text.host_trampolines.push(HostTrampoline { type_index, code_offset });
        Ok(())
    }

    /// Adds the helpers that the code so far refers to.
    pub fn helpers(&mut self, mut compile: impl FnMut(Function) -> Result<CompiledFunction>) -> Result<()> {
        for (name, libcall) in std::mem::take(&mut self.helpers) {
            let function = crate::translate::helper(self.module, libcall)?;
            let offset = self.append(format!("wasm-helper[{name}]"), false, compile(function)?)?;
            self.text.symbols.insert(Symbol::Helper(libcall), offset);
        }
        Ok(())
    }

    fn append(&mut self, name: String, is_function: bool, compiled: CompiledFunction) -> Result<u32> {
        let too_large = || {
            Error::new(ErrorKind::Limit, "the module's machine code is larger than 2 GiB")
                .with_help("split the module, or build it with less inlining")
        };
        let CompiledFunction {
            code,
            alignment,
            relocs,
            mut traps,
            unwind,
            debug,
            landing_pad: _,
            uses_vectors,
            clif,
            asm,
        } = compiled;
        for trap in &mut traps {
            trap.wasm_offset = self.module.info.source_offset(trap.wasm_offset);
        }
        let text = &mut self.text;
        text.alignment = text.alignment.max(alignment);
        text.uses_vectors |= uses_vectors;
        let start = text.bytes.len().next_multiple_of(alignment as usize);
        if start + code.len() > i32::MAX as usize {
            return Err(too_large());
        }
        text.bytes.resize(start, 0);
        text.bytes.extend_from_slice(&code);
        let offset = start as u32;
        for CodeReloc { offset: at, kind, target, addend } in relocs {
            let target = match target {
                CodeTarget::Symbol(Symbol::Helper(libcall)) => {
                    self.helpers.insert(libcall.to_string(), libcall);
                    target
                }
                CodeTarget::Symbol(_) => target,
                CodeTarget::Code(at) => CodeTarget::Code(offset + at),
            };
            text.relocs.push(TextReloc { offset: offset + at, kind, target, addend });
        }
        for (out, kept, comment) in [(&mut self.clif, clif, ';'), (&mut self.asm, asm, '#')] {
            if let Some(kept) = kept {
                *out += &format!("{comment} {name}\n{kept}\n");
            }
        }
        text.ranges.push(TextRange {
            offset,
            len: code.len() as u32,
            name,
            is_function,
            export_of: None,
            traps,
            unwind: Some(unwind),
            debug,
        });
        Ok(offset)
    }

    /// The section, and the text that was kept: CLIF, assembly.
    pub fn finish(self) -> (Text, String, String) {
        (self.text, self.clif, self.asm)
    }
}
