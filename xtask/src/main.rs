//! Tasks around the code: setting a machine up, building the program corpus, running every check.
//!
//! `cargo xtask` lists the tasks. `cargo xtask test` is the one that has to pass.

mod bench;
mod c_api_examples;
mod capi;
mod command;
mod compilers;
mod dependencies;
mod example;
mod guests;
mod programs;
mod repo;
mod setup;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask TASK [OPTION]…

  setup                    install what the tests need (Debian packages if root), or say what is missing
  programs [NAME]…         build the program corpus into target/programs (only what has changed)
      --force              build even what has not changed
      --reference          run the corpus in an independent engine (Node's WASI) and compare
      --bless              the same, and write what the engine says to tests/programs/expected
      --list               say what the corpus is, as built
  guests                   build the guests of the examples into target/programs/guests (only what has changed)
  capi [DIR]               build libaot.a and libaot.so, and lay them out with their headers (target/release/capi)
      --no-compiler        without the compiler: a small library, which loads images only
  dependencies             check licences, sources and duplicates of the dependencies
  test                     everything that has to pass: setup, programs, format, lints, dependencies, tests
  bench [NAME]…            measure run time, compile time, start-up and calls against peers (`--help` has options)
  example                  build a real program from the registry into an executable, and run it
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["setup"] => setup::run(),
        ["programs", options @ ..] => programs::run(options),
        ["guests"] => guests::run(),
        ["capi", options @ ..] => capi::run(options),
        ["dependencies"] => dependencies::run(),
        ["test"] => test::run(),
        ["bench", options @ ..] => bench::run(options),
        ["example"] => example::run(),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            eprint!("error: unknown task `{}`\n\n{HELP}", args.join(" "));
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
