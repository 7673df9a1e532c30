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
use std::collections::HashMap;
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
    let text = wasm_text::instructions(wasm, |_| true)?;
    let mut stdout = Stdout::new();
    let title = format!("{}: compiled for {}\n", args.file.display(), target.name());
    if !stdout.print(&printable(&title))? {
        return Ok(());
    }
    let mut listing = Listing { map: &map, sources: Sources::default(), text: &text, next: 0 };
    for code in compiled.functions().filter(|code| selection.wants(code.name, Some(code.func))) {
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
    /// The instructions of functions: offset in the module, text.
    text: &'a HashMap<u32, Vec<(u32, String)>>,
    /// The first one of the function that was not shown yet.
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
            let next = code.lines.partition_point(|line| line.code <= start);
            let line = next.checked_sub(1).map(|line| (code.lines[line].wasm, code.lines[line].inlined));
            if let Some((offset, inlined)) = line.filter(|_| line != shown) {
                match inlined {
                    Some(callee) => self.inlined(callee, offset, &mut text),
                    None => self.instruction(code.func, offset, &mut text),
                }
            }
            shown = line.or(shown);
            while relocations.next_if(|(at, _)| *at < start).is_some() {}
            let symbol = relocations.next_if(|(at, _)| *at < end);
            let symbols = symbol.map(|(_, symbol)| selection.name(symbol).into_owned());
            text += &code_line(&instruction, &symbols.into_iter().collect::<Vec<_>>());
        }
        text
    }

    /// Writes the instruction of the module that the code is of, with those before it that have no code of their own.
    fn instruction(&mut self, func: u32, offset: u32, out: &mut String) {
        let Some(wasm) = self.text.get(&func) else { return };
        let end = wasm.partition_point(|(at, _)| *at <= offset);
        let start = match end > self.next {
            true => self.next,
            // The code was moved: once more, by itself.
            false => end.saturating_sub(1),
        };
        self.next = self.next.max(end);
        for (at, line) in &wasm[start..end] {
            self.line(*at, line, false, out);
        }
    }

    /// Writes the instruction of an inlined function that the code is of.
    fn inlined(&mut self, callee: u32, offset: u32, out: &mut String) {
        let Some(wasm) = self.text.get(&callee) else { return };
        let next = wasm.partition_point(|(at, _)| *at <= offset);
        if let Some((at, line)) = next.checked_sub(1).map(|index| &wasm[index]) {
            self.line(*at, line, true, out);
        }
    }

    fn line(&mut self, at: u32, line: &str, is_inlined: bool, out: &mut String) {
        if let Some(place) = place(self.map, at, is_inlined) {
            self.sources.show(&place, out);
        }
        let line = printable(&format!("          {at:#08x}  {line}"));
        writeln!(out, "{}", line.replace('\n', "\\n")).expect("strings take all text");
    }
}

fn place(map: &SourceMap, offset: u32, is_inlined: bool) -> Option<Place> {
    let frames = map.frames(u64::from(offset));
    let location = map.location(u64::from(offset))?;
    let [directory, file] = [location.directory, location.file].map(String::from_utf8_lossy);
    let path = std::path::Path::new(&*directory).join(&*file);
    let inlined = frames.first().filter(|_| is_inlined || frames.len() > 1);
    let inlined = inlined.map(|frame| String::from_utf8_lossy(frame.function).into_owned());
    Some(Place { file: path.display().to_string(), line: location.line, inlined })
}
