//! Arithmetic, comparison and conversion of scalars.

use super::function::FunctionTranslator;
use super::round::Direction;
use crate::passes::constant;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value, types};
use wasmparser::Operator;

impl FunctionTranslator<'_, '_> {
    /// Translates an operator of this family; `false` if it is of another.
    pub(super) fn numeric_operator(&mut self, op: &Operator<'_>) -> bool {
        use types::{F32, F64, I8, I16, I32, I64};
        match *op {
            Operator::I32Const { value } => {
                // The immediate of an `iconst` is the zero-extended bit pattern.
                let value = self.i32_const(value as u32);
                self.push(value);
            }
            Operator::I64Const { value } => {
                let value = self.builder.ins().iconst(I64, value);
                self.push(value);
            }
            Operator::F32Const { value } => {
                let bits = cranelift_codegen::ir::immediates::Ieee32::with_bits(value.bits());
                let value = self.builder.ins().f32const(bits);
                self.push(value);
            }
            Operator::F64Const { value } => {
                let bits = cranelift_codegen::ir::immediates::Ieee64::with_bits(value.bits());
                let value = self.builder.ins().f64const(bits);
                self.push(value);
            }

            Operator::I32Eqz | Operator::I64Eqz => {
                let value = self.pop();
                let is_zero = self.builder.ins().icmp_imm_u(IntCC::Equal, value, 0);
                self.push_bool(is_zero);
            }
            Operator::I32Eq | Operator::I64Eq => self.int_compare(IntCC::Equal),
            Operator::I32Ne | Operator::I64Ne => self.int_compare(IntCC::NotEqual),
            Operator::I32LtS | Operator::I64LtS => self.int_compare(IntCC::SignedLessThan),
            Operator::I32LtU | Operator::I64LtU => self.int_compare(IntCC::UnsignedLessThan),
            Operator::I32GtS | Operator::I64GtS => self.int_compare(IntCC::SignedGreaterThan),
            Operator::I32GtU | Operator::I64GtU => self.int_compare(IntCC::UnsignedGreaterThan),
            Operator::I32LeS | Operator::I64LeS => self.int_compare(IntCC::SignedLessThanOrEqual),
            Operator::I32LeU | Operator::I64LeU => self.int_compare(IntCC::UnsignedLessThanOrEqual),
            Operator::I32GeS | Operator::I64GeS => self.int_compare(IntCC::SignedGreaterThanOrEqual),
            Operator::I32GeU | Operator::I64GeU => self.int_compare(IntCC::UnsignedGreaterThanOrEqual),
            Operator::F32Eq | Operator::F64Eq => self.float_compare(FloatCC::Equal),
            Operator::F32Ne | Operator::F64Ne => self.float_compare(FloatCC::NotEqual),
            Operator::F32Lt | Operator::F64Lt => self.float_compare(FloatCC::LessThan),
            Operator::F32Gt | Operator::F64Gt => self.float_compare(FloatCC::GreaterThan),
            Operator::F32Le | Operator::F64Le => self.float_compare(FloatCC::LessThanOrEqual),
            Operator::F32Ge | Operator::F64Ge => self.float_compare(FloatCC::GreaterThanOrEqual),

            Operator::I32Clz | Operator::I64Clz => self.unary(|ins, x| ins.clz(x)),
            Operator::I32Ctz | Operator::I64Ctz => self.unary(|ins, x| ins.ctz(x)),
            Operator::I32Popcnt | Operator::I64Popcnt => self.unary(|ins, x| ins.popcnt(x)),
            Operator::I32Add | Operator::I64Add => self.binary(|ins, x, y| ins.iadd(x, y)),
            Operator::I32Sub | Operator::I64Sub => self.subtract(),
            Operator::I32Mul | Operator::I64Mul => self.binary(|ins, x, y| ins.imul(x, y)),
            Operator::I32DivS | Operator::I64DivS => self.binary(|ins, x, y| ins.sdiv(x, y)),
            Operator::I32DivU | Operator::I64DivU => self.binary(|ins, x, y| ins.udiv(x, y)),
            Operator::I32RemS | Operator::I64RemS => self.binary(|ins, x, y| ins.srem(x, y)),
            Operator::I32RemU | Operator::I64RemU => self.binary(|ins, x, y| ins.urem(x, y)),
            Operator::I32And | Operator::I64And => self.binary(|ins, x, y| ins.band(x, y)),
            Operator::I32Or | Operator::I64Or => self.binary(|ins, x, y| ins.bor(x, y)),
            Operator::I32Xor | Operator::I64Xor => self.binary(|ins, x, y| ins.bxor(x, y)),
            // CLIF takes shift amounts modulo the width, as wasm does.
            Operator::I32Shl | Operator::I64Shl => self.binary(|ins, x, y| ins.ishl(x, y)),
            Operator::I32ShrS | Operator::I64ShrS => self.binary(|ins, x, y| ins.sshr(x, y)),
            Operator::I32ShrU | Operator::I64ShrU => self.binary(|ins, x, y| ins.ushr(x, y)),
            Operator::I32Rotl | Operator::I64Rotl => self.binary(|ins, x, y| ins.rotl(x, y)),
            Operator::I32Rotr | Operator::I64Rotr => self.binary(|ins, x, y| ins.rotr(x, y)),

            Operator::F32Abs | Operator::F64Abs => self.unary(|ins, x| ins.fabs(x)),
            Operator::F32Neg | Operator::F64Neg => self.unary(|ins, x| ins.fneg(x)),
            Operator::F32Ceil | Operator::F64Ceil => self.round(Direction::Up),
            Operator::F32Floor | Operator::F64Floor => self.round(Direction::Down),
            Operator::F32Trunc | Operator::F64Trunc => self.round(Direction::Zero),
            Operator::F32Nearest | Operator::F64Nearest => self.round(Direction::Nearest),
            Operator::F32Sqrt | Operator::F64Sqrt => self.unary(|ins, x| ins.sqrt(x)),
            Operator::F32Add | Operator::F64Add => self.binary(|ins, x, y| ins.fadd(x, y)),
            Operator::F32Sub | Operator::F64Sub => self.binary(|ins, x, y| ins.fsub(x, y)),
            Operator::F32Mul | Operator::F64Mul => self.binary(|ins, x, y| ins.fmul(x, y)),
            Operator::F32Div | Operator::F64Div => self.binary(|ins, x, y| ins.fdiv(x, y)),
            Operator::F32Min | Operator::F64Min => self.binary(|ins, x, y| ins.fmin(x, y)),
            Operator::F32Max | Operator::F64Max => self.binary(|ins, x, y| ins.fmax(x, y)),
            Operator::F32Copysign | Operator::F64Copysign => self.binary(|ins, x, y| ins.fcopysign(x, y)),

            Operator::I32WrapI64 => self.unary(|ins, x| ins.ireduce(I32, x)),
            Operator::I64ExtendI32S => self.unary(|ins, x| ins.sextend(I64, x)),
            Operator::I64ExtendI32U => self.unary(|ins, x| ins.uextend(I64, x)),
            Operator::I32Extend8S => self.sign_extend(I8, I32),
            Operator::I32Extend16S => self.sign_extend(I16, I32),
            Operator::I64Extend8S => self.sign_extend(I8, I64),
            Operator::I64Extend16S => self.sign_extend(I16, I64),
            Operator::I64Extend32S => self.sign_extend(I32, I64),
            Operator::I32TruncF32S | Operator::I32TruncF64S => self.unary(|ins, x| ins.fcvt_to_sint(I32, x)),
            Operator::I32TruncF32U | Operator::I32TruncF64U => self.unary(|ins, x| ins.fcvt_to_uint(I32, x)),
            Operator::I64TruncF32S | Operator::I64TruncF64S => self.unary(|ins, x| ins.fcvt_to_sint(I64, x)),
            Operator::I64TruncF32U | Operator::I64TruncF64U => self.unary(|ins, x| ins.fcvt_to_uint(I64, x)),
            Operator::I32TruncSatF32S | Operator::I32TruncSatF64S => {
                self.unary(|ins, x| ins.fcvt_to_sint_sat(I32, x));
            }
            Operator::I32TruncSatF32U | Operator::I32TruncSatF64U => {
                self.unary(|ins, x| ins.fcvt_to_uint_sat(I32, x));
            }
            Operator::I64TruncSatF32S | Operator::I64TruncSatF64S => {
                self.unary(|ins, x| ins.fcvt_to_sint_sat(I64, x));
            }
            Operator::I64TruncSatF32U | Operator::I64TruncSatF64U => {
                self.unary(|ins, x| ins.fcvt_to_uint_sat(I64, x));
            }
            Operator::F32ConvertI32S | Operator::F32ConvertI64S => {
                self.unary(|ins, x| ins.fcvt_from_sint(F32, x))
            }
            Operator::F32ConvertI32U | Operator::F32ConvertI64U => {
                self.unary(|ins, x| ins.fcvt_from_uint(F32, x))
            }
            Operator::F64ConvertI32S | Operator::F64ConvertI64S => {
                self.unary(|ins, x| ins.fcvt_from_sint(F64, x))
            }
            Operator::F64ConvertI32U | Operator::F64ConvertI64U => {
                self.unary(|ins, x| ins.fcvt_from_uint(F64, x))
            }
            Operator::F32DemoteF64 => self.unary(|ins, x| ins.fdemote(F32, x)),
            Operator::F64PromoteF32 => self.unary(|ins, x| ins.fpromote(F64, x)),
            Operator::I32ReinterpretF32 => self.unary(|ins, x| ins.bitcast(I32, MemFlagsData::new(), x)),
            Operator::I64ReinterpretF64 => self.unary(|ins, x| ins.bitcast(I64, MemFlagsData::new(), x)),
            Operator::F32ReinterpretI32 => self.unary(|ins, x| ins.bitcast(F32, MemFlagsData::new(), x)),
            Operator::F64ReinterpretI64 => self.unary(|ins, x| ins.bitcast(F64, MemFlagsData::new(), x)),
            _ => return false,
        }
        true
    }

    fn unary(&mut self, emit: impl FnOnce(Ins<'_, '_>, Value) -> Value) {
        let x = self.pop();
        let value = emit(self.builder.ins(), x);
        self.push(value);
    }

    fn round(&mut self, direction: Direction) {
        let x = self.pop();
        let value = self.rounded(direction, x);
        self.push(value);
    }

    fn binary(&mut self, emit: impl FnOnce(Ins<'_, '_>, Value, Value) -> Value) {
        let [x, y] = self.pop_n();
        let value = emit(self.builder.ins(), x, y);
        self.push(value);
    }

    /// Constants are added: machines can add one to another register than that of the sum (`lea`), but not subtract it.
    fn subtract(&mut self) {
        let [x, y] = self.pop_n();
        let dfg = &self.builder.func.dfg;
        let ty = dfg.value_type(y);
        let value = match constant(dfg, y) {
            Some(constant) => {
                let unused = 64 - ty.bits();
                let negated = (constant.wrapping_neg() as u64) << unused >> unused;
                let negated = self.builder.ins().iconst(ty, negated as i64);
                self.builder.ins().iadd(x, negated)
            }
            None => self.builder.ins().isub(x, y),
        };
        self.push(value);
    }

    fn int_compare(&mut self, condition: IntCC) {
        let [x, y] = self.pop_n();
        let result = self.builder.ins().icmp(condition, x, y);
        self.push_bool(result);
    }

    fn float_compare(&mut self, condition: FloatCC) {
        let [x, y] = self.pop_n();
        let result = self.builder.ins().fcmp(condition, x, y);
        self.push_bool(result);
    }

    /// Pushes a CLIF boolean (8 bits) as the wasm integer that it is.
    pub(super) fn push_bool(&mut self, value: Value) {
        let value = self.builder.ins().uextend(types::I32, value);
        self.push(value);
    }

    fn sign_extend(&mut self, from: Type, to: Type) {
        let x = self.pop();
        let narrow = self.builder.ins().ireduce(from, x);
        let value = self.builder.ins().sextend(to, narrow);
        self.push(value);
    }
}

type Ins<'s, 'f> = cranelift_frontend::FuncInstBuilder<'s, 'f>;
