//! Works around a bug of the reference: `wasmi` 2.0.0 fuses `i32.eqz` (or a comparison with zero) of a local with the
//! `select` after it, and then reads the condition from the wrong register.
//!
//! An `i32.popcnt` in between changes nothing, since it is zero where its operand is, and prevents the fusion. Only
//! the reference gets the changed module. Remove this when a release without the bug is there.

use wasm_encoder::reencode::{Error, Reencode, RoundtripReencoder};
use wasm_encoder::{CodeSection, Instruction, Module};
use wasmparser::{FunctionBody, Parser};

/// Adds an `i32.popcnt` before each `select`.
///
/// # Errors
/// If the module cannot be parsed.
pub(crate) fn separate_selects(wasm: &[u8]) -> Result<Vec<u8>, String> {
    let mut module = Module::new();
    let result = Separate.parse_core_module(&mut module, Parser::new(0), wasm);
    result.map_err(|error| error.to_string())?;
    Ok(module.finish())
}

struct Separate;

impl Reencode for Separate {
    type Error = <RoundtripReencoder as Reencode>::Error;

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        func: FunctionBody<'_>,
    ) -> Result<(), Error<Self::Error>> {
        let mut function = self.new_function_with_parsed_locals(&func)?;
        let mut reader = func.get_operators_reader()?;
        while !reader.eof() {
            let instruction = self.parse_instruction(&mut reader)?;
            if matches!(instruction, Instruction::Select | Instruction::TypedSelect(_)) {
                function.instruction(&Instruction::I32Popcnt);
            }
            function.instruction(&instruction);
        }
        code.function(&function);
        Ok(())
    }
}
