//! Runs cases until the time is up or one fails. The failing module is left in a directory, as `.wasm` and `.wat`.
#![forbid(unsafe_code)]

use aot_fuzz::{Mismatch, Random, Shape, Verdict, check, check_executables, generate};
use clap::Parser;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Compare random modules on an independent engine with the compiler's code
#[derive(Parser)]
struct Args {
    /// How long to run
    #[arg(long, default_value_t = 60)]
    seconds: u64,

    /// The first case; the following ones count up from it. By default from the clock
    #[arg(long)]
    seed: Option<u64>,

    /// Run one case only
    #[arg(long, conflicts_with = "seed")]
    case: Option<u64>,

    /// Let calls go on until the stack is used up
    #[arg(long)]
    stack: bool,

    /// Make state machines
    #[arg(long, conflicts_with = "stack")]
    machines: bool,

    /// Make accesses to fields
    #[arg(long, conflicts_with_all = ["stack", "machines"])]
    fields: bool,

    /// Make each call in executables too
    #[arg(long)]
    executables: bool,

    /// Where failing modules go. The module that runs is there too, in case the process dies of it
    #[arg(long, default_value = "target/fuzz")]
    directory: PathBuf,

    /// Go on after a failure
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cannot write to `{}`: {error}", args.directory.display());
            ExitCode::FAILURE
        }
    }
}

/// Runs the cases, and gives the number of failures.
fn run(args: &Args) -> io::Result<usize> {
    let shape = match args {
        Args { stack: true, .. } => Shape::DeepStack,
        Args { machines: true, .. } => Shape::Machine,
        Args { fields: true, .. } => Shape::Fields,
        _ => Shape::Any,
    };
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() << 20);
    let first = args.case.or(args.seed).unwrap_or_else(clock);
    println!("seed {first}, {shape:?}");
    fs::create_dir_all(&args.directory)?;
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let (mut modules, mut failures, mut total) = (0u64, 0, Verdict::default());
    for seed in first.. {
        if Instant::now() >= end || (args.case.is_some() && seed != first) {
            break;
        }
        let mut random = Random::new(seed);
        let Some(wasm) = generate(&mut random, shape) else { continue };
        let running = args.directory.join("running.wasm");
        fs::write(&running, &wasm)?;
        let result = catch_unwind(AssertUnwindSafe(|| {
            let verdict = check(&wasm, &mut random)?;
            if args.executables {
                check_executables(&wasm, &mut random, &args.directory)?;
            }
            Ok(verdict)
        }));
        let message = match result {
            Ok(Ok(verdict)) => {
                modules += u64::from(verdict.compared);
                total.calls += verdict.calls;
                total.traps += verdict.traps;
                total.overflows += verdict.overflows;
                if args.case.is_some() {
                    write(&args.directory, seed, &wasm)?;
                }
                continue;
            }
            Ok(Err::<_, Mismatch>(mismatch)) => mismatch.to_string(),
            Err(_) => String::from("a panic, see above"),
        };
        let path = write(&args.directory, seed, &wasm)?;
        println!("FAILED: seed {seed}, {shape:?}: {message}\n  module: {}", path.display());
        failures += 1;
        if !args.keep_going {
            break;
        }
    }
    println!(
        "{modules} modules, {} calls ({} trapped), {} left out for want of stack; {failures} failed",
        total.calls, total.traps, total.overflows
    );
    Ok(failures)
}

/// Leaves a module as binary and as text; gives the path of the binary.
fn write(directory: &Path, seed: u64, wasm: &[u8]) -> io::Result<PathBuf> {
    let path = directory.join(format!("{seed}.wasm"));
    fs::write(&path, wasm)?;
    if let Ok(text) = wasmprinter::print_bytes(wasm) {
        fs::write(directory.join(format!("{seed}.wat")), text)?;
    }
    Ok(path)
}
