use super::*;
use crate::module::{CodeRange, Global, HostTrampoline, Table};
use crate::module::{Entry, TypedEntry};
use crate::types::{Export, Import};
use alloc::format;
use alloc::string::String;
use alloc::vec;

const PARTS: Parts = Parts { text: 100, data: 10, memory: 65536 };

/// One of everything: functions 0 (imported), 1 and 2; code at 0, 10, 20 (entry), 40 (entry), 60 (host) and 80 (typed entry).
fn valid() -> Module {
    let limits = |min, max| Limits { min, max: Some(max) };
    let import = |name: &str, ty| Import { module: String::from("env"), name: String::from(name), ty };
    let export = |name: &str, kind, index| Export { name: String::from(name), kind, index };
    let active = |offset| SegmentMode::Active {
        target: 0,
        offset: vec![ConstOp::GlobalGet(0), offset, ConstOp::I32Add],
    };
    Module {
        types: vec![
            FuncType::default(),
            FuncType { params: vec![ValType::I64], results: vec![ValType::F32] },
        ],
        imports: vec![
            import("f", EntityType::Func(1)),
            import("g", EntityType::Global(GlobalType { content: ValType::I32, mutable: false })),
        ],
        funcs: vec![0, 1],
        tables: vec![Table {
            ty: TableType { element: ValType::FuncRef, limits: limits(2, 3) },
            init: vec![ConstOp::RefNull],
        }],
        memories: vec![MemoryType { limits: limits(2, 4) }],
        globals: vec![Global {
            ty: GlobalType { content: ValType::I32, mutable: true },
            init: vec![ConstOp::GlobalGet(0), ConstOp::I32Const(3), ConstOp::I32Sub],
        }],
        exports: vec![
            export("f", EntityKind::Func, 2),
            export("t", EntityKind::Table, 0),
            export("m", EntityKind::Memory, 0),
            export("g", EntityKind::Global, 1),
        ],
        start: Some(1),
        elements: vec![
            ElementSegment {
                mode: active(ConstOp::I32Const(1)),
                ty: ValType::FuncRef,
                items: ElementItems::Functions(vec![0, 2]),
            },
            ElementSegment {
                mode: SegmentMode::Passive,
                ty: ValType::FuncRef,
                items: ElementItems::Expressions(vec![vec![ConstOp::RefFunc(0)], vec![ConstOp::RefNull]]),
            },
        ],
        data: vec![
            DataSegment { mode: active(ConstOp::I32Const(1)), offset: 0, len: 4 },
            DataSegment { mode: SegmentMode::Passive, offset: 4, len: 6 },
        ],
        escaped: vec![0, 2],
        entries: vec![
            Entry { type_index: 0, code_offset: 20, pad_offset: 30, frame_size: 64 },
            Entry { type_index: 1, code_offset: 40, pad_offset: 59, frame_size: 64 },
        ],
        typed_entries: vec![TypedEntry { func: 2, code_offset: 80, pad_offset: 99, frame_size: 64 }],
        host_trampolines: vec![HostTrampoline { type_index: 1, code_offset: 60 }],
        import_shims: vec![],
        import_memories: vec![Some(0)],
        memory_image: Some(MemoryImage { offset: 65536, len: 65536 }),
    }
}

fn ranges() -> Vec<CodeRange<'static>> {
    let range = |(offset, len)| CodeRange { offset, len, traps: &[], name: Some("x") };
    [(0, 10), (10, 10), (20, 20), (40, 20), (60, 20), (80, 20)].map(range).to_vec()
}

fn validate(module: &Module, ranges: &[CodeRange<'_>], parts: &Parts) -> Result<(), String> {
    let bytes = module.encode(ranges);
    let description = Description::new(&bytes).unwrap();
    assert_eq!(description.module().as_ref(), Ok(module));
    module.validate(&description, parts).map_err(|invalid| format!("{invalid}"))
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Module), expected: &str) {
    let mut module = valid();
    change(&mut module);
    assert_eq!(validate(&module, &ranges(), &PARTS), Err(String::from(expected)));
}

#[test]
fn sense_is_accepted() {
    assert_eq!(validate(&valid(), &ranges(), &PARTS), Ok(()));
    let nothing = Parts { text: 0, data: 0, memory: 0 };
    assert_eq!(validate(&Module::default(), &[], &nothing), Ok(()));
}

#[test]
fn indices_stay_in_their_lists() {
    refused(|m| m.funcs[1] = 2, "function 2: there is no such type");
    refused(|m| m.imports[0].ty = EntityType::Func(9), "function 0: there is no such type");
    refused(|m| m.exports[0].index = 1, "export 0: there is no such entity");
    refused(|m| m.exports[1].index = 1, "export 1: there is no such entity");
    refused(|m| m.exports[2].index = u32::MAX, "export 2: there is no such entity");
    refused(|m| m.exports[3].name = String::from("m"), "export 3: its name is taken");
    refused(|m| m.start = Some(2), "start function 0: it is not of type [] -> []");
    refused(|m| m.start = Some(u32::MAX), "start function 0: it is not of type [] -> []");
    refused(|m| m.escaped[1] = 3, "escaping function 1: there is no such function");
    refused(|m| m.escaped = vec![2, 0], "escaping function 1: it is out of order");
    refused(
        |m| m.elements[0].items = ElementItems::Functions(vec![1]),
        "element segment 0: there is no such function",
    );
    refused(|m| m.data[1].len = 7, "data segment 1: its bytes lie outside of the data");
    refused(|m| m.data[1].offset = u32::MAX, "data segment 1: its bytes lie outside of the data");
    refused(|m| m.import_memories = vec![Some(1)], "memory of import 0: there is no such memory");
    refused(|m| m.import_memories = vec![None; 2], "memory of import 0: not every import has one");
    refused(|m| m.data[1].mode = SegmentMode::Declared, "data segment 1: it is of no use");
    let nowhere = || SegmentMode::Active { target: 1, offset: vec![ConstOp::I32Const(0)] };
    refused(|m| m.data[0].mode = nowhere(), "data segment 0: there is nothing to copy it to");
    refused(|m| m.elements[0].mode = nowhere(), "element segment 0: there is nothing to copy it to");
}

#[test]
fn sizes_are_possible() {
    let many = vec![ValType::I32; MAX_VALUES + 1];
    refused(|m| m.types[1].params = many.clone(), "type 1: too many parameters or results");
    refused(|m| m.tables[0].ty.limits.min = 4, "table 0: its minimum is larger than its maximum");
    refused(|m| m.tables[0].ty.limits.max = Some(1 << 32), "table 0: it is too large");
    refused(|m| m.memories[0].limits = Limits { min: 65537, max: None }, "memory 0: it is too large");
    refused(|m| m.memories[0].limits.max = Some(u64::MAX), "memory 0: it is too large");
    refused(|m| m.tables[0].ty.element = ValType::I32, "table 0: its elements are no references");
    refused(|m| m.elements[0].ty = ValType::I32, "element segment 0: its elements are no references");
    refused(
        |m| m.elements[1].ty = ValType::ExternRef,
        "element segment 1: it does not leave one value of its type",
    );
    refused(|m| m.elements[0].ty = ValType::ExternRef, "element segment 0: there is nothing to copy it to");
}

#[test]
fn constant_expressions_have_types() {
    let global = |init: &[ConstOp], reason: &str| {
        refused(|m| m.globals[0].init = init.to_vec(), &format!("initial value of global 0: {reason}"));
    };
    let left = "it does not leave one value of its type";
    global(&[], left);
    global(&[ConstOp::I64Const(1)], left);
    global(&[ConstOp::I32Const(1), ConstOp::I32Const(1)], left);
    global(&[ConstOp::RefNull], left);
    global(&[ConstOp::I32Const(1), ConstOp::I32Add], "an operand of it has another type");
    global(&[ConstOp::RefNull, ConstOp::RefNull, ConstOp::I32Add], "an operand of it has another type");
    // Only what comes before it, and does not change.
    global(&[ConstOp::GlobalGet(1)], "it refers to a global that is not there");
    global(&[ConstOp::GlobalGet(u32::MAX)], "it refers to a global that is not there");
    refused(
        |m| m.tables[0].init = vec![ConstOp::RefFunc(1)],
        "initial value of table 0: it refers to a function that is not there",
    );
    let mutable = |m: &mut Module| {
        m.data[1].mode = SegmentMode::Active { target: 0, offset: vec![ConstOp::GlobalGet(1)] };
    };
    refused(mutable, "data segment 1: it refers to a global that is not there");
}

#[test]
fn the_image_of_memory_fits() {
    let image = |offset, len, reason: &str| {
        refused(
            |m| m.memory_image = Some(MemoryImage { offset, len }),
            &format!("image of memory 0: {reason}"),
        );
    };
    image(1, 65536, "it does not consist of pages");
    image(0, 0, "it does not consist of pages");
    image(0, 131072, "its bytes are not as many");
    image(131072, 65536, "it is larger than the memory");
    image(u64::MAX - 65535, 65536, "it is larger than the memory");
    refused(|m| m.memory_image = None, "image of memory 0: the description has none");
    let imported = |m: &mut Module| {
        let ty = EntityType::Memory(m.memories[0]);
        m.imports.push(Import { module: String::new(), name: String::new(), ty });
    };
    refused(imported, "image of memory 0: it is larger than the memory");
}

#[test]
fn code_is_where_it_is_said_to_be() {
    let code = |change: &dyn Fn(&mut Vec<CodeRange<'static>>), expected: &str| {
        let mut ranges = ranges();
        change(&mut ranges);
        assert_eq!(validate(&valid(), &ranges, &PARTS), Err(String::from(expected)));
    };
    code(&|ranges| ranges[5].len = 21, "code range 5: it lies outside of the code");
    code(&|ranges| ranges[5].len = u32::MAX, "code range 5: it lies outside of the code");
    code(&|ranges| ranges[1].len = 11, "code range 2: it is out of order");
    code(&|ranges| ranges[1].len = 0, "escaping function 1: it has no code");
    code(&|ranges| ranges[0].len = 0, "start function 0: it has no code");
    code(&|ranges| ranges.truncate(1), "code range 1: functions without code");
    let entry = |change: fn(&mut Entry), reason: &str| {
        refused(|m| change(&mut m.entries[1]), &format!("entry trampoline 1: {reason}"));
    };
    let not_a_start = "it is not where a trampoline starts";
    entry(|entry| entry.code_offset = 41, not_a_start);
    entry(|entry| entry.code_offset = 100, not_a_start);
    // A function is none.
    entry(|entry| entry.code_offset = 10, not_a_start);
    entry(|entry| entry.pad_offset = 60, "its landing pad lies outside of it");
    entry(|entry| entry.pad_offset = 39, "its landing pad lies outside of it");
    entry(|entry| entry.frame_size = u32::MAX, "its frame is too large");
    entry(|entry| entry.type_index = 2, "there is no such type");
    entry(|entry| entry.type_index = 0, "it is out of order");
    let typed = "typed entry trampoline 0:";
    refused(|m| m.typed_entries[0].pad_offset = 100, &format!("{typed} its landing pad lies outside of it"));
    refused(|m| m.typed_entries[0].code_offset = 81, &format!("{typed} {not_a_start}"));
    refused(|m| m.typed_entries[0].func = 0, &format!("{typed} its function is imported"));
    refused(|m| m.typed_entries[0].func = 3, &format!("{typed} there is no such function"));
    refused(|m| m.types[1].results.push(ValType::I32), &format!("{typed} C has no such type"));
    refused(|m| m.host_trampolines[0].code_offset = 59, &format!("host trampoline 0: {not_a_start}"));
    refused(|m| m.import_shims = vec![60, 60], "import shim 2: not one for each import");
    refused(|m| m.import_shims = vec![61], "import shim 0: it is not where a function starts");
}

#[test]
fn every_call_has_its_trampoline() {
    refused(|m| m.entries.truncate(1), "escaping function 0: its type has no entry trampoline");
    let without_first = |m: &mut Module| {
        m.entries.remove(0);
    };
    refused(without_first, "start function 0: its type has no entry trampoline");
    refused(|m| m.host_trampolines.clear(), "imported function 0: its type has no host trampoline");
    // Types are what they are, not where they stand.
    let mut module = valid();
    module.types.push(module.types[1].clone());
    module.entries[1].type_index = 2;
    assert_eq!(validate(&module, &ranges(), &PARTS), Ok(()));
}
