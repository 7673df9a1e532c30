//! Machine code as text. One function for each architecture; a new one is an arm of [`for_architecture`].

use iced_x86::{Decoder, DecoderOptions, Formatter as _, GasFormatter, OpKind};
use object::Architecture;

/// One instruction.
pub struct Instruction<'a> {
    pub address: u64,
    pub bytes: &'a [u8],
    pub text: String,
    /// Address that it jumps to or calls, or that it takes relative to its own.
    pub target: Option<u64>,
}

/// Disassembles code that is at an address.
pub type Disassembler = for<'a> fn(&'a [u8], u64) -> Box<dyn Iterator<Item = Instruction<'a>> + 'a>;

/// The disassembler of an architecture, if there is one.
pub fn for_architecture(architecture: Architecture) -> Option<Disassembler> {
    match architecture {
        Architecture::X86_64 => Some(x86_64),
        _ => None,
    }
}

fn x86_64<'a>(code: &'a [u8], address: u64) -> Box<dyn Iterator<Item = Instruction<'a>> + 'a> {
    const BITS: u32 = 64;
    let mut decoder = Decoder::with_ip(BITS, code, address, DecoderOptions::NONE);
    let mut formatter = GasFormatter::new();
    let options = formatter.options_mut();
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    options.set_rip_relative_addresses(false);
    Box::new(std::iter::from_fn(move || {
        if !decoder.can_decode() {
            return None;
        }
        let start = decoder.position();
        let instruction = decoder.decode();
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        let target = if instruction.op0_kind() == OpKind::NearBranch64 {
            Some(instruction.near_branch_target())
        } else if instruction.is_ip_rel_memory_operand() {
            Some(instruction.ip_rel_memory_address())
        } else {
            None
        };
        Some(Instruction { address: instruction.ip(), bytes: &code[start..decoder.position()], text, target })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_have_targets() {
        let disassemble = for_architecture(Architecture::X86_64).unwrap();
        let code = [0x55, 0xe8, 0x0a, 0, 0, 0, 0x0f, 0x0b, 0x06];
        let lines: Vec<_> = disassemble(&code, 0x1000).map(|i| (i.address, i.text, i.target)).collect();
        let expected = [
            (0x1000, "push %rbp", None),
            (0x1001, "call 0x1010", Some(0x1010)),
            (0x1006, "ud2", None),
            (0x1008, "(bad)", None),
        ];
        assert_eq!(lines, expected.map(|(address, text, target)| (address, String::from(text), target)));
    }
}
