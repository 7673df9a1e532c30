//! The programs to run, as data: `programs.toml` for the corpus; `kernels.rs` adds the kernels.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::inputs::Input;
use crate::setting::Dirs;

/// Whose programs they are; each group has a table of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Group {
    /// A program of the corpus.
    #[default]
    Application,
    /// A small program of ours that does one thing.
    Kernel,
}

impl Group {
    pub const ALL: [Group; 2] = [Group::Application, Group::Kernel];

    pub fn name(self) -> &'static str {
        match self {
            Group::Application => "application",
            Group::Kernel => "kernel",
        }
    }
}

/// A WASI command with a workload.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    pub name: String,
    /// What it does, in a few words.
    pub about: String,
    #[serde(skip)]
    pub group: Group,
    /// The module; filled in by [`load`].
    #[serde(skip)]
    pub wasm: PathBuf,
    /// The source, if a native C compiler can make the same program of it.
    #[serde(skip)]
    pub c_source: Option<PathBuf>,
    #[serde(default)]
    pub args: Vec<String>,
    /// The input that it reads as standard input.
    pub stdin: Option<String>,
    /// Files that lie in its directory when it starts.
    #[serde(default, rename = "input")]
    pub inputs: Vec<Input>,
    /// Directories as with `aot build --dir`, relative to the program's directory.
    #[serde(default)]
    pub dirs: Vec<String>,
    #[serde(default)]
    pub env: Vec<String>,
    /// Files that it writes; they have to be equal too.
    #[serde(default)]
    pub writes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    program: Vec<Program>,
}

/// The programs of the corpus that have a workload here, built or not.
///
/// # Errors
/// `programs.toml` can't be read, or isn't what this module describes.
pub fn load(dirs: &Dirs) -> Result<Vec<Program>> {
    let text = fs::read_to_string(dirs.benches.join("programs.toml"))?;
    let mut programs = toml::from_str::<File>(&text).context("not as src/programs.rs describes it")?.program;
    for program in &mut programs {
        program.wasm = dirs.programs.join(format!("{}.wasm", program.name));
    }
    Ok(programs)
}

impl Program {
    /// A program without arguments and inputs.
    pub fn command(name: &str, group: Group, wasm: PathBuf) -> Program {
        Program {
            name: name.to_owned(),
            about: String::new(),
            group,
            wasm,
            c_source: None,
            args: Vec::new(),
            stdin: None,
            inputs: Vec::new(),
            dirs: Vec::new(),
            env: Vec::new(),
            writes: Vec::new(),
        }
    }

    /// The flags that give the program its directories and environment; `aot build` and the peer take the same.
    pub fn grants(&self) -> Vec<String> {
        let flag = |name: &'static str| move |value: &String| [name.to_owned(), value.clone()];
        let dirs = self.dirs.iter().flat_map(flag("--dir"));
        dirs.chain(self.env.iter().flat_map(flag("--env"))).collect()
    }

    pub fn is_built(&self) -> bool {
        self.wasm.is_file()
    }
}
