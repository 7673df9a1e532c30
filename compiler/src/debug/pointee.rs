//! Types of what pointers in the guest's memory point to.
//!
//! Such a pointer counts from the start of the linear memory. The type of its target says so: its data is at the
//! address plus that of the memory. gdb follows that for structures, unions, arrays and subranges; scalars become
//! subranges of themselves. The types of variables stay as they are.
//!
//! lldb knows no such thing, and no pointers that are smaller than those of the machine. It takes what `DW_AT_signature` refers
//! to in place of a type that has one; gdb does not for pointers. So such a pointer refers to a number with the name of the
//! pointer's type: an enumeration without names for values, which lldb prints in hexadecimal digits.

use super::entries::is_wrapper;
use gimli::constants as dw;
use gimli::write::{AttributeValue, Expression, StringTable, Unit, UnitEntryId};
use std::collections::HashMap;

/// Entries that lie in each other, or types that are named after each other.
const MAX_DEPTH: usize = 32;

/// Entries of one type that are copied.
const MAX_COPIED: usize = 4096;

/// Bytes of the name of a pointer's type.
const MAX_NAME: usize = 200;

/// What the names of pointers begin with that are numbers: lldb confuses types of the same name.
const NUMBER: &str = "wasm32 ";

/// Where the linear memory starts.
#[derive(Clone, Copy)]
pub(super) enum Memory {
    Address(u64),
    /// Where a word at an address says.
    Cell(u64),
    /// Where the location of an entry says, which depends on the code that runs.
    Entry(UnitEntryId),
}

/// Gives the targets of some pointers types that say where their data is.
pub(super) fn add_locations(unit: &mut Unit, pointers: &[UnitEntryId], memory: Memory) {
    let mut targets = Targets { unit, memory, known: HashMap::new() };
    for pointer in pointers {
        let Some(target) = targets.reference(*pointer, dw::DW_AT_type) else { continue };
        let located = targets.located(target, 0);
        targets.unit.get_mut(*pointer).set(dw::DW_AT_type, AttributeValue::UnitRef(located));
    }
}

/// Says what pointers are for who does not follow them: numbers with `bytes` bytes.
pub(super) fn add_numbers(unit: &mut Unit, strings: &mut StringTable, pointers: &[UnitEntryId], bytes: u64) {
    let mut numbers: HashMap<Vec<u8>, UnitEntryId> = HashMap::new();
    for pointer in pointers {
        let name = name(unit, strings, Some(*pointer), 0);
        let number = numbers.entry(name).or_insert_with_key(|name| {
            let number = unit.add(unit.root(), dw::DW_TAG_enumeration_type);
            let entry = unit.get_mut(number);
            let name = strings.add([NUMBER.as_bytes(), name].concat());
            entry.set(dw::DW_AT_name, AttributeValue::StringRef(name));
            entry.set(dw::DW_AT_byte_size, AttributeValue::Udata(bytes));
            number
        });
        unit.get_mut(*pointer).set(dw::DW_AT_signature, AttributeValue::UnitRef(*number));
    }
}

/// The name of a type, as C writes it where it has none of its own.
fn name(unit: &Unit, strings: &StringTable, ty: Option<UnitEntryId>, depth: usize) -> Vec<u8> {
    let Some(entry) = ty.map(|ty| unit.get(ty)) else { return b"void".to_vec() };
    if let Some(AttributeValue::StringRef(name)) = entry.get(dw::DW_AT_name) {
        let name = strings.get(*name);
        return name[..name.len().min(MAX_NAME)].to_vec();
    }
    let inner = match entry.get(dw::DW_AT_type) {
        _ if depth == MAX_DEPTH => return b"?".to_vec(),
        Some(AttributeValue::UnitRef(inner)) => Some(*inner),
        _ => None,
    };
    let (before, after) = match entry.tag() {
        dw::DW_TAG_pointer_type => ("", " *"),
        dw::DW_TAG_reference_type => ("", " &"),
        dw::DW_TAG_rvalue_reference_type => ("", " &&"),
        dw::DW_TAG_const_type => ("const ", ""),
        dw::DW_TAG_volatile_type => ("volatile ", ""),
        dw::DW_TAG_array_type => ("", "[]"),
        dw::DW_TAG_subroutine_type => ("", "()"),
        tag if is_wrapper(tag) => ("", ""),
        _ => return b"?".to_vec(),
    };
    let inner = name(unit, strings, inner, depth + 1);
    // `**` has no space in it.
    let after = if inner.ends_with(b"*") { after.trim_start() } else { after };
    [before.as_bytes(), &inner, after.as_bytes()].concat()
}

struct Targets<'u> {
    unit: &'u mut Unit,
    memory: Memory,
    known: HashMap<UnitEntryId, UnitEntryId>,
}

impl Targets<'_> {
    fn reference(&self, entry: UnitEntryId, name: gimli::DwAt) -> Option<UnitEntryId> {
        match self.unit.get(entry).get(name) {
            Some(AttributeValue::UnitRef(other)) => Some(*other),
            _ => None,
        }
    }

    /// A type with the same contents that says where its data is; the type itself if there is none.
    fn located(&mut self, ty: UnitEntryId, depth: usize) -> UnitEntryId {
        if let Some(known) = self.known.get(&ty) {
            return *known;
        }
        if depth > MAX_DEPTH {
            return ty;
        }
        let entry = self.unit.get(ty);
        let tag = entry.tag();
        let is_complete = entry.get(dw::DW_AT_declaration).is_none();
        let located = match tag {
            dw::DW_TAG_structure_type
            | dw::DW_TAG_class_type
            | dw::DW_TAG_union_type
            | dw::DW_TAG_array_type
                if is_complete =>
            {
                self.copy(ty)
            }
            dw::DW_TAG_base_type => self.subrange(ty).unwrap_or(ty),
            tag if is_wrapper(tag) => match self.reference(ty, dw::DW_AT_type) {
                Some(inner) => {
                    let located = self.located(inner, depth + 1);
                    match located == inner {
                        true => ty,
                        false => self.wrapper(ty, located),
                    }
                }
                None => ty,
            },
            _ => ty,
        };
        self.known.insert(ty, located);
        located
    }

    fn add_location(&mut self, entry: UnitEntryId) {
        let mut expression = Expression::new();
        expression.op(dw::DW_OP_push_object_address);
        match self.memory {
            Memory::Address(address) => expression.op_plus_uconst(address),
            Memory::Cell(address) => {
                expression.op_constu(address);
                expression.op_deref();
                expression.op(dw::DW_OP_plus);
            }
            Memory::Entry(entry) => {
                expression.op_call(entry);
                expression.op(dw::DW_OP_plus);
            }
        }
        self.unit.get_mut(entry).set(dw::DW_AT_data_location, AttributeValue::Exprloc(expression));
    }

    /// Copies a type with what its data consists of.
    fn copy(&mut self, ty: UnitEntryId) -> UnitEntryId {
        let parent = self.unit.get(ty).parent().unwrap_or(self.unit.root());
        let mut copies = Vec::new();
        let copy = self.copy_tree(ty, parent, &mut copies, 0);
        // What refers to a part of the type refers to its copy.
        let of: HashMap<UnitEntryId, UnitEntryId> = copies.iter().copied().collect();
        for (_, copy) in &copies {
            for attribute in self.unit.get_mut(*copy).attrs_mut() {
                if let AttributeValue::UnitRef(target) = attribute.get()
                    && *target != ty
                    && let Some(target) = of.get(target)
                {
                    attribute.set(AttributeValue::UnitRef(*target));
                }
            }
        }
        self.add_location(copy);
        copy
    }

    fn copy_tree(
        &mut self,
        from: UnitEntryId,
        parent: UnitEntryId,
        copies: &mut Vec<(UnitEntryId, UnitEntryId)>,
        depth: usize,
    ) -> UnitEntryId {
        let entry = self.unit.get(from);
        let tag = entry.tag();
        let attributes: Vec<_> =
            entry.attrs().map(|attribute| (attribute.name(), attribute.get().clone())).collect();
        let parts: Vec<UnitEntryId> = entry.children().copied().collect();
        let to = self.unit.add(parent, tag);
        for (name, value) in attributes {
            self.unit.get_mut(to).set(name, value);
        }
        copies.push((from, to));
        for part in parts {
            let is_data = matches!(
                self.unit.get(part).tag(),
                dw::DW_TAG_member
                    | dw::DW_TAG_inheritance
                    | dw::DW_TAG_variant_part
                    | dw::DW_TAG_variant
                    | dw::DW_TAG_subrange_type
                    | dw::DW_TAG_template_type_parameter
            );
            if is_data && depth < MAX_DEPTH && copies.len() < MAX_COPIED {
                self.copy_tree(part, to, copies, depth + 1);
            }
        }
        to
    }

    /// A type with another one's name or qualifier.
    fn wrapper(&mut self, ty: UnitEntryId, inner: UnitEntryId) -> UnitEntryId {
        let parent = self.unit.get(ty).parent().unwrap_or(self.unit.root());
        let entry = self.unit.get(ty);
        let tag = entry.tag();
        let name = entry.get(dw::DW_AT_name).cloned();
        let to = self.unit.add(parent, tag);
        let entry = self.unit.get_mut(to);
        entry.set(dw::DW_AT_type, AttributeValue::UnitRef(inner));
        if let Some(name) = name {
            entry.set(dw::DW_AT_name, name);
        }
        to
    }

    /// All values of an integer type, under its name.
    fn subrange(&mut self, ty: UnitEntryId) -> Option<UnitEntryId> {
        let entry = self.unit.get(ty);
        let size = match entry.get(dw::DW_AT_byte_size)? {
            AttributeValue::Data1(size) => u64::from(*size),
            AttributeValue::Udata(size) => *size,
            _ => return None,
        };
        let is_signed = match entry.get(dw::DW_AT_encoding)? {
            AttributeValue::Encoding(dw::DW_ATE_signed | dw::DW_ATE_signed_char) => true,
            AttributeValue::Encoding(dw::DW_ATE_unsigned | dw::DW_ATE_unsigned_char) => false,
            _ => return None,
        };
        let bits = match size {
            1 | 2 | 4 => size * 8,
            _ => return None,
        };
        let (low, high) = match is_signed {
            true => (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1),
            false => (0, (1i64 << bits) - 1),
        };
        let name = entry.get(dw::DW_AT_name)?.clone();
        let root = self.unit.root();
        let range = self.unit.add(root, dw::DW_TAG_subrange_type);
        let entry = self.unit.get_mut(range);
        entry.set(dw::DW_AT_type, AttributeValue::UnitRef(ty));
        entry.set(dw::DW_AT_byte_size, AttributeValue::Udata(size));
        entry.set(dw::DW_AT_lower_bound, AttributeValue::Sdata(low));
        entry.set(dw::DW_AT_upper_bound, AttributeValue::Sdata(high));
        self.add_location(range);
        // gdb asks the types of Rust for their sizes without looking behind names.
        let language = self.unit.get(root).get(dw::DW_AT_language);
        if matches!(language, Some(AttributeValue::Language(dw::DW_LANG_Rust))) {
            self.unit.get_mut(range).set(dw::DW_AT_name, name);
            return Some(range);
        }
        let named = self.unit.add(root, dw::DW_TAG_typedef);
        let entry = self.unit.get_mut(named);
        entry.set(dw::DW_AT_name, name);
        entry.set(dw::DW_AT_type, AttributeValue::UnitRef(range));
        Some(named)
    }
}
