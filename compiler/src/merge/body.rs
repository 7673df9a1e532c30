//! Function bodies in the index spaces of the result.

use super::Unit;
use super::number::{DEAD, Numbers};
use crate::error::{Error, Result};
use crate::module::SourceOffsets;
use rayon::prelude::*;
use std::collections::BTreeSet;
use wasm_encoder as out;
use wasm_encoder::reencode::{self, Reencode};
use wasmparser::{FunctionBody, Operator};

/// A body in the index spaces of the result.
pub(super) struct Body {
    /// Locals and instructions, without their length.
    pub bytes: Vec<u8>,
    /// Functions that it takes references to: the result has to declare them.
    pub referenced: BTreeSet<u32>,
    pub offsets: SourceOffsets,
}

/// Renumbers the bodies of a unit that are live, in index order.
///
/// # Errors
/// If a body is invalid.
pub(super) fn reencode_bodies(unit: &Unit<'_>, numbers: &Numbers, live: &[bool]) -> Result<Vec<Body>> {
    let imported = unit.info.imported_funcs;
    let bodies: Vec<Result<Body>> = unit
        .bodies
        .par_iter()
        .enumerate()
        .map(|(index, body)| (imported + index as u32, body))
        .filter(|(func, _)| live[*func as usize])
        .map(|(func, body)| {
            let body = reencode_body(body, numbers);
            body.map_err(|error| error.in_function(func, unit.info.func_name(func)).in_file(unit.file))
        })
        .collect();
    bodies.into_iter().collect()
}

fn reencode_body(body: &FunctionBody<'_>, numbers: &Numbers) -> Result<Body> {
    let internal = |error: reencode::Error<Missing>| Error::internal(format!("cannot renumber: {error}"));
    let mut renumber = Renumber { numbers, referenced: BTreeSet::new() };
    let mut function = renumber.new_function_with_parsed_locals(body).map_err(internal)?;
    let mut offsets = SourceOffsets::default();
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        offsets.add(function.byte_len() as u64, reader.original_position());
        let operator = reader.read()?;
        function.instruction(&renumber.instruction(operator).map_err(internal)?);
    }
    Ok(Body { bytes: function.into_raw_body(), referenced: renumber.referenced, offsets })
}

/// An index that the validator has accepted, and that stands for nothing.
#[derive(Debug)]
struct Missing(u32);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there is nothing with index {}", self.0)
    }
}

impl std::error::Error for Missing {}

struct Renumber<'n> {
    numbers: &'n Numbers,
    referenced: BTreeSet<u32>,
}

type Renumbered<T> = std::result::Result<T, reencode::Error<Missing>>;

fn find(numbers: &[u32], index: u32) -> Renumbered<u32> {
    let number = numbers.get(index as usize).copied().filter(|number| *number != DEAD);
    number.ok_or(reencode::Error::UserError(Missing(index)))
}

impl Reencode for Renumber<'_> {
    type Error = Missing;

    fn type_index(&mut self, index: u32) -> Renumbered<u32> {
        find(&self.numbers.types, index)
    }

    fn function_index(&mut self, index: u32) -> Renumbered<u32> {
        find(&self.numbers.funcs, index)
    }

    fn table_index(&mut self, index: u32) -> Renumbered<u32> {
        find(&self.numbers.tables, index)
    }

    fn memory_index(&mut self, index: u32) -> Renumbered<u32> {
        find(&self.numbers.memories, index)
    }

    fn global_index(&mut self, index: u32) -> Renumbered<u32> {
        find(&self.numbers.globals, index)
    }

    fn element_index(&mut self, index: u32) -> Renumbered<u32> {
        Ok(self.numbers.first_element + index)
    }

    fn data_index(&mut self, index: u32) -> Renumbered<u32> {
        Ok(self.numbers.first_data + index)
    }

    fn instruction<'a>(&mut self, operator: Operator<'a>) -> Renumbered<out::Instruction<'a>> {
        if let Operator::RefFunc { function_index } = operator {
            let func = self.function_index(function_index)?;
            self.referenced.insert(func);
        }
        reencode::utils::instruction(self, operator)
    }
}
