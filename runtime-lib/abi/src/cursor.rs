//! Reading and writing the byte streams of this crate: little-endian, integers as LEB128.
//!
//! The reader never trusts its input: every length is checked against what is left.

use alloc::string::String;
use alloc::vec::Vec;

/// Why a byte stream is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Offset in bytes from the start of the stream.
    pub offset: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "damaged module description: no {} at offset {:#x}", self.expected, self.offset)
    }
}

impl core::error::Error for DecodeError {}

/// Appends values to a byte stream.
#[derive(Default)]
pub(crate) struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn u32(&mut self, value: u32) {
        self.u64(u64::from(value));
    }

    pub fn u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Zigzag encoding: small values of both signs are short.
    pub fn i64(&mut self, value: i64) {
        self.u64(((value << 1) ^ (value >> 63)) as u64);
    }

    pub fn fixed_u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn str(&mut self, value: &str) {
        self.u64(value.len() as u64);
        self.raw(value.as_bytes());
    }

    pub fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Writer, &T)) {
        self.u64(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }

    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Writer, T)) {
        match value {
            None => self.u8(0),
            Some(value) => {
                self.u8(1);
                write(self, value);
            }
        }
    }
}

/// Takes values from a byte stream.
///
/// The first error is remembered, and from then on the stream reads as empty: whoever reads checks once, at the end.
/// That is less than half the code of a check after each value, in every executable.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    error: Option<DecodeError>,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, offset: 0, error: None }
    }

    #[inline(never)]
    fn set_error(&mut self, expected: &'static str) {
        if self.error.is_none() {
            self.error = Some(DecodeError { offset: self.offset, expected });
        }
        self.bytes = &[];
        self.offset = 0;
    }

    /// Remembers an error, and passes on what stands for the value that could not be read.
    pub fn fail<T>(&mut self, expected: &'static str, value: T) -> T {
        self.set_error(expected);
        value
    }

    /// The first error so far.
    pub fn check(&self) -> Result<(), DecodeError> {
        self.error.map_or(Ok(()), Err)
    }

    /// As [`Reader::check`]; nothing may be left either.
    pub fn finish(&mut self, expected: &'static str) -> Result<(), DecodeError> {
        if self.offset != self.bytes.len() {
            self.set_error(expected);
        }
        self.check()
    }

    /// `len` bytes; none if there are not as many.
    #[inline(never)]
    pub fn raw(&mut self, len: usize) -> &'a [u8] {
        match self.bytes.get(self.offset..).and_then(|rest| rest.get(..len)) {
            Some(bytes) => {
                self.offset += len;
                bytes
            }
            None => self.fail("bytes", &[]),
        }
    }

    #[inline(never)]
    pub fn u8(&mut self) -> u8 {
        match self.raw(1) {
            [byte] => *byte,
            _ => 0,
        }
    }

    pub fn bool(&mut self) -> bool {
        match self.u8() {
            0 => false,
            1 => true,
            _ => self.fail("boolean", false),
        }
    }

    #[inline(never)]
    pub fn u32(&mut self) -> u32 {
        match u32::try_from(self.u64()) {
            Ok(value) => value,
            Err(_) => self.fail("32-bit number", 0),
        }
    }

    #[inline(never)]
    pub fn u64(&mut self) -> u64 {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8();
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return value;
            }
        }
        self.fail("64-bit number", 0)
    }

    pub fn i64(&mut self) -> i64 {
        let value = self.u64();
        (value >> 1) as i64 ^ -((value & 1) as i64)
    }

    pub fn fixed_u32(&mut self) -> u32 {
        match *self.raw(4) {
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        }
    }

    /// A number, and as many bytes.
    #[inline(never)]
    pub fn counted_bytes(&mut self) -> &'a [u8] {
        let len = self.u32() as usize;
        self.raw(len)
    }

    #[inline(never)]
    pub fn str_ref(&mut self) -> &'a str {
        match core::str::from_utf8(self.counted_bytes()) {
            Ok(text) => text,
            Err(_) => self.fail("UTF-8 name", ""),
        }
    }

    #[inline(never)]
    pub fn str(&mut self) -> String {
        String::from(self.str_ref())
    }

    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Reader<'a>) -> T) -> Vec<T> {
        let count = self.u32() as usize;
        // Every item takes at least one byte. Items may be larger in memory: a hostile count cannot reserve more than the
        // input's size.
        let left = self.bytes.len() - self.offset;
        if count > left {
            return self.fail("list", Vec::new());
        }
        let mut items = Vec::with_capacity(count.min(left / size_of::<T>().max(1)));
        for _ in 0..count {
            items.push(read(self));
            if self.error.is_some() {
                break;
            }
        }
        items
    }

    pub fn option<T>(&mut self, read: impl FnOnce(&mut Reader<'a>) -> T) -> Option<T> {
        self.bool().then(|| read(self))
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, Writer};

    #[test]
    fn numbers_round_trip() {
        let values = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        let mut w = Writer::default();
        for v in values {
            w.u64(v);
            w.i64(v as i64);
        }
        let mut r = Reader::new(&w.bytes);
        for v in values {
            assert_eq!(r.u64(), v);
            assert_eq!(r.i64(), v as i64);
        }
        assert_eq!(r.finish("end"), Ok(()));
    }

    #[test]
    fn hostile_lengths_are_refused() {
        fn fails<T>(bytes: &[u8], read: impl FnOnce(&mut Reader<'_>) -> T) -> bool {
            let mut reader = Reader::new(bytes);
            read(&mut reader);
            reader.check().is_err()
        }
        assert!(fails(&[0xff; 11], |r| r.u64()));
        assert!(fails(&[0xff, 0xff, 0xff, 0x7f], |r| r.list(|r| r.u8())));
        assert!(fails(&[5, b'a'], |r| r.str()));
        assert!(fails(&[1, 0xff], |r| r.str()));
        assert!(!fails(&[1, b'a'], |r| r.str()));
        // Only the first error counts, and nothing is read after it.
        let mut reader = Reader::new(&[9, 1, 1]);
        assert_eq!((reader.bool(), reader.u8(), reader.list(|r| r.u8()).len()), (false, 0, 0));
        assert_eq!(reader.finish("end").map_err(|error| (error.offset, error.expected)), Err((1, "boolean")));
    }
}
