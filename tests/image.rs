//! Images (`.cwasm`): that other tools read them, and that nothing else is taken for one.

use aot_abi::image::{Foreign, ImageError, ImageFile, Machine, section};
use aot_abi::module::Module;
use aot_compiler::{Config, Target};
use object::{Object as _, ObjectSection as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A bit of everything that a description has.
const MODULE: &str = r#"(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "base" (global i32))
  (memory (export "memory") 3)
  (data (i32.const 65540) "hello\n") (data $passive "passive")
  (table (export "table") 4 funcref)
  (elem (i32.const 0) $add $log)
  (elem (global.get 0) funcref (ref.func $add) (ref.null func))
  (global $counter (export "counter") (mut i64) (i64.const 5))
  (func $add (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func $start (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 3)) (call $log (i32.const 1)))
  (start $start)
  (func $fac (export "fac") (param i64) (result i64)
    (if (result i64) (i64.eqz (local.get 0))
      (then (i64.const 1))
      (else (i64.mul (local.get 0) (call $fac (i64.sub (local.get 0) (i64.const 1))))))))"#;

/// The functions that [`MODULE`] exports.
const FUNCTIONS: [&str; 3] = ["add", "divide", "fac"];

fn build(wat: &str, target: &str) -> Vec<u8> {
    let config = Config::image(target.parse().unwrap());
    aot_compiler::compile(&wat::parse_str(wat).unwrap(), &config).unwrap().cwasm().unwrap()
}

fn host_image() -> Vec<u8> {
    build(MODULE, &Target::host().unwrap().name())
}

fn blake3(parts: [&[u8]; 2]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    parts.iter().for_each(|part| {
        hasher.update(part);
    });
    *hasher.finalize().as_bytes()
}

/// What a loader does before it maps anything.
fn check(bytes: &[u8]) -> Result<Module, ImageError> {
    let image = ImageFile::parse(bytes)?;
    image.verify(blake3)?;
    match image.refusals(Machine::HOST, |_| true).into_iter().next() {
        Some(refusal) => Err(refusal),
        None => image.describe().map(|(_, module)| module),
    }
}

/// Offset in the file of the bytes of a section.
fn offset(bytes: &[u8], name: &str) -> usize {
    let file = object::File::parse(bytes).unwrap();
    file.section_by_name(name).unwrap().file_range().unwrap().0 as usize
}

/// Offset in the file of the header of a section.
fn header(bytes: &[u8], name: &str) -> usize {
    let file = object::File::parse(bytes).unwrap();
    let index = file.section_by_name(name).unwrap().index().0;
    let table = u64::from_ne_bytes(bytes[40..48].try_into().unwrap()) as usize;
    table + index * 64
}

/// Where the description of the note starts: after three numbers and the owner.
fn note(bytes: &[u8]) -> usize {
    offset(bytes, section::NOTE) + 16
}

/// Puts the hash of the content into the note.
fn seal(bytes: &mut [u8]) {
    let at = note(bytes) + 4;
    let hash = blake3([&bytes[..at], &bytes[at + 32..]]);
    bytes[at..at + 32].copy_from_slice(&hash);
}

struct Sandbox(PathBuf);

impl Sandbox {
    fn new(test: &str) -> Sandbox {
        let path = std::env::temp_dir().join(format!("aot-image-test-{}-{test}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Sandbox(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs `aot`; it succeeds without a word on standard error.
    #[track_caller]
    fn aot(&self, words: &[&str]) -> String {
        let output = self.outcome(words);
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn outcome(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aot"));
        command.args(words).current_dir(&self.0).env("AOT_CACHE_DIR", self.0.join("cache"));
        command.output().unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Runs a tool on an image: it has nothing to complain of. `None` if it is not installed.
#[track_caller]
fn tool(name: &str, words: &[&str], image: &Path) -> Option<String> {
    let Ok(output) = Command::new(name).args(words).arg(image).env("LC_ALL", "C").output() else {
        assert!(std::env::var_os("CI").is_none(), "on CI nothing may be skipped: `{name}` is missing");
        println!("SKIPPED: `{name}` is missing");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && output.stderr.is_empty(), "{name} {words:?}: {output:?}");
    for complaint in ["Warning", "warning", "Error", "error:", "corrupt", "<unknown"] {
        assert!(!text.contains(complaint), "{name} {words:?} says {complaint:?}:\n{text}");
    }
    Some(text)
}

#[test]
fn other_tools_read_images_of_every_target() {
    let sandbox = Sandbox::new("tools");
    for machine in Machine::ALL {
        let name = machine.triple().split('-').next().unwrap().trim_end_matches("gc");
        let image = sandbox.write(&format!("{name}.cwasm"), build(MODULE, machine.triple()));
        if let Some(text) = tool("readelf", &["-aW"], &image) {
            for part in ["DYN (Shared object file)", "R E", ".note.aot", "aot "] {
                assert!(text.contains(part), "no {part:?}:\n{text}");
            }
        }
        if let Some(text) = tool("readelf", &["--debug-dump=frames"], &image) {
            assert!(text.contains("FDE cie=") && text.contains("ZERO terminator"), "{text}");
        }
        if let Some(text) = tool("nm", &["--numeric-sort"], &image) {
            let found: Vec<_> = text.lines().filter_map(|line| line.split_once(" t ")?.1.into()).collect();
            assert!(FUNCTIONS.iter().all(|name| found.contains(name)), "{found:?}");
        }
        let objdump = match Machine::HOST {
            Some(host) if host == machine => String::from("objdump"),
            _ => format!("{name}-linux-gnu-objdump"),
        };
        if let Some(text) = tool(&objdump, &["-d"], &image) {
            assert!(FUNCTIONS.iter().all(|name| text.contains(&format!("<{name}>:"))), "{text}");
        }
        let words = ["-nx", "-batch", "-ex", "info functions", "-ex", "disassemble fac"];
        if let Some(text) = tool("gdb-multiarch", &words, &image) {
            // Those of the module have a line, and others only a name.
            let is_there = |name: &&str| {
                text.contains(&format!("  {name}\n")) || text.contains(&format!(" {name}();\n"))
            };
            assert!(FUNCTIONS.iter().all(is_there), "{text}");
            assert!(text.contains("<+0>:") && text.contains("End of assembler dump"), "{text}");
        }
    }
}

#[test]
fn every_target_has_images_that_pass_all_checks() {
    for machine in Machine::ALL {
        let bytes = build(MODULE, machine.triple());
        let image = ImageFile::parse(&bytes).unwrap();
        assert_eq!((image.machine, image.note.triple), (machine, machine.triple()));
        image.verify(blake3).unwrap();
        assert_eq!(image.refusals(Some(machine), |_| true), []);
        let (description, module) = image.describe().unwrap();
        // `add` is the first of the code.
        assert_eq!(description.locate(0).unwrap().name(), Some("add"));
        assert_eq!(
            (image.text.offset % machine.page_size(), image.memory.offset % machine.page_size()),
            (0, 0)
        );
        // The second page of memory; the passive segment is all that is left of the data.
        assert_eq!(module.memory_image.map(|image| (image.offset, image.len)), Some((65536, 65536)));
        assert!(image.bytes(image.memory).starts_with(b"\0\0\0\0hello\n\0"));
        assert_eq!(image.bytes(image.data), b"passive");
        // Its unwind tables point to the code.
        use object::read::elf::ElfFile64;
        let file: ElfFile64<'_> = ElfFile64::parse(&*bytes).unwrap();
        assert_eq!(file.elf_header().e_machine.get(file.endian()).0, machine.elf_machine());
    }
}

#[test]
fn builds_are_reproducible_and_cached() {
    let sandbox = Sandbox::new("reproducible");
    sandbox.write("m.wat", MODULE);
    for target in ["x86_64-linux", "s390x-linux"] {
        let build = |extra: &[&str]| {
            sandbox.aot(&[&["build", "m.wat", "--emit", "cwasm", "--target", target], extra].concat());
            fs::read(sandbox.0.join("m.cwasm")).unwrap()
        };
        let first = build(&["--no-cache"]);
        assert_eq!(first, build(&["--no-cache"]));
        assert_eq!(first, build(&[]));
        let words = ["build", "m.wat", "--emit", "cwasm", "--target", target, "--verbose"];
        let again = sandbox.outcome(&words);
        assert!(String::from_utf8_lossy(&again.stderr).contains("in the cache"), "{again:?}");
        assert_eq!(first, fs::read(sandbox.0.join("m.cwasm")).unwrap());
        assert!(ImageFile::parse(&first).is_ok());
    }
}

#[test]
fn an_image_is_made_beside_other_results() {
    let sandbox = Sandbox::new("beside");
    sandbox.write("m.wat", MODULE);
    // Its imports are given when it is instantiated: an executable could not be made.
    sandbox.aot(&["build", "m.wat", "--emit", "cwasm", "--emit", "clif", "--emit", "asm"]);
    assert!(fs::read_to_string(sandbox.0.join("m.clif")).unwrap().contains("call_indirect"));
    let refused = sandbox.outcome(&["build", "m.wat", "--emit", "cwasm", "--emit", "exe"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("unknown imports"), "{refused:?}");
    let unwanted = sandbox.outcome(&["build", "m.wat", "--emit", "cwasm", "--sealed"]);
    assert_eq!(unwanted.status.code(), Some(2));

    sandbox.write("e.wat", "(module (func (export \"_start\")))");
    sandbox.aot(&["build", "e.wat", "--emit", "cwasm", "--emit", "exe", "--emit", "obj"]);
    for (file, kind) in [("e", "executable"), ("e.o", "object"), ("e.cwasm", "image")] {
        let report = sandbox.aot(&["inspect", file]);
        assert!(report.contains(&format!("{kind} made by aot")), "{report}");
    }
}

#[test]
fn every_damage_is_noticed() {
    let image = host_image();
    assert!(check(&image).is_ok());
    for at in 0..image.len() {
        // Pages are mostly empty: there one byte of a hundred has to do.
        if image[at] == 0
            && image[at.saturating_sub(64)..].iter().take(128).all(|byte| *byte == 0)
            && at % 100 > 0
        {
            continue;
        }
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = image.clone();
            damaged[at] ^= flip;
            assert!(check(&damaged).is_err(), "byte {at:#x} flipped by {flip:#x}");
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    let image = host_image();
    for len in 0..image.len() {
        let error = check(&image[..len]).expect_err("a part is missing");
        let expected = match len {
            0 => matches!(error, ImageError::Foreign(Foreign::Empty)),
            1..4 => matches!(error, ImageError::Foreign(Foreign::Unknown)),
            _ => matches!(error, ImageError::Truncated { .. }),
        };
        assert!(expected, "{len} bytes: {error}");
    }
    let longer = [&image[..], b"x"].concat();
    assert!(matches!(check(&longer), Err(ImageError::Hash { .. })));
}

/// Whoever changes a file may also put the right hash into it: then what is left has to make sense.
#[test]
fn what_is_sealed_again_is_whole_or_refused() {
    let image = host_image();
    let (mut accepted, mut refused) = (0, 0);
    let ends = [section::NOTE, section::DESCRIPTION, section::DATA, section::EH_FRAME];
    let headers = (0..offset(&image, section::NOTE)).chain(image.len() - 64 * 10..image.len());
    let parts = ends.iter().flat_map(|name| {
        let start = offset(&image, name);
        start..start + ImageFile::parse(&image).unwrap().description.len.max(240) as usize
    });
    for at in headers.chain(parts) {
        for flip in [0x01, 0x10, 0x80, 0xff] {
            let mut changed = image.clone();
            changed[at] ^= flip;
            // Where the note cannot be found any more there is nothing to seal.
            let Ok(parsed) = ImageFile::parse(&changed) else {
                refused += 1;
                continue;
            };
            let at = parsed.hash_offset() as usize;
            let hash = blake3([&changed[..at], &changed[at + 32..]]);
            changed[at..at + 32].copy_from_slice(&hash);
            match check(&changed) {
                Ok(module) => {
                    accepted += 1;
                    walk(&ImageFile::parse(&changed).unwrap(), &module);
                }
                Err(_) => refused += 1,
            }
        }
    }
    // What is accepted are names, numbers of constants, places in the wasm file, unwind tables.
    assert!(accepted > 1000 && refused > 1000, "{accepted} accepted, {refused} refused");
}

/// Does with an image that was accepted what a runtime does, and finds everything.
fn walk(image: &ImageFile<'_>, module: &Module) {
    let (description, _) = image.describe().unwrap();
    let text = image.bytes(image.text);
    for range in 0..description.range_count() {
        let (offset, len) = description.code_range(range);
        assert!(text.get(offset as usize..(offset + len) as usize).is_some());
        let _ = description.name(range);
        for at in (offset..offset + len).step_by(16) {
            description.locate(at).and_then(|location| location.trap());
        }
    }
    let funcs = module.counts().imported_funcs as usize + module.funcs.len();
    for func in &module.escaped {
        assert!((*func as usize) < funcs);
        let ty = module.func_type_index(*func).unwrap();
        assert!(module.types.get(ty as usize).is_some());
    }
    assert!(module.entries.iter().all(|entry| (entry.pad_offset as usize) < text.len()));
    for segment in &module.data {
        let range = segment.offset as usize..segment.offset as usize + segment.len as usize;
        assert!(image.bytes(image.data).get(range).is_some());
    }
    assert_eq!(module.memory_image.map_or(0, |image| image.len), image.bytes(image.memory).len() as u64);
}

#[test]
fn refusals_have_their_reasons() {
    let image = host_image();
    let refused = |bytes: &[u8], parts: &[&str]| {
        let error = check(bytes).expect_err("it is refused");
        let text = format!("{error}: {}", error.help());
        for part in parts {
            assert!(text.contains(part), "no {part:?} in {text:?}");
        }
    };
    // Another kind of file.
    let object = {
        let config = Config { libcalls_by_symbol: true, ..Config::image(Target::host().unwrap()) };
        let wasm = wat::parse_str("(module (func (export \"f\")))").unwrap();
        aot_compiler::compile(&wasm, &config).unwrap().object().unwrap()
    };
    refused(b"", &["an empty file"]);
    refused(b"\0asm\x01\0\0\0", &["module that has not been compiled", "`aot build --emit cwasm`"]);
    refused(b"\0asm\x0d\0\x01\0", &["a WebAssembly component", "only core modules"]);
    refused(b"\n (module)", &["text format", "`aot build --emit cwasm`"]);
    refused(b"#!/bin/sh", &["unknown kind of file"]);
    refused(&object, &["an object made by aot", "link it"]);
    refused(&fs::read("/proc/self/exe").unwrap(), &["an ELF file that aot did not make"]);

    // Wasmtime's files have an ABI of their own in the header, and sections with its name.
    let change = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = image.clone();
        change(&mut bytes);
        bytes
    };
    refused(
        &change(&|bytes| bytes[7] = 200),
        &["a precompiled module of Wasmtime", "only Wasmtime can load it"],
    );
    let rename = |bytes: &mut Vec<u8>, from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).rposition(|name| name == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
    };
    let renamed = change(&|bytes| {
        rename(bytes, b".note.aot\0", b".note.xyz\0");
        rename(bytes, b".aot.memory\0", b".wasmtime.x\0");
    });
    refused(&renamed, &["a precompiled module of Wasmtime"]);

    // Another machine, another version.
    let foreign =
        build(MODULE, if Machine::HOST == Some(Machine::S390x) { "x86_64-linux" } else { "s390x-linux" });
    refused(&foreign, &["built for s390x-unknown-linux-gnu, and this machine is", "`--target`"]);
    let sealed = |at: usize, byte: u8| {
        change(&|bytes| {
            let note = note(bytes);
            bytes[note + at] = byte;
            seal(bytes);
        })
    };
    let abi = format!("{:032x}", aot_abi::image::ABI_HASH);
    refused(&sealed(36, !image[note(&image) + 36]), &["with ABI", &abi, "of the version that loads it"]);
    refused(&sealed(0, 9), &["version 9 of the image format", "only 1 is known"]);
    // The flags are the last byte of the note; its length is two numbers before the owner.
    let len = image[note(&image) - 12..].first_chunk().map(|len| u32::from_ne_bytes(*len)).unwrap();
    refused(&sealed(len as usize - 1, 0x41), &["a way that is not known here", "flags 0x41"]);

    // Features of the CPU.
    let target = "x86_64-linux".parse::<Target>().unwrap().with_cpu("x86-64-v3".into());
    let module = aot_compiler::compile(b"\0asm\x01\0\0\0", &Config::image(target)).unwrap();
    let bytes = module.cwasm().unwrap();
    let v3 = ImageFile::parse(&bytes).unwrap();
    let refusals = v3.refusals(Some(Machine::X86_64), |name| name != "avx2" && name != "bmi2");
    assert_eq!(refusals.len(), 1);
    assert!(refusals[0].to_string().ends_with("that this machine lacks: avx2 bmi2"), "{}", refusals[0]);

    // The baseline of riscv64 has no vectors: what uses them says so.
    let features = |wat: &str| {
        let bytes = build(wat, "riscv64-linux");
        let image = ImageFile::parse(&bytes).unwrap();
        image.note.cpu_features.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(features(MODULE), Vec::<String>::new());
    let vector =
        "(module (func (export \"f\") (result i32) (i8x16.extract_lane_u 0 (v128.const i64x2 1 2))))";
    assert_eq!(features(vector), ["v"]);

    // Damage.
    let last = image.len() - 1;
    refused(&image[..last], &["was cut off", "the section headers"]);
    refused(&change(&|bytes| bytes[offset(&image, section::TEXT)] ^= 1), &["does not have the hash"]);
    let set = |name: &str, field: usize, value: u64| {
        change(&|bytes| {
            let at = header(bytes, name) + field;
            bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        })
    };
    const ADDRESS: usize = 16;
    const OFFSET: usize = 24;
    const SIZE: usize = 32;
    let at = |name: &str| offset(&image, name) as u64;
    let moved = |name: &str, to: u64| {
        let mut bytes = set(name, ADDRESS, to);
        let at = header(&image, name) + OFFSET;
        bytes[at..at + 8].copy_from_slice(&to.to_ne_bytes());
        bytes
    };
    refused(&set(section::DATA, SIZE, 1 << 40), &["was cut off", ".aot.data"]);
    refused(&set(section::DATA, SIZE, u64::MAX), &["was cut off", ".aot.data"]);
    refused(&set(section::TEXT, ADDRESS, 0), &["no section with its offset as its address"]);
    refused(&moved(section::DATA, at(section::EH_FRAME)), &["overlap"]);
    refused(&moved(section::DESCRIPTION, 0), &["the ELF header and .aot.info overlap"]);
    refused(&moved(section::TEXT, at(section::TEXT) + 16), &[".text", "is not aligned to"]);
    refused(&set(section::MEMORY, SIZE, 65535), &["no whole pages of initial memory"]);
    refused(&set(section::DESCRIPTION, SIZE, 0), &["no module description"]);
    // Writable code, and a part that is not in the file.
    refused(&set(section::TEXT, 8, 7), &["no section of the kind that its name says"]);
    refused(
        &change(&|bytes| bytes[header(&image, section::DATA) + 4] = 8),
        &["of the kind that its name says"],
    );
    // An image's header on something that is not one.
    refused(&change(&|bytes| bytes[16] = 2), &["no ELF file that can be mapped anywhere"]);
}

#[test]
fn inspect_tells_what_an_image_is_and_why_it_is_refused() {
    let sandbox = Sandbox::new("inspect");
    sandbox.write("m.wat", MODULE);
    sandbox.aot(&["build", "m.wat", "--emit", "cwasm"]);
    let text = sandbox.aot(&["inspect", "m.cwasm"]);
    for part in [
        "image made by aot",
        "built for: ",
        "would be loaded on this machine: yes",
        "env.log (func (param i32))",
        "fac (func (param i64) (result i64))",
        ".aot.memory",
        "built with: stack-checked",
    ] {
        assert!(text.contains(part), "no {part:?}:\n{text}");
    }
    let json = |file: &str| -> serde_json::Value {
        serde_json::from_str(&sandbox.aot(&["inspect", "--json", file])).unwrap()
    };
    let report = json("m.cwasm");
    assert_eq!((&report["kind"], &report["refused"]), (&"image".into(), &serde_json::json!([])));
    assert_eq!(report["note"]["abi_hash"], format!("{:032x}", aot_abi::image::ABI_HASH));
    assert_eq!(report["exports"].as_array().unwrap().len(), 6);

    sandbox.aot(&["build", "m.wat", "--emit", "cwasm", "--target", "aarch64-linux", "-o", "a.cwasm"]);
    if Machine::HOST != Some(Machine::Aarch64) {
        let text = sandbox.aot(&["inspect", "a.cwasm"]);
        assert!(text.contains("would be loaded on this machine: no"), "{text}");
        assert!(text.contains("built for aarch64-unknown-linux-gnu, and this machine is"), "{text}");
    }
    let mut bytes = fs::read(sandbox.0.join("m.cwasm")).unwrap();
    sandbox.write("cut.cwasm", &bytes[..bytes.len() - 9]);
    assert!(sandbox.aot(&["inspect", "cut.cwasm"]).contains("the file was cut off"));
    let built = sandbox.outcome(&["build", "cut.cwasm"]);
    assert!(String::from_utf8_lossy(&built.stderr).contains("the file was cut off"), "{built:?}");
    let code = offset(&bytes, section::TEXT);
    bytes[code] ^= 1;
    sandbox.write("bad.cwasm", &bytes);
    assert!(json("bad.cwasm")["refused"][0].as_str().unwrap().contains("does not have the hash"));

    let targets = sandbox.aot(&["targets"]);
    let column = targets.lines().next().unwrap().split_whitespace().position(|title| title == "cwasm");
    let cells = targets.lines().skip(1).map(|line| line.split_whitespace().nth(column.unwrap()));
    assert!(
        cells.clone().count() >= 4 && cells.clone().filter(|cell| *cell == Some("yes")).count() == 4,
        "{targets}"
    );
}

#[test]
fn objdump_shows_the_code_of_an_image() {
    let sandbox = Sandbox::new("objdump");
    sandbox.write("m.wat", MODULE);
    sandbox.aot(&["build", "m.wat", "--emit", "cwasm", "--target", "x86_64-linux"]);
    let text = sandbox.aot(&["objdump", "m.cwasm", "--funcs", "divide"]);
    for part in
        ["x86_64-linux image made by aot", "func 2 `divide`", "idiv", "trap: integer divide by zero, wasm 0x"]
    {
        assert!(text.contains(part), "no {part:?}:\n{text}");
    }
    let text = sandbox.aot(&["objdump", "m.cwasm", "--funcs", "fac"]);
    assert!(text.contains("; fac"), "a call of itself has a name:\n{text}");
}
