//! `aot objdump`: the machine code of an executable, object or image, by wasm function; with `--source` also of a module.

mod module;
mod source;

use crate::args::{CompileArgs, CpuArgs};
use crate::artifact::Artifact;
use crate::disassemble::{self, Instruction};
use crate::file_kind::FileKind;
use crate::input;
use crate::output::Stdout;
use crate::report::{Failure, Result, printable, warn};
use aot_abi::source::{SECTION, SourceLines};
use aot_compiler::debug::demangle;
use object::{Object as _, ObjectSection as _};
use source::{Place, Sources};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Write as _;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  aot objdump app                   all wasm functions
  aot objdump app.o --funcs main    those with `main` in their name
  aot objdump app --funcs 12        the function with index 12
  aot objdump app --source          with the lines of the source between them
  aot objdump app.wasm --source -O opt-level=0
                                    source, wasm, and what this compilation makes of them";

/// Show the machine code of an executable, object or image
///
/// Traps are marked with what they mean and with their offset in the wasm file.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Executable, object or image that `aot build` made, or, with `--source`, a module; `-` is standard input
    pub file: PathBuf,

    /// Only functions with this index, or with this text in their name
    #[arg(long, value_name = "F")]
    funcs: Option<String>,

    /// Show the source before the code that came from it, and of a module also its instructions
    #[arg(long)]
    source: bool,

    /// Show names of C++ and Rust as they are in the source
    #[arg(long)]
    demangle: bool,

    /// Machine that a module is compiled for; `aot targets` lists them [default: this one]
    #[arg(long, value_name = "TARGET", help_heading = "Compilation of a module")]
    pub target: Option<String>,

    #[command(flatten)]
    pub cpu: CpuArgs,

    #[command(flatten)]
    pub compile: CompileArgs,
}

/// Which functions are shown, and by which names.
pub struct Selection<'a> {
    wanted: Option<&'a str>,
    demangle: bool,
    is_empty: Cell<bool>,
}

impl Selection<'_> {
    /// Whether a function is wanted, by its index or a part of its name in either form.
    pub fn wants(&self, name: &str, func: Option<u32>) -> bool {
        let wants = self.wanted.is_none_or(|wanted| match wanted.parse::<u32>() {
            Ok(index) => func == Some(index),
            Err(_) => name.contains(wanted) || demangle(name).is_some_and(|name| name.contains(wanted)),
        });
        self.is_empty.set(self.is_empty.get() && !wants);
        wants
    }

    pub fn name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        Some(name).filter(|_| self.demangle).and_then(demangle).map_or(Cow::from(name), Cow::from)
    }

    /// # Errors
    /// If nothing was wanted.
    pub fn check(&self) -> Result<()> {
        match self.wanted {
            Some(wanted) if self.is_empty.get() => {
                Err(Failure::new(format!("no function matches `{wanted}`"))
                    .with_help("`aot objdump FILE` without `--funcs` shows all functions with their names"))
            }
            _ => Ok(()),
        }
    }
}

pub fn run(args: &Args) -> Result<()> {
    let bytes = input::read(&args.file)?;
    let selection =
        Selection { wanted: args.funcs.as_deref(), demangle: args.demangle, is_empty: Cell::new(true) };
    if args.source && matches!(FileKind::of(&bytes), FileKind::Module | FileKind::Text) {
        let wasm = input::module(&args.file, bytes)?;
        return module::run(args, wasm, &selection);
    }
    let artifact = Artifact::read(&args.file, &bytes)?;
    let disassembler = disassemble::for_architecture(artifact.architecture).ok_or_else(|| {
        Failure::new(format!("aot has no disassembler for {}", artifact.target))
            .with_help("`llvm-objdump -d` and the objdump of the target's binutils have one")
    })?;
    let section = artifact.file.section_by_name(SECTION).and_then(|section| section.data().ok());
    let lines = section.and_then(|bytes| SourceLines::new(bytes).ok()).filter(|_| args.source);
    if args.source && lines.is_none() {
        warn(&format!(
            "`{}` does not say which source its code came from: the module had no debug information, or it was stripped",
            args.file.display()
        ));
    }
    let mut stdout = Stdout::new();
    if !stdout.print(&printable(&format!(
        "{}: {} {}\n",
        args.file.display(),
        artifact.target,
        artifact.kind
    )))? {
        return Ok(());
    }
    let mut listing =
        Listing { artifact: &artifact, selection: &selection, lines, sources: Sources::default() };
    for range in 0..artifact.description.range_count() {
        let name = artifact.range_name(range);
        let func = artifact.range_func(range);
        if selection.wants(&name, func)
            && !stdout.print(&listing.function(disassembler, range, &name, func))?
        {
            return Ok(());
        }
    }
    listing.sources.finish();
    selection.check()
}

struct Listing<'a> {
    artifact: &'a Artifact<'a>,
    selection: &'a Selection<'a>,
    lines: Option<SourceLines<'a>>,
    sources: Sources,
}

impl Listing<'_> {
    /// One function: a title, and a line for each instruction.
    fn function(
        &mut self,
        disassembler: disassemble::Disassembler,
        range: u32,
        name: &str,
        func: Option<u32>,
    ) -> String {
        let Listing { artifact, selection, .. } = *self;
        let (offset, len) = artifact.description.code_range(range);
        let name = selection.name(name);
        let title = match func {
            Some(func) => format!("func {func} `{name}`"),
            None => format!("`{name}`"),
        };
        let mut text = printable(&format!("\n{title}: {len} bytes\n"));
        let bytes = (offset as usize)
            .checked_add(len as usize)
            .and_then(|end| artifact.code.bytes.get(offset as usize..end));
        let Some(bytes) = bytes else {
            text += "  (its code lies outside the file)\n";
            return text;
        };
        self.sources.begin();
        let address = artifact.code.address.saturating_add(u64::from(offset));
        for instruction in disassembler(bytes, address) {
            let at = instruction.address.wrapping_sub(artifact.code.address);
            if let Some(place) = u32::try_from(at).ok().and_then(|at| self.place(at)) {
                self.sources.show(&place, &mut text);
            }
            let mut comments = Vec::new();
            let end = at.saturating_add(instruction.bytes.len() as u64);
            let mut relocations = artifact.code.relocations.range(at..end);
            let symbol = match relocations.next() {
                Some((_, symbol)) => Some(symbol.clone()),
                None => instruction.target.and_then(|target| artifact.name_at(target)),
            };
            comments.extend(symbol.map(|symbol| selection.name(&symbol).into_owned()));
            let location = u32::try_from(at).ok().and_then(|at| artifact.description.locate(at));
            if let Some(trap) = location.and_then(|location| location.trap()) {
                comments.push(format!("trap: {}, wasm {:#x}", trap.code.message(), trap.wasm_offset));
            }
            text += &code_line(&instruction, &comments);
        }
        text
    }

    /// Where in the source the instruction at an offset in the code came from.
    fn place(&self, text_offset: u32) -> Option<Place> {
        let mut frames = self.lines?.frames(text_offset)?;
        let frame = frames.next().filter(|frame| !frame.file.is_empty())?;
        let inlined = frames.next().map(|_| frame.function.to_owned());
        Some(Place { file: frame.file.to_owned(), line: frame.line, inlined })
    }
}

/// A line for an instruction.
pub fn code_line(instruction: &Instruction<'_>, comments: &[String]) -> String {
    let Instruction { address, bytes, text, .. } = instruction;
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    let mut line = format!("{address:8x}:  {hex:<32}  {text}");
    if !comments.is_empty() {
        write!(line, "  ; {}", comments.join("; ")).expect("strings take all text");
    }
    let mut line = printable(&line).replace('\n', "\\n").trim_end().to_owned();
    line.push('\n');
    line
}
