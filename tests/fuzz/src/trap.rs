//! Why a call did not return, as both engines can say it.

use aot_abi::trap::TrapCode;

/// The kind of a trap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    Unreachable,
    Memory,
    /// Also a `call_indirect` outside the table, which the reference does not tell apart.
    Table,
    IndirectCallToNull,
    IndirectCallType,
    IntegerOverflow,
    DivideByZero,
    InvalidConversion,
    StackOverflow,
    Host,
    /// What no case should come to.
    Other(String),
}

impl From<TrapCode> for Trap {
    fn from(code: TrapCode) -> Trap {
        match code {
            TrapCode::Unreachable => Trap::Unreachable,
            TrapCode::MemoryOutOfBounds => Trap::Memory,
            TrapCode::TableOutOfBounds | TrapCode::UndefinedElement => Trap::Table,
            TrapCode::UninitializedElement => Trap::IndirectCallToNull,
            TrapCode::IndirectCallTypeMismatch => Trap::IndirectCallType,
            TrapCode::IntegerOverflow => Trap::IntegerOverflow,
            TrapCode::IntegerDivideByZero => Trap::DivideByZero,
            TrapCode::InvalidConversionToInteger => Trap::InvalidConversion,
            TrapCode::StackOverflow => Trap::StackOverflow,
            TrapCode::HostFunction => Trap::Host,
            code => Trap::Other(format!("{code:?}")),
        }
    }
}

impl From<wasmi::TrapCode> for Trap {
    fn from(code: wasmi::TrapCode) -> Trap {
        use wasmi::TrapCode as Code;
        match code {
            Code::UnreachableCodeReached => Trap::Unreachable,
            Code::MemoryOutOfBounds => Trap::Memory,
            Code::TableOutOfBounds => Trap::Table,
            Code::IndirectCallToNull => Trap::IndirectCallToNull,
            Code::BadSignature => Trap::IndirectCallType,
            Code::IntegerOverflow => Trap::IntegerOverflow,
            Code::IntegerDivisionByZero => Trap::DivideByZero,
            Code::BadConversionToInteger => Trap::InvalidConversion,
            Code::StackOverflow => Trap::StackOverflow,
            code => Trap::Other(format!("{code:?}")),
        }
    }
}
