//! Recognises functions that multiply two 64-bit numbers to 128 bits by products of their halves.
//!
//! WebAssembly has no such instruction, so programs with 128-bit arithmetic (cryptography, decimal conversion) carry
//! the support function `__multi3` of their compiler. Names may be stripped: it is recognised by what it computes. The
//! two values that it stores are brought to a normal form and compared with that of the known algorithms.

use super::ssa;
use cranelift_codegen::cursor::{Cursor as _, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Function, Inst, InstBuilder, InstructionData, Opcode, Value, ValueDef, types};
use std::collections::HashMap;

/// Functions with more instructions are not looked at.
const MAX_INSTS: usize = 120;

/// Replaces the products of halves if `function` is of this kind. `(p, a_low, a_high, b_low, b_high)` are its last
/// parameters, and it stores the low 64 bits of `a * b` at `p`, the high ones after them.
pub(crate) fn widen_multiplication(function: &mut Function) {
    let Some(Stores { low, high }) = find(function) else { return };
    let params = function.dfg.block_params(function.layout.entry_block().expect("found above"));
    let [a_low, a_high, b_low, b_high] = params[params.len() - 4..] else { return };
    let first = if function.layout.pp_cmp(low, high).is_lt() { low } else { high };
    let mut cursor = FuncCursor::new(function).at_inst(first);
    let low_product = cursor.ins().imul(a_low, b_low);
    let carried = cursor.ins().umulhi(a_low, b_low);
    let cross = cursor.ins().imul(a_low, b_high);
    let other_cross = cursor.ins().imul(a_high, b_low);
    let sum = cursor.ins().iadd(carried, cross);
    let high_product = cursor.ins().iadd(sum, other_cross);
    for (store, value) in [(low, low_product), (high, high_product)] {
        if let InstructionData::Store { args, .. } = &mut function.dfg.insts[store] {
            args[0] = value;
        }
    }
    remove_unused(function);
}

struct Stores {
    low: Inst,
    high: Inst,
}

/// The stores of the two halves of the product.
fn find(function: &Function) -> Option<Stores> {
    let entry = function.layout.entry_block()?;
    let params = function.dfg.block_params(entry);
    let types: Vec<_> = function.signature.params.iter().map(|param| param.value_type).collect();
    if !types.ends_with(&[types::I32, types::I64, types::I64, types::I64, types::I64])
        || !function.signature.returns.is_empty()
        || function.dfg.num_insts() > MAX_INSTS
    {
        return None;
    }
    let mut terms = Terms::default();
    let mut named = Vec::new();
    for (number, param) in (0..4).zip(&params[params.len() - 4..]) {
        let term = terms.intern(Form::Param(number));
        terms.of_value.insert(*param, term);
        named.push(term);
    }
    let mut stores = Vec::new();
    for (position, block) in function.layout.blocks().enumerate() {
        for inst in function.layout.block_insts(block) {
            match function.dfg.insts[inst] {
                InstructionData::Store { opcode: Opcode::Store, args: [value, address], offset, .. } => {
                    stores.push((
                        inst,
                        terms.value(function, value)?,
                        terms.value(function, address)?,
                        i32::from(offset),
                    ));
                }
                // The body is one block, and another one that returns.
                InstructionData::Jump { .. } if position == 0 => {}
                InstructionData::MultiAry { opcode: Opcode::Return, .. } => {}
                data if data.opcode().is_branch() || data.opcode().is_call() || data.opcode().can_store() => {
                    return None;
                }
                _ => {}
            }
        }
    }
    stores.sort_by_key(|store| store.3);
    let [(low, low_value, address, offset), (high, high_value, other_address, other_offset)] = stores[..]
    else {
        return None;
    };
    let is_pair = address == other_address && other_offset.checked_sub(offset) == Some(8);
    let is_product = is_pair && algorithms(&mut terms, &named).contains(&(low_value, high_value));
    is_product.then_some(Stores { low, high })
}

/// A number of an interned form.
type Term = u32;

/// What a value is computed from. Zero extensions are left out: they don't change a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    /// One of `a_low, a_high, b_low, b_high`.
    Param(u32),
    /// Any other parameter.
    Other(Value),
    Constant(u64),
    /// A field that never changes.
    Field(Term, i32),
    /// Of any number of terms, sorted.
    Sum(Vec<Term>),
    /// Sorted.
    Product(Term, Term),
    And(Term, Term),
    Or(Term, Term),
    ShiftLeft(Term, Term),
    ShiftRight(Term, Term),
    /// 1 if the first is smaller, as numbers without sign.
    Less(Term, Term),
}

#[derive(Default)]
struct Terms {
    numbers: HashMap<Form, Term>,
    forms: Vec<Form>,
    of_value: HashMap<Value, Term>,
}

impl Terms {
    fn intern(&mut self, form: Form) -> Term {
        *self.numbers.entry(form.clone()).or_insert_with(|| {
            self.forms.push(form);
            self.forms.len() as Term - 1
        })
    }

    fn constant(&mut self, value: u64) -> Term {
        self.intern(Form::Constant(value))
    }

    fn sum(&mut self, terms: &[Term]) -> Term {
        let mut parts = Vec::new();
        for term in terms {
            match &self.forms[*term as usize] {
                Form::Sum(inner) => parts.extend_from_slice(inner),
                _ => parts.push(*term),
            }
        }
        parts.sort_unstable();
        self.intern(Form::Sum(parts))
    }

    fn product(&mut self, x: Term, y: Term) -> Term {
        self.intern(Form::Product(x.min(y), x.max(y)))
    }

    fn and(&mut self, x: Term, y: Term) -> Term {
        self.intern(Form::And(x.min(y), x.max(y)))
    }

    fn or(&mut self, x: Term, y: Term) -> Term {
        self.intern(Form::Or(x.min(y), x.max(y)))
    }

    /// The term of a value; `None` if it uses what no algorithm needs.
    fn value(&mut self, function: &Function, value: Value) -> Option<Term> {
        let value = function.dfg.resolve_aliases(value);
        if let Some(term) = self.of_value.get(&value) {
            return Some(*term);
        }
        let term = match function.dfg.value_def(value) {
            ValueDef::Result(inst, 0) => self.result(function, inst)?,
            ValueDef::Param(..) => self.intern(Form::Other(value)),
            _ => return None,
        };
        self.of_value.insert(value, term);
        Some(term)
    }

    fn result(&mut self, function: &Function, inst: Inst) -> Option<Term> {
        let data = function.dfg.insts[inst];
        match data {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => {
                return Some(self.constant(imm.bits() as u64));
            }
            InstructionData::Unary { opcode: Opcode::Uextend, arg } => return self.value(function, arg),
            InstructionData::UnaryGlobalValue { .. } => {
                return Some(self.intern(Form::Other(function.dfg.first_result(inst))));
            }
            InstructionData::Load { opcode: Opcode::Load, flags, arg, offset }
                if function.dfg.mem_flags[flags].readonly() =>
            {
                let base = self.value(function, arg)?;
                return Some(self.intern(Form::Field(base, i32::from(offset))));
            }
            _ => {}
        }
        let [x, y] = *function.dfg.inst_args(inst) else { return None };
        let (x, y) = (self.value(function, x)?, self.value(function, y)?);
        Some(match data {
            InstructionData::IntCompare { cond: IntCC::UnsignedLessThan, .. } => {
                self.intern(Form::Less(x, y))
            }
            InstructionData::IntCompare { cond: IntCC::UnsignedGreaterThan, .. } => {
                self.intern(Form::Less(y, x))
            }
            InstructionData::Binary { opcode, .. } => match opcode {
                Opcode::Iadd => self.sum(&[x, y]),
                Opcode::Imul => self.product(x, y),
                Opcode::Band => self.and(x, y),
                Opcode::Bor => self.or(x, y),
                Opcode::Ishl => self.intern(Form::ShiftLeft(x, y)),
                Opcode::Ushr => self.intern(Form::ShiftRight(x, y)),
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// The low and high words of the product of `[a_low, a_high, b_low, b_high]`, as the known algorithms compute them.
fn algorithms(terms: &mut Terms, params: &[Term]) -> Vec<(Term, Term)> {
    let [a, a_high, b, b_high] = *params else { return Vec::new() };
    let (half, mask) = (terms.constant(32), terms.constant(0xffff_ffff));
    let right = |terms: &mut Terms, x| terms.intern(Form::ShiftRight(x, half));
    let left = |terms: &mut Terms, x| terms.intern(Form::ShiftLeft(x, half));
    let (a0, b0) = (terms.and(a, mask), terms.and(b, mask));
    let (a1, b1) = (right(terms, a), right(terms, b));
    let (lowest, highest) = (terms.product(a0, b0), terms.product(a1, b1));
    let crosses = [terms.product(a0, b1), terms.product(a1, b0)];
    let above = [terms.product(a, b_high), terms.product(a_high, b)];

    let mut results = Vec::new();
    for [first, second] in [crosses, [crosses[1], crosses[0]]] {
        // Knuth's algorithm M with halves as digits: one product after the other, with its carry.
        let carry = right(terms, lowest);
        let t = terms.sum(&[carry, first]);
        let t_low = terms.and(t, mask);
        let u = terms.sum(&[t_low, second]);
        let (t_high, u_high, u_low) = (right(terms, t), right(terms, u), left(terms, u));
        let lowest_digit = terms.and(lowest, mask);
        let high = terms.sum(&[above[0], above[1], highest, t_high, u_high]);
        results.push((terms.or(u_low, lowest_digit), high));
        results.push((terms.sum(&[u_low, lowest_digit]), high));

        // The sum of both cross products, with its carry; then the sum of the low words, with its carry.
        let cross = terms.sum(&[first, second]);
        let carry = terms.intern(Form::Less(cross, first));
        let (carry, cross_high, cross_low) = (left(terms, carry), right(terms, cross), left(terms, cross));
        let low = terms.sum(&[lowest, cross_low]);
        for middle in [terms.or(carry, cross_high), terms.sum(&[carry, cross_high])] {
            for addend in [lowest, cross_low] {
                let low_carry = terms.intern(Form::Less(low, addend));
                results.push((low, terms.sum(&[above[0], above[1], highest, middle, low_carry])));
            }
        }
    }
    results
}

/// Takes operations without effect whose results nobody uses out of the function.
fn remove_unused(function: &mut Function) {
    let mut insts: Vec<Inst> = Vec::new();
    for block in function.layout.blocks() {
        insts.extend(function.layout.block_insts(block));
    }
    let mut uses: HashMap<Value, u32> = HashMap::new();
    for inst in &insts {
        for value in function.dfg.inst_values(*inst) {
            *uses.entry(function.dfg.resolve_aliases(value)).or_default() += 1;
        }
    }
    // Users come after what they use.
    for inst in insts.into_iter().rev() {
        let opcode = function.dfg.insts[inst].opcode();
        let is_pure = !ssa::has_effect(opcode);
        let is_used = function
            .dfg
            .inst_results(inst)
            .iter()
            .any(|value| uses.get(value).is_some_and(|count| *count > 0));
        if is_pure && !is_used {
            for value in function.dfg.inst_values(inst).collect::<Vec<_>>() {
                if let Some(count) = uses.get_mut(&function.dfg.resolve_aliases(value)) {
                    *count -= 1;
                }
            }
            function.layout.remove_inst(inst);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Config, Model, Target, compile};

    /// The support function as two compilers write it; `{cross}` and `{carry}` make variants of the second.
    const KNUTH: &str = "
        (i64.store offset=8 (local.get 0)
          (i64.add (i64.add (i64.add
            (i64.add (i64.mul (local.get 4) (local.get 1)) (i64.mul (local.get 2) (local.get 3)))
            (i64.mul (local.tee 4 (i64.shr_u (local.get 3) (i64.const 32))) (local.tee 2 (i64.shr_u (local.get 1) (i64.const 32)))))
            (i64.shr_u (local.tee 3 (i64.add
              (i64.shr_u (local.tee 5 (i64.mul
                (local.tee 3 (i64.and (local.get 3) (i64.const 4294967295)))
                (local.tee 1 (i64.and (local.get 1) (i64.const 4294967295))))) (i64.const 32))
              (i64.mul (local.get 3) (local.get 2)))) (i64.const 32)))
            (i64.shr_u (local.tee 3 (i64.add (i64.and (local.get 3) (i64.const 4294967295))
              (i64.mul (local.get 4) (local.get 1)))) (i64.const 32))))
        (i64.store (local.get 0)
          (i64.or (i64.shl (local.get 3) (i64.const 32)) (i64.and (local.get 5) (i64.const MASK))))";

    const SUMS: &str = "
        (i64.store (local.get 0)
          (local.tee 9 (i64.add
            (local.tee 5 (i64.mul (local.tee 5 (i64.and (local.get 3) (i64.const 4294967295)))
                                  (local.tee 6 (i64.and (local.get 1) (i64.const 4294967295)))))
            (i64.shl
              (local.tee 7 (i64.add
                (local.tee 6 (i64.mul (local.tee 8 (i64.shr_u (local.get 3) (i64.const 32))) (local.get 6)))
                (i64.mul (i64.and (local.get 3) (i64.const 4294967295)) (local.tee 10 (i64.shr_u (local.get 1) (i64.const 32))))))
              (i64.const 32)))))
        (i64.store offset=8 (local.get 0)
          (i64.add
            (i64.add
              (i64.add (i64.mul (local.get 8) (local.get 10))
                (i64.or (i64.shl (i64.extend_i32_u (i64.lt_u (local.get 7) (local.get 6))) (i64.const 32))
                        (i64.shr_u (local.get 7) (i64.const 32))))
              (i64.extend_i32_u (i64.lt_u (local.get 9) (local.get 5))))
            (i64.add (i64.mul (local.get 4) (local.get 1)) (i64.mul (local.get 3) (local.get 2)))))";

    fn asm(body: &str, model: Model) -> String {
        let text = format!(
            "(module (memory 1) (func (export \"f\") (param i32 i64 i64 i64 i64)
               (local i64 i64 i64 i64 i64 i64) {body}))"
        );
        let wasm = wat::parse_str(text).unwrap();
        let target = Target::host().unwrap();
        let config = Config { model, keep_asm: true, ..Config::executable(target, |_, _| None) };
        compile(&wasm, &config).unwrap().asm().to_owned()
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn algorithms_are_recognised() {
        for model in [Model::Static, Model::Instance] {
            for body in [&KNUTH.replace("MASK", "4294967295"), SUMS] {
                let asm = asm(body, model);
                // Three products of 64 bits and their sum are left.
                assert!(asm.matches("mul").count() <= 4 && !asm.contains("shr"), "{asm}");
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn what_is_only_similar_is_left_alone() {
        for body in [
            KNUTH.replace("MASK", "4294967294"),
            SUMS.replacen("offset=8", "offset=16", 1),
            SUMS.replacen("i64.lt_u (local.get 9)", "i64.gt_u (local.get 9)", 1),
            SUMS.replace("(i64.mul (local.get 4) (local.get 1))", "(i64.mul (local.get 4) (local.get 2))"),
            format!("{SUMS} (i32.store offset=4 (local.get 0) (i32.const 1))"),
        ] {
            let asm = asm(&body, Model::Static);
            assert!(asm.contains("shr"), "{asm}");
        }
    }
}
