//! Go's two ways of calls between host and guest.
//!
//!     cargo xtask guests
//!     cargo run -p aot-examples --bin go-calls -- target/programs/guests
//!
//! 1. `guests/go-add` is a *reactor*: the host calls what it exports with `//go:wasmexport`.
//! 2. `guests/go-worker` is a *command*: its `main` runs all the time and asks the host for work by functions that it
//!    imports with `//go:wasmimport`. The host serves it on the spot, or from another thread.

use aot_runtime::embed::wasi::{self, Stdio, WasiCtx, WasiCtxBuilder};
use aot_runtime::embed::{Caller, Engine, Error, Linker, Module, Store};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// What the worker gets when there are no more requests.
const NO_MORE: i64 = -1;

fn main() -> Result<(), AnyError> {
    let directory = std::env::args().nth(1).ok_or("usage: go-calls DIRECTORY-OF-GUESTS")?;
    let engine = Engine::default();
    let load = |name: &str| -> Result<Module, AnyError> {
        let path = Path::new(&directory).join(name);
        let wasm = std::fs::read(&path).map_err(|error| format!("can't read {}: {error}", path.display()))?;
        Ok(Module::new(&wasm)?)
    };

    println!("reactor: 40 + 2 = {}", add(&engine, &load("go-add.wasm")?, 40, 2)?);
    let worker = load("go-worker.wasm")?;
    println!("command, directly: {:?}", squares(&engine, &worker, vec![1, 2, 3])?);
    let mut worker = Worker::start(&engine, &worker);
    for number in [4, 5, 6] {
        println!("command, in its own thread: {number} -> {}", worker.request(number)?);
    }
    worker.stop()
}

/// The standard streams of this process, and nothing else.
fn wasi_ctx() -> Result<WasiCtx, AnyError> {
    Ok(WasiCtxBuilder::new(Stdio::Null, Stdio::Inherit, Stdio::Inherit)?.build())
}

/// Calls an export of a reactor.
fn add(engine: &Engine, module: &Module, a: i32, b: i32) -> Result<i32, AnyError> {
    let mut linker = Linker::new();
    wasi::add_to_linker(&mut linker, |ctx| ctx)?;
    let mut store = Store::new(engine, wasi_ctx()?);
    let instance = linker.instantiate(&mut store, module)?;
    // Starts Go's runtime. It is not `_start`: that would run `main` and end the guest.
    instance.get_typed_func::<(), ()>(&store, "_initialize")?.call(&mut store, ())?;
    let add = instance.get_typed_func::<(i32, i32), i32>(&store, "add")?;
    Ok(add.call(&mut store, (a, b))?)
}

/// What the functions see that serve the worker directly.
struct Direct {
    wasi: WasiCtx,
    requests: std::vec::IntoIter<i64>,
    responses: Vec<i64>,
}

/// Lets the worker square numbers, served by the functions that it calls.
fn squares(engine: &Engine, module: &Module, numbers: Vec<i64>) -> Result<Vec<i64>, AnyError> {
    let mut linker: Linker<Direct> = Linker::new();
    wasi::add_to_linker(&mut linker, |host| &mut host.wasi)?;
    linker.func_wrap("host", "request", |mut caller: Caller<'_, Direct>| {
        caller.data_mut().requests.next().unwrap_or(NO_MORE)
    })?;
    linker.func_wrap("host", "response", |mut caller: Caller<'_, Direct>, result: i64| {
        caller.data_mut().responses.push(result);
    })?;
    let host = Direct { wasi: wasi_ctx()?, requests: numbers.into_iter(), responses: Vec::new() };
    let mut store = Store::new(engine, host);
    run_command(&linker, &mut store, module)?;
    Ok(store.into_data().responses)
}

/// Runs a command to its end.
fn run_command<T>(linker: &Linker<T>, store: &mut Store<T>, module: &Module) -> Result<(), AnyError> {
    let instance = linker.instantiate(&mut *store, module)?;
    let start = instance.get_typed_func::<(), ()>(&*store, "_start")?;
    match start.call(store, ()) {
        // Go's `main` ends with `proc_exit(0)`.
        Ok(()) | Err(Error::Exit(0)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the functions see that serve the worker from another thread.
struct Remote {
    wasi: WasiCtx,
    requests: Receiver<i64>,
    responses: SyncSender<i64>,
}

/// A worker in a thread of its own.
struct Worker {
    requests: SyncSender<i64>,
    responses: Receiver<i64>,
    thread: JoinHandle<Result<(), AnyError>>,
}

impl Worker {
    fn start(engine: &Engine, module: &Module) -> Worker {
        let (requests, guest_requests) = sync_channel(1);
        let (guest_responses, responses) = sync_channel(1);
        // Both are cheap to clone: the code is shared.
        let (engine, module) = (engine.clone(), module.clone());
        let thread = thread::spawn(move || {
            let mut linker: Linker<Remote> = Linker::new();
            wasi::add_to_linker(&mut linker, |host| &mut host.wasi)?;
            // While the guest waits here, its thread sleeps. The sender's end is the end of the requests.
            linker.func_wrap("host", "request", |caller: Caller<'_, Remote>| {
                caller.data().requests.recv().unwrap_or(NO_MORE)
            })?;
            linker.func_wrap("host", "response", |caller: Caller<'_, Remote>, result: i64| {
                caller.data().responses.send(result)
            })?;
            let host = Remote { wasi: wasi_ctx()?, requests: guest_requests, responses: guest_responses };
            run_command(&linker, &mut Store::new(&engine, host), &module)
        });
        Worker { requests, responses, thread }
    }

    fn request(&mut self, number: i64) -> Result<i64, AnyError> {
        self.requests.send(number)?;
        Ok(self.responses.recv()?)
    }

    /// Ends the worker; says why it ended before, if it did.
    fn stop(self) -> Result<(), AnyError> {
        drop((self.requests, self.responses));
        self.thread.join().map_err(|_| "the worker's thread panicked")?
    }
}
