//! Calls of an export with the arguments of the process as its parameters. Prints the results, one per line.

use crate::call::{Activation, Slot, enter};
use crate::instance::{Callee, Instance};
use crate::message::Message;
use crate::start::fail;
use crate::sys;
use alloc::vec;
use aot_abi::types::{EntityKind, ValType};
use core::fmt::Write as _;
use core::str::FromStr;
use rustix::io::{self, Errno};

unsafe extern "C" {
    static aot_invoke_name: u8;
}

/// Calls the export `aot_invoke_name`; what the compiler's `link::entry` makes the entry of an executable.
///
/// # Safety
/// `args` points to `count` arguments, the first one being the name of the program.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_invoke(instance: &mut Instance, args: *const &[u8], count: usize) -> i32 {
    // SAFETY: the caller vouches for the arguments; the compiler ended the name by NUL.
    let (args, name) = unsafe {
        let start = &raw const aot_invoke_name;
        let mut len = 0;
        // Volatile: other loops of this kind become `strlen`.
        while start.add(len).read_volatile() != 0 {
            len += 1;
        }
        (core::slice::from_raw_parts(args, count), core::slice::from_raw_parts(start, len))
    };
    let name = core::str::from_utf8(name).unwrap_or("?");
    let declarations = instance.module().declarations();
    let export = declarations.export(name).filter(|export| export.kind == EntityKind::Func);
    let ty = export
        .and_then(|export| declarations.func_type_index(export.index))
        .and_then(|ty| declarations.types.get(ty as usize));
    let (Some(export), Some(ty)) = (export, ty) else {
        fail(Message::new().text("the module exports no function `").text(name).text("`").as_bytes());
    };
    let args = args.get(1..).unwrap_or(&[]);
    if args.len() != ty.params.len() {
        let mut message = Message::new();
        message.text("`").text(name).text("` takes ").decimal(ty.params.len() as u64);
        message.text(" arguments, and ").decimal(args.len() as u64).text(" were given");
        fail(message.as_bytes());
    }
    let mut values = vec![[0; 16]; ty.params.len().max(ty.results.len()).max(1)];
    for (value, (arg, ty)) in values.iter_mut().zip(args.iter().zip(&ty.params)) {
        let arg = core::str::from_utf8(arg).unwrap_or("?");
        match parse(arg, *ty) {
            Some(slot) => *value = slot,
            None => {
                let mut message = Message::new();
                message.text("`").text(arg).text("` is not a value of type ").text(ty.name());
                fail(message.as_bytes());
            }
        }
    }
    let Some(Callee { entry, code, vmctx }) = instance.callee(export.index) else {
        fail(b"this executable is damaged: a function has no code");
    };
    // SAFETY: the trampoline is that of the function's type, and there is a value for each parameter and result.
    unsafe { enter(&mut Activation::default(), entry, code, vmctx, values.as_mut_ptr()) };
    let printed = values.iter().zip(&ty.results).all(|(value, ty)| {
        let mut line = Message::new();
        write_value(&mut line, value, *ty);
        print(line.text("\n").as_bytes())
    });
    i32::from(!printed)
}

/// A value from its text: decimal or, for integers, hexadecimal with `0x`. Integers may be signed or unsigned.
fn parse(text: &str, ty: ValType) -> Option<Slot> {
    let mut slot = [0; 16];
    match ty {
        ValType::I32 => {
            let value = integer(text).filter(|value| (i128::from(i32::MIN)..1 << 32).contains(value))?;
            slot[..4].copy_from_slice(&(value as u32).to_le_bytes());
        }
        ValType::I64 => {
            let value = integer(text).filter(|value| (i128::from(i64::MIN)..1 << 64).contains(value))?;
            slot[..8].copy_from_slice(&(value as u64).to_le_bytes());
        }
        ValType::F32 => slot[..4].copy_from_slice(&f32::from_str(text).ok()?.to_bits().to_le_bytes()),
        ValType::F64 => slot[..8].copy_from_slice(&f64::from_str(text).ok()?.to_bits().to_le_bytes()),
        ValType::V128 | ValType::FuncRef | ValType::ExternRef => return None,
    }
    Some(slot)
}

fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let value = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => u64::from_str(digits),
    };
    let value = i128::from(value.ok()?);
    Some(if negative { -value } else { value })
}

/// Writes a result as wasmtime prints it, but a vector in hexadecimal: the code of the division for decimal digits of 128
/// bits is in none of the libraries that the runtime links.
fn write_value(out: &mut Message, value: &Slot, ty: ValType) {
    let low4 = [value[0], value[1], value[2], value[3]];
    let low8 = [value[0], value[1], value[2], value[3], value[4], value[5], value[6], value[7]];
    // Writing to a message does not fail.
    let written = match ty {
        ValType::I32 => write!(out, "{}", i32::from_le_bytes(low4)),
        ValType::I64 => write!(out, "{}", i64::from_le_bytes(low8)),
        ValType::F32 => write!(out, "{}", f32::from_bits(u32::from_le_bytes(low4))),
        ValType::F64 => write!(out, "{}", f64::from_bits(u64::from_le_bytes(low8))),
        ValType::V128 => write!(out, "{:#034x}", u128::from_le_bytes(*value)),
        ValType::FuncRef => out.write_str("<funcref>"),
        ValType::ExternRef => out.write_str("<externref>"),
    };
    debug_assert!(written.is_ok());
}

/// Writes to standard output.
fn print(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match io::write(sys::standard_stream(1), bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(_) => {
                Message::new().text("error: cannot write the results to standard output\n").flush();
                return false;
            }
        }
    }
    true
}
