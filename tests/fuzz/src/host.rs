//! What modules can import: once, as plain data, for both engines.

use crate::value::{Type, Value};

/// The name of the module that imports come from.
pub(crate) const MODULE: &str = "host";

/// Everything that can be imported, as a module for the generator.
pub(crate) const IMPORTS: &str = r#"(module
    (import "host" "nothing" (func))
    (import "host" "mix" (func (param i32 i64 f32 f64 v128) (result i64)))
    (import "host" "many" (func
        (param i32 i64 i32 i64 i32 i64 i32 i64 f32 f64 f32 f64 f32 f64 f32 f64 f32 f64 v128 v128)
        (result i32 i64 f32 f64 v128)))
    (import "host" "swap" (func (param funcref externref) (result externref funcref)))
    (import "host" "picky" (func (param i32) (result i32)))
    (import "host" "number" (global i32))
    (import "host" "vector" (global v128))
    (import "host" "counter" (global (mut i64)))
    (import "host" "object" (global externref))
    (import "host" "memory" (memory 1 3))
    (import "host" "table" (table 5 20 funcref)))"#;

/// The limits of the memory above, in pages.
pub(crate) const MEMORY: (u32, u32) = (1, 3);
/// The limits of the table above.
pub(crate) const TABLE: (u32, u32) = (5, 20);

/// The globals above: name, value, whether it is mutable.
pub(crate) const GLOBALS: [(&str, Value, bool); 4] = [
    ("number", Value::I32(7), false),
    ("vector", Value::V128([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]), false),
    ("counter", Value::I64(1 << 40), true),
    ("object", Value::ExternRef(Some(42)), false),
];

/// A host function.
pub(crate) struct Function {
    pub name: &'static str,
    pub params: &'static [Type],
    pub results: &'static [Type],
    /// Computes the results; `None` is a failure.
    pub body: fn(&[Value]) -> Option<Vec<Output>>,
}

/// A result of a host function.
pub(crate) enum Output {
    Value(Value),
    /// The argument with this number: references keep their identity.
    Argument(usize),
}

pub(crate) const FUNCTIONS: [Function; 5] = {
    use Type::{ExternRef, F32, F64, FuncRef, I32, I64, V128};
    [
        Function { name: "nothing", params: &[], results: &[], body: |_| Some(Vec::new()) },
        Function {
            name: "mix",
            params: &[I32, I64, F32, F64, V128],
            results: &[I64],
            body: |args| Some(vec![Output::Value(Value::I64(digest(args)))]),
        },
        Function {
            name: "many",
            params: &[
                I32, I64, I32, I64, I32, I64, I32, I64, F32, F64, F32, F64, F32, F64, F32, F64, F32, F64,
                V128, V128,
            ],
            results: &[I32, I64, F32, F64, V128],
            body: |args| {
                let digest = digest(args);
                let mut vector = [0xa5; 16];
                vector[..8].copy_from_slice(&digest.to_le_bytes());
                let results = [
                    Value::I32(digest as u32),
                    Value::I64(digest.rotate_left(11)),
                    Value::F32(f32::from(digest as u16).to_bits()),
                    Value::F64(f64::from(digest as u32).to_bits()),
                    Value::V128(vector),
                ];
                Some(results.map(Output::Value).into())
            },
        },
        Function {
            name: "swap",
            params: &[FuncRef, ExternRef],
            results: &[ExternRef, FuncRef],
            body: |_| Some(vec![Output::Argument(1), Output::Argument(0)]),
        },
        Function {
            name: "picky",
            params: &[I32],
            results: &[I32],
            body: |args| match args {
                [Value::I32(value)] if value % 5 != 3 => Some(vec![Output::Value(Value::I32(value / 2))]),
                _ => None,
            },
        },
    ]
};

/// A number that depends on every bit of the values.
fn digest(values: &[Value]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bits: u64| hash = (hash ^ bits).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    for value in values {
        match value {
            Value::I32(bits) | Value::F32(bits) => add(u64::from(*bits)),
            Value::I64(bits) | Value::F64(bits) => add(*bits),
            Value::V128(bytes) => bytes.iter().for_each(|byte| add(u64::from(*byte))),
            Value::FuncRef { null } => add(u64::from(*null)),
            Value::ExternRef(number) => add(number.map_or(0, |number| u64::from(number) + 1)),
        }
    }
    hash
}
