//! `aot runtime`: the runtime library as a file, for the user's own linker.

use crate::output::{self, Content};
use crate::report::Result;
use crate::{args, commands::build};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  aot build app.wasm --emit obj               ./app.o
  aot runtime                                 ./libaot_rt.a
  cc -static -nostdlib app.o libaot_rt.a -o app
                                              an executable, linked by the system's linker
  cc program.c lib.o libaot_rt.a -o program   a C program that calls `aot build lib.wasm --emit obj,header`

The library has the entry of the process, memories, tables, traps and WASI. It needs no libc.";

/// Write the runtime library that objects are linked with
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where the library goes; `-` is standard output
    #[arg(short, long, value_name = "OUT", default_value = "libaot_rt.a")]
    output: PathBuf,

    /// Machine that the library is for; `aot targets` lists them [default: this one]
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let target = args::target(args.target.as_deref(), &args::CpuArgs::default())?;
    let library = build::runtime(&target)?;
    output::write(&args.output, &library, Content::Binary)
}
