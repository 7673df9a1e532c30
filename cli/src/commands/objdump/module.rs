//! `aot objdump --source` of a module: it is compiled, and shown as source, wasm and machine code.

use super::source::{Place, Sources};
use super::{Args, Selection, code_line};
use crate::args;
use crate::disassemble;
use crate::output::Stdout;
use crate::program::Program;
use crate::report::{Failure, Result, printable};
use crate::wasm_text;
use aot_compiler::FunctionCode;
use aot_compiler::debug::SourceMap;
use std::fmt::Write as _;

pub fn run(args: &Args, wasm: Vec<u8>, selection: &Selection<'_>) -> Result<()> {
    let target = args::target(args.target.as_deref(), &args.cpu)?;
    let config = args.compile.config(target.clone());
    let program = Program::new(&args.file, wasm, &[], &[])?;
    let disassembler = disassemble::for_target(&target)
        .ok_or_else(|| Failure::new(format!("aot has no disassembler for {}", target.name())))?;
    let compiled = program.compile(&config)?;
    let wasm = program.module(&config)?;
    let map = SourceMap::new(wasm).map_err(|error| Failure::new(error.message()))?;
    let mut text = wasm_text::instructions(wasm, |_| true)?;
    let mut stdout = Stdout::new();
    let title = format!("{}: compiled for {}\n", args.file.display(), target.name());
    if !stdout.print(&printable(&title))? {
        return Ok(());
    }
    let mut listing = Listing { map: &map, sources: Sources::default(), wasm: Vec::new(), next: 0 };
    for code in compiled.functions().filter(|code| selection.wants(code.name, Some(code.func))) {
        listing.wasm = text.remove(&code.func).unwrap_or_default();
        if !stdout.print(&listing.function(&code, disassembler, selection))? {
            return Ok(());
        }
    }
    listing.sources.finish();
    selection.check()
}

struct Listing<'a> {
    map: &'a SourceMap,
    sources: Sources,
    /// The instructions of the function: offset in the module, text.
    wasm: Vec<(u32, String)>,
    /// The first of them that was not shown yet.
    next: usize,
}

impl Listing<'_> {
    fn function(
        &mut self,
        code: &FunctionCode<'_>,
        disassembler: disassemble::Disassembler,
        selection: &Selection<'_>,
    ) -> String {
        let name = selection.name(code.name);
        let mut text = printable(&format!("\nfunc {} `{name}`: {} bytes\n", code.func, code.bytes.len()));
        self.next = 0;
        self.sources.begin();
        let mut relocations = code.relocations.iter().peekable();
        let mut shown = None;
        for instruction in disassembler(code.bytes, u64::from(code.offset)) {
            let start = (instruction.address - u64::from(code.offset)) as u32;
            let end = start + instruction.bytes.len() as u32;
            let line = code.lines.partition_point(|(at, _)| *at <= start);
            let offset = line.checked_sub(1).map(|line| code.lines[line].1);
            if let Some(offset) = offset.filter(|_| offset != shown) {
                self.instruction(offset, &mut text);
            }
            shown = offset.or(shown);
            while relocations.next_if(|(at, _)| *at < start).is_some() {}
            let symbol = relocations.next_if(|(at, _)| *at < end);
            let symbols = symbol.map(|(_, symbol)| selection.name(symbol).into_owned());
            text += &code_line(&instruction, &symbols.into_iter().collect::<Vec<_>>());
        }
        text
    }

    /// Writes the instruction of the module that the code is of, with those before it that have no code of their own.
    fn instruction(&mut self, offset: u32, out: &mut String) {
        let end = self.wasm.partition_point(|(at, _)| *at <= offset);
        let start = match end > self.next {
            true => self.next,
            // The code was moved: once more, by itself.
            false => end.saturating_sub(1),
        };
        self.next = self.next.max(end);
        for index in start..end {
            let (at, line) = &self.wasm[index];
            if let Some(place) = place(self.map, *at) {
                self.sources.show(&place, out);
            }
            let line = printable(&format!("          {at:#08x}  {line}"));
            writeln!(out, "{}", line.replace('\n', "\\n")).expect("strings take all text");
        }
    }
}

fn place(map: &SourceMap, offset: u32) -> Option<Place> {
    let frames = map.frames(u64::from(offset));
    let location = map.location(u64::from(offset))?;
    let [directory, file] = [location.directory, location.file].map(String::from_utf8_lossy);
    let path = std::path::Path::new(&*directory).join(&*file);
    let inlined = frames.first().filter(|_| frames.len() > 1);
    let inlined = inlined.map(|frame| String::from_utf8_lossy(frame.function).into_owned());
    Some(Place { file: path.display().to_string(), line: location.line, inlined })
}
