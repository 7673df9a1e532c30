//! Lays the functions out in one text section.

use super::relocate;
use crate::codegen::function::{CodeReloc, CodeTarget};
use crate::codegen::symbol::Symbol;
use crate::codegen::{Alignment, CompiledFunction, Unwind};
use crate::debug::FunctionDebug;
use crate::error::{Error, ErrorKind, Result};
use crate::translate::ModuleContext;
use aot_abi::module::{Entry, HostTrampoline, TrapSite, TypedEntry};
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::{Function, LibCall};
use cranelift_codegen::isa::unwind::UnwindInst;
use rayon::prelude::*;
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
    /// Whether the code has it already: no linker has to know it.
    pub is_applied: bool,
}

impl TextReloc {
    /// Applies it, if it is relative and not too far, to code that starts at an offset in the text section.
    fn apply(&mut self, code: &mut [u8], start: u32, target: Option<u32>) {
        if let Some(target) = target
            && relocate::is_relative(self.kind)
        {
            let distance = i64::from(target) + self.addend - i64::from(self.offset);
            let at = (self.offset - start) as usize;
            self.is_applied = relocate::apply(code, at, self.kind, distance).is_ok();
        }
    }
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

    /// Adds the defined functions, before all else. Those without code, which nothing calls, keep a place.
    pub fn functions(&mut self, functions: Vec<Option<CompiledFunction>>) -> Result<()> {
        debug_assert!(self.text.ranges.is_empty());
        let module = self.module;
        let first = module.info.imported_funcs;
        let mut end = 0;
        let mut offsets = Vec::with_capacity(functions.len());
        for function in &functions {
            if let Some(CompiledFunction { code, alignment, .. }) = function {
                let offset = alignment.after(end);
                offsets.push(offset);
                end = within_limit(offset + code.len())?;
            } else {
                offsets.push(end);
            }
        }
        let mut text = vec![0; end];
        // The bytes of each function, and of the gap behind it.
        let mut places: Vec<&mut [u8]> = Vec::with_capacity(functions.len());
        // The first one may start behind a gap as well.
        let mut rest = &mut text[offsets.first().copied().unwrap_or(end)..];
        for (offset, next) in offsets.iter().zip(offsets.iter().skip(1).chain([&end])) {
            let place;
            (place, rest) = rest.split_at_mut(next - offset);
            places.push(place);
        }
        let has_code: Vec<bool> = functions.iter().map(Option::is_some).collect();
        let start = |func: u32| {
            let function = func.checked_sub(first)? as usize;
            has_code.get(function)?.then(|| offsets[function] as u32)
        };
        let placed: Vec<Placed> = functions
            .into_par_iter()
            .zip(&offsets)
            .zip(places)
            .enumerate()
            .map(|(index, ((function, offset), bytes))| {
                let (name, offset) = (module.info.display_name(first + index as u32), *offset as u32);
                let Some(function) = function else {
                    let range = TextRange { offset, name, is_function: true, ..TextRange::default() };
                    return Placed { range, ..Placed::default() };
                };
                bytes[..function.code.len()].copy_from_slice(&function.code);
                let mut placed = Placed::new(module, name, true, function, offset);
                for reloc in &mut placed.relocs {
                    let target = match reloc.target {
                        CodeTarget::Code(offset) => Some(offset),
                        CodeTarget::Symbol(Symbol::Function(func)) => start(func),
                        CodeTarget::Symbol(_) => None,
                    };
                    reloc.apply(bytes, offset, target);
                }
                placed
            })
            .collect();
        self.text.bytes = text;
        self.text.relocs.reserve(placed.iter().map(|placed| placed.relocs.len()).sum());
        self.text.ranges.reserve(placed.len());
        for (func, placed) in (first..).zip(placed) {
            if placed.range.unwind.is_some() {
                self.text.symbols.insert(Symbol::Function(func), placed.range.offset);
            }
            self.add(placed);
        }
        Ok(())
    }

    /// Adds the shim that stands for an imported function.
    pub fn import_shim(&mut self, func: u32, compiled: CompiledFunction) -> Result<()> {
        let name = self.module.info.display_name(func);
        let offset = self.append(name, true, compiled)?;
        self.text.symbols.insert(Symbol::Function(func), offset);
        self.text.import_shims.push(offset);
        Ok(())
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
        let bytes = &mut self.text.bytes;
        let start = compiled.alignment.after(bytes.len());
        within_limit(start + compiled.code.len())?;
        bytes.resize(start, 0);
        bytes.extend_from_slice(&compiled.code);
        let offset = start as u32;
        self.add(Placed::new(self.module, name, is_function, compiled, offset));
        Ok(offset)
    }

    /// Adds all of a function but its code.
    fn add(&mut self, placed: Placed) {
        let Placed { range, relocs, alignment, uses_vectors, clif, asm } = placed;
        let text = &mut self.text;
        text.alignment = text.alignment.max(alignment.to);
        text.uses_vectors |= uses_vectors;
        for reloc in &relocs {
            if let CodeTarget::Symbol(Symbol::Helper(libcall)) = reloc.target {
                self.helpers.insert(libcall.to_string(), libcall);
            }
        }
        text.relocs.extend(relocs);
        for (out, kept, comment) in [(&mut self.clif, clif, ';'), (&mut self.asm, asm, '#')] {
            if let Some(kept) = kept {
                *out += &format!("{comment} {}\n{kept}\n", range.name);
            }
        }
        text.ranges.push(range);
    }

    /// The section, and the text that was kept: CLIF, assembly.
    pub fn finish(mut self) -> (Text, String, String) {
        let Text { bytes, relocs, symbols, .. } = &mut self.text;
        for reloc in relocs.iter_mut().filter(|reloc| !reloc.is_applied) {
            let target = match reloc.target {
                CodeTarget::Code(offset) => Some(offset),
                CodeTarget::Symbol(symbol) => symbols.get(&symbol).copied(),
            };
            reloc.apply(bytes, 0, target);
        }
        (self.text, self.clif, self.asm)
    }
}

/// A function whose place in the text section is known.
#[derive(Default)]
struct Placed {
    range: TextRange,
    relocs: Vec<TextReloc>,
    alignment: Alignment,
    uses_vectors: bool,
    clif: Option<String>,
    asm: Option<String>,
}

impl Placed {
    fn new(
        module: &ModuleContext<'_>,
        name: String,
        is_function: bool,
        compiled: CompiledFunction,
        offset: u32,
    ) -> Placed {
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
            trap.wasm_offset = module.info.source_offset(trap.wasm_offset);
        }
        let relocs = relocs.into_iter().map(|CodeReloc { offset: at, kind, target, addend }| {
            let target = match target {
                CodeTarget::Symbol(_) => target,
                CodeTarget::Code(at) => CodeTarget::Code(offset + at),
            };
            TextReloc { offset: offset + at, kind, target, addend, is_applied: false }
        });
        let relocs = relocs.collect();
        let len = code.len() as u32;
        let unwind = Some(unwind);
        let range = TextRange { offset, len, name, is_function, export_of: None, traps, unwind, debug };
        Placed { range, relocs, alignment, uses_vectors, clif, asm }
    }
}

/// The end of code, if it is not too far from the start.
fn within_limit(end: usize) -> Result<usize> {
    match end > i32::MAX as usize {
        true => Err(Error::new(ErrorKind::Limit, "the module's machine code is larger than 2 GiB")
            .with_help("split the module, or build it with less inlining")),
        false => Ok(end),
    }
}
