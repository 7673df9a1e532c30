//! The C header of a library.

use super::interface::{Function, Global, Import, Interface, Memory};
use crate::translate::c_abi::results_by_address;
use aot_abi::trap::TrapCode;
use aot_abi::types::{FuncType, ValType};
use std::fmt::Write as _;

/// What all headers have in common. Each has it, so that each can be used alone.
const COMMON: &str = include_str!("common.h");

/// Writes the header.
pub(crate) fn write(interface: &Interface) -> String {
    let Interface { prefix, functions, memories, globals, imports, left_out, number } = interface;
    let guard = format!("{}_H", prefix.to_ascii_uppercase());
    let mut out = String::new();
    let instance = format!("{prefix}_instance");
    let instance = instance.as_str();
    let mut line = |text: &str| {
        out += text;
        out.push('\n');
    };
    line(
        "/* Made by `aot build` together with an object: do not change one without the other. C99 and C++11. */",
    );
    line(&format!("#ifndef {guard}\n#define {guard}\n"));
    line(&COMMON.replace("@TRAPS@", traps().trim_end()));
    line("#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    line("/* An instance of the module, used by one thread at a time. */");
    line(&format!("typedef struct {instance} {instance};\nextern const aot_module {prefix}_module;\n"));

    if !imports.is_empty() {
        line("/* The functions that the module imports. All have to be given. */");
        line(&format!("typedef struct {prefix}_imports {{"));
        for Import { field, module, name, ty } in imports {
            line(&format!("    /* {}.{} */", comment(module), comment(name)));
            line(&format!("    {};", declaration(ty, &format!("(*{field})"), instance, false)));
        }
        line(&format!("}} {prefix}_imports;\n"));
    }
    let (parameter, argument, count) = match imports.is_empty() {
        true => (String::new(), "NULL", String::from("0")),
        false => (
            format!("const {prefix}_imports *imports, "),
            "(const void *const *) (const void *) imports",
            String::from("imports == NULL ? 0 : sizeof *imports / sizeof(void (*)(void))"),
        ),
    };
    line(
        "/* Makes an instance, and runs its start function and `_initialize`. `host` is for the program's own use.",
    );
    line("   NULL, and a trap, if that fails. `options` may be NULL. */");
    line(&format!(
        "static inline {instance} *{prefix}_new({parameter}void *host, const aot_options *options, aot_trap **trap)\n\
         {{\n    return ({instance} *) aot_instance_new(&{prefix}_module, UINT64_C({number:#x}), {argument}, {count}, \
         host, options, AOT_FLAGS, trap);\n}}\n"
    ));
    for (comment, result, name, params, call) in [
        (
            "Ends an instance, and frees what it has.",
            "void",
            "delete",
            "",
            "aot_instance_delete((aot_instance *) instance)",
        ),
        (
            "The `host` of the instance.",
            "void *",
            "host",
            "",
            "aot_instance_host((const aot_instance *) instance)",
        ),
        (
            "For functions that the module imports: makes the guest trap with this message once the function has \
             returned.",
            "void",
            "fail",
            ", const char *message",
            "aot_instance_fail((aot_instance *) instance, message)",
        ),
        (
            "Stops the guest at the next function that it calls, and, in objects built with\n   \
             `-W epoch-interruption`, at the next round of a loop. Any thread may call this.",
            "void",
            "interrupt",
            "",
            "aot_instance_interrupt((aot_instance *) instance)",
        ),
        (
            "With AOT_DEBUG: lets another thread use the instance from now on.",
            "void",
            "disown",
            "",
            "aot_instance_disown((aot_instance *) instance)",
        ),
        (
            "Grows a memory of the instance by pages of 64 KiB. False if that is not possible.",
            "bool",
            "grow_memory",
            ", const aot_memory *memory, uint64_t pages",
            "aot_instance_grow_memory((aot_instance *) instance, memory, pages)",
        ),
    ] {
        let space = if result.ends_with('*') { "" } else { " " };
        let qualifier = if name == "host" { "const " } else { "" };
        let give = if result == "void" { "" } else { "return " };
        line(&format!(
            "/* {comment} */\nstatic inline {result}{space}{prefix}_{name}({qualifier}{instance} *instance{params})\n\
             {{\n    {give}{call};\n}}\n"
        ));
    }
    if !functions.is_empty() {
        line(
            "/* The functions that the module exports. If `*trap` is set, the guest has trapped, and the result means",
        );
        line("   nothing; `*trap` is not touched otherwise, so it has to be NULL before. */");
        for Function { symbol, name, ty, .. } in functions {
            line(&format!("/* {} */", comment(name)));
            line(&format!("{};", declaration(ty, symbol, instance, true)));
        }
        line("");
    }
    if !memories.is_empty() {
        line(
            "/* The memories that the module exports: where they are, and their size at the moment. The pointer is good",
        );
        line("   as long as the instance. */");
        for Memory { symbol, name, .. } in memories {
            line(&format!("/* {} */", comment(name)));
            line(&format!("const aot_memory *{symbol}(const {instance} *instance);"));
        }
        line("");
    }
    if !globals.is_empty() {
        line("/* The globals that the module exports. */");
        for Global { get, set, name, ty, .. } in globals {
            line(&format!("/* {} */", comment(name)));
            line(&format!("{}(const {instance} *instance);", before(c_type(*ty), get)));
            if let Some(set) = set {
                line(&format!("void {set}({instance} *instance, {});", before(c_type(*ty), "value")));
            }
        }
        line("");
    }
    if !left_out.is_empty() {
        line("/* The module exports more, which C can't use: */");
        for name in left_out {
            line(&format!("/* {} */", comment(name)));
        }
        line("");
    }
    line(&format!("#ifdef __cplusplus\n}}\n#endif\n#endif /* {guard} */"));
    out
}

/// The names and numbers of traps.
fn traps() -> String {
    let mut out = String::new();
    for code in TrapCode::ALL {
        let name: String = format!("{code:?}")
            .chars()
            .flat_map(|char| {
                let underscore = char.is_ascii_uppercase().then_some('_');
                underscore.into_iter().chain([char.to_ascii_uppercase()])
            })
            .collect();
        writeln!(out, "    AOT_TRAP{name} = {}, /* {} */", code as u8, code.message())
            .expect("strings take text");
    }
    out
}

/// A function with the type that a wasm function has in C.
fn declaration(ty: &FuncType, name: &str, instance: &str, has_trap: bool) -> String {
    let by_address = results_by_address(ty);
    let mut params = vec![format!("{instance} *instance")];
    for (index, ty) in ty.params.iter().enumerate() {
        let c_type = if *ty == ValType::V128 { "const aot_v128 *" } else { c_type(*ty) };
        params.push(before(c_type, &format!("p{index}")));
    }
    for (index, ty) in by_address.iter().enumerate() {
        params.push(before(c_type(*ty), &format!("*result{index}")));
    }
    if has_trap {
        params.push(String::from("aot_trap **trap"));
    }
    let result = match ty.results[..] {
        [result] if by_address.is_empty() => c_type(result),
        _ => "void",
    };
    before(result, &format!("{name}({})", params.join(", ")))
}

/// A type before a name.
fn before(c_type: &str, name: &str) -> String {
    let space = if c_type.ends_with('*') { "" } else { " " };
    format!("{c_type}{space}{name}")
}

fn c_type(ty: ValType) -> &'static str {
    match ty {
        ValType::I32 => "int32_t",
        ValType::I64 => "int64_t",
        ValType::F32 => "float",
        ValType::F64 => "double",
        ValType::V128 => "aot_v128",
        ValType::FuncRef => "aot_func *",
        ValType::ExternRef => "void *",
    }
}

/// A name of the module, which may be any text, as part of a comment.
fn comment(name: &str) -> String {
    let plain = |char: char| if char.is_control() { '?' } else { char };
    name.chars().map(plain).collect::<String>().replace("*/", "* /").replace("/*", "/ *")
}
