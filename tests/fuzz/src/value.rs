//! Values as both engines can show them.

use crate::random::Random;

/// A wasm value. Numbers are bits, so that equality is what the comparison needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    I32(u32),
    I64(u64),
    F32(u32),
    F64(u64),
    V128([u8; 16]),
    /// Functions of two engines cannot be compared; null and not null can.
    FuncRef {
        null: bool,
    },
    ExternRef(Option<u32>),
}

/// The type of a [`Value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    I32,
    I64,
    F32,
    F64,
    V128,
    FuncRef,
    ExternRef,
}

/// Integers at whose borders operators change what they do.
const INTEGERS: [u64; 12] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Numbers at whose borders operators change what they do: limits of integers, subnormals, infinities, NaN.
const FLOATS: [f64; 14] = [
    0.0,
    -0.0,
    0.5,
    -1.0,
    1.5,
    2_147_483_648.0,
    -2_147_483_649.0,
    4_294_967_296.0,
    9_223_372_036_854_775_808.0,
    1e-310,
    1e-40,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

impl Value {
    /// A value of a type, often one at a border.
    pub fn random(random: &mut Random, ty: Type) -> Value {
        match ty {
            Type::I32 => Value::I32(integer(random) as u32),
            Type::I64 => Value::I64(integer(random)),
            Type::F32 => Value::F32(match float(random) {
                Some(value) => (value as f32).to_bits(),
                None => canonical_f32(random.next_u64() as u32),
            }),
            Type::F64 => Value::F64(match float(random) {
                Some(value) => value.to_bits(),
                None => canonical_f64(random.next_u64()),
            }),
            Type::V128 => Value::V128(vector(random)),
            // Functions come from the module only.
            Type::FuncRef => Value::FuncRef { null: true },
            Type::ExternRef => Value::ExternRef((!random.one_in(3)).then(|| random.below(100) as u32)),
        }
    }
}

fn integer(random: &mut Random) -> u64 {
    match random.below(3) {
        0 => INTEGERS[random.below(INTEGERS.len())],
        1 => random.below(100) as u64,
        _ => random.next_u64(),
    }
}

fn float(random: &mut Random) -> Option<f64> {
    (!random.one_in(3)).then(|| FLOATS[random.below(FLOATS.len())])
}

fn vector(random: &mut Random) -> [u8; 16] {
    let halves = match random.below(3) {
        0 => [integer(random), integer(random)],
        1 => [FLOATS[random.below(FLOATS.len())].to_bits(), canonical_f64(random.next_u64())],
        _ => [random.next_u64(), random.next_u64()],
    };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&halves[0].to_le_bytes());
    bytes[8..].copy_from_slice(&halves[1].to_le_bytes());
    bytes
}

fn canonical_f32(bits: u32) -> u32 {
    if f32::from_bits(bits).is_nan() { f32::NAN.to_bits() } else { bits }
}

fn canonical_f64(bits: u64) -> u64 {
    if f64::from_bits(bits).is_nan() { f64::NAN.to_bits() } else { bits }
}
