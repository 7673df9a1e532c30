//! The functions that the result needs: those that can be called from outside, at its start or through a reference, and
//! what they call. Of a library, most programs use a part.

use super::Unit;
use super::bind::{Bound, Entity};
use super::start::initialize;
use crate::error::Result;
use aot_abi::module::{ConstOp, ElementItems};
use aot_abi::types::EntityKind;
use rayon::prelude::*;
use wasmparser::Operator;

/// Whether the result needs the functions of each unit, by unit and index. Imports are not looked at: they stay.
///
/// # Errors
/// If a body is invalid.
pub(super) fn live(units: &[Unit<'_>], bound: &Bound) -> Result<Vec<Vec<bool>>> {
    let mut live: Vec<Vec<bool>> = units.iter().map(|unit| vec![false; unit.info.funcs.len()]).collect();
    let mut found: Vec<Entity> = Vec::new();
    for (unit, spaces) in units.iter().zip(&bound.spaces) {
        found.extend(roots(unit).into_iter().map(|func| spaces.funcs[func as usize]));
    }
    while !found.is_empty() {
        let mut new: Vec<(usize, u32)> = Vec::new();
        for entity in found {
            if let Entity::Defined { unit, index } = entity
                && !std::mem::replace(&mut live[unit as usize][index as usize], true)
            {
                new.push((unit as usize, index));
            }
        }
        let next: Vec<Result<Vec<Entity>>> = new
            .into_par_iter()
            .map(|(unit, index)| {
                let body = &units[unit].bodies[(index - units[unit].info.imported_funcs) as usize];
                let funcs = named(body).map_err(|error| error.in_file(units[unit].file))?;
                Ok(funcs.into_iter().map(|func| bound.spaces[unit].funcs[func as usize]).collect())
            })
            .collect();
        found = next.into_iter().collect::<Result<Vec<_>>>()?.concat();
    }
    Ok(live)
}

/// The functions of a unit that are needed, whatever its bodies do.
fn roots(unit: &Unit<'_>) -> Vec<u32> {
    let info = &unit.info;
    let mut roots: Vec<u32> = info.start.into_iter().chain(initialize(unit)).collect();
    if unit.name.is_none() || unit.reexport {
        let funcs = info.exports.iter().filter(|export| export.kind == EntityKind::Func);
        roots.extend(funcs.map(|export| export.index));
    }
    let mut expr = |expr: &Vec<ConstOp>| {
        roots.extend(expr.iter().filter_map(|op| match op {
            ConstOp::RefFunc(func) => Some(*func),
            _ => None,
        }));
    };
    info.globals.iter().filter_map(|global| global.init.as_ref()).for_each(&mut expr);
    info.tables.iter().filter_map(|table| table.init.as_ref()).for_each(&mut expr);
    for segment in &info.elements {
        if let ElementItems::Expressions(items) = &segment.items {
            items.iter().for_each(&mut expr);
        }
    }
    for segment in &info.elements {
        if let ElementItems::Functions(items) = &segment.items {
            roots.extend(items);
        }
    }
    roots
}

/// The functions that a body calls, or takes references to.
fn named(body: &wasmparser::FunctionBody<'_>) -> Result<Vec<u32>> {
    let mut funcs = Vec::new();
    for operator in body.get_operators_reader()? {
        if let Operator::Call { function_index }
        | Operator::ReturnCall { function_index }
        | Operator::RefFunc { function_index } = operator?
        {
            funcs.push(function_index);
        }
    }
    funcs.sort_unstable();
    funcs.dedup();
    Ok(funcs)
}
