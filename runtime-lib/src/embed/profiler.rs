//! Telling `perf` the names of the functions in images: as a map of symbols, or as a dump of code with lines.

use crate::module::LoadedModule;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use aot_abi::image::{Machine, section_bytes};
use aot_abi::source::{SECTION, SourceLines};
use core::ptr;
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::time::{ClockId, clock_gettime};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, PoisonError};

/// How profilers get to know the functions of modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProfilingStrategy {
    /// Not at all.
    #[default]
    None,
    /// By `/tmp/perf-PID.map`: addresses, sizes and names, as `perf report` reads them.
    PerfMap,
    /// By `jit-PID.dump` in the current directory: the code too, with the lines of the source, for `perf inject --jit`.
    JitDump,
}

/// A function, or a trampoline, in memory.
struct Function<'a> {
    address: u64,
    code: &'a [u8],
    text_offset: u32,
    name: String,
}

/// The functions of a module with code.
fn functions(module: &LoadedModule) -> impl Iterator<Item = Function<'_>> {
    let description = module.description();
    (0..description.range_count()).filter_map(move |range| {
        let (text_offset, len) = description.code_range(range);
        let defined = (range as usize) < module.declarations().funcs.len();
        let name = match description.name(range) {
            // What ends a line, or a name, is in none.
            Some(name) => name.replace(char::is_control, "?"),
            None if defined => format!("wasm-function[{}]", range + module.imported_funcs()),
            None => format!("wasm-trampoline[{range}]"),
        };
        let code = module.code_bytes(text_offset, len)?;
        let address = code.as_ptr() as u64;
        (len > 0).then_some(Function { address, code, text_offset, name })
    })
}

/// A file of this process, made when it is first needed.
static PERF_MAP: Mutex<Option<File>> = Mutex::new(None);
static JIT_DUMP: Mutex<Option<JitDump>> = Mutex::new(None);

/// Writes down the functions of a module.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn describe(
    module: &LoadedModule,
    image: &[u8],
    strategy: ProfilingStrategy,
) -> Result<(), String> {
    let failed = |path: &Path, error| format!("cannot write `{}` for profilers: {error}", path.display());
    match strategy {
        ProfilingStrategy::None => Ok(()),
        ProfilingStrategy::PerfMap => {
            let path = PathBuf::from(format!("/tmp/perf-{}.map", process::id()));
            write_map(module, &path).map_err(|error| failed(&path, error))
        }
        ProfilingStrategy::JitDump => {
            let path = PathBuf::from(format!("jit-{}.dump", process::id()));
            write_dump(module, image, &path).map_err(|error| failed(&path, error))
        }
    }
}

fn create(path: &Path) -> std::io::Result<File> {
    // The name can be guessed: what others put there is not followed.
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .custom_flags(no_follow)
        .open(path)
}

fn write_map(module: &LoadedModule, path: &Path) -> std::io::Result<()> {
    let mut file = PERF_MAP.lock().unwrap_or_else(PoisonError::into_inner);
    let file = match &mut *file {
        Some(file) => file,
        none => none.insert(create(path)?),
    };
    let mut text = String::new();
    for Function { address, code, name, .. } in functions(module) {
        text += &format!("{address:x} {:x} {name}\n", code.len());
    }
    file.write_all(text.as_bytes())
}

/// The file that `tools/perf/Documentation/jitdump-specification.txt` of Linux describes. Numbers are in the byte order of
/// the machine.
struct JitDump {
    file: File,
    next_index: u64,
}

impl JitDump {
    const MAGIC: u32 = 0x4a69_5444;
    const VERSION: u32 = 1;
    const HEADER_LEN: u32 = 40;
    const CODE_LOAD: u32 = 0;
    const DEBUG_INFO: u32 = 2;

    fn new(path: &Path) -> std::io::Result<JitDump> {
        let mut file = create(path)?;
        let machine = Machine::HOST.map_or(0, Machine::elf_machine);
        let mut header = Vec::new();
        for number in [Self::MAGIC, Self::VERSION, Self::HEADER_LEN, machine.into(), 0, process::id()] {
            header.extend(number.to_ne_bytes());
        }
        header.extend(now().to_ne_bytes());
        header.extend(0u64.to_ne_bytes());
        file.write_all(&header)?;
        // This is how `perf record` learns of the file: it notes mappings of code.
        // SAFETY: a new mapping; nothing in it is run.
        let marker = unsafe {
            mmap(ptr::null_mut(), 4096, ProtFlags::READ | ProtFlags::EXEC, MapFlags::PRIVATE, &file, 0)
        };
        marker?;
        Ok(JitDump { file, next_index: 0 })
    }

    fn function(&mut self, function: &Function<'_>, lines: Option<SourceLines<'_>>) -> Vec<u8> {
        let Function { address, code, text_offset, name } = function;
        let mut out = Vec::new();
        let mut entries = Vec::new();
        let mut count = 0u64;
        if let Some(lines) = lines {
            lines.rows(*text_offset, |offset, file, line| {
                if !file.is_empty() && line > 0 && (offset as usize) < code.len() {
                    count += 1;
                    entries.extend((address + u64::from(offset)).to_ne_bytes());
                    entries.extend(line.to_ne_bytes());
                    entries.extend(0u32.to_ne_bytes());
                    entries.extend(file.bytes().filter(|byte| *byte != 0).chain([0]));
                }
            });
        }
        if count > 0 {
            // It stands before the code that it is of.
            record(&mut out, Self::DEBUG_INFO, &[&address.to_ne_bytes(), &count.to_ne_bytes(), &entries]);
        }
        let thread = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
        let numbers = [*address, *address, code.len() as u64, self.next_index];
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
        self.next_index += 1;
        let ids = [process::id().to_ne_bytes(), thread.to_ne_bytes()].concat();
        record(&mut out, Self::CODE_LOAD, &[&ids, &numbers, name.as_bytes(), &[0], code]);
        out
    }
}

fn write_dump(module: &LoadedModule, image: &[u8], path: &Path) -> std::io::Result<()> {
    let mut dump = JIT_DUMP.lock().unwrap_or_else(PoisonError::into_inner);
    let dump = match &mut *dump {
        Some(dump) => dump,
        none => none.insert(JitDump::new(path)?),
    };
    let lines = section_bytes(image, SECTION).and_then(|bytes| SourceLines::new(bytes).ok());
    for function in functions(module) {
        let records = dump.function(&function, lines);
        dump.file.write_all(&records)?;
    }
    Ok(())
}

fn record(out: &mut Vec<u8>, kind: u32, parts: &[&[u8]]) {
    const PREFIX_LEN: usize = 16;
    let len = PREFIX_LEN + parts.iter().map(|part| part.len()).sum::<usize>();
    out.extend(kind.to_ne_bytes());
    out.extend(u32::try_from(len).unwrap_or(u32::MAX).to_ne_bytes());
    out.extend(now().to_ne_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// The clock of `perf record -k mono`, in nanoseconds.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec.cast_unsigned())
}
