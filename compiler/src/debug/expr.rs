//! Location expressions of the module → expressions for the machine.
//!
//! The module's expressions compute with addresses of its linear memory, and with locals and globals of wasm. Here each
//! value on the expression's stack is known to be a number of the guest or an address of the machine; where one is wanted and
//! the other is there, the address of the memory is added or subtracted.

use super::function::{VMCTX, ValuePlace, is_operand};
use super::input::Slice;
use gimli::read::{self, Operation};
use gimli::write::{Address, Expression, UnitEntryId};
use gimli::{Encoding, Register, constants as dw};

/// Operations of one expression that are looked at.
const MAX_OPERATIONS: usize = 256;

/// Where the state of the instance is that code belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// The static model: the memory, and the first cell of the globals that the module defines.
    Fixed { memory: u64, globals: u64 },
    /// The same with a memory that moves: the address of the word that says where it is.
    Cell { memory: u64, globals: u64 },
    /// The instance model: bytes from the VM context to the address of the memory, and to the globals.
    Context { memory: u32, globals: u32 },
    /// In memories and globals of others.
    Elsewhere,
}

/// The state that expressions of a module refer to.
#[derive(Debug)]
pub(crate) struct State {
    pub base: Base,
    /// What the globals of the module have become, if it was linked to others.
    pub linked_globals: Option<Vec<u32>>,
    /// Globals that the module imports; they have no known place.
    pub imported_globals: u32,
    pub global_size: u32,
    /// Bytes of an address of the machine.
    pub address_size: u8,
    pub frame: FrameBase,
}

/// What places in the frame of a function are counted from. [`ValuePlace::Frame`] counts from the canonical frame address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameBase {
    /// From there, which debuggers find by DWARF's unwind tables.
    Canonical,
    /// From the frame pointer, for systems that have none. The register, as DWARF numbers it.
    Pointer { register: u16 },
}

/// What the expressions of a function, or of a unit outside of functions, go by.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s> {
    pub state: &'s State,
    /// Bytes from the frame pointer up to the canonical frame address, if the function has a frame pointer.
    pub frame_size: Option<i64>,
    /// An entry of the unit whose location is the address of the memory, wherever its code is running.
    pub memory: Option<UnitEntryId>,
}

/// Bytes of an address of the guest.
pub(super) const GUEST_ADDRESS: u8 = 4;

/// What an expression is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Where a variable is.
    Location,
    /// Where the frame of a function is in the memory of the guest.
    FrameBase,
    /// The value of a variable that is a pointer of the guest, as an address of the machine; null stays null.
    Pointer,
    /// The same for a variable that is a pointer and a number behind it, each as a piece.
    Slice,
}

/// What is on the stack of the expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    /// A number of the guest.
    Guest,
    /// The same, with bits above that mean nothing.
    Wide,
    /// An address of the machine.
    Machine,
}

/// The operations of an expression. Places in the frame count from what `frame_base` says, if it is there: the function is
/// inlined, and the frame of the one around it is another. Operands become locals with the numbers that `operand` gives them,
/// by where in the variable the piece is that they are in, and by their places. Nothing if they are damaged, or too many.
pub(super) fn operations<'a>(
    expression: &read::Expression<Slice<'a>>,
    encoding: Encoding,
    frame_base: Option<&[Operation<Slice<'a>>]>,
    mut operand: impl FnMut(u64, u32) -> Option<u32>,
) -> Option<Vec<Operation<Slice<'a>>>> {
    let mut operations = expression.operations(encoding);
    let mut list = Vec::new();
    let mut piece = 0u64;
    while let Some(operation) = operations.next().ok()? {
        if let Operation::Piece { size_in_bits, .. } = operation {
            piece = piece.checked_add(size_in_bits)?;
        }
        match (operation, frame_base) {
            (Operation::FrameOffset { offset }, Some(base)) => {
                let base = base.strip_suffix(&[Operation::StackValue]).unwrap_or(base);
                list.extend(base);
                list.extend([Operation::SignedConstant { value: offset }, Operation::Plus]);
            }
            (Operation::WasmStack { index }, _) => {
                list.push(Operation::WasmLocal { index: operand(piece, index)? });
            }
            (Operation::WasmLocal { index }, _) if is_operand(index) || index == VMCTX => return None,
            _ => list.push(operation),
        }
        if list.len() > MAX_OPERATIONS {
            return None;
        }
    }
    Some(list)
}

/// The values that an expression needs: locals, operands, and perhaps the VM context.
pub(super) fn needed(list: &[Operation<Slice<'_>>], state: &State) -> Vec<u32> {
    let local = |operation: &Operation<_>| match operation {
        Operation::WasmLocal { index } => Some(*index),
        _ => None,
    };
    let mut needed: Vec<u32> = list.iter().filter_map(local).collect();
    if matches!(state.base, Base::Context { .. }) {
        needed.push(VMCTX);
    }
    needed.sort_unstable();
    needed.dedup();
    needed
}

/// Converts an expression, given where values are. `None` if it says what cannot be said of the machine.
pub(super) fn convert(
    list: &[Operation<Slice<'_>>],
    scope: Scope<'_>,
    want: Want,
    place: impl Fn(u32) -> Option<ValuePlace>,
) -> Option<Expression> {
    if want == Want::Location
        && let Some(whole) = whole(list, scope, &place)
    {
        return Some(whole);
    }
    let mut converter = Converter { scope, place, out: Expression::new(), stack: Vec::new() };
    if want == Want::Slice {
        converter.slice(list)?;
        return Some(converter.out);
    }
    let mut list = list.iter().copied().peekable();
    let mut has_pieces = false;
    let mut is_value = false;
    while let Some(operation) = list.next() {
        match operation {
            Operation::StackValue if list.peek().is_none() && !has_pieces => is_value = true,
            Operation::StackValue => {
                converter.top_as_guest()?;
                converter.out.op(dw::DW_OP_stack_value);
                converter.stack.clear();
            }
            Operation::ImplicitValue { data } => {
                converter.out.op_implicit_value(data.slice().into());
                converter.stack.clear();
            }
            Operation::Piece { size_in_bits, bit_offset: None } if size_in_bits % 8 == 0 => {
                if !converter.stack.is_empty() {
                    converter.top_as_address()?;
                }
                converter.out.op_piece(size_in_bits / 8);
                converter.stack.clear();
                has_pieces = true;
            }
            other => converter.operation(other)?,
        }
    }
    match want {
        Want::Location if has_pieces || converter.stack.is_empty() => {}
        _ if has_pieces || converter.stack.is_empty() => return None,
        Want::Location if is_value => {
            converter.top_as_guest()?;
            converter.out.op(dw::DW_OP_stack_value);
        }
        Want::Location | Want::FrameBase => converter.top_as_address()?,
        Want::Pointer => converter.pointer(is_value)?,
        Want::Slice => return None,
    }
    Some(converter.out)
}

/// A whole local, or data at a fixed place: the debugger can change these.
fn whole(
    list: &[Operation<Slice<'_>>],
    scope: Scope<'_>,
    place: &impl Fn(u32) -> Option<ValuePlace>,
) -> Option<Expression> {
    let mut expression = Expression::new();
    match (list, scope.state.base) {
        ([Operation::WasmLocal { index }, Operation::StackValue], _) => match place(*index)? {
            ValuePlace::Register(register) => expression.op_reg(Register(register)),
            ValuePlace::Frame(offset) => frame_address(&mut expression, scope, offset)?,
        },
        // The linker has dropped it.
        ([Operation::Address { address }], _) if *address == u64::from(u32::MAX) => return None,
        ([Operation::Address { address }], Base::Fixed { memory, .. }) => {
            expression.op_addr(Address::Constant(memory.checked_add(*address)?));
        }
        _ => return None,
    }
    Some(expression)
}

/// Computes the address of the memory from the VM context, which is in a place.
pub(super) fn memory(scope: Scope<'_>, place: ValuePlace) -> Option<Expression> {
    let place = |value| (value == VMCTX).then_some(place);
    let mut converter = Converter { scope, place, out: Expression::new(), stack: Vec::new() };
    converter.push_base()?;
    Some(converter.out)
}

/// Pushes the address of a place in the frame.
fn frame_address(out: &mut Expression, scope: Scope<'_>, offset: i64) -> Option<()> {
    match scope.state.frame {
        FrameBase::Canonical => {
            out.op(dw::DW_OP_call_frame_cfa);
            out.op_consts(offset);
            out.op(dw::DW_OP_plus);
        }
        FrameBase::Pointer { register } => out.op_breg(Register(register), scope.frame_size? + offset),
    }
    Some(())
}

struct Converter<'s, P> {
    scope: Scope<'s>,
    place: P,
    out: Expression,
    stack: Vec<Item>,
}

impl<P: Fn(u32) -> Option<ValuePlace>> Converter<'_, P> {
    fn operation(&mut self, operation: Operation<Slice<'_>>) -> Option<()> {
        use Operation as O;
        match operation {
            O::Address { address } if address == u64::from(u32::MAX) => return None,
            // gdb takes a number at the start of what it cannot compute for an address of its own.
            O::Address { address } if let Some(memory) = self.scope.memory => {
                self.out.op_call(memory);
                self.out.op_plus_uconst(address);
                self.stack.push(Item::Machine);
            }
            O::Address { address } => {
                self.out.op_constu(address);
                self.stack.push(Item::Guest);
            }
            O::UnsignedConstant { value } => {
                self.out.op_constu(value);
                self.stack.push(Item::Guest);
            }
            O::SignedConstant { value } => {
                self.out.op_consts(value);
                self.stack.push(Item::Guest);
            }
            O::FrameOffset { offset } => {
                self.out.op_fbreg(offset);
                self.stack.push(Item::Machine);
            }
            O::WasmLocal { index } => {
                self.value(index)?;
                self.stack.push(Item::Wide);
            }
            O::WasmGlobal { index } => {
                self.global(index)?;
                self.stack.push(Item::Guest);
            }
            O::PlusConstant { value } => {
                self.stack.last()?;
                self.out.op_plus_uconst(value);
            }
            O::Deref { size, space: false, .. } => {
                self.top_as_address()?;
                self.stack.pop();
                self.out.op_deref_size(size.min(GUEST_ADDRESS));
                self.stack.push(Item::Guest);
            }
            O::Plus | O::Minus => {
                let second = self.stack.pop()?;
                let first = self.stack.pop()?;
                let is_plus = matches!(operation, O::Plus);
                let result = match (first, second) {
                    (Item::Machine, Item::Machine) if is_plus => return None,
                    (Item::Machine, Item::Machine) => Item::Guest,
                    (Item::Machine, _) => Item::Machine,
                    (_, Item::Machine) if is_plus => Item::Machine,
                    (_, Item::Machine) => return None,
                    (Item::Guest, Item::Guest) => Item::Guest,
                    _ => Item::Wide,
                };
                self.out.op(if is_plus { dw::DW_OP_plus } else { dw::DW_OP_minus });
                self.stack.push(result);
            }
            O::And => self.binary(dw::DW_OP_and)?,
            O::Or => self.binary(dw::DW_OP_or)?,
            O::Xor => self.binary(dw::DW_OP_xor)?,
            O::Mul => self.binary(dw::DW_OP_mul)?,
            O::Div => self.binary(dw::DW_OP_div)?,
            O::Mod => self.binary(dw::DW_OP_mod)?,
            O::Shl => self.binary(dw::DW_OP_shl)?,
            O::Shr => self.binary(dw::DW_OP_shr)?,
            O::Shra => self.binary(dw::DW_OP_shra)?,
            O::Eq => self.binary(dw::DW_OP_eq)?,
            O::Ne => self.binary(dw::DW_OP_ne)?,
            O::Lt => self.binary(dw::DW_OP_lt)?,
            O::Le => self.binary(dw::DW_OP_le)?,
            O::Gt => self.binary(dw::DW_OP_gt)?,
            O::Ge => self.binary(dw::DW_OP_ge)?,
            O::Neg => self.unary(dw::DW_OP_neg)?,
            O::Not => self.unary(dw::DW_OP_not)?,
            O::Abs => self.unary(dw::DW_OP_abs)?,
            O::Nop => {}
            O::Drop => {
                self.stack.pop()?;
                self.out.op(dw::DW_OP_drop);
            }
            O::Swap => {
                let len = self.stack.len().checked_sub(2)?;
                self.stack.swap(len, len + 1);
                self.out.op(dw::DW_OP_swap);
            }
            O::Pick { index } => {
                let at = self.stack.len().checked_sub(usize::from(index) + 1)?;
                self.stack.push(self.stack[at]);
                self.out.op_pick(index);
            }
            // What only a running program, or another kind of machine, could tell.
            _ => return None,
        }
        Some(())
    }

    /// Makes what is on top, or the pointer of the guest that lies there, an address of the machine as a value.
    fn pointer(&mut self, is_value: bool) -> Option<()> {
        if is_value {
            self.top_as_guest()?;
            if self.stack.pop()? == Item::Wide {
                self.clear_high_bits();
            }
        } else {
            self.top_as_address()?;
            self.out.op_deref_size(GUEST_ADDRESS);
        }
        for opcode in [dw::DW_OP_dup, dw::DW_OP_lit0, dw::DW_OP_ne] {
            self.out.op(opcode);
        }
        self.push_base()?;
        for opcode in [dw::DW_OP_mul, dw::DW_OP_plus, dw::DW_OP_stack_value] {
            self.out.op(opcode);
        }
        Some(())
    }

    /// Converts the place of a pointer and a number: one after the other in memory, or a piece each.
    fn slice(&mut self, list: &[Operation<Slice<'_>>]) -> Option<()> {
        const BITS: u64 = 8 * GUEST_ADDRESS as u64;
        let machine_bytes = u64::from(self.scope.state.address_size);
        let is_piece = |operation: &Operation<_>| match operation {
            Operation::Piece { size_in_bits, bit_offset } => *size_in_bits == BITS && bit_offset.is_none(),
            _ => false,
        };
        let mut parts = list.split(|operation| is_piece(operation));
        match (parts.next()?, parts.next(), parts.next()) {
            (place, None, _) => {
                self.pushed(place)?;
                self.pointer(false)?;
                self.out.op_piece(machine_bytes);
                self.stack.clear();
                self.pushed(place)?;
                self.top_as_address()?;
                self.out.op_plus_uconst(u64::from(GUEST_ADDRESS));
            }
            (pointer, Some(number), Some([])) => {
                let is_value = self.pushed(pointer)?;
                self.pointer(is_value)?;
                self.out.op_piece(machine_bytes);
                self.stack.clear();
                match self.pushed(number)? {
                    true => {
                        self.top_as_guest()?;
                        self.out.op(dw::DW_OP_stack_value);
                    }
                    false => self.top_as_address()?,
                }
            }
            _ => return None,
        }
        self.out.op_piece(u64::from(GUEST_ADDRESS));
        Some(())
    }

    /// Converts operations that leave an address, or, as `true` says, a value.
    fn pushed(&mut self, list: &[Operation<Slice<'_>>]) -> Option<bool> {
        let (list, is_value) = match list {
            [list @ .., Operation::StackValue] => (list, true),
            list => (list, false),
        };
        for operation in list {
            self.operation(*operation)?;
        }
        (self.stack.len() == 1).then_some(is_value)
    }

    fn unary(&mut self, opcode: gimli::DwOp) -> Option<()> {
        self.top_as_guest()?;
        self.out.op(opcode);
        Some(())
    }

    fn binary(&mut self, opcode: gimli::DwOp) -> Option<()> {
        self.top_as_guest()?;
        let second = self.stack.pop()?;
        if *self.stack.last()? == Item::Machine {
            return None;
        }
        let first = self.stack.pop()?;
        self.out.op(opcode);
        let is_wide = [first, second].contains(&Item::Wide);
        self.stack.push(if is_wide { Item::Wide } else { Item::Guest });
        Some(())
    }

    /// Pushes a value of wasm, or the VM context.
    fn value(&mut self, value: u32) -> Option<()> {
        match (self.place)(value)? {
            ValuePlace::Register(register) => self.out.op_breg(Register(register), 0),
            ValuePlace::Frame(offset) => {
                frame_address(&mut self.out, self.scope, offset)?;
                self.out.op_deref();
            }
        }
        Some(())
    }

    /// Pushes a global, which holds 32 bits.
    fn global(&mut self, index: u32) -> Option<()> {
        let state = self.scope.state;
        let index = match &state.linked_globals {
            Some(globals) => *globals.get(usize::try_from(index).ok()?)?,
            None => index,
        };
        let offset = index.checked_sub(state.imported_globals)?.checked_mul(state.global_size)?;
        match state.base {
            Base::Fixed { globals, .. } | Base::Cell { globals, .. } => {
                self.out.op_constu(globals + u64::from(offset))
            }
            Base::Context { globals, .. } => {
                self.value(VMCTX)?;
                self.out.op_plus_uconst(u64::from(globals) + u64::from(offset));
            }
            Base::Elsewhere => return None,
        }
        self.out.op_deref_size(GUEST_ADDRESS);
        Some(())
    }

    fn clear_high_bits(&mut self) {
        self.out.op_constu(u64::from(u32::MAX));
        self.out.op(dw::DW_OP_and);
    }

    fn push_base(&mut self) -> Option<()> {
        match self.scope.state.base {
            Base::Fixed { memory, .. } => self.out.op_constu(memory),
            Base::Cell { memory, .. } => {
                self.out.op_constu(memory);
                self.out.op_deref();
            }
            Base::Context { memory, .. } => match self.scope.memory {
                Some(entry) => self.out.op_call(entry),
                None => {
                    self.value(VMCTX)?;
                    self.out.op_plus_uconst(u64::from(memory));
                    self.out.op_deref();
                }
            },
            Base::Elsewhere => return None,
        }
        Some(())
    }

    /// Makes what is on top an address of the machine.
    fn top_as_address(&mut self) -> Option<()> {
        let item = self.stack.pop()?;
        if item == Item::Wide {
            self.clear_high_bits();
        }
        if item != Item::Machine {
            match self.scope.state.base {
                Base::Fixed { memory, .. } => self.out.op_plus_uconst(memory),
                Base::Cell { .. } | Base::Context { .. } | Base::Elsewhere => {
                    self.push_base()?;
                    self.out.op(dw::DW_OP_plus);
                }
            }
        }
        self.stack.push(Item::Machine);
        Some(())
    }

    /// Makes what is on top a number of the guest.
    fn top_as_guest(&mut self) -> Option<()> {
        let item = self.stack.pop()?;
        if item == Item::Machine {
            self.push_base()?;
            self.out.op(dw::DW_OP_minus);
        }
        self.stack.push(if item == Item::Machine { Item::Guest } else { item });
        Some(())
    }
}
