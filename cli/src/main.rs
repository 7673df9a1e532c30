//! The `aot` command: parse, run, print the error, exit.
//!
//! Each subcommand is a file in `commands`: its flags, and a function from flags to a result. A new one is a variant
//! of [`commands::Command`].
// Only `run` has a reason: loading an image is trusting it.
#![deny(unsafe_code)]

mod args;
mod artifact;
mod cache;
mod commands;
mod disassemble;
mod file_kind;
mod groups;
mod input;
#[cfg(feature = "remote-cache")]
mod keys;
mod output;
mod program;
mod progress;
mod report;
mod server;
mod source_map;
mod wasm_text;

use clap::Parser as _;
use clap::error::ErrorKind;
use report::{Failure, Result};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::panic;
use std::process::ExitCode;

fn main() -> ExitCode {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(|place| format!(" at {place}")).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("unknown");
        // The message of the failed check is for the report of the bug; the error that follows is for the user.
        drop(writeln!(io::stderr(), "note: a check failed{place}: {message}"));
    }));
    let result = panic::catch_unwind(|| run(std::env::args_os().collect()));
    let result = result.unwrap_or_else(|_| {
        Err(Failure::new("aot failed in a way that nobody foresaw")
            .with_help("this is a bug in aot: please report it, with the note above and the input"))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(words: Vec<OsString>) -> Result<()> {
    match commands::Cli::try_parse_from(commands::with_default_command(words)) {
        Ok(cli) => cli.command.run(),
        Err(error) => {
            let text = error.render().to_string();
            // clap writes its prefix also before help on keys, which is no error.
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            match error.kind() {
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                    Err(Failure::usage(format!("there is no command and no file\n\n{text}")))
                }
                _ if error.use_stderr() => Err(Failure::usage(text)),
                _ => output::print(text),
            }
        }
    }
}
