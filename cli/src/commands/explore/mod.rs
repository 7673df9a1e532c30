//! `aot explore`: source, wasm and machine code of a module beside each other, as a page for a browser.

use crate::args::{self, CompileArgs, CpuArgs};
use crate::disassemble;
use crate::output::{self, Content};
use crate::program::Program;
use crate::report::{Failure, Result, warn};
use crate::wasm_text;
use aot_compiler::CompiledModule;
use aot_compiler::debug::SourceMap;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  aot explore app.wasm                      ./app.html, with all functions
  aot explore app.wasm --funcs sort -o -    those with `sort` in their name, to standard output
  aot explore app.wasm --target riscv64-linux -O opt-level=0
                                            what another compilation makes of it

The page needs nothing else: no server, no network. Pointing at a line shows what it became; a click keeps that. \
Source files are read from where the module's DWARF says they are.";

/// Write a page that shows source, wasm and machine code of a module beside each other
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Module in the binary or text format; `-` is standard input
    #[arg(value_name = "IN")]
    input: PathBuf,

    /// Where the page goes; `-` is standard output [default: the name of IN, with `.html`, in the current directory]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,

    /// Only functions with this index, or with this text in their name
    #[arg(long, value_name = "F")]
    funcs: Option<String>,

    /// Machine that the code is for; `aot targets` lists them [default: this one]
    #[arg(long, value_name = "TARGET", help_heading = "Compilation")]
    target: Option<String>,

    #[command(flatten)]
    cpu: CpuArgs,

    #[command(flatten)]
    compile: CompileArgs,
}

/// Bytes of machine code that a page shows: more, and browsers get slow.
const MOST: usize = 16 << 20;

/// What the page's script reads.
#[derive(Serialize)]
struct Page<'a> {
    title: String,
    target: String,
    functions: Vec<Function<'a>>,
    files: Vec<File>,
    /// By wasm offset: file and line.
    positions: BTreeMap<u32, (usize, u32)>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    index: u32,
    /// Bytes of machine code.
    bytes: usize,
    /// Offset in the module, text. What is inlined comes after the function itself.
    wasm: Vec<(u32, String)>,
    /// Offset in the code of the module, text, offset in the module.
    machine: Vec<(u64, String, Option<u32>)>,
    /// Functions that have code here, since this compiler has inlined calls of them.
    #[serde(skip)]
    inlined: Vec<u32>,
}

#[derive(Serialize)]
struct File {
    name: String,
    text: Option<Vec<String>>,
}

pub fn run(args: &Args) -> Result<()> {
    let target = args::target(args.target.as_deref(), &args.cpu)?;
    let config = args.compile.config(target.clone());
    let program = Program::read(&args.input, &[], &[])?;
    let disassembler = disassemble::for_target(&target)
        .ok_or_else(|| Failure::new(format!("aot has no disassembler for {}", target.name())))?;
    let compiled = program.compile(&config)?;
    let functions = functions(&compiled, args.funcs.as_deref(), disassembler)?;
    let title =
        args.input.file_name().map_or_else(|| String::from("module"), |name| name.to_string_lossy().into());
    let mut page =
        Page { title, target: target.name(), functions, files: Vec::new(), positions: BTreeMap::new() };
    let wasm = program.module(&config)?;
    add_wasm(&mut page, wasm)?;
    add_source(&mut page, wasm)?;
    let json = serde_json::to_string(&page).map_err(|error| Failure::new(error.to_string()))?;
    // Nothing in the data may end the script that it stands in.
    let html = include_str!("page.html").replacen("/*DATA*/", &json.replace('<', "\\u003c"), 1);
    let default = Path::new(args.input.file_stem().unwrap_or("module".as_ref())).with_extension("html");
    output::write(args.output.as_deref().unwrap_or(&default), html.as_bytes(), Content::Text)
}

/// The wanted functions with their machine code.
fn functions<'a>(
    compiled: &'a CompiledModule,
    wanted: Option<&str>,
    disassembler: disassemble::Disassembler,
) -> Result<Vec<Function<'a>>> {
    let index = wanted.and_then(|wanted| wanted.parse::<u32>().ok());
    let is_wanted = |func: u32, name: &str| match (index, wanted) {
        (Some(index), _) => index == func,
        (None, Some(text)) => name.contains(text),
        (None, None) => true,
    };
    let wanted_code = compiled.functions().filter(|code| is_wanted(code.func, code.name));
    let mut functions = Vec::new();
    let mut sum = 0;
    for code in wanted_code {
        sum += code.bytes.len();
        if sum > MOST {
            return Err(Failure::new("the page would be too large for a browser")
                .with_help("choose functions: `--funcs NAME`"));
        }
        let mut relocations = code.relocations.iter().peekable();
        let machine = disassembler(code.bytes, u64::from(code.offset)).map(|instruction| {
            let start = (instruction.address - u64::from(code.offset)) as u32;
            let end = start + instruction.bytes.len() as u32;
            let mut text = instruction.text;
            while relocations.next_if(|(at, _)| *at < start).is_some() {}
            if let Some((_, symbol)) = relocations.next_if(|(at, _)| *at < end) {
                text = format!("{text}  ; {symbol}");
            }
            let line = code.lines.partition_point(|line| line.code <= start);
            let offset = line.checked_sub(1).map(|line| code.lines[line].wasm);
            (instruction.address, text, offset)
        });
        let machine = machine.collect();
        let inlined: BTreeSet<u32> = code.lines.iter().filter_map(|line| line.inlined).collect();
        functions.push(Function {
            name: code.name,
            index: code.func,
            bytes: code.bytes.len(),
            wasm: Vec::new(),
            machine,
            inlined: inlined.into_iter().collect(),
        });
    }
    match wanted {
        Some(wanted) if functions.is_empty() => {
            Err(Failure::new(format!("no function with code matches `{wanted}`"))
                .with_help("a function that was inlined everywhere has none: `-C inlining=n` keeps it"))
        }
        _ => Ok(functions),
    }
}

/// Adds the instructions of the module.
fn add_wasm(page: &mut Page<'_>, wasm: &[u8]) -> Result<()> {
    let shown = page.functions.iter().flat_map(|func| func.inlined.iter().chain([&func.index]));
    let wanted: HashSet<u32> = shown.copied().collect();
    let text = wasm_text::instructions(wasm, |index| wanted.contains(&index))?;
    for function in &mut page.functions {
        function.wasm = text.get(&function.index).cloned().unwrap_or_default();
        for callee in function.inlined.iter().filter(|callee| **callee != function.index) {
            let Some(body) = text.get(callee) else { continue };
            let start = body.first().map_or(0, |(offset, _)| *offset);
            function.wasm.push((start, format!(";; inlined: function {callee}")));
            function.wasm.extend_from_slice(body);
        }
    }
    Ok(())
}

/// Adds the source lines that the instructions came from.
fn add_source(page: &mut Page<'_>, wasm: &[u8]) -> Result<()> {
    let map = SourceMap::new(wasm).map_err(|error| Failure::new(error.message()))?;
    let mut numbers = HashMap::new();
    let mut unread = 0;
    for (offset, _) in page.functions.iter().flat_map(|func| &func.wasm) {
        let Some(location) = map.location(u64::from(*offset)) else { continue };
        let number = *numbers.entry((location.directory, location.file)).or_insert_with(|| {
            let path = Path::new(&*String::from_utf8_lossy(location.directory))
                .join(&*String::from_utf8_lossy(location.file));
            let text = std::fs::read(&path).ok();
            unread += usize::from(text.is_none());
            let text = text.map(|text| String::from_utf8_lossy(&text).lines().map(str::to_owned).collect());
            page.files.push(File { name: path.display().to_string(), text });
            page.files.len() - 1
        });
        page.positions.insert(*offset, (number, location.line));
    }
    if unread > 0 {
        let some =
            if unread == 1 { String::from("one source file") } else { format!("{unread} source files") };
        warn(&format!("{some} can't be read: the page has only the numbers of its lines"));
    }
    Ok(())
}
