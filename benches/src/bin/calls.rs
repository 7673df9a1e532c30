//! What calls and instances cost: ours, wasmtime's, and a native indirect call, in turn in one process.
//!
//! Prints a line for each measurement: name, engine, nanoseconds, separated by tabs. Arguments: the number of rounds, and
//! the directory of the guests of `examples/embed` (`target/programs/guests`).

#[path = "calls/guests.rs"]
mod guests;

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a measurement takes.
const SPAN: Duration = Duration::from_millis(15);

/// What is called, in text format.
const GUEST: &str = r#"(module
    (import "h" "add" (func $add (param i32 i32) (result i32)))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "loop") (param $n i32) (result i32) (local $sum i32)
        (loop
            (local.set $sum (call $add (local.get $sum) (local.get $n)))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"#;

/// What [`GUEST`] imports, and the same function in its place.
const IMPORTED: [&str; 2] = [
    r#"(import "h" "add" (func $add (param i32 i32) (result i32)))"#,
    "(func $add (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))",
];

const LIBRARY: &str =
    r#"(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"#;

/// What is instantiated: a command as compilers make it, with a memory of one page or of 64 MiB.
fn program(pages: u32) -> String {
    format!(
        r#"(module
        (import "h" "add" (func $add (param i32 i32) (result i32)))
        (memory (export "memory") {pages})
        (data (i32.const 1024) "some constant data of the program")
        (table 4 funcref)
        (elem (i32.const 1) $add $run)
        (global (mut i32) (i32.const 65536))
        (func $run (export "run") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"#
    )
}

/// Asks for the environment, as the start of many programs does.
const ENVIRON: &str = r#"(module
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "loop") (param $n i32) (result i32)
        (loop
            (drop (call $get (i32.const 64) (i32.const 256)))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (i32.load (i32.const 64))))"#;

const VARIABLES: [(&str, &str); 5] = [
    ("HOME", "/home/user"),
    ("LANG", "C.UTF-8"),
    ("PATH", "/usr/bin:/bin"),
    ("TERM", "xterm"),
    ("USER", "user"),
];

/// A measurement: runs an operation that many times.
struct Case {
    name: &'static str,
    engine: &'static str,
    run: Box<dyn FnMut(u32)>,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let rounds = args.next().and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let guests = args.next().unwrap_or_else(|| "target/programs/guests".to_owned());
    let mut cases = vec![native()];
    cases.extend(ours::cases());
    cases.extend(theirs::cases());
    cases.extend(guests::cases(Path::new(&guests)));
    for round in 0..rounds {
        for index in 0..cases.len() {
            let count = cases.len();
            let case = &mut cases[(index + round) % count];
            println!("{}\t{}\t{:.3}", case.name, case.engine, nanoseconds(&mut case.run));
        }
    }
}

fn nanoseconds(run: &mut dyn FnMut(u32)) -> f64 {
    let mut count = 1;
    loop {
        let start = Instant::now();
        run(count);
        let elapsed = start.elapsed();
        if elapsed >= SPAN {
            return elapsed.as_nanos() as f64 / f64::from(count);
        }
        count = if elapsed.as_micros() < 100 { count * 8 } else { count * 2 };
    }
}

extern "C" fn add(a: i32, b: i32) -> i32 {
    a.wrapping_add(b)
}

fn native() -> Case {
    let run = |count: u32| {
        let mut sum = 0;
        for number in 0..count {
            let function: extern "C" fn(i32, i32) -> i32 = black_box(add);
            sum = function(sum, number.cast_signed());
        }
        black_box(sum);
    };
    Case { name: "indirect call", engine: "native", run: Box::new(run) }
}

mod ours {
    use super::{Case, ENVIRON, GUEST, IMPORTED, LIBRARY, VARIABLES, black_box, program};
    use aot_compiler::{Config, LINK_FEATURES, Library, Source, Target};
    use aot_runtime::embed::wasi::{Stdio, WasiCtx, WasiCtxBuilder, add_to_linker};
    use aot_runtime::embed::{Engine, FuncType, HostError, InstancePre, Linker, Module, Store, Val, ValType};

    pub fn cases() -> Vec<Case> {
        let engine = Engine::default();
        let case = |name, run| Case { name, engine: "aot", run };
        let mut cases = vec![
            case("host → wasm, typed", host_to_wasm(&engine)),
            case("host → wasm, untyped", host_to_wasm_untyped(&engine)),
        ];
        let mut typed = Linker::new();
        typed.func_wrap("h", "add", |a: i32, b: i32| a.wrapping_add(b)).expect("a new name");
        cases.push(case("wasm → host, typed", wasm_loop(&engine, &typed)));
        let ty = FuncType { params: vec![ValType::I32; 2], results: vec![ValType::I32] };
        let mut untyped = Linker::new();
        untyped
            .func_new("h", "add", ty, |_, args, results| {
                let sum = args[0].i32().unwrap_or(0).wrapping_add(args[1].i32().unwrap_or(0));
                results[0] = Val::I32(sum);
                Ok::<(), HostError>(())
            })
            .expect("a new name");
        cases.push(case("wasm → host, untyped", wasm_loop(&engine, &untyped)));
        cases.push(case("instance → instance", instance_to_instance(&engine)));
        let name = "module → module, linked";
        cases.push(case(name, loop_of(&engine, &Linker::new(), &linked())));
        // What it is compared with.
        let whole = Module::new(GUEST.replace(IMPORTED[0], IMPORTED[1]).as_bytes()).expect("a valid module");
        let run = loop_of(&engine, &Linker::new(), &whole);
        cases.push(Case { name, engine: "aot, inside of a module", run });
        for (name, pages) in [("instantiate and drop, 64 KiB", 1), ("instantiate and drop, 64 MiB", 1024)] {
            let module = Module::new(program(pages).as_bytes()).expect("a valid module");
            let pre = typed.instantiate_pre(&module).expect("the import is defined");
            cases.push(case(name, instantiate(&engine, pre)));
        }
        cases.push(case("environ_get", environ(&engine)));
        cases
    }

    fn host_to_wasm(engine: &Engine) -> Box<dyn FnMut(u32)> {
        let mut store = Store::new(engine, ());
        let module = Module::new(LIBRARY.as_bytes()).expect("a valid module");
        let instance = Linker::new().instantiate(&mut store, &module).expect("no imports");
        let add = instance.get_typed_func::<(i32, i32), i32>(&store, "add").expect("its type");
        Box::new(move |count| {
            let mut sum = 0;
            for number in 0..count {
                sum = add.call(&mut store, (sum, number.cast_signed())).expect("no trap");
            }
            black_box(sum);
        })
    }

    fn host_to_wasm_untyped(engine: &Engine) -> Box<dyn FnMut(u32)> {
        let mut store = Store::new(engine, ());
        let module = Module::new(LIBRARY.as_bytes()).expect("a valid module");
        let instance = Linker::new().instantiate(&mut store, &module).expect("no imports");
        let add = instance.get_func(&store, "add").expect("an export");
        Box::new(move |count| {
            let mut results = [Val::I32(0)];
            for number in 0..count {
                let args = [results[0], Val::I32(number.cast_signed())];
                add.call(&mut store, &args, &mut results).expect("no trap");
            }
            black_box(results);
        })
    }

    fn wasm_loop(engine: &Engine, linker: &Linker<()>) -> Box<dyn FnMut(u32)> {
        loop_of(engine, linker, &Module::new(GUEST.as_bytes()).expect("a valid module"))
    }

    /// Calls the function of the same name.
    fn loop_of(engine: &Engine, linker: &Linker<()>, module: &Module) -> Box<dyn FnMut(u32)> {
        let mut store = Store::new(engine, ());
        let instance = linker.instantiate(&mut store, module).expect("the imports are defined");
        let run = instance.get_typed_func::<i32, i32>(&store, "loop").expect("its type");
        Box::new(move |count| {
            black_box(run.call(&mut store, count.cast_signed()).expect("no trap"));
        })
    }

    /// The guest with the library linked to it.
    fn linked() -> Module {
        let [main, library] = [GUEST, LIBRARY].map(|text| wat::parse_str(text).expect("a valid module"));
        let library =
            Library { name: "h", source: Source { file: "library", wasm: &library }, reexport: false };
        let mut config = Config::image(Target::host().expect("a target"));
        let merged = aot_compiler::merge(Source { file: "guest", wasm: &main }, &[library], config.features);
        config.features |= LINK_FEATURES;
        Module::compile(&merged.expect("they fit").wasm, &config).expect("a valid module")
    }

    fn instance_to_instance(engine: &Engine) -> Box<dyn FnMut(u32)> {
        let mut store = Store::new(engine, ());
        let library = Module::new(LIBRARY.as_bytes()).expect("a valid module");
        let library = Linker::new().instantiate(&mut store, &library).expect("no imports");
        let mut linker = Linker::new();
        linker.instance(&store, "h", library).expect("new names");
        let module = Module::new(GUEST.as_bytes()).expect("a valid module");
        let instance = linker.instantiate(&mut store, &module).expect("the import is defined");
        let run = instance.get_typed_func::<i32, i32>(&store, "loop").expect("its type");
        Box::new(move |count| {
            black_box(run.call(&mut store, count.cast_signed()).expect("no trap"));
        })
    }

    fn instantiate(engine: &Engine, pre: InstancePre<()>) -> Box<dyn FnMut(u32)> {
        let engine = engine.clone();
        Box::new(move |count| {
            for _ in 0..count {
                let mut store = Store::new(&engine, ());
                black_box(pre.instantiate(&mut store).expect("enough memory"));
            }
        })
    }

    fn environ(engine: &Engine) -> Box<dyn FnMut(u32)> {
        let mut linker: Linker<WasiCtx> = Linker::new();
        add_to_linker(&mut linker, |ctx| ctx).expect("new names");
        let mut ctx = WasiCtxBuilder::new(Stdio::Null, Stdio::Null, Stdio::Null).expect("no files");
        for (name, value) in VARIABLES {
            ctx.env(format!("{name}={value}").as_bytes());
        }
        let mut store = Store::new(engine, ctx.build());
        let module = Module::new(ENVIRON.as_bytes()).expect("a valid module");
        let instance = linker.instantiate(&mut store, &module).expect("the imports are defined");
        let run = instance.get_typed_func::<i32, i32>(&store, "loop").expect("its type");
        Box::new(move |count| {
            black_box(run.call(&mut store, count.cast_signed()).expect("no trap"));
        })
    }
}

mod theirs {
    use super::{Case, ENVIRON, GUEST, LIBRARY, VARIABLES, black_box, program};
    use wasmtime::{
        Config, Engine, FuncType, InstanceAllocationStrategy, InstancePre, Linker, Module,
        PoolingAllocationConfig, Store, Val, ValType,
    };
    use wasmtime_wasi::WasiCtxBuilder;
    use wasmtime_wasi::p1::{self, WasiP1Ctx};

    pub fn cases() -> Vec<Case> {
        let engine = Engine::default();
        let case = |name, run| Case { name, engine: "wasmtime", run };
        let mut cases = vec![
            case("host → wasm, typed", host_to_wasm(&engine)),
            case("host → wasm, untyped", host_to_wasm_untyped(&engine)),
        ];
        let typed = |engine: &Engine| {
            let mut linker = Linker::new(engine);
            linker.func_wrap("h", "add", |a: i32, b: i32| a.wrapping_add(b)).expect("a new name");
            linker
        };
        cases.push(case("wasm → host, typed", wasm_loop(&engine, &typed(&engine))));
        let ty = FuncType::new(&engine, [ValType::I32, ValType::I32], [ValType::I32]);
        let mut untyped = Linker::new(&engine);
        untyped
            .func_new("h", "add", ty, |_, args, results| {
                results[0] = Val::I32(args[0].unwrap_i32().wrapping_add(args[1].unwrap_i32()));
                Ok(())
            })
            .expect("a new name");
        cases.push(case("wasm → host, untyped", wasm_loop(&engine, &untyped)));
        cases.push(case("instance → instance", instance_to_instance(&engine)));
        let mut config = Config::new();
        let mut pool = PoolingAllocationConfig::default();
        pool.total_core_instances(10).total_memories(10).total_tables(10);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let pooled = Engine::new(&config).expect("a valid configuration");
        for (strategy, engine) in [("wasmtime", &engine), ("wasmtime, pooled", &pooled)] {
            for (name, pages) in [("instantiate and drop, 64 KiB", 1), ("instantiate and drop, 64 MiB", 1024)]
            {
                let module = Module::new(engine, program(pages)).expect("a valid module");
                let pre = typed(engine).instantiate_pre(&module).expect("the import is defined");
                cases.push(Case { name, engine: strategy, run: instantiate(engine, pre) });
            }
        }
        cases.push(case("environ_get", environ(&engine)));
        cases
    }

    fn host_to_wasm(engine: &Engine) -> Box<dyn FnMut(u32)> {
        let mut store = Store::new(engine, ());
        let module = Module::new(engine, LIBRARY).expect("a valid module");
        let instance = Linker::new(engine).instantiate(&mut store, &module).expect("no imports");
        let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add").expect("its type");
        Box::new(move |count| {
            let mut sum = 0;
            for number in 0..count {
                sum = add.call(&mut store, (sum, number.cast_signed())).expect("no trap");
            }
            black_box(sum);
        })
    }

    fn host_to_wasm_untyped(engine: &Engine) -> Box<dyn FnMut(u32)> {
        let mut store = Store::new(engine, ());
        let module = Module::new(engine, LIBRARY).expect("a valid module");
        let instance = Linker::new(engine).instantiate(&mut store, &module).expect("no imports");
        let add = instance.get_func(&mut store, "add").expect("an export");
        Box::new(move |count| {
            let mut results = [Val::I32(0)];
            for number in 0..count {
                let args = [results[0], Val::I32(number.cast_signed())];
                add.call(&mut store, &args, &mut results).expect("no trap");
            }
            black_box(results);
        })
    }

    fn wasm_loop(engine: &Engine, linker: &Linker<()>) -> Box<dyn FnMut(u32)> {
        let mut store = Store::new(engine, ());
        let module = Module::new(engine, GUEST).expect("a valid module");
        let instance = linker.instantiate(&mut store, &module).expect("the import is defined");
        let run = instance.get_typed_func::<i32, i32>(&mut store, "loop").expect("its type");
        Box::new(move |count| {
            black_box(run.call(&mut store, count.cast_signed()).expect("no trap"));
        })
    }

    fn instance_to_instance(engine: &Engine) -> Box<dyn FnMut(u32)> {
        let mut store = Store::new(engine, ());
        let library = Module::new(engine, LIBRARY).expect("a valid module");
        let mut linker = Linker::new(engine);
        let library = linker.instantiate(&mut store, &library).expect("no imports");
        linker.instance(&mut store, "h", library).expect("new names");
        let module = Module::new(engine, GUEST).expect("a valid module");
        let instance = linker.instantiate(&mut store, &module).expect("the import is defined");
        let run = instance.get_typed_func::<i32, i32>(&mut store, "loop").expect("its type");
        Box::new(move |count| {
            black_box(run.call(&mut store, count.cast_signed()).expect("no trap"));
        })
    }

    fn instantiate(engine: &Engine, pre: InstancePre<()>) -> Box<dyn FnMut(u32)> {
        let engine = engine.clone();
        Box::new(move |count| {
            for _ in 0..count {
                let mut store = Store::new(&engine, ());
                black_box(pre.instantiate(&mut store).expect("enough memory"));
            }
        })
    }

    fn environ(engine: &Engine) -> Box<dyn FnMut(u32)> {
        let mut linker: Linker<WasiP1Ctx> = Linker::new(engine);
        p1::add_to_linker_sync(&mut linker, |ctx| ctx).expect("new names");
        let mut ctx = WasiCtxBuilder::new();
        for (name, value) in VARIABLES {
            ctx.env(name, value);
        }
        let mut store = Store::new(engine, ctx.build_p1());
        let module = Module::new(engine, ENVIRON).expect("a valid module");
        let instance = linker.instantiate(&mut store, &module).expect("the imports are defined");
        let run = instance.get_typed_func::<i32, i32>(&mut store, "loop").expect("its type");
        Box::new(move |count| {
            black_box(run.call(&mut store, count.cast_signed()).expect("no trap"));
        })
    }
}
