//! Objects and the runtime library → a static executable, by `libwild` over a file system in memory.

use super::position::run_time_addresses;
use super::small;
use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;
use aot_abi::descriptor;
use aot_abi::memory::{MAX_STATIC_CONTEXT, STATIC_MEMORY};
use libwild::{FileSystem, FileType, InputFileData, Linker, OutputFileData, OutputOptions};
use object::elf;
use object::read::archive::ArchiveFile;
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectKind, ObjectSymbol as _};
use std::fmt;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use target_lexicon::Architecture;

/// Which symbols stay out of an executable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strip {
    /// Keep all symbols and debug information.
    #[default]
    None,
    /// Drop debug information.
    Debug,
    /// Drop debug information and symbols.
    All,
}

/// How an executable is linked.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkOptions {
    pub strip: Strip,
    /// Let the kernel map the executable wherever it likes. The code must be of the instance model.
    pub pie: bool,
}

/// Where an executable starts: a symbol of the runtime library.
pub(super) const ENTRY: &str = "_start";

/// Where one starts that can be mapped anywhere.
const PIE_ENTRY: &str = "aot_start_pie";

impl LinkOptions {
    fn entry(&self) -> &'static str {
        if self.pie { PIE_ENTRY } else { ENTRY }
    }
}

/// Where memory of the runtime starts, if that has to be said: below the VM context.
const ZEROS: u64 = STATIC_MEMORY - MAX_STATIC_CONTEXT as u64 - (1 << 20);

const OUTPUT: &str = "output";
const RUNTIME: &str = "libaot_rt.a";

/// Links relocatable objects and the runtime library, an archive, to a static executable: at a fixed address, or one that
/// relocates itself when it starts. The linker takes all of them as its own: they are not copied.
///
/// The same inputs give the same bytes. The result has no interpreter, needs no shared library, and no page of it is
/// both writable and executable.
///
/// # Errors
/// [`ErrorKind::Config`] if there is no linker for the target; [`ErrorKind::Link`] if an input is damaged or made for
/// another machine, a symbol is undefined, or the result is not as promised.
pub fn link_executable(
    objects: Vec<Vec<u8>>,
    runtime: Vec<u8>,
    target: &Target,
    options: &LinkOptions,
) -> Result<Vec<u8>> {
    let machine = Machine::of(target)?;
    let memory = objects.first().and_then(|object| memory_image(object));
    let mut files = Vec::new();
    for (index, object) in objects.into_iter().enumerate() {
        let name = match index {
            0 => String::from("module.o"),
            _ => format!("object{index}.o"),
        };
        check_object(&object, machine).map_err(|problem| damaged(&format!("`{name}`"), problem))?;
        files.push((name, object));
    }
    check_archive(&runtime, machine)?;
    files.push((String::from(RUNTIME), runtime));

    let executable = match machine.emulation {
        Some(emulation) => link_static(files, emulation, options, memory)?,
        None => {
            let files: Vec<_> = files.iter().map(|(name, bytes)| (name.clone(), &bytes[..])).collect();
            small::link(&files, options.entry(), *options)
                .map_err(|problem| failed("linking failed", [problem].into_iter()))?
        }
    };
    check_executable(&executable, machine, memory, options)?;
    Ok(executable)
}

/// Where the kernel has to map what an object has of its module's memory, if it has some.
fn memory_image(object: &[u8]) -> Option<u64> {
    let file = object::File::parse(object).ok()?;
    file.section_by_name(descriptor::MEMORY_SECTION)?;
    Some(file.symbols().find(|symbol| symbol.name() == Ok(descriptor::MEMORY_IMAGE))?.address())
}

/// What the linker and ELF call an architecture.
#[derive(Clone, Copy)]
pub(super) struct Machine {
    /// What `libwild` calls it; nothing if it does not know it.
    pub emulation: Option<&'static str>,
    elf: elf::Machine,
    architecture: object::Architecture,
}

impl Machine {
    pub fn of(target: &Target) -> Result<Machine> {
        let (emulation, elf, architecture) = match target.triple().architecture {
            Architecture::X86_64 => (Some("elf_x86_64"), elf::EM_X86_64, object::Architecture::X86_64),
            Architecture::Aarch64(_) => {
                (Some("aarch64linux"), elf::EM_AARCH64, object::Architecture::Aarch64)
            }
            Architecture::Riscv64(_) => (Some("elf64lriscv"), elf::EM_RISCV, object::Architecture::Riscv64),
            Architecture::S390x => (None, elf::EM_S390, object::Architecture::S390x),
            _ => {
                let message = format!("executables for {target} cannot be linked");
                return Err(Error::new(ErrorKind::Config, message)
                    .with_help("make an object with `--emit obj`, and link it on the target"));
            }
        };
        Ok(Machine { emulation, elf, architecture })
    }
}

/// One link of a chain of causes.
#[derive(Debug)]
struct Cause {
    message: String,
    source: Option<Box<Cause>>,
}

impl Cause {
    /// The chain of these messages, outermost first.
    fn chain(messages: impl DoubleEndedIterator<Item = String>) -> Option<Cause> {
        messages.rev().fold(None, |source, message| Some(Cause { message, source: source.map(Box::new) }))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

fn failed(message: &str, causes: impl DoubleEndedIterator<Item = String>) -> Error {
    let error = Error::new(ErrorKind::Link, message);
    match Cause::chain(causes) {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}

pub(super) fn damaged(what: &str, problem: String) -> Error {
    failed(&format!("{what} cannot be linked"), [problem].into_iter())
}

/// Refuses what is not a relocatable object for `machine`. The linker would too, but not as clearly.
pub(super) fn check_object(bytes: &[u8], machine: Machine) -> std::result::Result<(), String> {
    let file = object::File::parse(bytes).map_err(|error| lower_case(&error.to_string()))?;
    if file.kind() != ObjectKind::Relocatable || file.format() != object::BinaryFormat::Elf {
        return Err(String::from("not a relocatable ELF object"));
    }
    if file.architecture() != machine.architecture {
        return Err(format!("made for {:?}, not for {:?}", file.architecture(), machine.architecture));
    }
    Ok(())
}

pub(super) fn check_archive(bytes: &[u8], machine: Machine) -> Result<()> {
    let refuse = |problem: String| damaged("the runtime library", problem);
    let archive = ArchiveFile::parse(bytes).map_err(|error| refuse(lower_case(&error.to_string())))?;
    if archive.is_thin() {
        return Err(refuse(String::from("a thin archive, which only names its members")));
    }
    for member in archive.members() {
        let member = member.map_err(|error| refuse(lower_case(&error.to_string())))?;
        let name = String::from_utf8_lossy(member.name());
        let data = member.data(bytes).map_err(|error| refuse(format!("member `{name}`: {error}")))?;
        check_object(data, machine).map_err(|problem| refuse(format!("member `{name}`: {problem}")))?;
    }
    Ok(())
}

fn link_static(
    files: Vec<(String, Vec<u8>)>,
    emulation: &str,
    options: &LinkOptions,
    memory: Option<u64>,
) -> Result<Vec<u8>> {
    // What comes after the section in the file would come after it in memory too.
    let places = memory.map(|address| {
        [(descriptor::MEMORY_SECTION, address), (".bss", ZEROS)]
            .map(|(section, address)| format!("--section-start={section}={address:#x}"))
    });
    let position = if options.pie { "-pie" } else { "--no-pie" };
    let mut words = vec!["-static", position, "--no-dynamic-linker", "--gc-sections", "--eh-frame-hdr"];
    words.extend(["-z", "noexecstack", "-z", "relro", "--build-id=fast", "--no-identity-comment"]);
    words.extend(["--entry", options.entry()]);
    words.extend(places.iter().flatten().map(String::as_str));
    words.extend(match options.strip {
        Strip::None => None,
        Strip::Debug => Some("--strip-debug"),
        Strip::All => Some("--strip-all"),
    });
    let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    words.extend(names.iter().map(String::as_str));
    run_linker(files, emulation, &words)
}

/// Runs the linker on files in memory, and gives its output.
pub(super) fn run_linker(files: Vec<(String, Vec<u8>)>, emulation: &str, words: &[&str]) -> Result<Vec<u8>> {
    let words: Vec<&str> =
        ["ld", "-flavor", "gnu", "-m", emulation, "-o", OUTPUT].iter().chain(words).copied().collect();
    let file_system = MemoryFiles::new(files);
    let output = Arc::clone(&file_system.output);
    let link = || -> libwild::error::Result<()> {
        let mut args = libwild::Args::new(|| words.iter().copied())?;
        // Warnings are about what we check ourselves, or about nothing that a user could change.
        args.on_warning(Box::new(|_| ()));
        args.parse(|| words.iter().copied())?;
        Linker::with_file_system(file_system).run(&args)?;
        Ok(())
    };
    // The linker trusts its inputs in places: a relocation or string offset that points nowhere makes it panic.
    match catch_unwind(AssertUnwindSafe(link)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(linker_error(&error.to_string())),
        Err(_) => {
            return Err(Error::new(
                ErrorKind::Link,
                "the linker gave up: an object or the runtime library is damaged",
            ));
        }
    }
    let bytes = lock(&output).take();
    bytes.ok_or_else(|| Error::internal("the linker succeeded without an output"))
}

/// The linker's report as an error with a chain: `MESSAGE`, and after `Caused by:` a line for each cause.
fn linker_error(report: &str) -> Error {
    let (message, causes) = report.split_once("Caused by:").unwrap_or((report, ""));
    // A message may name places on lines of their own.
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let causes = causes.lines().map(str::trim).filter(|line| !line.is_empty()).map(lower_case);
    let messages: Vec<String> = std::iter::once(lower_case(&message)).chain(causes).collect();
    failed("linking failed", messages.into_iter())
}

fn lower_case(message: &str) -> String {
    let mut chars = message.chars();
    match chars.next() {
        // An acronym keeps its case.
        Some(first) if !chars.clone().next().is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => message.to_owned(),
    }
}

/// Reads the result back: it is what was promised, or an error. `memory` is where the file's part of the module's memory has
/// to be.
fn check_executable(
    bytes: &[u8],
    machine: Machine,
    memory: Option<u64>,
    options: &LinkOptions,
) -> Result<()> {
    let wrong = |what: String| failed("the linker made a wrong executable", [what].into_iter());
    let unreadable = |error: object::read::Error| wrong(lower_case(&error.to_string()));
    let header = elf::FileHeader64::<Endianness>::parse(bytes).map_err(unreadable)?;
    let endian = header.endian().map_err(unreadable)?;
    let expected = if options.pie { elf::ET_DYN } else { elf::ET_EXEC };
    if header.e_type(endian) != expected {
        return Err(wrong(format!("its type is {:?}", header.e_type(endian))));
    }
    if header.e_machine(endian) != machine.elf {
        return Err(wrong(format!("its machine is {:?}", header.e_machine(endian))));
    }
    let entry = header.e_entry(endian);
    let mut entry_found = false;
    let mut memory_found = memory.is_none();
    for segment in header.program_headers(endian, bytes).map_err(unreadable)? {
        let flags = segment.p_flags(endian);
        let (writable, executable) = (flags.contains(elf::PF_W), flags.contains(elf::PF_X));
        match segment.p_type(endian) {
            elf::PT_INTERP => return Err(wrong(String::from("it names an interpreter"))),
            elf::PT_DYNAMIC if !options.pie => return Err(wrong(String::from("it is dynamically linked"))),
            elf::PT_GNU_STACK if executable => return Err(wrong(String::from("its stack is executable"))),
            elf::PT_LOAD => {
                let address = segment.p_vaddr(endian);
                if writable && executable {
                    return Err(wrong(format!("the segment at {address:#x} is writable and executable")));
                }
                memory_found |= Some(address) == memory;
                let end = address.saturating_add(segment.p_memsz(endian));
                if memory.is_some_and(|memory| address != memory && end > memory) {
                    return Err(wrong(format!("the segment at {address:#x} is where its memory will be")));
                }
                let inside = entry.checked_sub(address).is_some_and(|at| at < segment.p_filesz(endian));
                entry_found |= executable && inside;
            }
            _ => {}
        }
    }
    if !memory_found {
        return Err(wrong(String::from("what it has of the module's memory is elsewhere")));
    }
    if entry == 0 {
        return Err(wrong(format!("nothing defines `{}`", options.entry())));
    }
    if !entry_found {
        return Err(wrong(format!("its entry {entry:#x} is not code")));
    }
    // The start of the program knows no other relocations.
    run_time_addresses(bytes).map(drop).map_err(wrong)
}

/// The linker's inputs and its output, in memory.
struct MemoryFiles {
    inputs: Vec<(PathBuf, Arc<Vec<u8>>)>,
    output: Arc<Mutex<Option<Vec<u8>>>>,
}

#[derive(Debug)]
struct Input(Arc<Vec<u8>>);

struct Output {
    bytes: Vec<u8>,
    to: Arc<Mutex<Option<Vec<u8>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryFiles {
    fn new(files: Vec<(String, Vec<u8>)>) -> MemoryFiles {
        let inputs = files.into_iter().map(|(name, bytes)| (PathBuf::from(name), Arc::new(bytes))).collect();
        MemoryFiles { inputs, output: Arc::default() }
    }

    fn find(&self, path: &Path) -> libwild::error::Result<Arc<Vec<u8>>> {
        let found = self.inputs.iter().find(|(name, _)| name == path);
        found.map(|(_, bytes)| Arc::clone(bytes)).ok_or_else(|| not_found(path))
    }
}

fn not_found(path: &Path) -> libwild::error::Error {
    libwild::error::Error::with_message(format!("no input is named `{}`", path.display()))
}

impl InputFileData for Input {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl OutputFileData for Output {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn finish(self) -> libwild::error::Result {
        *lock(&self.to) = Some(self.bytes);
        Ok(())
    }
}

impl FileSystem for MemoryFiles {
    type Input = Input;
    type Output = Output;

    fn open_input(
        &self,
        path: &Path,
        _prepopulate: bool,
    ) -> libwild::error::Result<(Input, Option<Arc<File>>)> {
        Ok((Input(self.find(path)?), None))
    }

    fn file_type(&self, path: &Path) -> libwild::error::Result<FileType> {
        self.find(path).map(|_| FileType::File)
    }

    fn canonicalize(&self, path: &Path) -> libwild::error::Result<PathBuf> {
        Ok(path.to_owned())
    }

    // The linker puts an output of an earlier link out of the way. Here there never is one.
    fn remove_file(&self, path: &Path) -> libwild::error::Result<()> {
        Err(not_found(path))
    }

    fn rename_file(&self, path: &Path, _new_path: &Path) -> libwild::error::Result<()> {
        Err(not_found(path))
    }

    fn create_output(&self, _path: Arc<Path>, options: OutputOptions) -> libwild::error::Result<Output> {
        let too_large =
            || libwild::error::Error::with_message(format!("the output has {} bytes", options.size));
        let size = usize::try_from(options.size).map_err(|_| too_large())?;
        Vec::<u8>::new().try_reserve_exact(size).map_err(|_| too_large())?;
        // The system's pages are zeros already: each comes when the linker writes to it, on the thread that does.
        Ok(Output { bytes: vec![0; size], to: Arc::clone(&self.output) })
    }

    fn write_auxiliary(&self, path: &Path, _bytes: &[u8]) -> libwild::error::Result {
        Err(libwild::error::Error::with_message(format!("unexpected output `{}`", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::options::options_object;
    use object::ObjectSymbol;
    use object::write::{Object as Writer, Relocation, StandardSection, Symbol, SymbolId, SymbolSection};
    use object::{
        Architecture, BinaryFormat, RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
    };

    fn target() -> Target {
        "x86_64-linux".parse().unwrap()
    }

    fn symbol(object: &mut Writer<'_>, name: &str) -> SymbolId {
        object.add_symbol(Symbol {
            name: name.into(),
            value: 0,
            size: 0,
            kind: SymbolKind::Text,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        })
    }

    fn writer() -> Writer<'static> {
        Writer::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little)
    }

    /// An object that defines `name` as `code`, with a 32-bit PC-relative reference at each place.
    fn object(name: &str, code: &[u8], references: &[(u64, &str)]) -> Vec<u8> {
        let mut object = writer();
        let text = object.add_subsection(StandardSection::Text, name.as_bytes());
        let defined = symbol(&mut object, name);
        object.add_symbol_data(defined, text, code, 16);
        for (offset, to) in references {
            let symbol = symbol(&mut object, to);
            let flags = RelocationFlags::Elf { r_type: elf::R_X86_64_PC32 };
            object.add_relocation(text, Relocation { offset: *offset, symbol, addend: -4, flags }).unwrap();
        }
        object.write().unwrap()
    }

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = b"!<arch>\n".to_vec();
        for (name, data) in members {
            let name = format!("{name}/");
            out.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, data.len()).bytes());
            out.extend_from_slice(data);
            out.resize(out.len().next_multiple_of(2), b'\n');
        }
        out
    }

    /// `_start`: calls `aot_module`, then exits with its result and the length of the options.
    fn runtime() -> Vec<u8> {
        let code = [
            &[0xe8, 0, 0, 0, 0][..],          // call aot_module
            &[0x8b, 0x3d, 0, 0, 0, 0],        // mov edi, [rip + aot_options_len]
            &[0x01, 0xc7],                    // add edi, eax
            &[0xb8, 60, 0, 0, 0, 0x0f, 0x05], // exit
        ]
        .concat();
        let start = object(ENTRY, &code, &[(1, "aot_module"), (7, "aot_options_len")]);
        let unused = object("aot_unused", &[0xc3], &[(0, "aot_missing")]);
        archive(&[("start.o", &start), ("unused.o", &unused)])
    }

    /// A module whose code returns 40.
    fn module() -> Vec<u8> {
        object("aot_module", &[0xb8, 40, 0, 0, 0, 0xc3], &[])
    }

    fn link(objects: &[&[u8]], runtime: &[u8]) -> Result<Vec<u8>> {
        link_with(objects, runtime, &LinkOptions::default())
    }

    fn link_with(objects: &[&[u8]], runtime: &[u8], options: &LinkOptions) -> Result<Vec<u8>> {
        let objects = objects.iter().map(|object| object.to_vec()).collect();
        link_executable(objects, runtime.to_vec(), &target(), options)
    }

    /// The messages of an error and its causes.
    fn messages(result: Result<Vec<u8>>) -> String {
        let error = result.expect_err("an error");
        assert_eq!(error.kind(), ErrorKind::Link);
        let mut text = error.message().to_owned();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text += &format!(": {cause}");
            source = cause.source();
        }
        text
    }

    #[test]
    fn links_and_keeps_what_is_used() {
        let options = options_object(&[String::from("a")], false, &target()).unwrap();
        let bytes = link(&[&module(), &options], &runtime()).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let has = |name: &str| file.symbols().any(|symbol| symbol.name() == Ok(name));
        for (name, kept) in [("aot_module", true), (ENTRY, true), ("aot_unused", false)] {
            assert_eq!(has(name), kept, "`{name}`");
        }
        assert_eq!(bytes, link(&[&module(), &options], &runtime()).unwrap(), "same input, same bytes");
        for strip in [Strip::Debug, Strip::All] {
            let stripped = link_with(&[&module(), &options], &runtime(), &LinkOptions { strip, pie: false });
            assert!(stripped.unwrap().len() < bytes.len() + usize::from(strip == Strip::Debug));
        }
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn the_result_runs() {
        use std::os::unix::fs::PermissionsExt as _;
        let options = options_object(&[String::from("a")], false, &target()).unwrap();
        let bytes = link(&[&module(), &options], &runtime()).unwrap();
        let path = std::env::temp_dir().join(format!("aot-link-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let status = std::process::Command::new(&path).status();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(status.unwrap().code(), Some(42));
    }

    #[test]
    fn undefined_symbols_are_named() {
        let options = options_object(&[], false, &target()).unwrap();
        let text = messages(link(&[&options], &runtime()));
        assert!(text.contains("aot_module"), "{text}");
        let text = messages(link(&[&module()], &archive(&[])));
        assert!(text.contains(ENTRY), "{text}");
    }

    #[test]
    fn foreign_input_is_refused() {
        let mut foreign = Writer::new(BinaryFormat::Elf, Architecture::Aarch64, Endianness::Little);
        symbol(&mut foreign, "aot_module");
        let foreign = foreign.write().unwrap();
        for object in [&foreign[..], b"", b"garbage", b"!<arch>\n", b"\x7fELF", &module()[..90], &runtime()] {
            let text = messages(link(&[object], &runtime()));
            assert!(text.contains("`module.o`"), "{text}");
        }
        let linked = link(&[&module(), &options_object(&[], true, &target()).unwrap()], &runtime()).unwrap();
        for archive in
            [&b""[..], b"garbage", &module(), &linked, &runtime()[..200], &archive(&[("x.o", b"garbage")])]
        {
            let text = messages(link(&[&module()], archive));
            assert!(text.contains("runtime library"), "{text}");
        }
    }

    #[test]
    fn writable_code_is_refused() {
        let mut object = writer();
        let flags = object::SectionFlags::Elf {
            sh_type: elf::SHT_PROGBITS,
            sh_flags: elf::SHF_ALLOC | elf::SHF_EXECINSTR | elf::SHF_WRITE,
        };
        let text = object.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
        object.section_mut(text).flags = flags;
        let defined = symbol(&mut object, "aot_module");
        object.add_symbol_data(defined, text, &[0xc3], 16);
        let object = object.write().unwrap();
        let options = options_object(&[], false, &target()).unwrap();
        match link(&[&object, &options], &runtime()) {
            // The linker may as well drop the flag.
            Ok(_) => {}
            error => assert!(messages(error).contains("writable")),
        }
    }

    #[test]
    fn damage_never_panics() {
        let options = options_object(&[String::from("a")], false, &target()).unwrap();
        let (module, runtime) = (module(), runtime());
        let mut seed = 1u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % below
        };
        for _ in 0..300 {
            let (mut module, mut runtime) = (module.clone(), runtime.clone());
            for bytes in [&mut module, &mut runtime] {
                let at = random(bytes.len());
                bytes[at] ^= 1 << random(8);
            }
            match link(&[&module, &options], &runtime) {
                Ok(executable) => assert!(object::File::parse(&*executable).is_ok()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Link),
            }
        }
    }
}
