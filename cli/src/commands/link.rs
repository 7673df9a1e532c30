//! `aot link`: several modules → one executable, object, image or module.

use super::build::{self, Options};
use crate::program::LibraryArg;
use crate::report::Result;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  aot link app.wasm math=math.wasm            ./app, in which `math` is what app.wasm imports by that name
  aot link app.wasm env=memory.wat math=math.wasm -o bin/app
                                              both import the memory of memory.wat: they share it
  aot link app.wasm a=lib.wasm b=lib.wasm     two instances, each with its own state
  aot link app.wasm math=math.wasm --emit cwasm --reexport math
                                              an image that has the exports of both
  aot link app.wasm math=math.wasm --emit wasm
                                              one module, ./app.wasm in the current directory

A library is instantiated once, after those that it imports from. What no module provides stays an import, as in \
`aot build`, whose flags apply.";

/// Make an executable, object or image of several modules that import from each other
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Main module in the binary or text format: its exports are those of the result; `-` is standard input
    #[arg(value_name = "MAIN")]
    input: PathBuf,

    /// Module that others import from under the name NAME
    #[arg(
        value_name = "NAME=PATH",
        required = true,
        value_parser = OsStringValueParser::new().try_map(LibraryArg::parse)
    )]
    libraries: Vec<LibraryArg>,

    /// Export what the module NAME exports too, each as `NAME.EXPORT`
    #[arg(long, value_name = "NAME")]
    reexport: Vec<String>,

    #[command(flatten)]
    options: Options,
}

pub fn run(args: &Args) -> Result<()> {
    build::make(&args.input, &args.libraries, &args.reexport, &args.options)
}
