//! What commands compile: a module, or a main module with libraries that are linked to it first.

use crate::input;
use crate::report::{self, Failure, Result};
use crate::source_map;
use aot_compiler::{CompiledModule, Config, LINK_FEATURES, Share, ShareResult, Source};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Warnings about damaged debug information that are shown.
const SHOWN_WARNINGS: usize = 5;

/// `NAME=PATH` on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryArg {
    name: String,
    path: PathBuf,
}

impl LibraryArg {
    pub fn parse(text: OsString) -> Result<LibraryArg, String> {
        let (name, path) = report::split_once(&text, '=').ok_or("write NAME=PATH")?;
        let name = name.into_string().map_err(|_| "the name is not UTF-8")?;
        if path.is_empty() {
            return Err(String::from("there is no path after `=`"));
        }
        Ok(LibraryArg { name, path: PathBuf::from(path) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

struct Library {
    name: String,
    file: String,
    wasm: Vec<u8>,
    reexport: bool,
}

/// A program in the binary format.
pub struct Program {
    path: PathBuf,
    wasm: Vec<u8>,
    libraries: Vec<Library>,
    /// What only those who ask want to know.
    note: Option<String>,
    /// The one module that it is, once that was needed.
    linked: OnceCell<Vec<u8>>,
}

impl Program {
    /// A main module that was read already, and libraries that are read now. The exports of those in `reexport` are
    /// exported from the program too.
    pub fn new(
        path: &Path,
        mut wasm: Vec<u8>,
        libraries: &[LibraryArg],
        reexport: &[String],
    ) -> Result<Program> {
        check(path, libraries, reexport)?;
        let read = |LibraryArg { name, path }: &LibraryArg| {
            Ok(Library {
                name: name.clone(),
                file: path.display().to_string(),
                wasm: input::read_module(path)?,
                reexport: reexport.contains(name),
            })
        };
        let libraries: Vec<Library> = libraries.iter().map(read).collect::<Result<_>>()?;
        // Offsets of modules that are linked are others.
        let note = if libraries.is_empty() { source_map::attach(path, &mut wasm) } else { None };
        Ok(Program { path: path.to_owned(), wasm, libraries, note, linked: OnceCell::new() })
    }

    /// Reads all modules.
    pub fn read(path: &Path, libraries: &[LibraryArg], reexport: &[String]) -> Result<Program> {
        // Before standard input is used up.
        check(path, libraries, reexport)?;
        Program::new(path, input::read_module(path)?, libraries, reexport)
    }

    /// What only those who ask want to know.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Bytes of all modules.
    pub fn len(&self) -> usize {
        self.wasm.len() + self.libraries.iter().map(|library| library.wasm.len()).sum::<usize>()
    }

    /// What stands for it in the key of a cache: bytes that no other program has.
    pub fn key(&self) -> Cow<'_, [u8]> {
        if self.libraries.is_empty() {
            return Cow::Borrowed(&self.wasm);
        }
        // No module starts like this.
        let mut key = b"linked".to_vec();
        let mut add = |part: &[u8]| {
            key.extend((part.len() as u64).to_le_bytes());
            key.extend(part);
        };
        add(&self.wasm);
        for Library { name, file: _, wasm, reexport } in &self.libraries {
            add(name.as_bytes());
            add(wasm);
            add(&[u8::from(*reexport)]);
        }
        Cow::Owned(key)
    }

    /// The one module that it is. Prints what looks like a mistake, the first time.
    pub fn module(&self, config: &Config) -> Result<&[u8]> {
        if self.libraries.is_empty() {
            return Ok(&self.wasm);
        }
        if let Some(linked) = self.linked.get() {
            return Ok(linked);
        }
        let libraries: Vec<_> = self
            .libraries
            .iter()
            .map(|Library { name, file, wasm, reexport }| aot_compiler::Library {
                name,
                source: Source { file, wasm },
                reexport: *reexport,
            })
            .collect();
        let file = self.path.display().to_string();
        let main = Source { file: &file, wasm: &self.wasm };
        let merged = aot_compiler::merge(main, &libraries, config.features);
        let merged = merged.map_err(|error| Failure::compiler(&error, &self.path))?;
        for warning in &merged.warnings {
            report::warn(warning);
        }
        Ok(self.linked.get_or_init(|| merged.wasm))
    }

    /// Compiles it. Prints what of its debug information is damaged.
    pub fn compile(&self, config: &Config) -> Result<CompiledModule> {
        let compiled = self.with(config, aot_compiler::compile)?;
        let warnings = compiled.debug_warnings();
        for warning in warnings.iter().take(SHOWN_WARNINGS) {
            report::warn(&format!("damaged debug information was left out: {warning}"));
        }
        if let Some(more) = warnings.len().checked_sub(SHOWN_WARNINGS).filter(|more| *more > 0) {
            report::warn(&format!("and {more} more parts of the debug information"));
        }
        Ok(compiled)
    }

    /// Compiles a share of its functions, for other machines.
    pub fn compile_share(&self, config: &Config, share: Share) -> Result<ShareResult> {
        self.with(config, |module, config| aot_compiler::compile_share(module, config, share))
    }

    fn with<R>(
        &self,
        config: &Config,
        compile: impl FnOnce(&[u8], &Config) -> aot_compiler::Result<R>,
    ) -> Result<R> {
        let module = self.module(config)?;
        let mut config = Cow::Borrowed(config);
        if !self.libraries.is_empty() {
            config.to_mut().features |= LINK_FEATURES;
        }
        compile(module, &config).map_err(|error| Failure::compiler(&error, &self.path))
    }
}

/// Whether the parts of a command line fit together.
fn check(path: &Path, libraries: &[LibraryArg], reexport: &[String]) -> Result<()> {
    if let Some(unknown) = reexport.iter().find(|name| libraries.iter().all(|library| library.name != **name))
    {
        return Err(Failure::usage(format!("`--reexport {unknown}`: no module has this name")));
    }
    let inputs = libraries.iter().map(LibraryArg::path).chain([path]);
    if inputs.filter(|path| *path == Path::new("-")).count() > 1 {
        return Err(Failure::usage("only one module can come from standard input"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_have_names() {
        let parse = |text: &str| LibraryArg::parse(text.into());
        let library = |name: &str, path: &str| Ok(LibraryArg { name: name.into(), path: path.into() });
        assert_eq!(parse("math=a/b.wasm"), library("math", "a/b.wasm"));
        assert_eq!(parse("=a=b"), library("", "a=b"));
        assert!(parse("math=").is_err());
        assert!(parse("math").is_err());
    }

    #[test]
    fn keys_tell_programs_apart() {
        let library = |name: &str, wasm: &[u8], reexport| Library {
            name: name.into(),
            file: String::from("file"),
            wasm: wasm.to_vec(),
            reexport,
        };
        let program = |wasm: &[u8], libraries: Vec<Library>| Program {
            path: PathBuf::from("main"),
            wasm: wasm.to_vec(),
            libraries,
            note: None,
            linked: OnceCell::new(),
        };
        let programs = [
            program(b"a", vec![]),
            program(b"a", vec![library("b", b"c", false)]),
            program(b"a", vec![library("b", b"c", true)]),
            program(b"a", vec![library("bc", b"", false)]),
            program(b"a", vec![library("b", b"c", false), library("d", b"c", false)]),
            program(b"a", vec![library("d", b"c", false), library("b", b"c", false)]),
            program(b"", vec![library("a", b"c", false)]),
        ];
        for (at, one) in programs.iter().enumerate() {
            assert!(programs[at + 1..].iter().all(|other| one.key() != other.key()), "{at}");
        }
    }
}
