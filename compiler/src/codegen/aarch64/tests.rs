use super::decode::{Effect, branch, copy, effect, inverted, jump, jump_to};
use super::{NOP, rewrite};

const RET: u32 = 0xd65f_03c0;
/// mov x9, x10; ldr x9, [sp, #16]; str x9, [sp, #16]; mov x0, x9
const COPY: u32 = 0xaa0a_03e9;
const RELOAD: u32 = 0xf940_0be9;
const SPILL: u32 = 0xf900_0be9;
const USE: u32 = 0xaa09_03e0;
/// movz x9, #0
const CLEAR: u32 = 0xd280_0009;
/// subs w1, w1, #1
const COUNT: u32 = 0x7100_0421;
/// udf #0xc11f
const TRAP: u32 = 0x0000_c11f;

/// b.eq and b.ne over some instructions.
const fn equal(over: i32) -> u32 {
    0x5400_0000 | (over as u32 & 0x7_ffff) << 5
}

const fn differs(over: i32) -> u32 {
    equal(over) | 1
}

/// b over some instructions.
const fn go(over: i32) -> u32 {
    0x1400_0000 | over as u32 & 0x3ff_ffff
}

fn rewritten(words: &[u32], blocks: &[u32], relocs: &[u32]) -> Vec<u32> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let scaled = |offsets: &[u32]| -> Vec<u32> { offsets.iter().map(|offset| offset * 4).collect() };
    rewrite(&mut bytes, &scaled(blocks), scaled(relocs));
    bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
}

/// top: subs w1, w1, #1; b.eq out; the copies; b top; out: what is behind
fn walk(copies: &[u32], behind: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let count = copies.len() as i32;
    let words = [&[COUNT, equal(count + 2)], copies, &[go(-2 - count)], behind].concat();
    let blocks = [0, 2, 3 + count as u32];
    (rewritten(&words, &blocks, &[]), words)
}

#[test]
fn copies_come_before_the_branch() {
    for copies in [&[COPY][..], &[RELOAD], &[COPY, 0x1e60_4051, 0x4ea4_1c93, 0x3dc0_07f5]] {
        let (after, _) = walk(copies, &[CLEAR, RET]);
        let back = -1 - copies.len() as i32;
        assert_eq!(after, [&[COUNT], copies, &[differs(back), NOP, CLEAR, RET]].concat(), "{after:08x?}");
    }
}

#[test]
fn the_way_out_may_lead_on() {
    // top: subs; b.eq out; mov x9, x10; b top; other: ret; out: movz x9, #0; ret
    let words = [COUNT, equal(4), COPY, go(-3), RET, CLEAR, RET];
    let after = rewritten(&words, &[0, 2, 4, 5], &[]);
    assert_eq!(after, [COUNT, COPY, differs(-2), go(2), RET, CLEAR, RET], "{after:08x?}");
}

#[test]
fn registers_that_are_read_behind_the_loop_stay() {
    let stays = |copies: &[u32], behind: &[u32]| {
        let (after, before) = walk(copies, behind);
        assert_eq!(after, before, "{after:08x?}");
    };
    stays(&[COPY], &[USE, CLEAR, RET]);
    // One way of a branch reads it: cbz x2, +; movz x9, #0; ret; +: mov x0, x9; ret
    stays(&[COPY], &[0xb400_0062, CLEAR, RET, USE, RET]);
    // cbz x9
    stays(&[COPY], &[0xb400_0049, RET, RET]);
    // The caller looks at x0, and at x19.
    stays(&[0xaa0a_03e0], &[RET]);
    stays(&[0xaa0a_03f3], &[RET]);
    // What is called looks at x1; what reads only a part of a register keeps the rest: movk x9, #1; bfi x9, x1, #8, #8
    stays(&[0xaa0a_03e1], &[0xd63f_0080, 0xd280_0001, RET]);
    stays(&[COPY], &[0xf280_0029, RET]);
    stays(&[COPY], &[0xb378_1c29, RET]);
    // fmla v17.2d, v2.2d, v3.2d adds to what was in v17: fmov d17, d2
    stays(&[0x1e60_4051], &[0x4e63_cc51, RET]);
    // Code that ends nowhere, an atomic operation (ldadd x9, x1, [x2]), something that is not known.
    stays(&[COPY], &[]);
    stays(&[COPY], &[0xf829_0041, CLEAR, RET]);
    stays(&[COPY], &[0xd503_3fdf, CLEAR, RET]);
}

#[test]
fn registers_that_nobody_reads_may_change() {
    let goes = |copies: &[u32], behind: &[u32]| {
        let (after, before) = walk(copies, behind);
        assert_ne!(after, before);
    };
    // Nobody looks at x9 after a return or a trap, nor in what is called, if it is set again.
    goes(&[COPY], &[RET]);
    goes(&[COPY], &[TRAP]);
    goes(&[COPY], &[0xd63f_0080, CLEAR, RET]);
    // It is loaded: ldr x9, [x2, x3, uxtw]; ldp x9, x4, [sp]; made by a select: csel x9, x1, x2, eq
    goes(&[COPY], &[0xf863_4849, USE, RET]);
    goes(&[COPY], &[0xa940_13e9, USE, RET]);
    goes(&[COPY], &[0x9a82_0029, USE, RET]);
    // Both ways set it: cbz x2, +; movz x9, #0; ret; +: movz x9, #0; mov x0, x9; ret
    goes(&[COPY], &[0xb400_0062, CLEAR, RET, CLEAR, USE, RET]);
    // fadd d1, d2, d3
    goes(&[0x1e60_4041], &[0x1e63_2841, RET]);
    // It goes round for ever.
    goes(&[COPY], &[go(0)]);
}

#[test]
fn other_ends_stay() {
    let behind = [CLEAR, RET];
    // A store, an addition.
    for other in [SPILL, 0x9100_0529] {
        let (after, before) = walk(&[other], &behind);
        assert_eq!(after, before, "{after:08x?}");
    }
    let stays = |words: &[u32], blocks: &[u32], relocs: &[u32]| {
        assert_eq!(rewritten(words, blocks, relocs), words);
    };
    // The branch looks at the copy: top: nop; cbz x9, out; mov x9, x10; b top
    stays(&[NOP, 0xb400_0069, COPY, go(-3), CLEAR, RET], &[0, 2, 4], &[]);
    // The jump leaves the function.
    stays(&[COUNT, equal(3), COPY, go(-3), CLEAR, RET], &[0, 2, 4], &[3]);
    // It goes on, not back.
    stays(&[COUNT, equal(3), COPY, go(1), CLEAR, RET], &[0, 2, 4], &[]);
    // There is another way to the copies: from the start, or by a jump table.
    stays(&[go(3), COUNT, equal(3), COPY, go(-3), CLEAR, RET], &[0, 1, 3, 5], &[]);
    stays(&[COUNT, equal(3), COPY, go(-3), CLEAR, 0xd61f_0200, -16_i32 as u32], &[0, 2, 4], &[]);
    // The branch is none, but a constant behind a jump.
    stays(&[COUNT, go(2), equal(3), COPY, go(-4), CLEAR, RET], &[0, 3, 5], &[]);
}

#[test]
fn branches_are_read_and_inverted() {
    // b.ge, cbz w, cbnz x, tbz, tbnz; b back and forth
    let pairs = [
        (0x5400_000a, 0x5400_000b),
        (0x3400_0001, 0x3500_0001),
        (0xb600_0002, 0xb700_0002),
        (0x3600_0003, 0x3700_0003),
    ];
    for (word, opposite) in pairs {
        let found = branch(word, 400).unwrap();
        assert_eq!(found.target, 400);
        assert_eq!(inverted(found, 400, 400), Some(opposite));
        let back = inverted(found, 400, 380).unwrap();
        assert_eq!(branch(back, 400).unwrap().target, 380, "{back:08x}");
        assert_eq!(inverted(branch(back, 400).unwrap(), 400, 400), Some(word));
        assert_eq!(inverted(found, 1 << 23, 0), None);
    }
    // tbz reaches 32 KiB, cbz 1 MiB.
    assert_eq!(inverted(branch(0x3600_0003, 0).unwrap(), 1 << 16, 0), None);
    assert!(inverted(branch(0x3400_0001, 0).unwrap(), 1 << 16, 0).is_some());
    // b.al
    assert_eq!(inverted(branch(0x5400_000e, 0).unwrap(), 0, 0), None);
    for (at, target) in [(0, 64), (64, 0)] {
        assert_eq!(jump(jump_to(at, target), at), Some(target));
    }
    assert_eq!(jump(0x9400_0001, 0), None);
}

#[test]
fn comparisons_set_no_register() {
    // cmp x1, x9; ccmp x1, x9, #0, eq; fcmp d1, d9; prfm pldl1keep, [x9]; str x9, [x1], #8
    for word in [0xeb09_003f, 0xfa49_0020, 0x1e69_2020, 0xf980_0120, 0xf800_8429] {
        let Effect { writes, .. } = effect(word);
        assert!(writes.is_empty(), "{word:08x}");
    }
    // str x0, [sp, #8] is no copy; nor is add x0, sp, #8, or ldr x0, [x1, #8].
    for word in [0xf900_07e0, 0x9100_23e0, 0xf940_0420] {
        assert_eq!(copy(word), None);
    }
}
