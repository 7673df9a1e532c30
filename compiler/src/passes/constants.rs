//! Keeps constants in registers through a loop.
//!
//! Cranelift makes a constant anew at each use, which is free where the instruction holds it. Where it does not, as on aarch64 for
//! most above 4095, each round of a loop makes it again, by up to four instructions. Here the first block of a loop gets a
//! parameter for it, so that the code generator sees a value like others; as many as there are registers for, those that spare most
//! first. On x86-64, which holds all of 32 bits, also long ones that a loop has twice. Loops with other loops or calls in them are left alone. Runs last before the code generator.

use super::immediate::{Literal, Machine};
use super::loops::{self, class, innermost_loops, spare_registers};
use cranelift_codegen::Context;
use cranelift_codegen::cursor::{Cursor as _, FuncCursor};
use cranelift_codegen::ir::{Block, BlockArg, Function, Inst, Opcode, Value};
use smallvec::SmallVec;
use std::cmp::Reverse;

/// Rewrites the loops of a function, whose control-flow graph and loops are known.
pub(crate) fn keep_constants(context: &mut Context, machine: Machine) {
    for (header, blocks) in innermost_loops(context) {
        let Some(mut costs) = costs(&context.func, machine, &blocks) else { continue };
        if costs.is_empty() || !can_be_entered(context, header) {
            continue;
        }
        let left = spare_registers(&context.func, &context.cfg, machine, &blocks);
        let Some(mut left) = left else { continue };
        costs.sort_by_key(|(_, cost)| Reverse(*cost));
        costs.retain(|(literal, _)| {
            let left = &mut left[class(literal.ty())];
            let has_room = *left > 0;
            *left -= usize::from(has_room);
            has_room
        });
        let add = |(literal, _)| (literal, add_parameter(context, header, &blocks, literal));
        let parameters: Vec<(Literal, Value)> = costs.into_iter().map(add).collect();
        use_parameters(&mut context.func, machine, &blocks, &parameters);
    }
}

/// What constants cost in each round, if they cost anything. Nothing for loops that are too large, or that call.
fn costs(function: &Function, machine: Machine, blocks: &[Block]) -> Option<Vec<(Literal, u32)>> {
    let mut costs: Vec<(Literal, u32)> = Vec::new();
    let mut left = loops::MAX_INSTS;
    for block in blocks {
        let is_cold = function.layout.is_cold(*block);
        for inst in function.layout.block_insts(*block) {
            left = left.checked_sub(1)?;
            if function.dfg.insts[inst].opcode().is_call() {
                return None;
            }
            if is_cold {
                continue;
            }
            for (_, literal, cost) in literals(function, machine, inst) {
                match costs.iter_mut().find(|(other, _)| *other == literal) {
                    Some((_, sum)) => *sum += cost,
                    None => costs.push((literal, cost)),
                }
            }
        }
    }
    costs.retain(|(_, cost)| *cost >= machine.least_cost());
    Some(costs)
}

/// The operands of an instruction that are constants and take instructions to make: their indices, and how many.
fn literals(
    function: &Function,
    machine: Machine,
    inst: Inst,
) -> impl Iterator<Item = (usize, Literal, u32)> + '_ {
    let dfg = &function.dfg;
    dfg.inst_args(inst).iter().enumerate().filter_map(move |(index, arg)| {
        let literal = Literal::of(dfg, *arg)?;
        let cost = machine.cost(dfg, inst, index, literal);
        (cost > 0).then_some((index, literal, cost))
    })
}

/// Whether all branches to a block can be given another argument for it.
fn can_be_entered(context: &Context, header: Block) -> bool {
    let function = &context.func;
    function.layout.entry_block() != Some(header)
        && context.cfg.pred_iter(header).all(|edge| {
            let opcode = function.dfg.insts[edge.inst].opcode();
            matches!(opcode, Opcode::Jump | Opcode::Brif | Opcode::BrTable)
        })
}

/// Gives the first block of a loop a parameter that is always a constant.
fn add_parameter(context: &mut Context, header: Block, blocks: &[Block], literal: Literal) -> Value {
    let Context { func: function, cfg, .. } = context;
    let parameter = function.dfg.append_block_param(header, literal.ty());
    for edge in cfg.pred_iter(header) {
        let value = match blocks.contains(&edge.block) {
            true => parameter,
            false => {
                let mut cursor = FuncCursor::new(function).at_inst(edge.inst);
                cursor.use_srcloc(edge.inst);
                literal.make(cursor.ins())
            }
        };
        let dfg = &mut function.dfg;
        let (tables, exceptions) = (&mut dfg.jump_tables, &mut dfg.exception_tables);
        for call in dfg.insts[edge.inst].branch_destination_mut(tables, exceptions) {
            if call.block(&dfg.value_lists) == header {
                call.append_argument(BlockArg::Value(value), &mut dfg.value_lists);
            }
        }
    }
    parameter
}

/// Has a loop use its parameters where it would make constants.
fn use_parameters(
    function: &mut Function,
    machine: Machine,
    blocks: &[Block],
    parameters: &[(Literal, Value)],
) {
    for block in blocks {
        let mut next = function.layout.first_inst(*block);
        while let Some(inst) = next {
            next = function.layout.next_inst(inst);
            let changes: SmallVec<[(usize, Value); 2]> = literals(function, machine, inst)
                .filter_map(|(index, literal, _)| {
                    let (_, parameter) = parameters.iter().find(|(other, _)| *other == literal)?;
                    Some((index, *parameter))
                })
                .collect();
            for (index, parameter) in changes {
                function.dfg.inst_args_mut(inst)[index] = parameter;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Machine, keep_constants};
    use crate::passes::tests::rewritten;
    use cranelift_codegen::ir::{Function, InstructionData, Opcode};

    /// A loop with this body, in a function with `v0: i32`, `v1: i64` and `v2: f64`.
    fn kept(machine: Machine, body: &str) -> Function {
        let clif = format!(
            "function %sum(i32, i64, f64) -> i32 {{
                sig0 = ()
                fn0 = u0:0 sig0
            block0(v0: i32, v1: i64, v2: f64):
                v3 = iconst.i32 0x12345
                v4 = iconst.i32 0
                v5 = iconst.i64 0x1234_5678_9abc
                v6 = iconst.i32 4
                v7 = f64const 0x1.3333333333333p0
                brif v0, block1(v4, v0), block2(v4)
            block1(v10: i32, v11: i32):
                v12 = iadd v11, v6
                {body}
                brif v20, block1(v20, v12), block2(v20)
            block2(v30: i32):
                v31 = iadd v30, v3
                return v31
            }}"
        );
        rewritten(cranelift_reader::parse_functions(&clif).unwrap().remove(0), |context| {
            context.flowgraph();
            context.compute_loop_analysis();
            keep_constants(context, machine);
        })
    }

    /// The operands in the loop that are constants, and the parameters of the loop.
    #[track_caller]
    fn check(machine: Machine, constants: usize, parameters: usize, body: &str) {
        let function = kept(machine, body);
        let block = function.layout.blocks().nth(1).unwrap();
        let is_constant = |value: &&_| {
            let inst = function.dfg.value_def(**value).inst().map(|inst| function.dfg.insts[inst]);
            let inst: Option<InstructionData> = inst;
            inst.is_some_and(|inst| matches!(inst.opcode(), Opcode::Iconst | Opcode::F64const))
        };
        let left: usize = function
            .layout
            .block_insts(block)
            .map(|inst| function.dfg.inst_args(inst).iter().filter(is_constant).count())
            .sum();
        let found = (left, function.dfg.block_params(block).len());
        assert_eq!(found, (constants, parameters), "{}", function.display());
    }

    #[test]
    fn what_takes_instructions_is_kept() {
        let sums = "v19 = iadd v10, v3\n v20 = bxor v19, v3";
        check(Machine::Aarch64, 1, 3, sums);
        check(Machine::Riscv64, 1, 3, sums);
        check(Machine::X64, 3, 2, sums);
        let wide = "v18 = imul v1, v5\n v19 = ireduce.i32 v18\n v20 = bxor v19, v10";
        check(Machine::X64, 1, 3, wide);
        let array = "v19 = ishl v10, v6\n v20 = iadd v19, v6";
        check(Machine::Aarch64, 2, 3, array);
        check(Machine::X64, 3, 2, array);
        let float = "v18 = fmul v2, v7\n v19 = fcvt_to_sint_sat.i32 v18\n v20 = bxor v19, v10";
        check(Machine::Aarch64, 1, 3, float);
        check(Machine::X64, 2, 2, float);
    }

    #[test]
    fn long_operands_are_kept_if_there_are_two() {
        let long = |other: &str| {
            format!(
                "v17 = iconst.i32 0x8080_8080\n v18 = band v10, v17\n v19 = bxor v11, v18\n v20 = {other}"
            )
        };
        check(Machine::X64, 1, 3, &long("band v19, v17"));
        check(Machine::X64, 3, 2, &long("ishl v19, v6"));
        check(Machine::X64, 2, 2, &long("iadd v19, v18"));
    }

    #[test]
    fn loops_that_call_are_left_alone() {
        check(Machine::Aarch64, 2, 2, "v20 = iadd v10, v3\n call fn0()");
    }

    #[test]
    fn registers_run_out() {
        let many: String = (0..24).map(|n| format!("v{} = load.i64 v1+{}\n ", 100 + n, n * 8)).collect();
        let stores: String = (0..24).map(|n| format!("store v{}, v1+{}\n ", 100 + n, n * 8 + 8)).collect();
        check(Machine::Aarch64, 2, 2, &format!("{many} {stores} v20 = iadd v10, v3"));
    }
}
