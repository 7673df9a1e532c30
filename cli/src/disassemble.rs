//! Machine code as text. One function for each architecture; a new one is an arm of [`for_architecture`].

use capstone::arch::{BuildsCapstone as _, BuildsCapstoneExtraMode as _, arm64, riscv};
use capstone::{Arch, Capstone, Endian, InsnGroupType, Mode, NO_EXTRA_MODE};
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
        Architecture::Aarch64 => Some(aarch64),
        Architecture::Riscv64 => Some(riscv64),
        Architecture::S390x => Some(s390x),
        _ => None,
    }
}

/// The disassembler for the code of a target, if there is one.
pub fn for_target(target: &aot_compiler::Target) -> Option<Disassembler> {
    use target_lexicon::Architecture as Machine;
    for_architecture(match target.triple().architecture {
        Machine::X86_64 => Architecture::X86_64,
        Machine::Aarch64(_) => Architecture::Aarch64,
        Machine::Riscv64(_) => Architecture::Riscv64,
        Machine::S390x => Architecture::S390x,
        _ => return None,
    })
}

fn aarch64<'a>(code: &'a [u8], address: u64) -> Box<dyn Iterator<Item = Instruction<'a>> + 'a> {
    let engine = Capstone::new().arm64().mode(arm64::ArchMode::Arm).detail(true).build();
    Box::new(capstone(engine, code, address, |line, is_branch| {
        is_branch.then(|| number(last_operand(&line.text))).flatten()
    }))
}

/// Of the extensions, the disassembler knows those of the baseline: code for vectors is shown as data.
fn riscv64<'a>(code: &'a [u8], address: u64) -> Box<dyn Iterator<Item = Instruction<'a>> + 'a> {
    const AUIPC: u32 = 0x17;
    const JALR: u32 = 0x67;
    let compressed = [riscv::ArchExtraMode::RiscVC].into_iter();
    let builder = Capstone::new().riscv().mode(riscv::ArchMode::RiscV64).extra_mode(compressed);
    // What the last instruction added to its own address, if it was `auipc`: register, sum.
    let mut upper: Option<(u32, u64)> = None;
    Box::new(capstone(builder.detail(true).build(), code, address, move |line, is_branch| {
        let word = line.bytes.try_into().map_or(0, u32::from_le_bytes);
        let before = upper.take();
        match word & 0x7f {
            AUIPC => {
                let sum = line.address.wrapping_add_signed(i64::from((word & 0xffff_f000).cast_signed()));
                upper = Some((word >> 7 & 31, sum));
                None
            }
            JALR => {
                let (register, sum) = before?;
                let distance = i64::from(word.cast_signed() >> 20);
                (word >> 15 & 31 == register).then(|| sum.wrapping_add_signed(distance))
            }
            // The operand is the distance.
            _ if is_branch => {
                let distance = last_operand(&line.text);
                match distance.strip_prefix('-') {
                    Some(distance) => number(distance).map(|distance| line.address.wrapping_sub(distance)),
                    None => number(distance).map(|distance| line.address.wrapping_add(distance)),
                }
            }
            _ => None,
        }
    }))
}

fn s390x<'a>(code: &'a [u8], address: u64) -> Box<dyn Iterator<Item = Instruction<'a>> + 'a> {
    let engine = Capstone::new_raw(Arch::SYSZ, Mode::Default, NO_EXTRA_MODE, Some(Endian::Big));
    Box::new(capstone(engine, code, address, |line, _| {
        // The disassembler puts few of them into groups.
        let is_relative =
            ["j", "bras", "larl", "cgij", "cij", "clgij", "clij", "cgrj", "crj", "clgrj", "clrj"]
                .iter()
                .any(|start| line.text.starts_with(start));
        is_relative.then(|| number(last_operand(&line.text))).flatten()
    }))
}

/// Disassembles with a library; what it does not know is shown as data. `target` finds the address that an instruction
/// refers to, and is told whether the instruction is a branch.
fn capstone<'a>(
    engine: capstone::CsResult<Capstone>,
    code: &'a [u8],
    address: u64,
    mut target: impl FnMut(&Instruction<'a>, bool) -> Option<u64>,
) -> impl Iterator<Item = Instruction<'a>> {
    let disassembled = engine.and_then(|mut engine| {
        engine.set_skipdata(true)?;
        let instructions = engine.disasm_all(code, address)?;
        let mut lines = Vec::with_capacity(instructions.len());
        let mut rest = code;
        for instruction in instructions.iter() {
            let (bytes, after) = rest.split_at(instruction.len().min(rest.len()));
            rest = after;
            let mnemonic = instruction.mnemonic().unwrap_or_default();
            let operands = instruction.op_str().unwrap_or_default();
            let text = format!("{mnemonic} {operands}").trim_end().to_owned();
            let mut line = Instruction { address: instruction.address(), bytes, text, target: None };
            line.target = target(&line, is_branch(&engine, instruction));
            lines.push(line);
        }
        Ok(lines)
    });
    // It fails only without memory: the settings are ours.
    disassembled.unwrap_or_default().into_iter()
}

fn is_branch(engine: &Capstone, instruction: &capstone::Insn<'_>) -> bool {
    let Ok(detail) = engine.insn_detail(instruction) else { return false };
    let wanted =
        [InsnGroupType::CS_GRP_JUMP, InsnGroupType::CS_GRP_CALL, InsnGroupType::CS_GRP_BRANCH_RELATIVE];
    detail.groups().iter().any(|group| wanted.iter().any(|wanted| u32::from(group.0) == *wanted))
}

fn last_operand(text: &str) -> &str {
    text.rsplit([',', ' ']).next().unwrap_or_default().trim_start_matches('#')
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
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

    fn check(architecture: Architecture, code: &[u8], expected: &[(u64, &str, Option<u64>)]) {
        let disassemble = for_architecture(architecture).unwrap();
        let lines: Vec<_> = disassemble(code, 0x1000).collect();
        let lines: Vec<_> = lines.iter().map(|i| (i.address, &*i.text, i.target)).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn other_machines_have_theirs() {
        check(
            Architecture::Aarch64,
            &[0xfd, 0x7b, 0xbf, 0xa9, 0x04, 0, 0, 0x94, 0, 0, 0, 0],
            &[
                (0x1000, "stp x29, x30, [sp, #-0x10]!", None),
                (0x1004, "bl #0x1014", Some(0x1014)),
                (0x1008, "udf #0", None),
            ],
        );
        // `auipc ra, 1` and `jalr -16(ra)`, a jump back, and one that is compressed.
        check(
            Architecture::Riscv64,
            &[0x97, 0x10, 0, 0, 0xe7, 0x80, 0x00, 0xff, 0x6f, 0xf0, 0x1f, 0xfe, 0x01, 0],
            &[
                (0x1000, "auipc ra, 1", None),
                (0x1004, "jalr ra, ra, -0x10", Some(0x1ff0)),
                (0x1008, "j -0x20", Some(0xfe8)),
                (0x100c, "c.nop", None),
            ],
        );
        check(
            Architecture::S390x,
            &[0xc0, 0xe5, 0, 0, 0, 0x10, 0xb9, 0x04, 0, 0x53, 0, 0],
            &[
                (0x1000, "brasl %r14, 0x1020", Some(0x1020)),
                (0x1006, "lgr %r5, %r3", None),
                (0x100a, ".byte 0x00, 0x00", None),
            ],
        );
    }

    /// Whatever the bytes are, there is a line for each of them.
    #[test]
    fn no_byte_is_lost() {
        let noise: Vec<u8> = (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for architecture in
            [Architecture::X86_64, Architecture::Aarch64, Architecture::Riscv64, Architecture::S390x]
        {
            let disassemble = for_architecture(architecture).unwrap();
            let bytes: Vec<u8> = disassemble(&noise, 0).flat_map(|line| line.bytes.to_vec()).collect();
            assert!(bytes == noise, "{architecture:?}");
        }
    }
}
