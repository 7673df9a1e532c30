//! Cases with fixed seeds: few enough to run with every other test. The binary of this package runs more.

use aot_fuzz::{Random, Shape, Verdict, check, check_executables, generate};
use std::ops::Range;

/// Runs the cases from `first` on until `count` modules were compared.
fn run(shape: Shape, first: u64, count: u64) -> Verdict {
    let mut total = Verdict::default();
    let (mut generated, mut compared) = (0, 0);
    for seed in first.. {
        if compared == count {
            break;
        }
        // The generator gives up on some seeds, but one that gave up on most would be broken.
        assert!(seed - first < count * 3, "only {compared} modules compared, {generated} generated");
        let mut random = Random::new(seed);
        let Some(wasm) = generate(&mut random, shape) else { continue };
        generated += 1;
        let verdict = check(&wasm, &mut random).unwrap_or_else(|mismatch| {
            panic!("seed {seed}, {shape:?}: {mismatch}\nto see the module: cargo run -p aot-fuzz -- --case {seed}")
        });
        compared += u64::from(verdict.compared);
        total.calls += verdict.calls;
        total.traps += verdict.traps;
        total.overflows += verdict.overflows;
    }
    println!("{compared} of {generated} modules, {total:?}");
    // The reference takes nearly every module, and modules that do nothing would find nothing.
    assert!(compared * 4 >= generated * 3, "{compared} of {generated} modules");
    assert!(total.calls as u64 > count * 4 && total.traps * 10 < total.calls * 9, "{total:?}");
    total
}

#[test]
fn the_code_does_what_the_reference_does() {
    run(Shape::Any, 0, 700);
}

#[test]
fn deep_recursion_ends_in_a_trap() {
    let total = run(Shape::DeepStack, 1_000_000, 60);
    assert!(total.overflows > 0, "{total:?}");
}

#[test]
fn state_machines_do_what_the_reference_does() {
    run(Shape::Machine, 3_000_000, 600);
}

#[test]
fn fields_hold_what_the_reference_says() {
    run(Shape::Fields, 5_000_000, 400);
}

/// One after the other: a process that another thread starts would inherit an executable that is being written.
#[test]
fn executables_do_what_the_reference_does() {
    assert!(run_executables(Shape::Any, 2_000_000..2_000_400) > 1000);
    assert!(run_executables(Shape::Machine, 4_000_000..4_000_060) > 500);
    assert!(run_executables(Shape::Fields, 6_000_000..6_000_060) > 300);
}

/// The number of calls that were compared.
fn run_executables(shape: Shape, seeds: Range<u64>) -> usize {
    let scratch = std::env::temp_dir().join(format!("aot-fuzz-{shape:?}-{}", std::process::id()));
    std::fs::create_dir(&scratch).unwrap();
    let mut calls = 0;
    for seed in seeds {
        let mut random = Random::new(seed);
        let Some(wasm) = generate(&mut random, shape) else { continue };
        calls += check_executables(&wasm, &mut random, &scratch)
            .unwrap_or_else(|mismatch| panic!("seed {seed}, {shape:?}: {mismatch}"));
    }
    std::fs::remove_dir_all(&scratch).unwrap();
    println!("{calls} calls");
    calls
}
