//! The trap codes: why a guest stopped.
//!
//! The messages are those of the official specification tests, so that a test's expectation is a prefix match.

/// Why execution of wasm code stopped. The discriminants are stored in trap tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TrapCode {
    /// The `unreachable` instruction.
    Unreachable = 1,
    /// A load, store or bulk operation outside linear memory.
    MemoryOutOfBounds = 2,
    /// A table access outside the table.
    TableOutOfBounds = 3,
    /// `call_indirect` with an index outside the table.
    UndefinedElement = 4,
    /// `call_indirect` of a null entry.
    UninitializedElement = 5,
    /// `call_indirect` of a function of another type.
    IndirectCallTypeMismatch = 6,
    /// An integer result that its type cannot hold (`i32.div_s`, float to integer).
    IntegerOverflow = 7,
    /// Division or remainder by zero.
    IntegerDivideByZero = 8,
    /// Conversion of NaN to an integer.
    InvalidConversionToInteger = 9,
    /// The stack is used up.
    StackOverflow = 10,
    /// A null reference where a value is needed.
    NullReference = 11,
    /// A call of an import that was bound to nothing.
    UnknownImport = 12,
    /// A host function failed.
    HostFunction = 13,
    /// The host stopped the guest from outside.
    Interrupt = 14,
    /// The guest has used up the fuel that the host gave it.
    OutOfFuel = 15,
}

impl TrapCode {
    /// Every trap code, in the order of the discriminants.
    pub const ALL: [TrapCode; 15] = [
        TrapCode::Unreachable,
        TrapCode::MemoryOutOfBounds,
        TrapCode::TableOutOfBounds,
        TrapCode::UndefinedElement,
        TrapCode::UninitializedElement,
        TrapCode::IndirectCallTypeMismatch,
        TrapCode::IntegerOverflow,
        TrapCode::IntegerDivideByZero,
        TrapCode::InvalidConversionToInteger,
        TrapCode::StackOverflow,
        TrapCode::NullReference,
        TrapCode::UnknownImport,
        TrapCode::HostFunction,
        TrapCode::Interrupt,
        TrapCode::OutOfFuel,
    ];

    /// The code with this discriminant, if there is one.
    pub fn from_u8(value: u8) -> Option<TrapCode> {
        Self::ALL.get(usize::from(value).checked_sub(1)?).copied()
    }

    /// The message of the specification tests for this trap.
    pub fn message(self) -> &'static str {
        match self {
            TrapCode::Unreachable => "unreachable",
            TrapCode::MemoryOutOfBounds => "out of bounds memory access",
            TrapCode::TableOutOfBounds => "out of bounds table access",
            TrapCode::UndefinedElement => "undefined element",
            TrapCode::UninitializedElement => "uninitialized element",
            TrapCode::IndirectCallTypeMismatch => "indirect call type mismatch",
            TrapCode::IntegerOverflow => "integer overflow",
            TrapCode::IntegerDivideByZero => "integer divide by zero",
            TrapCode::InvalidConversionToInteger => "invalid conversion to integer",
            TrapCode::StackOverflow => "call stack exhausted",
            TrapCode::NullReference => "null reference",
            TrapCode::UnknownImport => "call of an unknown import",
            TrapCode::HostFunction => "host function failed",
            TrapCode::Interrupt => "interrupted",
            TrapCode::OutOfFuel => "all fuel consumed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TrapCode;

    #[test]
    fn discriminants_round_trip() {
        for code in TrapCode::ALL {
            assert_eq!(TrapCode::from_u8(code as u8), Some(code));
        }
        assert_eq!(TrapCode::from_u8(0), None);
        assert_eq!(TrapCode::from_u8(TrapCode::ALL.len() as u8 + 1), None);
    }
}
