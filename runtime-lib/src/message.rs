//! Messages on standard error, without allocation: also for signal handlers.

use crate::sys;
use rustix::io;

const CAPACITY: usize = 512;

/// A message under construction. What does not fit is written at once.
pub struct Message {
    buffer: [u8; CAPACITY],
    len: usize,
}

impl Message {
    #[expect(clippy::new_without_default, reason = "nothing asks for one")]
    pub fn new() -> Message {
        Message { buffer: [0; CAPACITY], len: 0 }
    }

    // Called from many places that must stay small.
    #[inline(never)]
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            if self.len == CAPACITY {
                self.flush();
            }
            self.buffer[self.len] = *byte;
            self.len += 1;
        }
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub fn decimal(&mut self, number: u64) -> &mut Self {
        self.number(number, 10)
    }

    pub fn hexadecimal(&mut self, number: u64) -> &mut Self {
        self.number(number, 16)
    }

    #[inline(never)]
    fn number(&mut self, mut number: u64, base: u64) -> &mut Self {
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b"0123456789abcdef"[(number % base) as usize];
            number /= base;
            if number == 0 {
                return self.bytes(&digits[start..]);
            }
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// Writes the message. A standard error that is closed or full loses it: there is nowhere to say so.
    #[inline(never)]
    pub fn flush(&mut self) {
        let mut rest = &self.buffer[..self.len];
        while !rest.is_empty() {
            match io::write(sys::standard_stream(2), rest) {
                Ok(written) if written > 0 => rest = &rest[written..],
                Err(io::Errno::INTR) => {}
                _ => break,
            }
        }
        self.len = 0;
    }
}

impl core::fmt::Write for Message {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.text(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    #[test]
    fn numbers() {
        let mut message = Message::new();
        message.decimal(0).text(" ").decimal(u64::MAX).text(" ").hexadecimal(0x1a3f);
        assert_eq!(message.as_bytes(), b"0 18446744073709551615 1a3f");
    }
}
