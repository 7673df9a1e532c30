//! The kernels: every `benches/kernels/*.c` and `*.wat` is a program. Drop a file there, get a benchmark.
//!
//! The first line is a comment that says what the kernel is about; a second comment line can hold flags for the
//! compiler to WebAssembly: `// wasm: -msimd128`. A kernel prints a checksum, so that results can be compared.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::measure;
use crate::programs::{Group, Program};
use crate::setting::{Dirs, make_dir};
use crate::tools;

/// Every kernel by name, whether it is compiled or not; [`build`] does that.
///
/// # Errors
/// The directory or a file can't be read.
pub fn load(dirs: &Dirs) -> Result<Vec<Program>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(dirs.benches.join("kernels"))? {
        sources.push(entry?.path());
    }
    sources.retain(|path| is(path, "c") || is(path, "wat"));
    sources.sort();
    sources.into_iter().map(|source| kernel(source, dirs)).collect()
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|actual| actual == extension)
}

fn kernel(source: PathBuf, dirs: &Dirs) -> Result<Program> {
    let text = fs::read_to_string(&source).with_context(|| format!("can't read {}", source.display()))?;
    let first_line = text.lines().next().unwrap_or_default();
    let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let wasm = dirs.work.join("kernels").join(format!("{name}.wasm"));
    let mut program = Program::command(&name, Group::Kernel, wasm);
    program.about = first_line.trim_start_matches(['/', ';', ' ']).trim_end_matches('.').to_owned();
    program.c_source = is(&source, "c").then_some(source);
    Ok(program)
}

/// Compiles a kernel to WebAssembly. Does nothing for other programs.
///
/// # Errors
/// The compiler fails, or isn't there.
pub fn build(program: &Program, dirs: &Dirs) -> Result<()> {
    if program.group != Group::Kernel {
        return Ok(());
    }
    make_dir(&dirs.work.join("kernels"))?;
    match &program.c_source {
        Some(source) => {
            let text = fs::read_to_string(source)?;
            let flags =
                text.lines().nth(1).and_then(|line| line.strip_prefix("// wasm: ")).unwrap_or_default();
            let flags: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
            let mut steps = [tools::compile_to_wasm(source, &flags, &program.wasm)];
            measure::run_steps(&mut steps, &dirs.work.join("log"))?;
        }
        None => {
            let source = dirs.benches.join("kernels").join(format!("{}.wat", program.name));
            fs::write(&program.wasm, wat::parse_file(&source)?).context("can't write the module")?;
        }
    }
    Ok(())
}
