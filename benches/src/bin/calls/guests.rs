//! Calls of and by guests as their compilers make them: those of `examples/embed`, which `cargo xtask guests` builds.

use super::Case;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// What the host asks the guest to greet: 20 bytes.
const NAME: &str = "twenty bytes of name";

/// What the worker gets when there are no more requests.
const NO_MORE: i64 = -1;

/// Makes the cases of a guest.
type Maker = fn(&[u8]) -> Vec<Case>;

/// The cases whose guest is in the directory; says which are left out.
pub fn cases(directory: &Path) -> Vec<Case> {
    let makers: [(&str, Maker); 3] =
        [("greet.wasm", greet), ("go-add.wasm", go_add), ("go-worker.wasm", go_worker)];
    let mut cases = Vec::new();
    for (name, maker) in makers {
        match std::fs::read(directory.join(name)) {
            Ok(wasm) => cases.extend(maker(&wasm)),
            Err(error) => eprintln!(
                "calls of {name}: SKIPPED, {}: {error}; `cargo xtask guests` builds it",
                directory.join(name).display()
            ),
        }
    }
    cases
}

fn pair(name: &'static str, ours: Box<dyn FnMut(u32)>, theirs: Box<dyn FnMut(u32)>) -> Vec<Case> {
    vec![Case { name, engine: "aot", run: ours }, Case { name, engine: "wasmtime", run: theirs }]
}

fn greet(wasm: &[u8]) -> Vec<Case> {
    pair("greet: 20 bytes in, 28 out", ours::greet(wasm), theirs::greet(wasm))
}

fn go_add(wasm: &[u8]) -> Vec<Case> {
    pair("Go: host → `add`", ours::go_add(wasm), theirs::go_add(wasm))
}

fn go_worker(wasm: &[u8]) -> Vec<Case> {
    let mut cases =
        pair("Go: request and response, directly", direct(wasm, ours::direct), direct(wasm, theirs::direct));
    let name = "Go: request and response, over a channel";
    // Most of it is the channel: the same between two threads without a guest.
    cases.push(Case { name, engine: "native", run: remote(wasm, native) });
    cases.extend(pair(name, remote(wasm, ours::remote), remote(wasm, theirs::remote)));
    cases
}

/// A host that serves the worker in the functions that it calls: so many requests as it is told, then it waits.
struct Direct {
    rounds: Receiver<u32>,
    done: Sender<()>,
    left: u32,
    next: i64,
    sum: i64,
}

impl Direct {
    fn request(&mut self) -> i64 {
        if self.left == 0 {
            // At the start nobody waits for it.
            if self.next > 0 && self.done.send(()).is_err() {
                return NO_MORE;
            }
            match self.rounds.recv() {
                Ok(rounds) => self.left = rounds,
                Err(_) => return NO_MORE,
            }
        }
        self.left -= 1;
        self.next += 1;
        self.next
    }

    fn response(&mut self, result: i64) {
        self.sum = self.sum.wrapping_add(result);
    }
}

/// Runs the worker in a thread for as long as the case exists.
fn direct(wasm: &[u8], run: fn(&[u8], Direct)) -> Box<dyn FnMut(u32)> {
    let (rounds, guest_rounds) = channel();
    let (guest_done, done) = channel();
    let wasm = wasm.to_vec();
    std::thread::spawn(move || {
        run(&wasm, Direct { rounds: guest_rounds, done: guest_done, left: 0, next: 0, sum: 0 });
    });
    let run = move |count| {
        rounds.send(count).expect("the worker waits");
        done.recv().expect("the worker answers");
    };
    // Then it is compiled and started.
    run(1);
    Box::new(run)
}

/// A host that serves the worker from another thread.
struct Remote {
    requests: Receiver<i64>,
    responses: SyncSender<i64>,
}

impl Remote {
    fn request(&self) -> i64 {
        self.requests.recv().unwrap_or(NO_MORE)
    }

    fn response(&self, result: i64) {
        // The other end is gone when the case is; then there are no more requests either.
        let _gone = self.responses.send(result);
    }
}

fn remote(wasm: &[u8], run: fn(&[u8], Remote)) -> Box<dyn FnMut(u32)> {
    let (requests, guest_requests) = sync_channel(1);
    let (guest_responses, responses) = sync_channel(1);
    let wasm = wasm.to_vec();
    std::thread::spawn(move || {
        run(&wasm, Remote { requests: guest_requests, responses: guest_responses });
    });
    let run = move |count| {
        for number in 0..i64::from(count) {
            requests.send(number).expect("the worker waits");
            assert_eq!(responses.recv().expect("the worker answers"), number * number);
        }
    };
    // Then it is compiled and started.
    run(1u32);
    Box::new(run)
}

/// The worker as a function of the host.
fn native(_wasm: &[u8], host: Remote) {
    loop {
        match host.request() {
            NO_MORE => return,
            number => host.response(number * number),
        }
    }
}

mod ours {
    use super::{Direct, NAME, Remote};
    use aot_runtime::embed::wasi::{Stdio, WasiCtx, WasiCtxBuilder, add_to_linker};
    use aot_runtime::embed::{Caller, Engine, Error, Instance, Linker, Module, Store};
    use std::hint::black_box;

    fn ctx() -> WasiCtx {
        WasiCtxBuilder::new(Stdio::Null, Stdio::Null, Stdio::Inherit).expect("no files").build()
    }

    /// An instance of a reactor, started.
    fn reactor(wasm: &[u8]) -> (Store<WasiCtx>, Instance) {
        let mut linker = Linker::new();
        add_to_linker(&mut linker, |ctx| ctx).expect("new names");
        let mut store = Store::new(&Engine::default(), ctx());
        let module = Module::new(wasm).expect("a valid module");
        let instance = linker.instantiate(&mut store, &module).expect("the imports are defined");
        let initialize = instance.get_typed_func::<(), ()>(&store, "_initialize").expect("a reactor");
        initialize.call(&mut store, ()).expect("no trap");
        (store, instance)
    }

    pub fn greet(wasm: &[u8]) -> Box<dyn FnMut(u32)> {
        let (mut store, instance) = reactor(wasm);
        let memory = instance.get_memory(&store, "memory").expect("an export");
        let allocate = instance.get_typed_func::<u32, u32>(&store, "allocate").expect("its type");
        let free = instance.get_typed_func::<(u32, u32), ()>(&store, "deallocate").expect("its type");
        let greet = instance.get_typed_func::<(u32, u32), u64>(&store, "greet").expect("its type");
        Box::new(move |count| {
            for _ in 0..count {
                let len = NAME.len() as u32;
                let name = allocate.call(&mut store, len).expect("no trap");
                memory.write(&mut store, name.into(), NAME.as_bytes()).expect("in the memory");
                let place = greet.call(&mut store, (name, len)).expect("no trap");
                free.call(&mut store, (name, len)).expect("no trap");
                let (at, len) = ((place >> 32) as u32, place as u32);
                let bytes = &memory.data(&store)[at as usize..][..len as usize];
                black_box(str::from_utf8(bytes).expect("text").to_owned());
                free.call(&mut store, (at, len)).expect("no trap");
            }
        })
    }

    pub fn go_add(wasm: &[u8]) -> Box<dyn FnMut(u32)> {
        let (mut store, instance) = reactor(wasm);
        let add = instance.get_typed_func::<(i32, i32), i32>(&store, "add").expect("its type");
        Box::new(move |count| {
            let mut sum = 0;
            for number in 0..count {
                sum = add.call(&mut store, (sum, number.cast_signed())).expect("no trap");
            }
            black_box(sum);
        })
    }

    /// Runs a command to its end, with two functions to import.
    fn command<H: Send + 'static>(
        wasm: &[u8],
        host: H,
        request: fn(&mut H) -> i64,
        response: fn(&mut H, i64),
    ) {
        let mut linker: Linker<(WasiCtx, H)> = Linker::new();
        add_to_linker(&mut linker, |data| &mut data.0).expect("new names");
        let request = move |mut caller: Caller<'_, (WasiCtx, H)>| request(&mut caller.data_mut().1);
        let response = move |mut caller: Caller<'_, (WasiCtx, H)>, result: i64| {
            response(&mut caller.data_mut().1, result)
        };
        linker.func_wrap("host", "request", request).expect("a new name");
        linker.func_wrap("host", "response", response).expect("a new name");
        let mut store = Store::new(&Engine::default(), (ctx(), host));
        let module = Module::new(wasm).expect("a valid module");
        let instance = linker.instantiate(&mut store, &module).expect("the imports are defined");
        let start = instance.get_typed_func::<(), ()>(&store, "_start").expect("a command");
        match start.call(&mut store, ()) {
            Ok(()) | Err(Error::Exit(0)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    pub fn direct(wasm: &[u8], host: Direct) {
        command(wasm, host, Direct::request, Direct::response);
    }

    pub fn remote(wasm: &[u8], host: Remote) {
        command(wasm, host, |host| host.request(), |host, result| host.response(result));
    }
}

mod theirs {
    use super::{Direct, NAME, Remote};
    use std::hint::black_box;
    use wasmtime::{Caller, Engine, Instance, Linker, Module, Store};
    use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_sync};
    use wasmtime_wasi::{I32Exit, WasiCtxBuilder};

    /// An instance of a reactor, started.
    fn reactor(wasm: &[u8]) -> (Store<WasiP1Ctx>, Instance) {
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        add_to_linker_sync(&mut linker, |ctx| ctx).expect("new names");
        let mut store = Store::new(&engine, WasiCtxBuilder::new().build_p1());
        let module = Module::new(&engine, wasm).expect("a valid module");
        let instance = linker.instantiate(&mut store, &module).expect("the imports are defined");
        let initialize = instance.get_typed_func::<(), ()>(&mut store, "_initialize").expect("a reactor");
        initialize.call(&mut store, ()).expect("no trap");
        (store, instance)
    }

    pub fn greet(wasm: &[u8]) -> Box<dyn FnMut(u32)> {
        let (mut store, instance) = reactor(wasm);
        let memory = instance.get_memory(&mut store, "memory").expect("an export");
        let allocate = instance.get_typed_func::<u32, u32>(&mut store, "allocate").expect("its type");
        let free = instance.get_typed_func::<(u32, u32), ()>(&mut store, "deallocate").expect("its type");
        let greet = instance.get_typed_func::<(u32, u32), u64>(&mut store, "greet").expect("its type");
        Box::new(move |count| {
            for _ in 0..count {
                let len = NAME.len() as u32;
                let name = allocate.call(&mut store, len).expect("no trap");
                memory.write(&mut store, name as usize, NAME.as_bytes()).expect("in the memory");
                let place = greet.call(&mut store, (name, len)).expect("no trap");
                free.call(&mut store, (name, len)).expect("no trap");
                let (at, len) = ((place >> 32) as u32, place as u32);
                let bytes = &memory.data(&store)[at as usize..][..len as usize];
                black_box(str::from_utf8(bytes).expect("text").to_owned());
                free.call(&mut store, (at, len)).expect("no trap");
            }
        })
    }

    pub fn go_add(wasm: &[u8]) -> Box<dyn FnMut(u32)> {
        let (mut store, instance) = reactor(wasm);
        let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add").expect("its type");
        Box::new(move |count| {
            let mut sum = 0;
            for number in 0..count {
                sum = add.call(&mut store, (sum, number.cast_signed())).expect("no trap");
            }
            black_box(sum);
        })
    }

    /// Runs a command to its end, with two functions to import.
    fn command<H: Send + 'static>(
        wasm: &[u8],
        host: H,
        request: fn(&mut H) -> i64,
        response: fn(&mut H, i64),
    ) {
        let engine = Engine::default();
        let mut linker: Linker<(WasiP1Ctx, H)> = Linker::new(&engine);
        add_to_linker_sync(&mut linker, |data| &mut data.0).expect("new names");
        let request = move |mut caller: Caller<'_, (WasiP1Ctx, H)>| request(&mut caller.data_mut().1);
        let response = move |mut caller: Caller<'_, (WasiP1Ctx, H)>, result: i64| {
            response(&mut caller.data_mut().1, result)
        };
        linker.func_wrap("host", "request", request).expect("a new name");
        linker.func_wrap("host", "response", response).expect("a new name");
        let mut store = Store::new(&engine, (WasiCtxBuilder::new().build_p1(), host));
        let module = Module::new(&engine, wasm).expect("a valid module");
        let instance = linker.instantiate(&mut store, &module).expect("the imports are defined");
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start").expect("a command");
        if let Err(error) = start.call(&mut store, ()) {
            let exit = error.downcast_ref::<I32Exit>().map(|exit| exit.0);
            assert_eq!(exit, Some(0), "{error}");
        }
    }

    pub fn direct(wasm: &[u8], host: Direct) {
        command(wasm, host, Direct::request, Direct::response);
    }

    pub fn remote(wasm: &[u8], host: Remote) {
        command(wasm, host, |host| host.request(), |host, result| host.response(result));
    }
}
