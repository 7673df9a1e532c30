//! `aot objdump`: the machine code of an executable, object or image, by wasm function.

use crate::artifact::Artifact;
use crate::disassemble::{self, Instruction};
use crate::input;
use crate::output::Stdout;
use crate::report::{Failure, Result, printable};
use std::fmt::Write as _;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  aot objdump app                   all wasm functions
  aot objdump app.o --funcs main    those with `main` in their name
  aot objdump app --funcs 12        the function with index 12";

/// Show the machine code of an executable, object or image
///
/// Traps are marked with what they mean and with their offset in the wasm file.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Executable, object or image that `aot build` made; `-` is standard input
    file: PathBuf,

    /// Only functions with this index, or with this text in their name
    #[arg(long, value_name = "F")]
    funcs: Option<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let bytes = input::read(&args.file)?;
    let artifact = Artifact::read(&args.file, &bytes)?;
    let disassembler = disassemble::for_architecture(artifact.architecture).ok_or_else(|| {
        Failure::new(format!("aot has no disassembler for {}", artifact.target))
            .with_help("`llvm-objdump -d` and the objdump of the target's binutils have one")
    })?;
    let mut stdout = Stdout::new();
    if !stdout.print(&printable(&format!(
        "{}: {} {}\n",
        args.file.display(),
        artifact.target,
        artifact.kind
    )))? {
        return Ok(());
    }
    let mut shown = 0u32;
    for range in 0..artifact.description.range_count() {
        let name = artifact.range_name(range);
        let func = artifact.range_func(range);
        let wanted = args.funcs.as_deref().is_none_or(|wanted| match wanted.parse::<u32>() {
            Ok(index) => func == Some(index),
            Err(_) => name.contains(wanted),
        });
        if wanted {
            shown += 1;
            if !stdout.print(&function(&artifact, disassembler, range, &name, func))? {
                return Ok(());
            }
        }
    }
    match &args.funcs {
        Some(wanted) if shown == 0 => Err(Failure::new(format!("no function matches `{wanted}`"))
            .with_help("`aot objdump FILE` without `--funcs` shows all functions with their names")),
        _ => Ok(()),
    }
}

/// One function: a title, and a line for each instruction.
fn function(
    artifact: &Artifact<'_>,
    disassembler: disassemble::Disassembler,
    range: u32,
    name: &str,
    func: Option<u32>,
) -> String {
    let (offset, len) = artifact.description.code_range(range);
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
    let address = artifact.code.address.saturating_add(u64::from(offset));
    for instruction in disassembler(bytes, address) {
        let Instruction { address, bytes, text: code, target } = instruction;
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        let mut line = format!("{address:8x}:  {hex:<32}  {code}");
        let mut comments = Vec::new();
        let at = address.wrapping_sub(artifact.code.address);
        let relocations = artifact.code.relocations.range(at..at.saturating_add(bytes.len() as u64));
        match relocations.map(|(_, symbol)| symbol).next() {
            Some(symbol) => comments.push(symbol.clone()),
            None => comments.extend(target.and_then(|target| artifact.name_at(target))),
        }
        let location = u32::try_from(at).ok().and_then(|at| artifact.description.locate(at));
        if let Some(trap) = location.and_then(|location| location.trap()) {
            comments.push(format!("trap: {}, wasm {:#x}", trap.code.message(), trap.wasm_offset));
        }
        if !comments.is_empty() {
            write!(line, "  ; {}", comments.join("; ")).expect("strings take all text");
        }
        text += printable(&line).replace('\n', "\\n").trim_end();
        text.push('\n');
    }
    text
}
