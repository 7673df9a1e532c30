//! The Rust module of a library. In: its interface. Out: source text.
//!
//! All that is unsafe is in here and in `prelude.rs`, which every module has.

use crate::names::{METHODS, Names};
use aot_abi::trap::TrapCode;
use aot_abi::types::{FuncType, ValType};
use aot_compiler::interface::{Function, Global, Import, Interface, Memory, results_by_address};
use std::fmt::Write as _;

/// What all modules have in common. Each has it, so that each is whole, and of the version of its runtime.
const PRELUDE: &str = include_str!("prelude.rs");

/// What the runtime library defines, and this says of it (`common.h` in the compiler).
const RUNTIME: &str = "\
pub fn aot_instance_new(module: *const u8, interface: u64, imports: *const *const c_void, count: usize, \
host: *mut c_void, options: *const c_void, flags: u32, trap: *mut *mut c_void) -> *mut c_void;
pub fn aot_instance_delete(instance: *mut c_void);
pub fn aot_instance_host(instance: *const c_void) -> *mut c_void;
pub fn aot_instance_fail(instance: *mut c_void, message: *const c_char);
pub fn aot_instance_interrupt(instance: *mut c_void);
pub fn aot_instance_grow_memory(instance: *mut c_void, memory: *const RawMemory, pages: u64) -> bool;
pub fn aot_trap_code(trap: *const c_void) -> c_int;
pub fn aot_trap_message(trap: *const c_void) -> *const c_char;
pub fn aot_trap_backtrace(trap: *const c_void) -> *const c_char;
pub fn aot_trap_exit_status(trap: *const c_void, status: *mut u32) -> bool;
pub fn aot_trap_delete(trap: *mut c_void);
pub fn aot_options_new() -> *mut c_void;
pub fn aot_options_delete(options: *mut c_void);
pub fn aot_options_max_memory(options: *mut c_void, bytes: u64);
pub fn aot_options_max_table(options: *mut c_void, elements: u64);
pub fn aot_options_max_stack(options: *mut c_void, bytes: usize);
pub fn aot_options_arg(options: *mut c_void, text: *const c_char);
pub fn aot_options_env(options: *mut c_void, variable: *const c_char);
pub fn aot_options_dir(options: *mut c_void, host: *const c_char, guest: *const c_char);
pub fn aot_options_stream(options: *mut c_void, number: c_int, file: c_int);
pub fn aot_options_inherit_stdio(options: *mut c_void);
";

/// Writes the module. `file` is what it is made of, for its documentation.
pub fn module(name: &str, file: &str, interface: &Interface) -> String {
    let mut out = format!(
        "// Made by `aot-build`: changes are lost.\n#[doc = {:?}]\n#[allow(warnings, clippy::all, clippy::pedantic, \
         clippy::nursery, clippy::restriction, unsafe_code, missing_docs, clashing_extern_declarations)]\n#[rustfmt::skip]\npub mod \
         {name} {{\n{PRELUDE}\n",
        format!("The WebAssembly module `{file}`."),
    );
    trap_codes(&mut out);
    line(&mut out, &format!("const INTERFACE: u64 = {:#x};\n", interface.number));
    declarations(&mut out, interface);
    imports(&mut out, &interface.imports);
    line(&mut out, "impl<H> Guest<'_, H> {");
    let mut names = Names::with(METHODS);
    // Functions have the first choice.
    for (index, function) in interface.functions.iter().enumerate() {
        function_method(&mut out, &names.one(&function.name), index, function);
    }
    for (index, memory) in interface.memories.iter().enumerate() {
        memory_methods(&mut out, &mut names, index, memory);
    }
    for (index, global) in interface.globals.iter().enumerate() {
        global_methods(&mut out, &mut names, index, global);
    }
    if !interface.left_out.is_empty() {
        let list: Vec<String> = interface.left_out.iter().map(|name| format!("{name:?}")).collect();
        line(&mut out, &format!("// The module exports more, which programs can't use: {}", list.join(", ")));
    }
    line(&mut out, "}\n}");
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Documentation that names something of the module, which may be any text.
fn doc(out: &mut String, text: &str) {
    writeln!(out, "#[doc = {text:?}]").expect("strings take text");
}

fn trap_codes(out: &mut String) {
    line(out, "/// Kinds of traps.\n#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]\n#[non_exhaustive]");
    line(out, "pub enum TrapCode {");
    for code in TrapCode::ALL {
        doc(out, code.message());
        line(out, &format!("{code:?},"));
    }
    line(
        out,
        "/// The guest ended itself.\nExit,\n/// An imported function failed, or something could not be done.\nError,\n}",
    );
    line(out, "impl TrapCode {\nfn from_raw(code: c_int) -> TrapCode {\nmatch code {");
    for code in TrapCode::ALL {
        line(out, &format!("{} => TrapCode::{code:?},", code as u8));
    }
    line(out, "-1 => TrapCode::Exit,\n_ => TrapCode::Error,\n}\n}\n}");
}

/// The functions of the object and of the runtime.
fn declarations(out: &mut String, interface: &Interface) {
    line(out, "mod ffi {\nuse super::{RawMemory, c_char, c_int, c_void};\nunsafe extern \"C\" {");
    out.push_str(RUNTIME);
    let mut declare = |symbol: &str, text: &str| {
        line(out, &format!("#[link_name = {symbol:?}]\npub {text};"));
    };
    declare(&interface.module_symbol(), "static MODULE: u8");
    for (index, Function { symbol, ty, .. }) in interface.functions.iter().enumerate() {
        let (mut params, result) = signature(ty);
        params.push(String::from("trap: *mut *mut c_void"));
        declare(symbol, &format!("fn function_{index}({}){result}", params.join(", ")));
    }
    for (index, Memory { symbol, .. }) in interface.memories.iter().enumerate() {
        declare(symbol, &format!("fn memory_{index}(instance: *const c_void) -> *const RawMemory"));
    }
    for (index, Global { get, set, ty, .. }) in interface.globals.iter().enumerate() {
        let ty = raw_type(*ty);
        declare(get, &format!("fn get_{index}(instance: *const c_void) -> {ty}"));
        if let Some(set) = set {
            declare(set, &format!("fn set_{index}(instance: *mut c_void, value: {ty})"));
        }
    }
    line(out, "}\n}");
}

/// Parameters and result of a C function with a type of wasm: `i32 f(instance, …)`.
fn signature(ty: &FuncType) -> (Vec<String>, String) {
    let by_address = results_by_address(ty);
    let mut params = vec![String::from("instance: *mut c_void")];
    for (index, ty) in ty.params.iter().enumerate() {
        let by = if *ty == ValType::V128 { "*const " } else { "" };
        params.push(format!("p{index}: {by}{}", raw_type(*ty)));
    }
    for (index, ty) in by_address.iter().enumerate() {
        params.push(format!("r{index}: *mut {}", raw_type(*ty)));
    }
    let result = match ty.results[..] {
        [result] if by_address.is_empty() => format!(" -> {}", raw_type(result)),
        _ => String::new(),
    };
    (params, result)
}

/// What C has for a type.
fn raw_type(ty: ValType) -> &'static str {
    match ty {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F32 => "f32",
        ValType::F64 => "f64",
        ValType::V128 => "[u8; 16]",
        ValType::FuncRef | ValType::ExternRef => "usize",
    }
}

fn rust_type(ty: ValType) -> &'static str {
    match ty {
        ValType::FuncRef => "Option<FuncRef>",
        ValType::ExternRef => "ExternRef",
        _ => raw_type(ty),
    }
}

/// No type, one, or a tuple.
fn result_type(types: &[ValType]) -> String {
    list(types.iter().map(|ty| rust_type(*ty).to_owned()))
}

/// `()`, a value alone, or a tuple.
fn list(values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = values.collect();
    match &values[..] {
        [value] => value.clone(),
        _ => format!("({})", values.join(", ")),
    }
}

/// A value of the program from one of C.
fn from_raw(ty: ValType, value: &str) -> String {
    match ty {
        ValType::FuncRef => format!("guest.func_ref({value})"),
        ValType::ExternRef => format!("ExternRef({value})"),
        _ => value.to_owned(),
    }
}

/// A value of C from one of the program. Ends the function with an error if it can't be used.
fn to_raw(ty: ValType, value: &str) -> String {
    match ty {
        ValType::FuncRef => format!("guest.raw_func_ref({value})?"),
        ValType::ExternRef => format!("{value}.0"),
        _ => value.to_owned(),
    }
}

fn params(ty: &FuncType) -> String {
    let params = ty.params.iter().enumerate();
    params.map(|(index, ty)| format!(", p{index}: {}", rust_type(*ty))).collect()
}

/// The trait of imports, a C function for each, and how instances are made.
fn imports(out: &mut String, imports: &[Import]) {
    if imports.is_empty() {
        line(
            out,
            "impl Instance {\n\
             /// Makes an instance, and runs its start function and `_initialize`.\n\
             pub fn new() -> Result<Self, Trap> { Self::with_options(&Options::new()) }\n\
             /// The same, with options.\n\
             pub fn with_options(options: &Options) -> Result<Self, Trap> {\n\
             // SAFETY: the module imports nothing.\n\
             unsafe { Self::instantiate(&[], (), options) }\n}\n}",
        );
        return;
    }
    line(out, "/// The functions that the module imports. Errors of theirs become traps of the guest.");
    line(out, "pub trait Imports: Sized {");
    let mut names = Names::default();
    let methods: Vec<String> = imports.iter().map(|import| names.one(&import.field)).collect();
    for (Import { module, name, ty, .. }, method) in imports.iter().zip(&methods) {
        doc(out, &format!("`{name}` of `{module}`."));
        let (params, result) = (params(ty), result_type(&ty.results));
        line(
            out,
            &format!("fn {method}(guest: &mut Guest<'_, Self>{params}) -> Result<{result}, HostError>;"),
        );
    }
    line(out, "}");
    for (index, (Import { ty, .. }, method)) in imports.iter().zip(&methods).enumerate() {
        import(out, index, method, ty);
    }
    let functions: Vec<String> =
        (0..imports.len()).map(|index| format!("import_{index}::<H> as *const c_void")).collect();
    line(
        out,
        &format!(
            "impl<H: Imports> Instance<H> {{\n\
             /// Makes an instance, and runs its start function and `_initialize`.\n\
             pub fn new(host: H) -> Result<Self, Trap> {{ Self::with_options(host, &Options::new()) }}\n\
             /// The same, with options.\n\
             pub fn with_options(host: H, options: &Options) -> Result<Self, Trap> {{\n\
             let imports = [{}];\n\
             // SAFETY: these are the functions that the module imports, in its order.\n\
             unsafe {{ Self::instantiate(&imports, host, options) }}\n}}\n}}",
            functions.join(", ")
        ),
    );
}

/// The C function that the guest calls.
fn import(out: &mut String, index: usize, method: &str, ty: &FuncType) {
    let (params, result) = signature(ty);
    let args: String = (0..ty.params.len()).map(|index| format!(", a{index}")).collect();
    let values: String = ty
        .params
        .iter()
        .enumerate()
        .map(|(index, ty)| format!("let a{index} = {};\n", from_raw(*ty, &format!("p{index}"))))
        .collect();
    line(
        out,
        &format!("unsafe extern \"C\" fn import_{index}<H: Imports>({}){result} {{", params.join(", ")),
    );
    for (index, _) in ty.params.iter().enumerate().filter(|(_, ty)| **ty == ValType::V128) {
        line(
            out,
            &format!("// SAFETY: the guest passes an address.\nlet p{index} = unsafe {{ *p{index} }};"),
        );
    }
    let one = ty.results.len() == 1;
    let results: Vec<String> = (0..ty.results.len())
        .map(|index| if one { String::from("results") } else { format!("results.{index}") })
        .collect();
    let raw = list(results.iter().zip(&ty.results).map(|(value, ty)| to_raw(*ty, value)));
    line(
        out,
        &format!(
            "// SAFETY: the guest calls this, with its instance, which was made for `H`.\n\
             let results = unsafe {{ imported::<H, _>(instance, |guest| {{\n\
             {values}let results = <H as Imports>::{method}(guest{args})?;\nOk({raw})\n}}) }};"
        ),
    );
    let by_address = results_by_address(ty);
    match (by_address.is_empty(), one) {
        (true, true) => line(out, "results.unwrap_or_default()"),
        (true, false) => {}
        (false, _) => {
            line(
                out,
                "if let Some(results) = results {\n// SAFETY: the guest passes places for the results.\nunsafe {",
            );
            for (index, value) in results.iter().enumerate() {
                line(out, &format!("*r{index} = {value};"));
            }
            line(out, "}\n}");
        }
    }
    line(out, "}");
}

/// The method that calls an exported function.
fn function_method(out: &mut String, method: &str, index: usize, Function { name, ty, .. }: &Function) {
    doc(out, &format!("Calls the exported function `{name}`."));
    let (params, result) = (params(ty), result_type(&ty.results));
    line(out, &format!("pub fn {method}(&mut self{params}) -> Result<{result}, Trap> {{\nlet guest = self;"));
    let by_address = results_by_address(ty);
    let mut args = String::new();
    for (index, ty) in ty.params.iter().enumerate() {
        let value = format!("p{index}");
        match ty {
            ValType::V128 => args += &format!("&{value}, "),
            // Errors come before the call.
            ValType::FuncRef => {
                line(out, &format!("let {value} = {};", to_raw(*ty, &value)));
                args += &format!("{value}, ");
            }
            _ => args += &format!("{}, ", to_raw(*ty, &value)),
        }
    }
    for (index, ty) in by_address.iter().enumerate() {
        line(out, &format!("let mut r{index}: {} = Default::default();", raw_type(*ty)));
        args += &format!("&mut r{index}, ");
    }
    line(
        out,
        &format!(
            "let mut trap = ptr::null_mut();\n\
             // SAFETY: the instance exists, and this has its type; nobody else uses it, since it is borrowed.\n\
             let r = unsafe {{ ffi::function_{index}(guest.raw(), {args}&mut trap) }};\n\
             if !trap.is_null() {{ return Err(guest.trapped(trap)); }}"
        ),
    );
    let values = ty.results.iter().enumerate().map(|(index, ty)| {
        let value = if by_address.is_empty() { String::from("r") } else { format!("r{index}") };
        from_raw(*ty, &value)
    });
    line(out, &format!("Ok({})\n}}", list(values)));
}

fn memory_methods(out: &mut String, names: &mut Names, index: usize, Memory { name, .. }: &Memory) {
    let affixes = [("", ""), ("", "_mut"), ("", "_and_host"), ("read_", ""), ("write_", ""), ("grow_", "")];
    let [get, get_mut, and_host, read, write, grow] = names.add(name, affixes);
    let place = format!("ffi::memory_{index}(self.raw())");
    doc(out, &format!("The bytes of the exported memory `{name}`."));
    line(
        out,
        &format!(
            "pub fn {get}(&self) -> &[u8] {{\n\
             // SAFETY: the memory is the instance's, which is borrowed, so it does not run.\n\
             unsafe {{ bytes({place}) }}\n}}"
        ),
    );
    doc(out, &format!("The bytes of the exported memory `{name}`, to change them."));
    line(
        out,
        &format!(
            "pub fn {get_mut}(&mut self) -> &mut [u8] {{\n\
             // SAFETY: as above, and nobody else has borrowed it.\n\
             unsafe {{ bytes_mut({place}) }}\n}}"
        ),
    );
    doc(out, &format!("The bytes of the exported memory `{name}`, and what the imports use."));
    line(
        out,
        &format!(
            "pub fn {and_host}(&mut self) -> (&mut [u8], &mut H) {{\n\
             // SAFETY: as above; the two are apart.\n\
             unsafe {{ (bytes_mut({place}), &mut (*self.state.as_ptr()).host) }}\n}}"
        ),
    );
    doc(out, &format!("Some bytes of the exported memory `{name}`."));
    line(
        out,
        &format!(
            "pub fn {read}(&self, offset: u32, len: u32) -> Result<&[u8], OutOfBounds> {{\n\
             let bytes = self.{get}();\nOk(&bytes[range(offset, len as usize, bytes.len())?])\n}}"
        ),
    );
    doc(out, &format!("Copies bytes into the exported memory `{name}`. All or none."));
    line(
        out,
        &format!(
            "pub fn {write}(&mut self, offset: u32, data: &[u8]) -> Result<(), OutOfBounds> {{\n\
             let bytes = self.{get_mut}();\nlet range = range(offset, data.len(), bytes.len())?;\n\
             bytes[range].copy_from_slice(data);\nOk(())\n}}"
        ),
    );
    doc(
        out,
        &format!("Grows the exported memory `{name}` by pages of 64 KiB. False if that is not possible."),
    );
    line(
        out,
        &format!(
            "pub fn {grow}(&mut self, pages: u32) -> bool {{\n\
             // SAFETY: the instance exists, and the memory is its own.\n\
             unsafe {{ ffi::aot_instance_grow_memory(self.raw(), {place}, pages.into()) }}\n}}"
        ),
    );
}

fn global_methods(out: &mut String, names: &mut Names, index: usize, global: &Global) {
    let Global { name, set, ty, .. } = global;
    let [get_name, set_name] = names.add(name, [("get_", ""), ("set_", "")]);
    let rust_type = rust_type(*ty);
    let value = from_raw(*ty, "value");
    doc(out, &format!("The value of the exported global `{name}`."));
    line(
        out,
        &format!(
            "pub fn {get_name}(&self) -> {rust_type} {{\nlet guest = self;\n\
             // SAFETY: the instance exists.\nlet value = unsafe {{ ffi::get_{index}(guest.raw()) }};\n{value}\n}}"
        ),
    );
    if set.is_some() {
        let is_func = *ty == ValType::FuncRef;
        doc(out, &format!("Sets the exported global `{name}`."));
        if is_func {
            doc(out, "");
            doc(out, "# Errors\nIf the function is not one of this instance.");
        }
        let (result, end) = if is_func { (" -> Result<(), Trap>", "\nOk(())") } else { ("", "") };
        let raw = to_raw(*ty, "value");
        line(
            out,
            &format!(
                "pub fn {set_name}(&mut self, value: {rust_type}){result} {{\nlet guest = self;\nlet value = {raw};\n\
                 // SAFETY: the instance exists, and nobody else uses it, since it is borrowed.\n\
                 unsafe {{ ffi::set_{index}(guest.raw(), value) }};{end}\n}}"
            ),
        );
    }
}
