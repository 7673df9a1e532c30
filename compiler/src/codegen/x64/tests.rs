use super::effectless::Effectless;
use super::slots::Slots;
use super::{Rewritten, decode, layout, rewrite};
use crate::config::{Pass, Passes};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable as _};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction};

const RET: u8 = 0xc3;

/// Rewrites code without relocations that branches into blocks at these offsets.
fn rewritten_blocks(code: &[u8], relocs: &[u32], blocks: &[u32]) -> Option<Vec<u8>> {
    let items =
        decode::decode(code, relocs, blocks, 0, &[], Some(Effectless::default()), Some(Slots::new()))?;
    Some(layout::lay_out(code, items, 1, 0)?.code)
}

#[track_caller]
fn check(before: &[&[u8]], after: &[&[u8]]) {
    let code = rewritten_blocks(&before.concat(), &[], &[0]).expect("it is understood");
    assert_eq!(code, after.concat(), "{code:02x?}");
}

#[track_caller]
fn check_unchanged(code: &[&[u8]]) {
    check(code, code);
}

const STORE_RBX: &[u8] = &[0x48, 0x89, 0x5c, 0x24, 0x08]; // mov [rsp + 8], rbx
const LOAD_RBX: &[u8] = &[0x48, 0x8b, 0x5c, 0x24, 0x08]; // mov rbx, [rsp + 8]
const LOAD_RAX: &[u8] = &[0x48, 0x8b, 0x44, 0x24, 0x08]; // mov rax, [rsp + 8]
const LOAD_R9: &[u8] = &[0x4c, 0x8b, 0x4c, 0x24, 0x08]; // mov r9, [rsp + 8]

#[test]
fn what_is_in_a_register_is_not_loaded() {
    check(&[STORE_RBX, LOAD_RBX, &[RET]], &[STORE_RBX, &[RET]]);
    check(&[LOAD_RBX, STORE_RBX, &[RET]], &[LOAD_RBX, &[RET]]);
    // mov rax, rbx; mov r9, rbx
    check(&[STORE_RBX, LOAD_RAX, &[RET]], &[STORE_RBX, &[0x48, 0x89, 0xd8, RET]]);
    check(&[STORE_RBX, LOAD_R9, &[RET]], &[STORE_RBX, &[0x49, 0x89, 0xd9, RET]]);
    // mov r9, rax: through a copy.
    check(&[LOAD_RAX, &[0x49, 0x89, 0xc1], LOAD_R9, &[RET]], &[LOAD_RAX, &[0x49, 0x89, 0xc1], &[RET]]);
}

#[test]
fn what_changed_is_loaded() {
    let others: [&[u8]; 9] = [
        &[0x48, 0xff, 0xc3],       // inc rbx
        &[0x31, 0xdb],             // xor ebx, ebx
        &[0x0f, 0x44, 0xd8],       // cmove ebx, eax
        &[0x89, 0x4c, 0x24, 0x0c], // mov [rsp + 12], ecx
        &[0x0f, 0x11, 0x04, 0x24], // movups [rsp], xmm0
        &[0x48, 0x89, 0x4d, 0x10], // mov [rbp + 16], rcx
        &[0x51],                   // push rcx
        &[0xff, 0xd0],             // call rax
        &[0x48, 0x83, 0xec, 0x10], // sub rsp, 16
    ];
    for other in others {
        check_unchanged(&[STORE_RBX, other, LOAD_RBX, &[RET]]);
    }
    // What is not in the way: mov [rsp + 16], ecx; mov [rax + 8], ecx
    for other in [&[0x89, 0x4c, 0x24, 0x10][..], &[0x89, 0x48, 0x08]] {
        check(&[STORE_RBX, other, LOAD_RBX, &[RET]], &[STORE_RBX, other, &[RET]]);
    }
    // Somebody may have the address: lea rax, [rsp + 8]; mov rax, rbp
    for other in [&[0x48, 0x8d, 0x44, 0x24, 0x08][..], &[0x48, 0x89, 0xe8]] {
        check_unchanged(&[STORE_RBX, LOAD_RBX, other, &[RET]]);
    }
    // A cast loads half of it: mov ebx, [rsp + 8]
    check_unchanged(&[STORE_RBX, &[0x8b, 0x5c, 0x24, 0x08], &[RET]]);
}

#[test]
fn all_ways_to_a_block_have_to_agree() {
    let code = |first: &[u8], second: &[u8]| {
        // test eax, eax; je +; first; jmp ++; +: second; ++: mov rbx, [rsp + 8]; ret
        let (to_second, to_end) = (first.len() as u8 + 2, second.len() as u8);
        let parts: [&[u8]; 7] =
            [&[0x85, 0xc0, 0x74, to_second], first, &[0xeb, to_end], second, LOAD_RBX, &[RET], &[]];
        let second_at = 4 + first.len() as u32 + 2;
        let end_at = second_at + second.len() as u32;
        let code = parts.concat();
        let len = code.len();
        (rewritten_blocks(&code, &[], &[0, 4, second_at, end_at]).unwrap().len(), len)
    };
    let (after, before) = code(STORE_RBX, LOAD_RBX);
    assert_eq!(after, before - LOAD_RBX.len());
    let (after, before) = code(STORE_RBX, LOAD_RAX);
    // It is a load still, or a copy on no way.
    assert_eq!(after, before);
}

#[test]
fn a_round_may_know_what_the_next_one_needs() {
    // mov rbx, [rsp + 8]; top: mov rbx, [rsp + 8]; dec eax; je out; mov rbx, [rsp + 8]; jmp top; out: ret
    let parts: [&[u8]; 7] =
        [LOAD_RBX, LOAD_RBX, &[0xff, 0xc8], &[0x74, 0x07], LOAD_RBX, &[0xeb, 0xf0], &[RET]];
    let code = parts.concat();
    let after = rewritten_blocks(&code, &[], &[0, 5, 14, 21]).unwrap();
    // All but the first load are gone, and with them the jump: dec eax; jne top.
    assert_eq!(after, [LOAD_RBX, &[0xff, 0xc8, 0x75, 0xfc, RET]].concat(), "{after:02x?}");
    // The register changes in each round: only the load in front of the loop is spared.
    let parts: [&[u8]; 7] = [LOAD_RBX, LOAD_RBX, &[0xff, 0xcb], &[0x74, 0x02], &[0xeb, 0xf5], &[RET], &[]];
    let after = rewritten_blocks(&parts.concat(), &[], &[0, 5, 14, 16]).unwrap();
    assert_eq!(after.iter().filter(|byte| **byte == 0x8b).count(), 2, "{after:02x?}");
}

#[test]
fn copies_on_the_way_back_come_before_the_branch() {
    // top: dec eax; je out; mov rbx, rcx; jmp top; out: …
    let walk = |copy: &[u8], behind: &[u8]| {
        let jump = [0xeb, (-(6 + copy.len() as i8)) as u8];
        let code = [&[0xff, 0xc8, 0x74, copy.len() as u8 + 2], copy, &jump, behind].concat();
        rewritten_blocks(&code, &[], &[0, 4, 6 + copy.len() as u32]).unwrap()
    };
    const COPY: &[u8] = &[0x48, 0x89, 0xcb];
    // Nobody looks at rbx: xor ebx, ebx; ret.
    let behind = [0x31, 0xdb, RET];
    let back = [&[0xff, 0xc8], COPY, &[0x75, 0xf9]].concat();
    assert_eq!(walk(COPY, &behind), [&back[..], &behind].concat());
    // The caller does; so does mov eax, ebx; so do calls of what they are given in rdi.
    let stays = |copy: &[u8], behind: &[u8]| {
        let after = walk(copy, behind);
        assert_eq!(after[2], 0x74, "{after:02x?}");
    };
    stays(COPY, &[RET]);
    stays(COPY, &[0x89, 0xd8, 0x31, 0xdb, RET]);
    stays(&[0x48, 0x89, 0xcf], &[0xff, 0xd0, 0x31, 0xff, RET]);
    // An addition sets the flags.
    stays(&[0x48, 0x01, 0xcb], &behind);
}

#[test]
fn copies_of_vectors_come_before_the_branch() {
    // top: dec eax; je out; movdqa xmm0, xmm1; jmp top; out: …
    const COPY: [u8; 4] = [0x66, 0x0f, 0x6f, 0xc1];
    let walk = |behind: &[u8]| {
        let code = [&[0xff, 0xc8, 0x74, 0x06][..], &COPY, &[0xeb, 0xf6], behind].concat();
        rewritten_blocks(&code, &[], &[0, 4, 10]).unwrap()
    };
    // Nobody looks at xmm0: movsd xmm0, [rax]; or xmm0 and xmm1 are copied over it.
    for behind in [&[0xf2, 0x0f, 0x10, 0x00, RET][..], &[0x0f, 0x28, 0xc1, RET]] {
        let back = [&[0xff, 0xc8][..], &COPY, &[0x75, 0xf8]].concat();
        assert_eq!(walk(behind), [&back[..], behind].concat());
    }
    // The caller does; so do addsd xmm2, xmm0, movlps xmm0, [rax], which sets half of it, and calls.
    let stays: [&[u8]; 4] = [
        &[RET],
        &[0xf2, 0x0f, 0x58, 0xd0, 0x0f, 0x28, 0xc1, RET],
        &[0x0f, 0x12, 0x00, RET],
        &[0xff, 0xd0, 0x0f, 0x28, 0xc1, RET],
    ];
    for behind in stays {
        assert_eq!(walk(behind)[2], 0x74, "{behind:02x?}");
    }
}

/// What is left of the code of one block, then a return.
fn rest(code: &[&[u8]]) -> Vec<u8> {
    let mut rest = rewritten_blocks(&[&code.concat()[..], &[RET]].concat(), &[], &[0]).unwrap();
    rest.pop();
    rest
}

const TEST_EAX: &[u8] = &[0x85, 0xc0];
const SETE_CL: &[u8] = &[0x0f, 0x94, 0xc1];

#[test]
fn what_set_the_flags_is_not_tested() {
    let sets: [&[u8]; 6] = [
        &[0x01, 0xd8],       // add eax, ebx
        &[0x83, 0xe8, 0x04], // sub eax, 4
        &[0x21, 0xd8],       // and eax, ebx
        &[0xff, 0xc8],       // dec eax
        &[0xf7, 0xd8],       // neg eax
        &[0xc1, 0xe8, 0x03], // shr eax, 3
    ];
    // mov ecx, eax; lea edx, [rax + 1]; movups xmm0, [rax]
    let between: [&[u8]; 3] = [&[0x89, 0xc1], &[0x8d, 0x50, 0x01], &[0x0f, 0x10, 0x00]];
    for set in sets {
        assert_eq!(rest(&[set, TEST_EAX, SETE_CL]), [set, SETE_CL].concat());
        for between in between {
            assert_eq!(rest(&[set, between, TEST_EAX, SETE_CL]), [set, between, SETE_CL].concat());
        }
        // Two tests of the same.
        assert_eq!(rest(&[set, TEST_EAX, SETE_CL, TEST_EAX, SETE_CL]), [set, SETE_CL, SETE_CL].concat());
    }
}

#[test]
fn what_is_not_known_is_tested() {
    const ADD: &[u8] = &[0x01, 0xd8];
    let stays = |code: &[&[u8]]| assert_eq!(rest(code), code.concat(), "{code:02x?}");
    // Other flags: setl cl; setb cl; cmovg ecx, edx. An addition may have overflowed; `and` can't.
    for reader in [&[0x0f, 0x9c, 0xc1][..], &[0x0f, 0x92, 0xc1], &[0x0f, 0x4f, 0xca]] {
        stays(&[ADD, TEST_EAX, reader]);
        stays(&[ADD, TEST_EAX, SETE_CL, reader]);
        const AND: &[u8] = &[0x21, 0xd8];
        assert_eq!(rest(&[AND, TEST_EAX, reader]), [AND, reader].concat());
    }
    let between: [&[u8]; 7] = [
        &[0x89, 0xc8],       // mov eax, ecx
        &[0x8d, 0x40, 0x01], // lea eax, [rax + 1]
        &[0x0f, 0x44, 0xc1], // cmove eax, ecx
        &[0x39, 0xc8],       // cmp eax, ecx
        &[0xf7, 0xe1],       // mul ecx
        &[0x87, 0xc1],       // xchg ecx, eax
        &[0xff, 0xd0],       // call rax
    ];
    for between in between {
        stays(&[ADD, between, TEST_EAX, SETE_CL]);
    }
    // Another size, another register, a shift by cl, which may be by nothing.
    stays(&[ADD, &[0x48, 0x85, 0xc0], SETE_CL]);
    stays(&[ADD, &[0x84, 0xc0], SETE_CL]);
    stays(&[ADD, &[0x85, 0xdb], SETE_CL]);
    stays(&[&[0xd3, 0xe8], TEST_EAX, SETE_CL]);
    // Blocks that take flags from others: add eax, ebx; test eax, eax; je next; next: sete cl.
    let code = [ADD, TEST_EAX, &[0x74, 0x00], SETE_CL, &[RET]].concat();
    assert_eq!(rewritten_blocks(&code, &[], &[0, 6]).unwrap(), [ADD, TEST_EAX, SETE_CL, &[RET]].concat());
}

#[test]
fn what_is_extended_is_not_extended_again() {
    const EXTEND: &[u8] = &[0x89, 0xc0]; // mov eax, eax
    let sets: [&[u8]; 6] = [
        &[0x8b, 0x03],             // mov eax, [rbx]
        &[0x01, 0xd8],             // add eax, ebx
        &[0x48, 0x0f, 0xb6, 0x03], // movzx rax, byte [rbx]
        &[0x8d, 0x43, 0x01],       // lea eax, [rbx + 1]
        &[0x0f, 0xaf, 0xc3],       // imul eax, ebx
        &[0xc1, 0xe0, 0x02],       // shl eax, 2
    ];
    // mov rcx, rax; mov al, cl; cmp rax, rcx; addsd xmm0, xmm1
    let between: [&[u8]; 4] =
        [&[0x48, 0x89, 0xc1], &[0x88, 0xc8], &[0x48, 0x39, 0xc8], &[0xf2, 0x0f, 0x58, 0xc1]];
    // mov rax, [rbx]; add rax, rcx; movsxd rax, ecx; call rax; cdqe; xchg rcx, rax; imul rcx
    let others: [&[u8]; 7] = [
        &[0x48, 0x8b, 0x03],
        &[0x48, 0x01, 0xc8],
        &[0x48, 0x63, 0xc1],
        &[0xff, 0xd0],
        &[0x48, 0x98],
        &[0x48, 0x87, 0xc1],
        &[0x48, 0xf7, 0xe9],
    ];
    for set in sets {
        assert_eq!(rest(&[set, EXTEND]), set);
        for between in between {
            assert_eq!(rest(&[set, between, EXTEND]), [set, between].concat(), "{between:02x?}");
        }
        for other in others {
            assert_eq!(rest(&[set, other, EXTEND]), [set, other, EXTEND].concat(), "{other:02x?}");
        }
    }
    // Another register: mov ecx, eax.
    assert_eq!(rest(&[sets[0], &[0x89, 0xc1]]), [sets[0], &[0x89, 0xc1]].concat());
}

#[test]
fn what_is_not_loaded_again_is_left_as_it_is() {
    // mov rbx, [rsp + 8]; top: dec eax; je out; mov rbx, rcx; jmp top; out: mov rbx, [rsp + 8]; …
    let code = |copy: [u8; 3]| {
        let out: &[u8] = &[0x31, 0xff, RET];
        let parts = [LOAD_RBX, &[0xff, 0xc8, 0x74, 0x05], &copy, &[0xeb, 0xf7], LOAD_RBX, out];
        rewritten_blocks(&parts.concat(), &[], &[0, 5, 9, 14]).unwrap()
    };
    // It changes in the loop, is loaded again, and nobody needs what the copy made.
    let after = code([0x48, 0x89, 0xcb]);
    assert_eq!(after.windows(5).filter(|bytes| *bytes == LOAD_RBX).count(), 2, "{after:02x?}");
    // rdi changes, and not what is known of rbx.
    let after = code([0x48, 0x89, 0xcf]);
    assert_eq!(after.windows(5).filter(|bytes| *bytes == LOAD_RBX).count(), 1, "{after:02x?}");
    // Known in front of the branch alone: top: mov rbx, [rsp + 8]; dec eax; je out; mov rbx, rcx; jmp top; out: …
    let parts = [LOAD_RBX, &[0xff, 0xc8, 0x74, 0x05, 0x48, 0x89, 0xcb, 0xeb, 0xf2], LOAD_RBX, &[RET]];
    let after = rewritten_blocks(&parts.concat(), &[], &[0, 9, 14]).unwrap();
    // The second load is spared, so rbx may not be set before the branch.
    assert_eq!(after.windows(5).filter(|bytes| *bytes == LOAD_RBX).count(), 1, "{after:02x?}");
    assert_eq!(after[7], 0x74, "{after:02x?}");
}

#[test]
fn instructions_get_shorter_forms() {
    let short: [(&[u8], &[u8]); 6] = [
        (&[0x81, 0xc0, 0xff, 0xff, 0xff, 0xff], &[0x83, 0xc0, 0xff]), // add eax, -1
        (&[0x49, 0x81, 0xe9, 0x7f, 0x00, 0x00, 0x00], &[0x49, 0x83, 0xe9, 0x7f]), // sub r9, 127
        (&[0x69, 0xc1, 0x05, 0x00, 0x00, 0x00], &[0x6b, 0xc1, 0x05]), // imul eax, ecx, 5
        (&[0xf7, 0xc1, 0x3f, 0x00, 0x00, 0x00], &[0xf6, 0xc1, 0x3f]), // test ecx, 63
        (&[0x41, 0xf7, 0xc5, 0x01, 0x00, 0x00, 0x00], &[0x41, 0xf6, 0xc5, 0x01]), // test r13d, 1
        // cmp dword [rax + 0x10000000], 2
        (
            &[0x81, 0xb8, 0x00, 0x00, 0x00, 0x10, 0x02, 0x00, 0x00, 0x00],
            &[0x83, 0xb8, 0x00, 0x00, 0x00, 0x10, 0x02],
        ),
    ];
    for (before, after) in short {
        check(&[before, &[RET]], &[after, &[RET]]);
    }
    let long: [&[u8]; 6] = [
        &[0x81, 0xc0, 0x80, 0x00, 0x00, 0x00],             // add eax, 128
        &[0x66, 0x81, 0xc0, 0x01, 0x00],                   // add ax, 1
        &[0xf7, 0xc1, 0x80, 0x00, 0x00, 0x00],             // test ecx, 128: the sign of a byte
        &[0xf7, 0xc6, 0x01, 0x00, 0x00, 0x00],             // test esi, 1: that would be dh
        &[0xf7, 0x00, 0x01, 0x00, 0x00, 0x00],             // test [rax], 1: that would read less
        &[0x81, 0x05, 0x01, 0x00, 0x00, 0x00, 1, 0, 0, 0], // add [rip + 1], 1
    ];
    for code in &long[..5] {
        check_unchanged(&[code, &[RET]]);
    }
    check_unchanged(&[long[5], &[RET], &[9, 9, 9, 9]]);
}

#[test]
fn code_that_is_not_understood_stays() {
    // An instruction that does not exist, one that is cut off, a call without a relocation, a branch out of the function, one
    // into an instruction, an end that leads on, a jump table whose entries lead nowhere.
    let unknown: [&[u8]; 7] = [
        &[0x06, RET],
        &[0x81, 0xc0],
        &[0xe8, 0, 0, 0, 0, RET],
        &[0x74, 0x70, RET],
        &[0x74, 0x01, 0x31, 0xdb, RET],
        &[0x31, 0xdb],
        &[0x48, 0x8d, 0x05, 2, 0, 0, 0, 0xff, 0xe0, 9, 9, 9, 9],
    ];
    for code in unknown {
        assert!(rewritten_blocks(code, &[], &[0]).is_none(), "{code:02x?}");
    }
}

#[test]
fn small_loops_take_few_lines() {
    // 60 bytes; top: dec eax; jne top; ret
    let mut code = vec![0x90; 60];
    code.extend([0xff, 0xc8, 0x75, 0xfc, RET]);
    assert_eq!(rewritten_blocks(&code, &[], &[0, 60]).unwrap(), code);
    code.splice(0..0, [0x90, 0x90]);
    let after = rewritten_blocks(&code, &[], &[0, 62]).unwrap();
    assert_eq!(after[64..], [0xff, 0xc8, 0x75, 0xfc, RET]);
}

fn isa() -> OwnedTargetIsa {
    let mut flags = settings::builder();
    flags.set("opt_level", "speed").unwrap();
    flags.set("machine_code_cfg_info", "true").unwrap();
    let isa = cranelift_codegen::isa::lookup_by_name("x86_64").unwrap();
    isa.finish(settings::Flags::new(flags)).unwrap()
}

/// Compiles a function, rewrites it, and compares the two: instruction by instruction, each where it is said to have gone.
fn compared(clif: &str) -> (Vec<u8>, Rewritten) {
    let function = cranelift_reader::parse_functions(clif).unwrap().remove(0);
    let mut context = Context::for_function(function);
    let compiled = context.compile(&*isa(), &mut ControlPlane::default()).unwrap();
    let old = compiled.code_buffer().to_vec();
    let mut passes = Passes::ALL;
    passes.set(Pass::Reloads, false);
    let new = rewrite(compiled, &[], passes).expect("it is understood");
    let mut blocks = compiled.bb_starts.clone();
    blocks.sort_unstable();
    for (start, end) in blocks.iter().zip(blocks.iter().skip(1).copied().chain([old.len() as u32])) {
        let mut at = *start;
        while at < end {
            let read = |code: &[u8], at: u32| -> Instruction {
                let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
                decoder.set_position(at as usize).unwrap();
                decoder.set_ip(u64::from(at));
                decoder.decode()
            };
            let before = read(&old, at);
            let flow = before.flow_control();
            let after = read(&new.code, new.moved.at(at));
            let next = at + before.len() as u32;
            let is_gone = new.moved.at(next) == new.moved.at(at);
            if !is_gone {
                assert_eq!(before.mnemonic(), after.mnemonic(), "{at:#x}");
                match flow {
                    FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                        let target = before.near_branch64() as u32;
                        assert_eq!(u64::from(new.moved.at(target)), after.near_branch64(), "{at:#x}");
                    }
                    _ if before.is_ip_rel_memory_operand() => {
                        let target = before.ip_rel_memory_address() as usize;
                        let moved = after.ip_rel_memory_address() as usize;
                        assert_eq!(new.moved.at(target as u32) as usize, moved);
                        if before.memory_size().size() == 16 {
                            assert_eq!(old[target..][..16], new.code[moved..][..16]);
                            assert_eq!(moved % 16, 0);
                        }
                    }
                    _ => {}
                }
            }
            at = next;
            if matches!(
                flow,
                FlowControl::UnconditionalBranch | FlowControl::IndirectBranch | FlowControl::Return
            ) {
                break;
            }
        }
    }
    (old, new)
}

#[test]
fn tables_and_constants_follow() {
    let (old, new) = compared(
        "function %all(i32, i32, f32x4) -> i32, f32x4 {
            const0 = 0x0f0e0d0c0b0a09080706050403020100
        block0(v0: i32, v1: i32, v2: f32x4):
            v3 = vconst.f32x4 const0
            v4 = fadd v2, v3
            br_table v0, block1(v1), [block2, block3, block2, block1(v0)]
        block1(v5: i32):
            v6 = udiv v5, v0
            return v6, v4
        block2:
            v7 = iconst.i32 -1
            v8 = iadd v1, v7
            brif v8, block2, block1(v8)
        block3:
            trapz v1, user1
            v9 = fmul v4, v4
            return v1, v9
        }",
    );
    assert!(new.code.len() < old.len());
    // The entries of the table: from it to blocks.
    let table = (0..old.len())
        .find(|at| old[*at..].starts_with(&[0xff, 0xe0]) || old[*at..].starts_with(&[0xff, 0xe1]));
    let table = table.expect("a jump through a register") as u32 + 2;
    let entry = |code: &[u8], table: u32, index: usize| {
        let at = table as usize + 4 * index;
        table.wrapping_add(u32::from_le_bytes(code[at..at + 4].try_into().unwrap()))
    };
    for index in 0..5 {
        let (before, after) = (entry(&old, table, index), entry(&new.code, new.moved.at(table), index));
        assert_eq!(new.moved.at(before), after);
    }
}

#[test]
fn branches_are_as_long_as_they_have_to_be() {
    // Blocks that branch to the one after the next, and all to the last: near ones are short, far ones are not.
    let mut clif =
        String::from("function %far(i32, i64) -> i32 {\nblock0(v0: i32, v1: i64):\n jump block1\n");
    for block in 1..200 {
        let (load, next) = (1000 + block, block + 1);
        clif += &format!(
            "block{block}:\n v{load} = load.i32 v1+{}\n brif v{load}, block{next}, block201\n",
            4 * block
        );
    }
    clif += "block200:\n store v0, v1\n jump block201\nblock201:\n return v0\n}";
    let (old, new) = compared(&clif);
    let count = |code: &[u8], flow: FlowControl, len: usize| {
        let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
        decoder.iter().filter(|inst| inst.flow_control() == flow && inst.len() == len).count()
    };
    // Over the copy for the last block and the jump there, and that jump.
    let (over, there) = (FlowControl::ConditionalBranch, FlowControl::UnconditionalBranch);
    assert_eq!((count(&old, over, 2), count(&old, there, 2)), (0, 0));
    assert_eq!(count(&new.code, over, 6), 0);
    let (near, far) = (count(&new.code, there, 2), count(&new.code, there, 5));
    assert!(near > 5 && far > 100, "{near} {far}");
}
