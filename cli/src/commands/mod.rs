//! The subcommands. To add one: a file here, a `mod` line, a variant of [`Command`] and an arm of [`Command::run`].

mod build;
mod cache;
mod completion;
mod explore;
mod inspect;
#[cfg(feature = "remote-cache")]
mod key;
mod link;
mod objdump;
mod run;
mod runtime;
mod settings;
mod targets;
mod wast;

use crate::report::Result;
use clap::{CommandFactory as _, Parser, Subcommand};
use std::ffi::OsString;

const ABOUT: &str = "Turns WebAssembly into native programs, ahead of time";

const EXAMPLES: &str = "\
Examples:
  aot build app.wasm                     make the executable `app`, which needs nothing to run
  aot build app.wasm -o bin/app --dir .  … that can open files below its working directory
  aot app.wasm input.txt                 build for this machine and run, without a file
  aot link app.wasm math=math.wasm       several modules, one executable
  aot inspect app.wasm                   imports, exports, sizes, needed features
  aot build app.wasm --emit asm -o -     look at the machine code

A file in place of a command is run.

Exit codes: that of the program that was run; 1 if the work failed; 2 if the command line makes no sense.";

fn version() -> &'static str {
    concat!(env!("CARGO_PKG_VERSION"), " (", "ahead-of-time WebAssembly compiler", ")")
}

fn long_version() -> String {
    format!(
        "{}\ncompiler: aot-compiler {}\ncode generator: Cranelift {}\nruntime libraries: {}",
        version(),
        env!("CARGO_PKG_VERSION"),
        cranelift_codegen::VERSION,
        match aot_runtime_archive::available() {
            [] => String::from("none"),
            targets => targets.join(", "),
        }
    )
}

#[derive(Parser)]
#[command(
    name = "aot",
    about = ABOUT,
    after_help = EXAMPLES,
    version = version(),
    long_version = long_version(),
    subcommand_required = true,
    arg_required_else_help = true,
    infer_subcommands = false,
    max_term_width = 110
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    Build(build::Args),
    Run(run::Args),
    Link(link::Args),
    Inspect(inspect::Args),
    Explore(explore::Args),
    Objdump(objdump::Args),
    Runtime(runtime::Args),
    Targets(targets::Args),
    Cache(cache::Args),
    #[cfg(feature = "remote-cache")]
    Key(key::Args),
    Settings(settings::Args),
    Wast(wast::Args),
    Completion(completion::Args),
}

impl Command {
    pub fn run(self) -> Result<()> {
        match self {
            Command::Build(args) => build::run(&args),
            Command::Run(args) => run::run(args),
            Command::Link(args) => link::run(&args),
            Command::Inspect(args) => inspect::run(&args),
            Command::Explore(args) => explore::run(&args),
            Command::Objdump(args) => objdump::run(&args),
            Command::Runtime(args) => runtime::run(&args),
            Command::Settings(args) => settings::run(&args),
            Command::Cache(args) => cache::run(&args),
            #[cfg(feature = "remote-cache")]
            Command::Key(args) => key::run(&args),
            Command::Targets(args) => targets::run(&args),
            Command::Wast(args) => wast::run(&args),
            Command::Completion(args) => completion::run(&args),
        }
    }
}

/// All names of subcommands.
pub fn names() -> Vec<String> {
    let command = Cli::command();
    let mut names = vec![String::from("help")];
    for subcommand in command.get_subcommands() {
        names.push(subcommand.get_name().to_owned());
        names.extend(subcommand.get_all_aliases().map(str::to_owned));
    }
    names
}

/// A file, or a flag of `run`, in place of a command means `run`.
pub fn with_default_command(mut words: Vec<OsString>) -> Vec<OsString> {
    const OURS: [&str; 4] = ["-h", "--help", "-V", "--version"];
    if let Some(first) = words.get(1)
        && !first
            .to_str()
            .is_some_and(|first| OURS.contains(&first) || names().iter().any(|name| name == first))
    {
        words.insert(1, OsString::from("run"));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_file_is_run() {
        for (words, expected) in [
            (&["aot", "app.wasm", "build"][..], &["aot", "run", "app.wasm", "build"][..]),
            (&["aot", "--dir", ".", "app.wasm"], &["aot", "run", "--dir", ".", "app.wasm"]),
            (&["aot", "compile", "app.wasm"], &["aot", "compile", "app.wasm"]),
            (&["aot", "--version"], &["aot", "--version"]),
            (&["aot", "help"], &["aot", "help"]),
            (&["aot"], &["aot"]),
        ] {
            let words = words.iter().map(OsString::from).collect();
            assert_eq!(with_default_command(words), *expected);
        }
    }
}
