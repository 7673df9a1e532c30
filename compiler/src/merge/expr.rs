//! Constant expressions in the index spaces of the result.
//!
//! A module can use the globals that it imports in constant expressions, and no others. What was an import may be a
//! definition now: then its value takes its place.

use super::Unit;
use super::bind::{Bound, Entity};
use super::number::Numbers;
use crate::error::{Error, ErrorKind, Result};
use aot_abi::module::{ConstExpr, ConstOp};

/// Instructions of the longest expression: each module may use a global of the one before it many times.
const MAX_OPS: usize = 1 << 16;

/// The expressions of all units, resolved.
pub(super) struct Exprs<'a> {
    units: &'a [Unit<'a>],
    bound: &'a Bound,
    numbers: &'a [Numbers],
    /// Initial values of the globals that units define, by unit and index; empty for those that they import.
    globals: Vec<Vec<ConstExpr>>,
}

impl<'a> Exprs<'a> {
    /// Resolves the initial values of all globals.
    ///
    /// # Errors
    /// If an expression becomes too long.
    pub fn new(units: &'a [Unit<'a>], bound: &'a Bound, numbers: &'a [Numbers]) -> Result<Exprs<'a>> {
        let mut exprs = Exprs { units, bound, numbers, globals: Vec::new() };
        // A global can only refer to those of units before it, and to earlier ones of its own.
        for (at, unit) in units.iter().enumerate() {
            exprs.globals.push(Vec::new());
            for global in &unit.info.globals {
                let init = match &global.init {
                    Some(init) => exprs.resolve(at, init)?,
                    None => ConstExpr::new(),
                };
                exprs.globals[at].push(init);
            }
        }
        Ok(exprs)
    }

    /// The initial value of a global that a unit defines.
    pub fn global(&self, unit: usize, index: u32) -> &ConstExpr {
        &self.globals[unit][index as usize]
    }

    /// An expression of a unit: a constant, if it can be computed now.
    ///
    /// # Errors
    /// If it becomes too long.
    pub fn resolve(&self, unit: usize, expr: &[ConstOp]) -> Result<ConstExpr> {
        let numbers = &self.numbers[unit];
        let mut ops = ConstExpr::new();
        for op in expr {
            match *op {
                ConstOp::GlobalGet(global) => match self.bound.spaces[unit].globals[global as usize] {
                    Entity::Import(_) => ops.push(ConstOp::GlobalGet(numbers.globals[global as usize])),
                    Entity::Defined { unit, index } => {
                        ops.extend_from_slice(self.global(unit as usize, index))
                    }
                },
                ConstOp::RefFunc(func) => ops.push(ConstOp::RefFunc(numbers.funcs[func as usize])),
                op => ops.push(op),
            }
            if ops.len() > MAX_OPS {
                let message = format!(
                    "a constant expression has more than {MAX_OPS} instructions with the values of imported globals"
                );
                return Err(Error::new(ErrorKind::Limit, message).in_file(self.units[unit].file));
            }
        }
        Ok(fold(&ops).map_or(ops, |op| vec![op]))
    }
}

/// Computes an expression of integers that needs no instance.
fn fold(expr: &[ConstOp]) -> Option<ConstOp> {
    let mut stack = Vec::new();
    for op in expr {
        let result = match *op {
            ConstOp::I32Const(_) | ConstOp::I64Const(_) => *op,
            _ => match (*op, stack.pop()?, stack.pop()?) {
                (ConstOp::I32Add, ConstOp::I32Const(y), ConstOp::I32Const(x)) => {
                    ConstOp::I32Const(x.wrapping_add(y))
                }
                (ConstOp::I32Sub, ConstOp::I32Const(y), ConstOp::I32Const(x)) => {
                    ConstOp::I32Const(x.wrapping_sub(y))
                }
                (ConstOp::I32Mul, ConstOp::I32Const(y), ConstOp::I32Const(x)) => {
                    ConstOp::I32Const(x.wrapping_mul(y))
                }
                (ConstOp::I64Add, ConstOp::I64Const(y), ConstOp::I64Const(x)) => {
                    ConstOp::I64Const(x.wrapping_add(y))
                }
                (ConstOp::I64Sub, ConstOp::I64Const(y), ConstOp::I64Const(x)) => {
                    ConstOp::I64Const(x.wrapping_sub(y))
                }
                (ConstOp::I64Mul, ConstOp::I64Const(y), ConstOp::I64Const(x)) => {
                    ConstOp::I64Const(x.wrapping_mul(y))
                }
                _ => return None,
            },
        };
        stack.push(result);
    }
    stack.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_computed() {
        use ConstOp::*;
        for (expr, expected) in [
            (&[I32Const(7)][..], Some(I32Const(7))),
            (&[I32Const(3), I32Const(5), I32Sub], Some(I32Const(-2))),
            (&[I32Const(i32::MAX), I32Const(1), I32Add, I32Const(2), I32Mul], Some(I32Const(0))),
            (&[I64Const(1), I64Const(i64::MIN), I64Const(-1), I64Mul, I64Add], Some(I64Const(i64::MIN + 1))),
            (&[GlobalGet(0)], None),
            (&[GlobalGet(0), I32Const(1), I32Add], None),
            (&[I32Const(1), GlobalGet(0), I32Add], None),
            (&[RefFunc(1)], None),
            (&[RefNull], None),
            (&[F32Const(1)], None),
        ] {
            assert_eq!(fold(expr), expected, "{expr:?}");
        }
    }
}
