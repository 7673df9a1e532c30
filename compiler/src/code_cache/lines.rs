//! Which code is of which instruction, in a few bytes for each: there are more of these than of all else in an entry.
//!
//! For each item two numbers in LEB128: how far its code is behind that of the last one; and 0 for no place, twice the
//! number of a frame plus 2, or the difference to the last place in the same frame, as below. A frame is
//! followed by the distance from the start of its function's body.

/// A place: the frame, 0 for the function itself and 1 more than the position of an inlined call for its callee; and the
/// distance from the start of that function's body.
pub(super) type Place = (u32, u32);

/// Packs items, which are ascending.
pub(super) fn pack(items: impl Iterator<Item = Option<(u32, Option<Place>)>>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut last_at, mut last) = (0, (0, 0));
    for item in items {
        let (at, place) = item?;
        number(&mut bytes, u64::from(at.checked_sub(last_at)?));
        last_at = at;
        match place {
            None => number(&mut bytes, 0),
            Some(place) => {
                if place.0 == last.0 {
                    let difference = i64::from(place.1) - i64::from(last.1);
                    // The sign goes to the end, and a 1 after it.
                    number(&mut bytes, (((difference << 1) ^ (difference >> 63)) as u64) << 1 | 1);
                } else {
                    number(&mut bytes, u64::from(place.0) * 2 + 2);
                    number(&mut bytes, u64::from(place.1));
                }
                last = place;
            }
        }
    }
    Some(bytes)
}

/// Unpacks items; each is nothing, and the last one, where the bytes are damaged.
pub(super) fn unpack(mut bytes: &[u8]) -> impl Iterator<Item = Option<(u32, Option<Place>)>> {
    let (mut last_at, mut last) = (0u32, (0, 0));
    let mut item = move |bytes: &mut &[u8]| -> Option<(u32, Option<Place>)> {
        last_at = last_at.checked_add(u32::try_from(read(bytes)?).ok()?)?;
        let place = match read(bytes)? {
            0 => return Some((last_at, None)),
            code if code & 1 == 1 => {
                let code = code >> 1;
                let difference = (code >> 1) as i64 ^ -((code & 1) as i64);
                (last.0, u32::try_from(i64::from(last.1).checked_add(difference)?).ok()?)
            }
            code => (u32::try_from(code / 2 - 1).ok()?, u32::try_from(read(bytes)?).ok()?),
        };
        last = place;
        Some((last_at, Some(place)))
    };
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let item = item(&mut bytes);
        if item.is_none() {
            bytes = &[];
        }
        Some(item)
    })
}

fn number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{pack, unpack};

    #[test]
    fn items_survive() {
        let items = [
            (0, None),
            (4, Some((0, 7))),
            (4, Some((0, 3))),
            (9, Some((5, u32::MAX))),
            (300, Some((5, 0))),
            (u32::MAX, Some((u32::MAX - 1, 1))),
        ];
        let bytes = pack(items.iter().map(|item| Some(*item))).unwrap();
        let back: Option<Vec<_>> = unpack(&bytes).collect();
        assert_eq!(back.unwrap(), items);
        assert!(pack([Some((5, None)), Some((4, None))].into_iter()).is_none());
        assert!(pack([None].into_iter()).is_none());
    }

    #[test]
    fn damage_is_found_or_harmless() {
        for len in 0..40usize {
            for seed in 0..500usize {
                let bytes: Vec<u8> = (0..len).map(|at| ((at * 31 + seed * 97) ^ (seed >> 3)) as u8).collect();
                assert!(unpack(&bytes).count() <= len);
            }
        }
        assert_eq!(unpack(&[0xff; 20]).collect::<Vec<_>>(), [None]);
    }
}
