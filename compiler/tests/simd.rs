//! Every vector instruction compiles, with the CPU features of any machine and with those of this one.

use aot_compiler::{Config, Cpu, OptLevel, Target, compile, default_features, parse_text};
use wasmparser::WasmFeatures;

/// An instruction: its proposal, its name in the text format, and its counts of operands and results.
struct Instruction {
    proposal: &'static str,
    name: String,
    operands: usize,
    results: usize,
}

/// The vector instructions that the validator knows.
fn instructions() -> Vec<Instruction> {
    macro_rules! collect {
        ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident (arity $($arity:tt)*) )*) => {
            vec![$(instruction(stringify!($proposal), stringify!($visit), stringify!($($arity)*))),*]
        };
    }
    wasmparser::for_each_visit_simd_operator!(collect)
}

/// `visit_i8x16_add_sat_s` visits `i8x16.add_sat_s`; an arity is `memarg 2 -> 1`.
fn instruction(proposal: &'static str, visit: &str, arity: &str) -> Instruction {
    let name = visit.strip_prefix("visit_").expect("a visitor").replacen('_', ".", 1);
    let (operands, results) = arity.trim_start_matches("memarg").split_once("->").expect("an arity");
    let count = |text: &str| text.trim().parse().expect("a count");
    Instruction { proposal, name, operands: count(operands), results: count(results) }
}

/// A function that applies an instruction to its parameters and returns the result.
fn function(instruction: &Instruction) -> String {
    let Instruction { name, operands, results, .. } = instruction;
    let (shape, operation) = name.split_once('.').expect("a name with a shape");
    let scalar = match shape {
        "i64x2" => "i64",
        "f32x4" => "f32",
        "f64x2" => "f64",
        _ => "i32",
    };
    let is = |prefix: &str| operation.starts_with(prefix);
    let mut params = vec!["v128"; *operands];
    let mut result = "v128";
    let mut immediate = "";
    match () {
        () if is("load") || is("store") => {
            params[0] = "i32";
            immediate = if operation.ends_with("_lane") { "1" } else { "" };
        }
        () if name == "v128.const" => immediate = "i32x4 1 2 3 4",
        () if is("shuffle") => immediate = "0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31",
        () if is("splat") => params[0] = scalar,
        () if is("extract_lane") => (immediate, result) = ("1", scalar),
        () if is("replace_lane") => (immediate, params[1]) = ("1", scalar),
        () if operation == "shl" || is("shr_") => params[1] = "i32",
        () if is("any_true") || is("all_true") || is("bitmask") => result = "i32",
        () => {}
    }
    let params_text = params.join(" ");
    let result = if *results == 0 { String::new() } else { format!("(result {result})") };
    let operands: String = (0..params.len()).map(|index| format!("(local.get {index})")).collect();
    format!("(func (export \"{name}\") (param {params_text}) {result}\n  ({name} {immediate} {operands}))\n")
}

fn module(instructions: &[Instruction]) -> String {
    let functions: String = instructions.iter().map(function).collect();
    format!("(module (memory 1)\n{functions})")
}

/// The configurations to compile for: the features of any x86-64 machine, and of this one if it is an x86-64.
fn configs() -> Vec<Config> {
    let target: Target = "x86_64-linux".parse().expect("a target");
    let mut cpus = vec![Cpu::Baseline];
    if cfg!(target_arch = "x86_64") {
        cpus.push(Cpu::Native);
    }
    let mut configs = Vec::new();
    for cpu in cpus {
        for opt_level in [OptLevel::None, OptLevel::Speed] {
            let config = Config::image(target.clone().with_cpu(cpu.clone()));
            configs.push(Config { opt_level, verify_clif: true, ..config });
        }
    }
    configs
}

/// Compiles all instructions of a proposal, of which there are `count`.
fn check(proposal: &str, features: WasmFeatures, count: usize) {
    let mut instructions = instructions();
    instructions.retain(|instruction| instruction.proposal == proposal);
    assert_eq!(instructions.len(), count);
    let wat = module(&instructions);
    let wasm = parse_text(wat.as_bytes(), "simd.wat").unwrap_or_else(|error| panic!("{error}\n{wat}"));
    for config in configs() {
        let config = Config { features, ..config };
        let compiled = compile(&wasm, &config)
            .unwrap_or_else(|error| panic!("{:?}, {:?}: {error}", config.target.cpu(), config.opt_level));
        // An image contains everything that its code refers to.
        compiled.image().expect("an image");
    }
}

#[test]
fn every_vector_instruction_compiles() {
    check("simd", default_features(), 236);
}

#[test]
fn every_relaxed_instruction_compiles() {
    check("relaxed_simd", default_features() | WasmFeatures::RELAXED_SIMD, 20);
}

#[test]
fn relaxed_instructions_are_off_by_default() {
    let wat = "(module (func (param v128 v128) (result v128)
        (i8x16.relaxed_swizzle (local.get 0) (local.get 1))))";
    let wasm = parse_text(wat.as_bytes(), "relaxed.wat").expect("a module");
    let config = Config::image("x86_64-linux".parse().expect("a target"));
    let error = compile(&wasm, &config).err().expect("an error");
    assert_eq!(error.kind(), aot_compiler::ErrorKind::Unsupported, "{error}");
}

/// The names of the helpers in the code of a module.
fn helpers(wat: &str, cpu: Cpu) -> Vec<String> {
    let wasm = parse_text(wat.as_bytes(), "helpers.wat").expect("a module");
    let target: Target = "x86_64-linux".parse().expect("a target");
    let config = Config { keep_asm: true, verify_clif: true, ..Config::image(target.with_cpu(cpu)) };
    let compiled = compile(&wasm, &config).unwrap_or_else(|error| panic!("{error}"));
    let names = compiled.asm().lines().filter_map(|line| line.strip_prefix("# wasm-helper["));
    names.map(|name| name.trim_end_matches(']').to_owned()).collect()
}

/// A helper for what the CPU lacks and code can't do in place, however often the code wants it.
#[test]
fn helpers_stand_for_missing_instructions() {
    let wat = "(module
        (func (param f64 v128) (result f64) (f64.ceil (f64.floor (f64.floor (local.get 0)))))
        (func (param f32) (result f32) (f32.nearest (local.get 0)))
        (func (param v128) (result v128) (f32x4.trunc (local.get 0)))
        (func (param v128 v128) (result v128) (i8x16.swizzle (local.get 0) (local.get 1))))";
    assert_eq!(helpers(wat, Cpu::Baseline), ["X86Pshufb"].map(String::from));
    let unused = "(module (func (param f64) (result f64) (f64.sqrt (local.get 0))))";
    assert!(helpers(unused, Cpu::Baseline).is_empty());
}
