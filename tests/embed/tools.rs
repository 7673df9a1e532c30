//! What host programs tell debuggers and profilers. `tests/debug/loaded.rs` looks at it from outside.

use super::module;
use aot_runtime::embed::{Engine, EngineConfig, Linker, ProfilingStrategy, Store};
use std::fs;

const GUEST: &str = r#"(module (func $answer (export "answer") (result i32) (i32.const 42)))"#;

/// `perf` looks into the map only for code that is of no file.
#[test]
fn code_in_perf_maps_is_of_no_file() {
    let config = EngineConfig { profiling: ProfilingStrategy::PerfMap, ..EngineConfig::default() };
    let engine = Engine::new(&config);
    let module = module(GUEST);
    let mut store = Store::new(&engine, ());
    let instance = Linker::new().instantiate(&mut store, &module).expect("it has no imports");
    let answer = instance.get_typed_func::<(), i32>(&store, "answer").expect("the export is there");
    assert_eq!(answer.call(&mut store, ()).expect("a number"), 42);
    // A second instance tells nothing new.
    Linker::new().instantiate(&mut store, &module).expect("it has no imports");
    let path = format!("/tmp/perf-{}.map", std::process::id());
    let map = fs::read_to_string(&path).expect("the map was written");
    fs::remove_file(&path).expect("it is ours");
    let lines: Vec<&str> = map.lines().filter(|line| line.ends_with(" answer")).collect();
    assert_eq!(lines.len(), 1, "{map}");
    let address = u64::from_str_radix(lines[0].split(' ').next().unwrap(), 16).expect("an address");
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux has it");
    let contains = |line: &&str| {
        let (low, high) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        (number(low)..number(high)).contains(&address)
    };
    let mapping = maps.lines().find(contains).expect("the code is mapped");
    let words: Vec<&str> = mapping.split_whitespace().collect();
    assert_eq!((words[1], words.len()), ("r-xp", 5), "{mapping}");
}

/// Modules come and go while a debugger would watch; the list stays whole.
#[test]
fn debuggers_are_told_of_modules_that_come_and_go() {
    let config = EngineConfig { debugger: true, ..EngineConfig::default() };
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let engine = Engine::new(&config);
            std::thread::spawn(move || {
                for _ in 0..50 {
                    let modules = [module(GUEST), module(GUEST)];
                    for module in &modules {
                        let mut store = Store::new(&engine, ());
                        let instance =
                            Linker::new().instantiate(&mut store, module).expect("it has no imports");
                        let answer = instance.get_typed_func::<(), i32>(&store, "answer").unwrap();
                        assert_eq!(answer.call(&mut store, ()).expect("a number"), 42);
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
}
