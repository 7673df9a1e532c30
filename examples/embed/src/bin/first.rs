//! The host program of `docs/embedding.md`. Its plugin is `plugins/price.wat`.

use aot_runtime::embed::{Caller, Engine, HostError, Linker, Module, Store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "price.cwasm".to_owned());
    // SAFETY: the image's code will be executed; it comes from our own build.
    let module = unsafe { Module::deserialize_file(path)? };

    // What the plugin may do: this one function, which sees its notes.
    let mut linker: Linker<Vec<String>> = Linker::new();
    linker.func_wrap("shop", "note", |mut caller: Caller<'_, Vec<String>>, address: u32, len: u32| {
        let (memory, notes) = caller.memory_and_data();
        let text = memory.get(address as usize..).and_then(|rest| rest.get(..len as usize));
        let text = text.ok_or("the note is not in the plugin's memory")?;
        notes.push(String::from_utf8_lossy(text).into_owned());
        Ok::<(), HostError>(())
    })?;

    let engine = Engine::default();
    let mut store = Store::new(&engine, Vec::new());
    let instance = linker.instantiate(&mut store, &module)?;
    let price = instance.get_typed_func::<(u32, u64), u64>(&store, "price")?;
    println!("3 pieces: {}", price.call(&mut store, (3, 250))?);
    println!("20 pieces: {}", price.call(&mut store, (20, 250))?);
    println!("notes: {:?}", store.data());
    Ok(())
}
