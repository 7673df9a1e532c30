//! Random modules: valid, terminating, and deterministic down to the bits of NaNs.

use crate::fields::fields;
use crate::host;
use crate::machine::machine;
use crate::random::Random;
use arbitrary::Unstructured;
use wasm_smith::{Config, MemoryOffsetChoices, Module};

/// What kind of modules to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// All operators, calls that end soon.
    #[default]
    Any,
    /// Calls may go on until the stack is used up.
    DeepStack,
    /// Functions that are loops around switches.
    Machine,
    /// Functions that load what they stored.
    Fields,
}

/// How many calls and turns of loops an instance may make before it traps.
const FUEL: u32 = 2_000;
const DEEP_FUEL: u32 = 1_000_000;

/// Makes a module. `None` if the generator cannot make one from these random bytes.
pub fn generate(random: &mut Random, shape: Shape) -> Option<Vec<u8>> {
    match shape {
        Shape::Machine => return Some(machine(random)),
        Shape::Fields => return Some(fields(random)),
        Shape::Any | Shape::DeepStack => {}
    }
    let config = config(random, shape);
    let len = match random.below(4) {
        0 => random.between(200, 2_000),
        1 | 2 => random.between(1_000, 8_000),
        _ => random.between(4_000, 30_000),
    };
    let bytes = random.bytes(len);
    let mut module = Module::new(config, &mut Unstructured::new(&bytes)).ok()?;
    let fuel = match shape {
        Shape::Any | Shape::Machine | Shape::Fields => FUEL,
        Shape::DeepStack => DEEP_FUEL,
    };
    module.ensure_termination(fuel).ok()?;
    Some(module.to_bytes())
}

/// WebAssembly 2.0, tail calls and extended constant expressions; sizes and some features vary from module to module.
fn config(random: &mut Random, shape: Shape) -> Config {
    let imports = random.one_in(2);
    Config {
        available_imports: imports
            .then(|| wat::parse_str(host::IMPORTS).expect("the imports are a valid module")),
        max_imports: if imports { 11 } else { 0 },

        // Half of the modules check before what could trap, so that code after it runs too.
        disallow_traps: random.one_in(2),
        allow_floats: !random.one_in(4),
        simd_enabled: !random.one_in(4),
        canonicalize_nans: true,
        bulk_memory_enabled: true,
        reference_types_enabled: true,
        multi_value_enabled: true,
        saturating_float_to_int_enabled: true,
        sign_extension_ops_enabled: true,
        tail_call_enabled: true,
        extended_const_enabled: true,

        compact_imports_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        relaxed_simd_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,

        export_everything: true,
        min_funcs: 1,
        max_funcs: match shape {
            Shape::Any | Shape::Machine | Shape::Fields => random.between(1, 12),
            Shape::DeepStack => random.between(1, 3),
        },
        max_instructions: random.between(20, 600),
        max_globals: random.between(0, 12),
        max_data_segments: random.between(0, 6),
        max_element_segments: random.between(0, 6),
        max_tables: 3,
        max_memories: 1,
        max_memory32_bytes: 4 << 16,
        memory_max_size_required: true,
        max_table_elements: 200,
        table_max_size_required: true,
        memory_offset_choices: MemoryOffsetChoices(random.between(50, 95) as u32, 20, 1),
        ..Config::default()
    }
}
