//! Arguments and expected results of scripts.

use aot_abi::types::ValType;
use aot_runtime::embed::{V128, Val};
use wast::core::{NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};
use wast::{WastArg, WastRet};

/// A value, wherever it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    I32(i32),
    I64(i64),
    /// Bits of the number.
    F32(u32),
    /// Bits of the number.
    F64(u64),
    V128([u8; 16]),
    /// Whether it is a function. Scripts do not say which one.
    FuncRef(bool),
    /// A number of the script's choice.
    ExternRef(Option<u32>),
}

impl Value {
    pub fn from_val(value: Val) -> Value {
        match value {
            Val::I32(value) => Value::I32(value),
            Val::I64(value) => Value::I64(value),
            Val::F32(bits) => Value::F32(bits),
            Val::F64(bits) => Value::F64(bits),
            Val::V128(V128(bytes)) => Value::V128(bytes),
            Val::FuncRef(func) => Value::FuncRef(func.is_some()),
            Val::ExternRef(number) => Value::ExternRef(number),
        }
    }

    /// As an argument; there are no function references among those.
    pub fn to_val(self) -> Val {
        match self {
            Value::I32(value) => Val::I32(value),
            Value::I64(value) => Val::I64(value),
            Value::F32(bits) => Val::F32(bits),
            Value::F64(bits) => Val::F64(bits),
            Value::V128(bytes) => Val::V128(V128(bytes)),
            Value::FuncRef(_) => Val::FuncRef(None),
            Value::ExternRef(number) => Val::ExternRef(number),
        }
    }

    /// As the driver takes it. References are numbers; zero is null.
    pub fn to_slot(self) -> [u8; 16] {
        let number = match self {
            Value::I32(value) => u128::from(value.cast_unsigned()),
            Value::I64(value) => u128::from(value.cast_unsigned()),
            Value::F32(bits) => u128::from(bits),
            Value::F64(bits) => u128::from(bits),
            Value::V128(bytes) => u128::from_le_bytes(bytes),
            Value::FuncRef(_) => 0,
            Value::ExternRef(number) => number.map_or(0, |number| u128::from(number) + 1),
        };
        number.to_le_bytes()
    }

    /// From the driver: the encoding of a type, and a slot.
    pub fn from_slot(ty: u8, slot: [u8; 16]) -> Option<Value> {
        let number = u128::from_le_bytes(slot);
        let is = |wanted: ValType| ty == wanted as u8;
        Some(match () {
            () if is(ValType::I32) => Value::I32(number as i32),
            () if is(ValType::I64) => Value::I64(number as i64),
            () if is(ValType::F32) => Value::F32(number as u32),
            () if is(ValType::F64) => Value::F64(number as u64),
            () if is(ValType::V128) => Value::V128(slot),
            () if is(ValType::FuncRef) => Value::FuncRef(number as u64 != 0),
            () if is(ValType::ExternRef) => Value::ExternRef((number as u64 as u32).checked_sub(1)),
            () => return None,
        })
    }
}

/// An argument as a value; `None` for kinds that are not supported.
pub(super) fn argument(arg: &WastArg<'_>) -> Option<Value> {
    let WastArg::Core(arg) = arg else { return None };
    Some(match arg {
        WastArgCore::I32(value) => Value::I32(*value),
        WastArgCore::I64(value) => Value::I64(*value),
        WastArgCore::F32(value) => Value::F32(value.bits),
        WastArgCore::F64(value) => Value::F64(value.bits),
        WastArgCore::V128(value) => Value::V128(value.to_le_bytes()),
        WastArgCore::RefNull(ty) => match ty {
            wast::core::HeapType::Abstract { ty: wast::core::AbstractHeapType::Extern, .. } => {
                Value::ExternRef(None)
            }
            _ => Value::FuncRef(false),
        },
        WastArgCore::RefExtern(number) => Value::ExternRef(Some(*number)),
        WastArgCore::RefHost(_) => return None,
    })
}

/// Whether a value is what a script expects.
pub(super) fn matches(value: &Value, expected: &WastRet<'_>) -> bool {
    match expected {
        WastRet::Core(expected) => matches_core(value, expected),
        _ => false,
    }
}

fn matches_core(value: &Value, expected: &WastRetCore<'_>) -> bool {
    match (value, expected) {
        (Value::I32(value), WastRetCore::I32(expected)) => value == expected,
        (Value::I64(value), WastRetCore::I64(expected)) => value == expected,
        (Value::F32(bits), WastRetCore::F32(expected)) => matches_f32(*bits, expected),
        (Value::F64(bits), WastRetCore::F64(expected)) => matches_f64(*bits, expected),
        (Value::V128(bytes), WastRetCore::V128(expected)) => matches_v128(*bytes, expected),
        (Value::FuncRef(false) | Value::ExternRef(None), WastRetCore::RefNull(_)) => true,
        (Value::FuncRef(true), WastRetCore::RefFunc(_)) => true,
        (Value::ExternRef(Some(number)), WastRetCore::RefExtern(expected)) => {
            expected.is_none_or(|expected| *number == expected)
        }
        (value, WastRetCore::Either(cases)) => cases.iter().any(|case| matches_core(value, case)),
        _ => false,
    }
}

fn matches_f32(bits: u32, expected: &NanPattern<F32>) -> bool {
    match expected {
        // The quiet bit and nothing else of the payload; either sign.
        NanPattern::CanonicalNan => bits & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => bits & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(value) => bits == value.bits,
    }
}

fn matches_f64(bits: u64, expected: &NanPattern<F64>) -> bool {
    match expected {
        NanPattern::CanonicalNan => bits & 0x7fff_ffff_ffff_ffff == 0x7ff8_0000_0000_0000,
        NanPattern::ArithmeticNan => bits & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
        NanPattern::Value(value) => bits == value.bits,
    }
}

/// The lanes of a vector, as little-endian numbers of `N` bytes.
fn lanes<const N: usize>(bytes: &[u8; 16]) -> impl Iterator<Item = [u8; N]> {
    bytes.chunks_exact(N).map(|lane| lane.try_into().expect("chunks have this size"))
}

fn matches_v128(bytes: [u8; 16], expected: &V128Pattern) -> bool {
    match expected {
        V128Pattern::I8x16(expected) => lanes::<1>(&bytes).map(i8::from_le_bytes).eq(*expected),
        V128Pattern::I16x8(expected) => lanes::<2>(&bytes).map(i16::from_le_bytes).eq(*expected),
        V128Pattern::I32x4(expected) => lanes::<4>(&bytes).map(i32::from_le_bytes).eq(*expected),
        V128Pattern::I64x2(expected) => lanes::<8>(&bytes).map(i64::from_le_bytes).eq(*expected),
        V128Pattern::F32x4(expected) => lanes::<4>(&bytes)
            .map(u32::from_le_bytes)
            .zip(expected)
            .all(|(bits, lane)| matches_f32(bits, lane)),
        V128Pattern::F64x2(expected) => lanes::<8>(&bytes)
            .map(u64::from_le_bytes)
            .zip(expected)
            .all(|(bits, lane)| matches_f64(bits, lane)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_patterns() {
        assert!(matches_f32(0xffc0_0000, &NanPattern::CanonicalNan));
        assert!(!matches_f32(0x7fc0_0001, &NanPattern::CanonicalNan));
        assert!(matches_f32(0x7fc0_0001, &NanPattern::ArithmeticNan));
        assert!(!matches_f32(0x7f80_0001, &NanPattern::ArithmeticNan));
        assert!(matches_f64(0x7ff8_0000_0000_0000, &NanPattern::CanonicalNan));
        assert!(!matches_f64(0x7ff0_0000_0000_0000, &NanPattern::ArithmeticNan));
    }

    #[test]
    fn lanes_are_little_endian() {
        let mut bytes = [0; 16];
        bytes[0] = 1;
        bytes[12] = 2;
        assert!(matches_v128(bytes, &V128Pattern::I32x4([1, 0, 0, 2])));
        assert!(!matches_v128(bytes, &V128Pattern::I32x4([1, 0, 2, 0])));
    }
}
