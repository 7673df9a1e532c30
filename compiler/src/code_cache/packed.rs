//! Lists of an entry in a few bytes for each item: there are more of these than of all else in it. Numbers are in LEB128.

/// A place: the frame, 0 for the function itself and 1 more than the position of an inlined call for its callee; and the
/// distance from the start of that function's body. Other lists have positions of functions for frames.
pub(super) type Place = (u32, u32);

/// Packs which code is of which instruction: items that are ascending. For each, how far its code is behind that of the last
/// one, and its place.
pub(super) fn pack_lines(items: impl Iterator<Item = Option<(u32, Option<Place>)>>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut last_at, mut last) = (0, (0, 0));
    for item in items {
        let (at, place) = item?;
        number(&mut bytes, u64::from(at.checked_sub(last_at)?));
        last_at = at;
        put_place(&mut bytes, &mut last, place);
    }
    Some(bytes)
}

/// Unpacks items, and gives what `make` makes of each. Nothing if the bytes are damaged, or it makes nothing of one.
pub(super) fn unpack_lines<T>(
    mut bytes: &[u8],
    mut make: impl FnMut(u32, Option<Place>) -> Option<T>,
) -> Option<Vec<T>> {
    // No item has fewer bytes than two.
    let mut items = Vec::with_capacity(bytes.len() / 2);
    let (mut last_at, mut last) = (0u32, (0, 0));
    while !bytes.is_empty() {
        last_at = last_at.checked_add(u32::try_from(read(&mut bytes)?).ok()?)?;
        items.push(make(last_at, read_place(&mut bytes, &mut last)?)?);
    }
    Some(items)
}

/// Packs traps: for each, how far it is from the last one, its code, and its place.
pub(super) fn pack_traps(items: impl Iterator<Item = Option<(u32, u8, Option<Place>)>>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut last_at, mut last) = (0, (0, 0));
    for item in items {
        let (at, code, place) = item?;
        put_difference(&mut bytes, &mut last_at, at);
        bytes.push(code);
        put_place(&mut bytes, &mut last, place);
    }
    Some(bytes)
}

/// Unpacks traps, as [`unpack_lines`].
pub(super) fn unpack_traps<T>(
    mut bytes: &[u8],
    mut make: impl FnMut(u32, u8, Option<Place>) -> Option<T>,
) -> Option<Vec<T>> {
    let mut items = Vec::with_capacity(bytes.len() / 3);
    let (mut last_at, mut last) = (0, (0, 0));
    while !bytes.is_empty() {
        let at = read_difference(&mut bytes, &mut last_at)?;
        let code;
        (code, bytes) = bytes.split_first()?;
        items.push(make(at, *code, read_place(&mut bytes, &mut last)?)?);
    }
    Some(items)
}

/// Packs pairs: for each, how far the first number is from the last one, and the second number.
pub(super) fn pack_pairs(items: impl Iterator<Item = (u32, u32)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut last = 0;
    for (first, second) in items {
        put_difference(&mut bytes, &mut last, first);
        number(&mut bytes, second.into());
    }
    bytes
}

/// Unpacks pairs, as [`unpack_lines`].
pub(super) fn unpack_pairs<T>(
    mut bytes: &[u8],
    mut make: impl FnMut(u32, u32) -> Option<T>,
) -> Option<Vec<T>> {
    let mut items = Vec::with_capacity(bytes.len() / 2);
    let mut last = 0;
    while !bytes.is_empty() {
        let first = read_difference(&mut bytes, &mut last)?;
        items.push(make(first, u32::try_from(read(&mut bytes)?).ok()?)?);
    }
    Some(items)
}

/// A place is 0 if there is none; or twice its frame plus 2, and the distance; or, in the frame of the last one, the
/// difference of the distances as below, and a 1 after it.
fn put_place(bytes: &mut Vec<u8>, last: &mut Place, place: Option<Place>) {
    let Some(place) = place else { return number(bytes, 0) };
    if place.0 == last.0 {
        number(bytes, zigzag(i64::from(place.1) - i64::from(last.1)) << 1 | 1);
    } else {
        number(bytes, u64::from(place.0) * 2 + 2);
        number(bytes, u64::from(place.1));
    }
    *last = place;
}

fn read_place(bytes: &mut &[u8], last: &mut Place) -> Option<Option<Place>> {
    let place = match read(bytes)? {
        0 => return Some(None),
        code if code & 1 == 1 => {
            (last.0, u32::try_from(i64::from(last.1).checked_add(unzigzag(code >> 1))?).ok()?)
        }
        code => (u32::try_from(code / 2 - 1).ok()?, u32::try_from(read(bytes)?).ok()?),
    };
    *last = place;
    Some(Some(place))
}

fn put_difference(bytes: &mut Vec<u8>, last: &mut u32, to: u32) {
    number(bytes, zigzag(i64::from(to) - i64::from(*last)));
    *last = to;
}

fn read_difference(bytes: &mut &[u8], last: &mut u32) -> Option<u32> {
    let to = i64::from(*last).checked_add(unzigzag(read(bytes)?))?;
    *last = u32::try_from(to).ok()?;
    Some(*last)
}

/// A number whose sign is at the end.
fn zigzag(difference: i64) -> u64 {
    ((difference << 1) ^ (difference >> 63)) as u64
}

fn unzigzag(code: u64) -> i64 {
    (code >> 1) as i64 ^ -((code & 1) as i64)
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
    use super::*;

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
        let bytes = pack_lines(items.iter().map(|item| Some(*item))).unwrap();
        assert_eq!(unpack_lines(&bytes, |at, place| Some((at, place))).unwrap(), items);
        assert!(pack_lines([Some((5, None)), Some((4, None))].into_iter()).is_none());
        assert!(pack_lines([None].into_iter()).is_none());
        // These need no order.
        let items = || items.iter().rev().chain(&items);
        let traps = items().map(|(at, place)| (*at, *at as u8, *place));
        let bytes = pack_traps(traps.clone().map(Some)).unwrap();
        let back = unpack_traps(&bytes, |at, code, place| Some((at, code, place))).unwrap();
        assert_eq!(back, traps.collect::<Vec<_>>());
        let pairs = items().map(|(at, place)| (*at, place.map_or(u32::MAX, |place| place.0)));
        let bytes = pack_pairs(pairs.clone());
        let back = unpack_pairs(&bytes, |first, second| Some((first, second))).unwrap();
        assert_eq!(back, pairs.collect::<Vec<_>>());
        assert!(unpack_pairs(&bytes, |_, _| None::<()>).is_none());
    }

    #[test]
    fn damage_is_found_or_harmless() {
        for len in 0..40usize {
            for seed in 0..500usize {
                let bytes: Vec<u8> = (0..len).map(|at| ((at * 31 + seed * 97) ^ (seed >> 3)) as u8).collect();
                let lens = [
                    unpack_lines(&bytes, |_, _| Some(())),
                    unpack_traps(&bytes, |_, _, _| Some(())),
                    unpack_pairs(&bytes, |_, _| Some(())),
                ];
                assert!(lens.iter().flatten().all(|items| items.len() <= len));
            }
        }
        assert!(unpack_lines(&[0xff; 20], |_, _| Some(())).is_none());
        assert!(unpack_traps(&[0, 0xff], |_, _, _| Some(())).is_none());
        assert!(unpack_pairs(&[1, 0], |_, _| Some(())).is_none());
    }
}
