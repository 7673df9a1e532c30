//! A JavaScript host: runs scripts that import WebAssembly modules as they import scripts.
//!
//!     cargo run --release -p aot-js-host -- examples/js-host/scripts/first.js
//!
//! README.md says what it does, and how.

mod buffers;
mod callable;
mod convert;
mod error;
mod function;
mod items;
mod loader;
mod native;
mod realm;
mod store;

use aot_runtime::embed::{Engine, EngineConfig};
use realm::{Deadline, Options, Realm};
use rquickjs::promise::PromiseState;
use rquickjs::{CatchResultExt, CaughtError, Context, Ctx, Function, Module, Persistent, Runtime, Value};
use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: js-host [--timeout SECONDS] [--trust-images] [--import NAME=FILE]… SCRIPT";

/// What JavaScript code may use of the stack. Deeper calls throw a `RangeError`.
const JAVASCRIPT_STACK: usize = 1 << 20;
/// What wasm code may use of it, with the JavaScript code that it calls. Deeper calls trap.
const WASM_STACK: usize = 1 << 20;
/// The stack itself: both, the host functions between them, and the compiler.
const STACK: usize = 16 << 20;

fn main() -> ExitCode {
    let (options, script) = match parse(std::env::args().skip(1)) {
        Ok(parsed) => parsed,
        Err(message) => {
            eprintln!("error: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let runner = thread::Builder::new().stack_size(STACK).spawn(move || run(options, &script));
    match runner.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        Ok(Ok(Err(message))) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
        // The thread has said why.
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cannot make a thread: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Options, and the script.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<(Options, String), String> {
    let mut options = Options::default();
    let mut script = None;
    while let Some(argument) = arguments.next() {
        let mut value = |what: &str| arguments.next().ok_or_else(|| format!("`{argument}` needs {what}"));
        match argument.as_str() {
            "--timeout" => {
                let text = value("a number of seconds")?;
                let timeout = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                options.timeout = Some(timeout.ok_or_else(|| format!("`{text}` is no number of seconds"))?);
            }
            "--trust-images" => options.trust_images = true,
            "--import" => {
                let text = value("NAME=FILE")?;
                let named = loader::named_file(&text).ok_or_else(|| format!("`{text}` is not NAME=FILE"))?;
                options.imports.extend([named]);
            }
            option if option.starts_with('-') => return Err(format!("there is no option `{option}`")),
            _ if script.is_some() => return Err("there can be one script only".to_owned()),
            _ => script = Some(argument),
        }
    }
    Ok((options, script.ok_or("there is no script to run")?))
}

/// Runs a script and all that it leaves to be done.
fn run(options: Options, script: &str) -> Result<(), String> {
    let path =
        loader::canonical(script.as_ref()).map_err(|error| format!("cannot load `{script}`: {error}"))?;
    let source = std::fs::read(&path).map_err(|error| format!("cannot load `{script}`: {error}"))?;
    let engine = Engine::new(&EngineConfig { max_wasm_stack: WASM_STACK, ..EngineConfig::default() });
    let options = Rc::new(options);
    let runtime = Runtime::new().map_err(|error| error.to_string())?;
    runtime.set_max_stack_size(JAVASCRIPT_STACK);
    let deadline = options.timeout.map(|timeout| stop_after(&runtime, &engine, timeout)).transpose()?;
    runtime.set_loader(loader::Files, loader::Files);
    let unhandled = track_rejections(&runtime);
    let context = Context::full(&runtime).map_err(|error| error.to_string())?;
    let result = context.with(|ctx| {
        let outcome =
            install(&ctx, &engine, &options, deadline).and_then(|()| evaluate(&ctx, &path, source, deadline));
        outcome.catch(&ctx).map_err(|error| report(&ctx, &error))
    });
    // A script is over when nothing is left to be done, also after an error.
    let result = result.and_then(|()| context.with(|ctx| rejection(&ctx, &unhandled)));
    unhandled.borrow_mut().clear();
    let is_late = deadline.is_some_and(Deadline::is_over);
    match options.timeout {
        Some(timeout) if is_late => {
            Err(format!("`{script}` was stopped: it ran for more than {} s", timeout.as_secs_f64()))
        }
        _ => result,
    }
}

/// Makes the API.
fn install<'js>(
    ctx: &Ctx<'js>,
    engine: &Engine,
    options: &Rc<Options>,
    deadline: Option<Deadline>,
) -> rquickjs::Result<()> {
    callable::register(ctx)?;
    let api: Function<'js> = ctx.eval(include_str!("webassembly.js"))?;
    let hooks = api.call((native::functions(ctx)?,))?;
    Realm::install(ctx, engine, options, deadline, hooks)
}

/// Evaluates the script as a module, and runs what it leaves to be done.
fn evaluate<'js>(
    ctx: &Ctx<'js>,
    path: &str,
    source: Vec<u8>,
    deadline: Option<Deadline>,
) -> rquickjs::Result<()> {
    let (_, promise) = Module::declare(ctx.clone(), path, source)?.eval()?;
    while !deadline.is_some_and(Deadline::is_over) && ctx.execute_pending_job() {}
    match promise.state() {
        PromiseState::Pending => {
            Err(rquickjs::Exception::throw_message(ctx, "the script waits for something that never happens"))
        }
        _ => promise.result::<Value<'js>>().unwrap_or(Err(rquickjs::Error::Unknown)).map(drop),
    }
}

/// Stops JavaScript and wasm code when the time is over. Returns when that is.
fn stop_after(runtime: &Runtime, engine: &Engine, timeout: Duration) -> Result<Deadline, String> {
    let deadline = Deadline(Instant::now().checked_add(timeout).ok_or("the timeout is too long")?);
    runtime.set_interrupt_handler(Some(Box::new(move || deadline.is_over())));
    let engine = engine.clone();
    let clock = move || loop {
        thread::sleep(Deadline::TICK);
        engine.increment_epoch();
    };
    let clock = thread::Builder::new().spawn(clock);
    clock.map_err(|error| format!("cannot make a thread: {error}"))?;
    Ok(deadline)
}

/// Promises that failed and that nobody has looked at, with the reasons.
type Unhandled = Rc<RefCell<Vec<(Persistent<Value<'static>>, Persistent<Value<'static>>)>>>;

fn track_rejections(runtime: &Runtime) -> Unhandled {
    let unhandled = Unhandled::default();
    let list = Rc::clone(&unhandled);
    runtime.set_host_promise_rejection_tracker(Some(Box::new(move |ctx, promise, reason, is_handled| {
        let promise = Persistent::save(&ctx, promise);
        if is_handled {
            list.borrow_mut().retain(|(other, _)| *other != promise);
        } else {
            list.borrow_mut().push((promise, Persistent::save(&ctx, reason)));
        }
    })));
    unhandled
}

/// The first rejection that nobody has handled, as an error.
fn rejection(ctx: &Ctx<'_>, unhandled: &Unhandled) -> Result<(), String> {
    let first = unhandled.borrow().first().map(|(_, reason)| reason.clone());
    match first.map(|reason| reason.restore(ctx)) {
        None => Ok(()),
        Some(Ok(reason)) => Err(format!("unhandled rejection: {}", describe(ctx, reason))),
        Some(Err(error)) => Err(error.to_string()),
    }
}

fn report<'js>(ctx: &Ctx<'js>, error: &CaughtError<'js>) -> String {
    match error {
        CaughtError::Exception(exception) => describe(ctx, exception.as_object().clone().into_value()),
        CaughtError::Value(value) => describe(ctx, value.clone()),
        CaughtError::Error(error) => error.to_string(),
    }
}

/// An exception as text, with its stack.
fn describe<'js>(ctx: &Ctx<'js>, error: Value<'js>) -> String {
    // Without a realm there is nobody to ask: the API itself is wrong.
    let text = Realm::of(ctx).hook("report").and_then(|report| report.call::<_, String>((error,)));
    text.unwrap_or_else(|error| error.to_string())
}
