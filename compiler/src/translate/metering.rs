//! What lets the host stop a guest: checks of an interruption, and counting of fuel.

use super::function::FunctionTranslator;
use aot_abi::call::{FUEL_POINTERS, INTERRUPT_LIMIT};
use aot_abi::trap::TrapCode;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, types};
use wasmparser::Operator;

impl FunctionTranslator<'_, '_> {
    /// At the start of a function.
    pub(super) fn enter_function(&mut self) {
        // The check of the stack in the prologue is one of an interruption too.
        if self.module.fuel {
            self.check_fuel();
        }
    }

    /// At the start of each round of a loop.
    pub(super) fn enter_loop(&mut self) {
        if self.module.interruptible {
            let cell = self.state.limits(&mut self.builder);
            // Atomic, since another load would be taken for one of the round before.
            let limit = self.builder.ins().atomic_load(self.pointer, MemFlagsData::trusted(), cell);
            let stop = self.builder.ins().icmp_imm_s(IntCC::Equal, limit, INTERRUPT_LIMIT.cast_signed());
            self.trap_if(stop, TrapCode::Interrupt);
        }
        if self.module.fuel {
            self.check_fuel();
        }
    }

    /// Counts an operator that will be executed. What was counted is taken from the fuel where control can come from or
    /// go elsewhere: so a path costs the same, however the code around it is compiled.
    pub(super) fn count_fuel(&mut self, op: &Operator<'_>) {
        match op {
            Operator::Nop | Operator::Drop | Operator::Block { .. } => return,
            Operator::End => {}
            _ => self.fuel += 1,
        }
        let leaves = matches!(
            op,
            Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::Else
                | Operator::End
                | Operator::Br { .. }
                | Operator::BrIf { .. }
                | Operator::BrTable { .. }
                | Operator::Return
                | Operator::Unreachable
                | Operator::Call { .. }
                | Operator::CallIndirect { .. }
                | Operator::ReturnCall { .. }
                | Operator::ReturnCallIndirect { .. }
        );
        if leaves && self.fuel > 0 {
            let fuel = std::mem::take(&mut self.fuel);
            let (cell, offset) = self.fuel_cell();
            let left = self.builder.ins().load(types::I64, MemFlagsData::trusted(), cell, offset);
            let left = self.builder.ins().iadd_imm_s(left, -i64::from(fuel));
            self.builder.ins().store(MemFlagsData::trusted(), left, cell, offset);
        }
    }

    fn check_fuel(&mut self) {
        let (cell, offset) = self.fuel_cell();
        let left = self.builder.ins().load(types::I64, MemFlagsData::trusted(), cell, offset);
        let none = self.builder.ins().icmp_imm_s(IntCC::SignedLessThan, left, 0);
        self.trap_if(none, TrapCode::OutOfFuel);
    }

    fn fuel_cell(&mut self) -> (cranelift_codegen::ir::Value, i32) {
        let cell = self.state.limits(&mut self.builder);
        (cell, (FUEL_POINTERS * self.pointer.bytes()) as i32)
    }
}
