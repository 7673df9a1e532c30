//! What a file is, by its first bytes.

use aot_abi::image::section;
use object::{BinaryFormat, Object as _, ObjectKind, ObjectSection as _};
use std::fmt;

/// Section of the options that an executable was built with.
pub const OPTIONS_SECTION: &str = ".aot.options";

/// Section of the module description in our artifacts.
pub fn description_section(format: BinaryFormat) -> &'static str {
    match format {
        BinaryFormat::MachO => "__aot_info",
        BinaryFormat::Coff => ".rdata$aot.info",
        _ => ".aot.info",
    }
}

/// The kinds of files that a user may hand to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A core module in the binary format.
    Module,
    /// A component in the binary format.
    Component,
    /// Perhaps a module in the text format: it starts like one.
    Text,
    /// An executable that `aot build` made.
    Executable,
    /// An object that `aot build` made.
    Object,
    /// An image that `aot build` made.
    Image,
    /// A precompiled module of Wasmtime.
    WasmtimeImage,
    /// Another ELF file.
    Elf,
    /// Another Mach-O or COFF file.
    OtherObject,
    Empty,
    Unknown,
}

impl FileKind {
    /// Looks at the bytes of a whole file.
    pub fn of(bytes: &[u8]) -> FileKind {
        if bytes.is_empty() {
            FileKind::Empty
        } else if bytes.starts_with(b"\x7fELF") {
            FileKind::of_elf(bytes)
        } else if is_foreign(bytes) {
            FileKind::of_foreign(bytes)
        } else if wasmparser::Parser::is_component(bytes) {
            FileKind::Component
        } else if bytes.starts_with(b"\0asm") {
            FileKind::Module
        } else if starts_like_text(bytes) {
            FileKind::Text
        } else {
            FileKind::Unknown
        }
    }

    fn of_elf(bytes: &[u8]) -> FileKind {
        /// `e_ident[EI_OSABI]` of Wasmtime's files.
        const ELFOSABI_WASMTIME: u8 = 200;
        const EI_OSABI: usize = 7;
        let Ok(file) = object::File::parse(bytes) else { return FileKind::Elf };
        let has = |prefix: &str| {
            file.sections().any(|section| section.name().is_ok_and(|name| name.starts_with(prefix)))
        };
        match file.kind() {
            _ if bytes.get(EI_OSABI) == Some(&ELFOSABI_WASMTIME) || has(".wasmtime.") => {
                FileKind::WasmtimeImage
            }
            _ if !has(description_section(BinaryFormat::Elf)) => FileKind::Elf,
            ObjectKind::Dynamic if has(section::NOTE) => FileKind::Image,
            ObjectKind::Dynamic if has(OPTIONS_SECTION) => FileKind::Executable,
            ObjectKind::Relocatable => FileKind::Object,
            ObjectKind::Executable => FileKind::Executable,
            _ => FileKind::Elf,
        }
    }

    fn of_foreign(bytes: &[u8]) -> FileKind {
        match object::File::parse(bytes) {
            Ok(file) if file.section_by_name(description_section(file.format())).is_some() => {
                FileKind::Object
            }
            _ => FileKind::OtherObject,
        }
    }

    /// For use in a sentence.
    pub fn with_article(self) -> String {
        let article = match self {
            FileKind::Executable
            | FileKind::Object
            | FileKind::Image
            | FileKind::Elf
            | FileKind::Empty
            | FileKind::Unknown => "an",
            _ => "a",
        };
        format!("{article} {self}")
    }

    /// One word for programs that read our output.
    pub fn id(self) -> &'static str {
        match self {
            FileKind::Module => "module",
            FileKind::Component => "component",
            FileKind::Text => "text",
            FileKind::Executable => "executable",
            FileKind::Object => "object",
            FileKind::Image => "image",
            FileKind::WasmtimeImage => "wasmtime-image",
            FileKind::Elf => "elf",
            FileKind::OtherObject => "other-object",
            FileKind::Empty => "empty",
            FileKind::Unknown => "unknown",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Module => "WebAssembly module",
            FileKind::Component => "WebAssembly component",
            FileKind::Text => "WebAssembly module in the text format",
            FileKind::Executable => "executable made by aot",
            FileKind::Object => "object made by aot",
            FileKind::Image => "image made by aot",
            FileKind::WasmtimeImage => "precompiled module of Wasmtime",
            FileKind::Elf => "ELF file",
            FileKind::OtherObject => "Mach-O or COFF file",
            FileKind::Empty => "empty file",
            FileKind::Unknown => "unknown kind of file",
        })
    }
}

/// Whether a file starts as 64-bit Mach-O files do, or COFF objects for the machines that we know.
fn is_foreign(bytes: &[u8]) -> bool {
    let is_coff = |machine: [u8; 2]| {
        bytes.starts_with(&machine) && bytes.len() >= size_of::<object::pe::ImageFileHeader>()
    };
    bytes.starts_with(&object::macho::MH_MAGIC_64.to_le_bytes())
        || is_coff(object::pe::IMAGE_FILE_MACHINE_AMD64.0.to_le_bytes())
        || is_coff(object::pe::IMAGE_FILE_MACHINE_ARM64.0.to_le_bytes())
}

/// Whether the first character after blanks and comments opens a parenthesis.
fn starts_like_text(bytes: &[u8]) -> bool {
    let mut rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    // Block comments are left to the parser.
    while rest.starts_with(b";;") {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        rest = rest[end..].trim_ascii_start();
    }
    rest.starts_with(b"(")
}

#[cfg(test)]
mod tests {
    use super::FileKind;

    #[test]
    fn files_are_known_by_their_start() {
        for (bytes, kind) in [
            (&b""[..], FileKind::Empty),
            (b"\0asm\x01\0\0\0", FileKind::Module),
            (b"\0asm", FileKind::Module),
            (b"\0asm\x0d\0\x01\0", FileKind::Component),
            (b"(module)", FileKind::Text),
            (b"\xef\xbb\xbf ;; hi\n\n(module)", FileKind::Text),
            (b"(; hi ;)", FileKind::Text),
            (b"\x7fELF", FileKind::Elf),
            (b"hello", FileKind::Unknown),
            (b"\xff\xfe", FileKind::Unknown),
            (b";;", FileKind::Unknown),
        ] {
            assert_eq!(FileKind::of(bytes), kind, "{bytes:?}");
        }
    }
}
