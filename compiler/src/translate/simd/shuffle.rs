//! Byte shuffles for x86-64 machines without SSSE3, which have instructions for some of them only.
//!
//! The others are put together in general-purpose registers: whatever follows each other in an operand and in the result
//! is moved at once, by a shift and a mask.

use cranelift_codegen::ir::{ConstantData, Endianness, InstBuilder, MemFlagsData, Value, types};
use cranelift_frontend::FunctionBuilder;

/// A shuffle of 16 bytes: for each byte of the result its place in both operands, one after the other.
type Lanes = [u8; 16];

/// The interleavings of bytes, of 2, 4 and 8 bytes: of the low halves, and of the high ones.
const SIZES: [usize; 4] = [1, 2, 4, 8];

/// Emits a shuffle for a machine without `pshufb`.
pub(super) fn shuffle(builder: &mut FunctionBuilder<'_>, x: Value, y: Value, lanes: Lanes) -> Value {
    match direct(x == y, lanes) {
        Some(lanes) => {
            let lanes = builder.func.dfg.immediates.push(ConstantData::from(lanes.as_slice()));
            builder.ins().shuffle(x, y, lanes)
        }
        None => from_words(builder, x, y, lanes),
    }
}

/// The shuffle as one that Cranelift has an instruction of SSE2 for, if there is one.
fn direct(is_same: bool, lanes: Lanes) -> Option<Lanes> {
    // Of a single operand: the places that count are those in the first.
    let first = |lanes: Lanes| lanes.map(|lane| lane & 15);
    if let Some(interleaving) = interleavings().find(|other| match is_same {
        true => first(*other) == first(lanes),
        false => *other == lanes,
    }) {
        return Some(interleaving);
    }
    let lanes = if is_same { first(lanes) } else { lanes };
    if lanes == [0; 16] {
        return Some(lanes);
    }
    let groups_of = |size: usize| {
        lanes.chunks(size).all(|group| {
            usize::from(group[0]) % size == 0 && group.windows(2).all(|pair| pair[1] == pair[0] + 1)
        })
    };
    let operand = |lanes: &[u8]| match lanes.iter().map(|lane| lane / 16).min() {
        least if least == lanes.iter().map(|lane| lane / 16).max() => least,
        _ => None,
    };
    // `pshufd`: four bytes from anywhere in one operand. `shufps`: the low half from one operand, the high from one.
    if groups_of(4) && operand(&lanes[..8]).is_some() && operand(&lanes[8..]).is_some() {
        return Some(lanes);
    }
    // `pshuflw`, `pshufhw`: two bytes each, within one half; the other half stays as it is.
    let stays = |half: usize| (0..8).all(|lane| lanes[8 * half + lane] % 16 == (8 * half + lane) as u8);
    let within = |half: usize| lanes[8 * half..8 * half + 8].iter().all(|lane| lane / 8 % 2 == half as u8);
    let is_half_shuffle = operand(&lanes).is_some() && within(0) && within(1) && (stays(0) || stays(1));
    (groups_of(2) && is_half_shuffle).then_some(lanes)
}

/// `punpckl…` and `punpckh…`.
fn interleavings() -> impl Iterator<Item = Lanes> {
    SIZES.into_iter().flat_map(|size| {
        [0, 8].map(|start| {
            std::array::from_fn(|lane| {
                let (group, byte) = (lane / size, lane % size);
                (start + group / 2 * size + byte + group % 2 * 16) as u8
            })
        })
    })
}

/// Puts the result together from the words of the operands.
fn from_words(builder: &mut FunctionBuilder<'_>, x: Value, y: Value, lanes: Lanes) -> Value {
    let flags = MemFlagsData::new().with_endianness(Endianness::Little);
    let (x, y) =
        (builder.ins().bitcast(types::I64X2, flags, x), builder.ins().bitcast(types::I64X2, flags, y));
    let mut words = [None; 4];
    let mut halves = [0, 8].map(|start| {
        let lanes = &lanes[start..start + 8];
        let mut result = None;
        let mut to = 0;
        while to < 8 {
            let (word, from) = (usize::from(lanes[to] / 8), usize::from(lanes[to] % 8));
            let follows = |len: &usize| {
                from + len < 8 && to + len < 8 && usize::from(lanes[to + len]) == usize::from(lanes[to]) + len
            };
            let len = (1..8).find(|len| !follows(len)).unwrap_or(8);
            let mut piece = *words[word].get_or_insert_with(|| {
                builder.ins().extractlane(if word < 2 { x } else { y }, (word % 2) as u8)
            });
            if from > 0 {
                piece = builder.ins().ushr_imm_u(piece, 8 * from as i64);
            }
            // Shifts take away what is above, where they go that far.
            if from + len < 8 && to + len < 8 {
                piece = builder.ins().band_imm_u(piece, (1 << (8 * len)) - 1);
            }
            if to > 0 {
                piece = builder.ins().ishl_imm_u(piece, 8 * to as i64);
            }
            result = Some(match result {
                Some(result) => builder.ins().bor(result, piece),
                None => piece,
            });
            to += len;
        }
        result.expect("there are lanes")
    });
    if lanes[..8] == lanes[8..] {
        halves[1] = halves[0];
    }
    let low = builder.ins().scalar_to_vector(types::I64X2, halves[0]);
    let result = builder.ins().insertlane(low, halves[1], 1);
    builder.ins().bitcast(types::I8X16, flags, result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sse2_has_is_left_to_it() {
        let lanes = |text: &str| -> Lanes {
            let bytes: Vec<u8> = text.split(' ').map(|lane| lane.parse().unwrap()).collect();
            bytes.try_into().unwrap()
        };
        let own = [
            "0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23",
            "8 9 24 25 10 11 26 27 12 13 28 29 14 15 30 31",
            "0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23",
            "12 13 14 15 0 1 2 3 0 1 2 3 4 5 6 7",
            "16 17 18 19 28 29 30 31 4 5 6 7 4 5 6 7",
            "2 3 0 1 6 7 4 5 8 9 10 11 12 13 14 15",
            "16 17 18 19 20 21 22 23 30 31 24 25 24 25 28 29",
            "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
        ];
        for text in own {
            assert_eq!(direct(false, lanes(text)), Some(lanes(text)), "{text}");
        }
        let others = [
            "0 1 2 4 5 6 8 9 10 12 13 14 0 0 0 0",
            "15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0",
            "0 1 2 3 20 21 22 23 8 9 10 11 28 29 30 31",
            "2 3 0 1 6 7 4 5 10 11 8 9 12 13 14 15",
            "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        ];
        for text in others {
            assert_eq!(direct(false, lanes(text)), None, "{text}");
        }
        // The same operand twice: it is an interleaving with itself.
        let doubled = lanes("0 0 1 1 2 2 3 3 4 4 5 5 6 6 7 7");
        assert_eq!(direct(false, doubled), None);
        assert_eq!(direct(true, doubled), Some(lanes(own[0])));
    }
}
