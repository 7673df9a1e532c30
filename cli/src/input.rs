//! Reading what the user names: a file, or standard input as `-`.

use crate::file_kind::FileKind;
use crate::report::{Failure, Result};
use aot_abi::image::{ImageError, ImageFile};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Offsets in a module have 32 bits.
const MAX_LEN: u64 = u32::MAX as u64;

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let failure = |error: io::Error| Failure::io("cannot read", path, &error);
    let mut bytes = Vec::new();
    let len = if path == Path::new("-") {
        io::stdin().lock().take(MAX_LEN + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MAX_LEN + 1).read_to_end(&mut bytes))
    }
    .map_err(failure)?;
    if len as u64 > MAX_LEN {
        return Err(Failure::new(format!("cannot read `{}`: it is larger than 4 GiB", path.display())));
    }
    Ok(bytes)
}

/// Reads a module, and turns the text format into the binary one.
pub fn read_module(path: &Path) -> Result<Vec<u8>> {
    module(path, read(path)?)
}

/// The binary format of a module.
pub fn module(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let refuse = |help: &str| {
        let message = format!("`{}` is not a WebAssembly module", path.display());
        Err(Failure::new(message).with_help(help))
    };
    match FileKind::of(&bytes) {
        FileKind::Module => Ok(bytes),
        FileKind::Text => {
            let wasm = aot_compiler::parse_text(&bytes, &path.to_string_lossy());
            wasm.map(|wasm| wasm.into_owned()).map_err(|error| Failure::compiler(&error, path))
        }
        FileKind::Component => {
            let message = format!("`{}` is a component, and only core modules are supported", path.display());
            Err(Failure::new(message).with_help(
                "build the program for `wasm32-wasip1`, or take the core module out of the component",
            ))
        }
        FileKind::Empty => refuse("the file is empty"),
        FileKind::Executable => refuse("it is an executable that aot made: start it as a program"),
        FileKind::Object => {
            refuse("it is an object that aot made: link it, or build an executable from the module")
        }
        FileKind::Image => refuse("it is an image that aot made: it is compiled already"),
        FileKind::WasmtimeImage => {
            refuse("it is a precompiled module of Wasmtime: build from the `.wasm` file")
        }
        FileKind::Elf => match ImageFile::parse(&bytes) {
            Err(error @ ImageError::Truncated { .. }) => refuse(&format!("it is an ELF file, and {error}")),
            _ => refuse("it is an ELF file, which is machine code already"),
        },
        FileKind::OtherObject => refuse("it is a Mach-O or COFF file, which is machine code already"),
        FileKind::Unknown => {
            refuse("a module starts with the bytes `\\0asm`, its text format with `(module`")
        }
    }
}
