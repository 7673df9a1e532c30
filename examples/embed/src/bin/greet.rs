//! Strings in and out of a guest that exports its allocator.
//!
//!     cargo xtask guests
//!     cargo run -p aot-examples --bin greet -- target/programs/guests/greet.wasm World
//!
//! The guest is `guests/greet`. What crosses the border are numbers: an address and a length in the guest's memory.

use aot_runtime::embed::wasi::{self, Stdio, WasiCtx, WasiCtxBuilder};
use aot_runtime::embed::{Engine, Linker, Memory, Module, Store, TypedFunc};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// An instance of the guest, with what is needed of it at hand: looking exports up is not for every call.
struct Greeter {
    store: Store<WasiCtx>,
    memory: Memory,
    allocate: TypedFunc<u32, u32>,
    deallocate: TypedFunc<(u32, u32), ()>,
    greet: TypedFunc<(u32, u32), u64>,
}

impl Greeter {
    fn new(engine: &Engine, module: &Module) -> Result<Greeter, Error> {
        let mut linker = Linker::new();
        wasi::add_to_linker(&mut linker, |ctx| ctx)?;
        // Rust's standard library imports WASI. The guest may write its panics, and has nothing else.
        let ctx = WasiCtxBuilder::new(Stdio::Null, Stdio::Null, Stdio::Inherit)?.build();
        let mut store = Store::new(engine, ctx);
        let instance = linker.instantiate(&mut store, module)?;
        // A reactor is started once, before anything else of it is called.
        if let Some(initialize) = instance.get_func(&store, "_initialize") {
            initialize.typed::<(), ()>(&store)?.call(&mut store, ())?;
        }
        Ok(Greeter {
            memory: instance.get_memory(&store, "memory").ok_or("the guest exports no memory")?,
            allocate: instance.get_typed_func(&store, "allocate")?,
            deallocate: instance.get_typed_func(&store, "deallocate")?,
            greet: instance.get_typed_func(&store, "greet")?,
            store,
        })
    }

    fn greet(&mut self, name: &str) -> Result<String, Error> {
        let len = u32::try_from(name.len())?;
        let address = self.allocate.call(&mut self.store, len)?;
        self.memory.write(&mut self.store, address.into(), name.as_bytes())?;
        let greeting = self.greet.call(&mut self.store, (address, len));
        self.deallocate.call(&mut self.store, (address, len))?;
        self.take(greeting?)
    }

    /// Copies a string that the guest leaves to us, and frees it there.
    fn take(&mut self, place: u64) -> Result<String, Error> {
        // Whatever a guest says is checked: the range may lie outside of its memory, the bytes may be no text.
        let (address, len) = ((place >> 32) as u32, place as u32);
        let end = (address as usize).checked_add(len as usize);
        let bytes = end.and_then(|end| self.memory.data(&self.store).get(address as usize..end));
        let text = str::from_utf8(bytes.ok_or("the string is not in the guest's memory")?)?.to_owned();
        self.deallocate.call(&mut self.store, (address, len))?;
        Ok(text)
    }
}

fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: greet GREET.wasm NAME...")?;
    let wasm = std::fs::read(&path).map_err(|error| format!("can't read {path}: {error}"))?;
    let engine = Engine::default();
    // Compiles it. A host without the compiler maps an image: see the example `plugins`.
    let module = Module::new(&wasm)?;
    let mut greeter = Greeter::new(&engine, &module)?;
    for name in args {
        println!("{}", greeter.greet(&name)?);
    }
    Ok(())
}
