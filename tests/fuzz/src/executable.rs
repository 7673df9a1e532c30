//! The same calls in executables, as `aot run --invoke` makes them: one process for each call.
//!
//! Executables differ from what `compare` runs in the model of state, in inlining, in all that is linked, and in that they can count how
//! often their code runs.

use crate::compare::Mismatch;
use crate::random::Random;
use crate::reference::{self, Call};
use crate::trap::Trap;
use crate::value::Value;
use aot_abi::trap::TrapCode;
use aot_compiler::{CompiledModule, Config, Entry, LinkOptions, Model, OptLevel, Profile, Target};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

/// Runs a module, and returns how many calls were compared. Modules with imports are left out: executables have none.
///
/// # Errors
/// If an executable does not do what the reference does.
pub fn check_executables(wasm: &[u8], random: &mut Random, scratch: &Path) -> Result<usize, Mismatch> {
    let has_imports = wasmparser::Parser::new(0).parse_all(wasm).any(
        |payload| matches!(payload, Ok(wasmparser::Payload::ImportSection(section)) if section.count() > 0),
    );
    if has_imports {
        return Ok(0);
    }
    let Ok(Ok(trace)) =
        catch_unwind(AssertUnwindSafe(|| reference::run(wasm, random, reference::Instances::PerCall)))
    else {
        return Ok(0);
    };
    let target = Target::host().expect("the tests run on a machine that is a target");
    let mut compared = 0;
    let profile = scratch.join(format!("{}.aotprof", std::process::id()));
    for (model, opt_level, profiling) in [
        (Model::Static, OptLevel::Speed, Profiling::None),
        (Model::Static, OptLevel::None, Profiling::None),
        (Model::Instance, OptLevel::Speed, Profiling::None),
        (Model::Static, OptLevel::Speed, Profiling::Count),
        (Model::Static, OptLevel::Speed, Profiling::Use),
    ] {
        let mut config = Config::executable(target.clone(), |_, _| None);
        config.model = model;
        config.opt_level = opt_level;
        config.verify_clif = true;
        match profiling {
            Profiling::None => {}
            Profiling::Count => config.profile_to = profile.to_str().map(str::to_owned),
            // Nothing was called, if there is none.
            Profiling::Use => match fs::read(&profile) {
                Ok(bytes) => {
                    let profile = Profile::read(&bytes);
                    let refused = |error| Mismatch::new(format!("the profile is refused: {error}"));
                    config.profile = Some(Arc::new(profile.map_err(refused)?));
                }
                Err(_) => continue,
            },
        }
        let name = format!("{model:?} model, {opt_level:?}, profiling {profiling:?}");
        let module = aot_compiler::compile(wasm, &config)
            .map_err(|error| Mismatch::new(format!("with {name}: the module is refused: {error}")))?;
        let mut executables: HashMap<&str, PathBuf> = HashMap::new();
        for (number, call) in trace.calls.iter().enumerate() {
            let Some(args) = call.args.iter().map(argument).collect::<Option<Vec<_>>>() else { continue };
            let Some(expected) = expected(call) else { continue };
            // The name to call is a C string in the executable.
            if call.function.contains('\0') {
                continue;
            }
            let path = match executables.get(&*call.function) {
                Some(path) => path,
                None => {
                    let path = scratch.join(format!("{}-{}", std::process::id(), executables.len()));
                    link(&module, &target, &call.function, &path)?;
                    executables.entry(&call.function).or_insert(path)
                }
            };
            let output = Command::new(path).args(&args).output();
            let output =
                output.map_err(|error| Mismatch::new(format!("cannot start an executable: {error}")))?;
            let actual = outcome(&output);
            if actual == Err(Trap::StackOverflow) {
                continue;
            }
            if actual != expected {
                return Err(Mismatch::new(format!(
                    "with {name}: call {number} of `{}` with {args:?}: expected {expected:?}, got {actual:?}",
                    call.function
                )));
            }
            compared += 1;
        }
        for path in executables.values() {
            drop(fs::remove_file(path));
        }
    }
    drop(fs::remove_file(&profile));
    Ok(compared)
}

/// Whether an executable counts how often its code runs, or is made for what another one counted.
#[derive(Debug)]
enum Profiling {
    None,
    Count,
    Use,
}

fn link(module: &CompiledModule, target: &Target, function: &str, path: &Path) -> Result<(), Mismatch> {
    let failed = |error: aot_compiler::Error| Mismatch::new(format!("cannot link: {error}"));
    let runtime = aot_runtime_archive::runtime(&target.name()).expect("the host has a runtime library");
    let object = module.object().map_err(failed)?;
    let options = aot_compiler::options_object(&[], true, target).map_err(failed)?;
    let entry = aot_compiler::entry_object(Entry::Invoke(function), target).map_err(failed)?;
    let objects = vec![object, options, entry];
    let bytes =
        aot_compiler::link_executable(objects, runtime, target, &LinkOptions::default()).map_err(failed)?;
    let written =
        fs::write(path, bytes).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)));
    written.map_err(|error| Mismatch::new(format!("cannot write {}: {error}", path.display())))
}

/// A value as an argument of the process; nothing if there is no way to write it.
fn argument(value: &Value) -> Option<String> {
    match value {
        Value::V128(_) => None,
        value => text(value),
    }
}

/// A value as an executable prints it; nothing if there is no telling.
fn text(value: &Value) -> Option<String> {
    Some(match *value {
        Value::I32(bits) => (bits as i32).to_string(),
        Value::I64(bits) => (bits as i64).to_string(),
        Value::F32(bits) => f32::from_bits(bits).to_string(),
        Value::F64(bits) => f64::from_bits(bits).to_string(),
        Value::V128(bytes) => format!("{:#034x}", u128::from_le_bytes(bytes)),
        Value::FuncRef { .. } | Value::ExternRef(_) => return None,
    })
}

/// What the reference says that an executable prints, or the trap; nothing if they cannot be compared.
fn expected(call: &Call) -> Option<Result<String, Trap>> {
    match &call.outcome {
        Ok(values) => {
            let lines = values.iter().map(|value| Some(text(value)? + "\n")).collect::<Option<String>>()?;
            Some(Ok(lines))
        }
        Err(Trap::StackOverflow | Trap::Other(_)) => None,
        Err(trap) => Some(Err(trap.clone())),
    }
}

fn outcome(output: &Output) -> Result<String, Trap> {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return Ok(stdout.into_owned());
    }
    let message = stderr.lines().next().unwrap_or("").strip_prefix("error: wasm trap: ").unwrap_or("");
    let code = TrapCode::ALL.into_iter().find(|code| code.message() == message);
    Err(match code {
        Some(code) if output.status.code() == Some(134) => Trap::from(code),
        _ => Trap::Other(format!("{}: {stderr}", output.status)),
    })
}
