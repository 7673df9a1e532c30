//! Arguments and expected results of scripts.

use aot_runtime::embed::Val;
use wast::core::{NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};
use wast::{WastArg, WastRet};

/// An argument as a value; `None` for kinds that are not supported.
pub(super) fn argument(arg: &WastArg<'_>) -> Option<Val> {
    let WastArg::Core(arg) = arg else { return None };
    Some(match arg {
        WastArgCore::I32(value) => Val::I32(*value),
        WastArgCore::I64(value) => Val::I64(*value),
        WastArgCore::F32(value) => Val::F32(value.bits),
        WastArgCore::F64(value) => Val::F64(value.bits),
        WastArgCore::V128(value) => Val::V128(value.to_le_bytes()),
        WastArgCore::RefNull(ty) => match ty {
            wast::core::HeapType::Abstract { ty: wast::core::AbstractHeapType::Extern, .. } => {
                Val::ExternRef(None)
            }
            _ => Val::FuncRef(None),
        },
        WastArgCore::RefExtern(number) => Val::ExternRef(Some(*number)),
        WastArgCore::RefHost(_) => return None,
    })
}

/// Whether a value is what a script expects.
pub(super) fn matches(value: &Val, expected: &WastRet<'_>) -> bool {
    match expected {
        WastRet::Core(expected) => matches_core(value, expected),
        _ => false,
    }
}

fn matches_core(value: &Val, expected: &WastRetCore<'_>) -> bool {
    match (value, expected) {
        (Val::I32(value), WastRetCore::I32(expected)) => value == expected,
        (Val::I64(value), WastRetCore::I64(expected)) => value == expected,
        (Val::F32(bits), WastRetCore::F32(expected)) => matches_f32(*bits, expected),
        (Val::F64(bits), WastRetCore::F64(expected)) => matches_f64(*bits, expected),
        (Val::V128(bytes), WastRetCore::V128(expected)) => matches_v128(*bytes, expected),
        (Val::FuncRef(None) | Val::ExternRef(None), WastRetCore::RefNull(_)) => true,
        (Val::FuncRef(Some(_)), WastRetCore::RefFunc(_)) => true,
        (Val::ExternRef(Some(number)), WastRetCore::RefExtern(expected)) => {
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
