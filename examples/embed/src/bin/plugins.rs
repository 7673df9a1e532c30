//! A host of plugins: images in a directory, loaded when they are asked for, run with limits, unloaded.
//!
//!     mkdir plugins
//!     for name in fibonacci greedy forever; do
//!         aot build examples/embed/plugins/$name.wat --emit cwasm -W epoch-interruption -o plugins/$name.cwasm
//!     done
//!     cargo run -p aot-examples --bin plugins -- plugins
//!
//! Commands are read from standard input: `list`, `exports NAME`, `call NAME FUNCTION NUMBER...`, `unload NAME`.

use aot_runtime::embed::{
    Caller, Engine, ExternType, InstancePre, Linker, Module, Registry, Store, StoreLimits, Val, ValType,
};
use std::io::BufRead as _;
use std::time::Duration;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How often the clock of deadlines ticks.
const TICK: Duration = Duration::from_millis(10);
/// How many ticks a call may take.
const DEADLINE: u64 = 50;

const LIMITS: StoreLimits = StoreLimits {
    memory_bytes: Some(16 << 20),
    table_elements: Some(10_000),
    instances: Some(1),
    memories: Some(1),
    tables: Some(4),
};

/// What the functions of the host see: on whose behalf they act.
struct Plugin {
    name: String,
}

struct Host {
    engine: Engine,
    registry: Registry,
    linker: Linker<Plugin>,
}

impl Host {
    fn new(directory: &str) -> Result<Host, Error> {
        let engine = Engine::default();
        let clock = engine.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(TICK);
                clock.increment_epoch();
            }
        });
        let mut linker: Linker<Plugin> = Linker::new();
        linker.func_wrap("host", "log", |mut caller: Caller<'_, Plugin>, address: u32, len: u32| {
            let (memory, plugin) = caller.memory_and_data();
            let text = memory.get(address as usize..).and_then(|rest| rest.get(..len as usize));
            let text = text.ok_or("the message is not in the plugin's memory")?;
            println!("[{}] {}", plugin.name, String::from_utf8_lossy(text));
            Ok::<(), Error>(())
        })?;
        // SAFETY: an image is code that this process executes. Who runs this program says that the directory's files
        // come from someone who is trusted to compile plugins.
        let registry = unsafe { Registry::new([directory]) };
        Ok(Host { engine, registry, linker })
    }

    fn run(&self, line: &str) -> Result<(), Error> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["list"] => {
                let loaded = self.registry.loaded();
                for name in self.registry.names() {
                    println!("{name}{}", if loaded.contains(&name) { ", loaded" } else { "" });
                }
            }
            ["exports", name] => {
                for export in self.registry.get(name)?.exports() {
                    println!("{}: {}", export.name, export.ty);
                }
            }
            ["call", name, function, args @ ..] => {
                let results = self.call(name, function, args)?;
                println!("{name}.{function}: {}", results.join(" "));
            }
            ["unload", name] => {
                println!(
                    "{name}: {}",
                    if self.registry.unload(name) { "unloaded" } else { "was not loaded" }
                );
            }
            _ => return Err("commands: list, exports NAME, call NAME FUNCTION NUMBER..., unload NAME".into()),
        }
        Ok(())
    }

    /// Calls a function in a fresh instance, which is gone afterwards.
    fn call(&self, name: &str, function: &str, args: &[&str]) -> Result<Vec<String>, Error> {
        let module = self.registry.get(name)?;
        let Some(ExternType::Func(ty)) = module.get_export(function) else {
            return Err(format!("`{name}` exports no function `{function}`").into());
        };
        if args.len() != ty.params.len() {
            return Err(format!("`{function}` takes {} numbers", ty.params.len()).into());
        }
        let args: Vec<Val> =
            args.iter().zip(&ty.params).map(|(arg, ty)| parse(arg, *ty)).collect::<Result<_, Error>>()?;
        let mut store = Store::new(&self.engine, Plugin { name: name.to_owned() });
        store.set_limits(LIMITS);
        // Also the start function runs until then at most.
        store.set_epoch_deadline(DEADLINE);
        let instance = self.bind(&module)?.instantiate(&mut store)?;
        let func = instance.get_func(&store, function).ok_or("the export is gone")?;
        let results = func.call_vec(&mut store, &args)?;
        Ok(results.iter().map(show).collect())
    }

    /// Binds the imports. A host with many calls keeps the result beside the module.
    fn bind(&self, module: &Module) -> Result<InstancePre<Plugin>, Error> {
        if !module.is_interruptible() {
            return Err("its loops can't be stopped: build it with `-W epoch-interruption`".into());
        }
        Ok(self.linker.instantiate_pre(module)?)
    }
}

fn parse(text: &str, ty: ValType) -> Result<Val, Error> {
    Ok(match ty {
        ValType::I32 => Val::from(text.parse::<i32>()?),
        ValType::I64 => Val::from(text.parse::<i64>()?),
        ValType::F32 => Val::from(text.parse::<f32>()?),
        ValType::F64 => Val::from(text.parse::<f64>()?),
        _ => return Err(format!("a {} can't be given here", ty.name()).into()),
    })
}

fn show(value: &Val) -> String {
    match value {
        Val::I32(number) => number.to_string(),
        Val::I64(number) => number.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        other => other.ty().name().to_owned(),
    }
}

fn main() -> Result<(), Error> {
    let directory = std::env::args().nth(1).ok_or("usage: plugins DIRECTORY < COMMANDS")?;
    let host = Host::new(&directory)?;
    for line in std::io::stdin().lock().lines() {
        // Whatever a plugin does is an error of this one command.
        if let Err(error) = host.run(&line?) {
            println!("error: {error}");
        }
    }
    Ok(())
}
