//! Debug information that is damaged: whatever it says, the compiler makes the same code of the module, in bounded time,
//! and never panics.

use aot_compiler::{Config, DebugInfo, OptLevel, Target, compile};
use aot_fuzz::Random;
use gimli::write::{
    Address, AttributeValue, Dwarf, EndianVec, Expression, LineProgram, LineString, Location, LocationList,
    Range, RangeList, Sections, Unit, UnitEntryId,
};
use gimli::{Encoding, Format, LineEncoding, LittleEndian, constants as dw};

const CHANGES: u64 = 10_000;

const MODULE: &str = r#"(module
  (memory (export "memory") 1)
  (global $__stack_pointer (mut i32) (i32.const 1024))
  (func $sum (export "sum") (param i32 i32) (result i32) (local $frame i32)
    (local.set $frame (i32.sub (global.get 0) (i32.const 16)))
    (i32.store (local.get $frame) (local.get 0))
    (i32.store offset=4 (local.get $frame) (local.get 1))
    (if (local.get 0) (then (i32.store offset=8 (local.get $frame) (call $twice (local.get 1)))))
    (i32.add (i32.load (local.get $frame)) (i32.load offset=8 (local.get $frame))))
  (func $twice (param i32) (result i32)
    (i32.mul (local.get 0) (i32.const 2))))"#;

/// A module, and its debug sections.
type Parts = (Vec<u8>, Vec<(&'static str, Vec<u8>)>);

fn entry(
    unit: &mut Unit,
    parent: UnitEntryId,
    tag: gimli::DwTag,
    attributes: Vec<(gimli::DwAt, AttributeValue)>,
) -> UnitEntryId {
    let id = unit.add(parent, tag);
    for (name, value) in attributes {
        unit.get_mut(id).set(name, value);
    }
    id
}

/// Describes the module as a compiler of C would.
fn module(version: u16) -> Parts {
    let wasm = wat::parse_str(MODULE).unwrap();
    let mut starts = Vec::new();
    let mut code = 0;
    for payload in wasmparser::Parser::new(0).parse_all(&wasm) {
        match payload.unwrap() {
            wasmparser::Payload::CodeSectionStart { unchecked_range, .. } => code = unchecked_range.start,
            wasmparser::Payload::CodeSectionEntry(body) => {
                starts.push((body.range().start, body.range().end))
            }
            _ => {}
        }
    }
    let encoding = Encoding { format: Format::Dwarf32, version, address_size: 4 };
    let mut dwarf = Dwarf::new();
    let mut lines = LineProgram::new(
        encoding,
        LineEncoding::default(),
        LineString::String(b"/source".to_vec()),
        None,
        LineString::String(b"a.c".to_vec()),
        None,
    );
    let directory = lines.default_directory();
    let file = lines.add_file(LineString::String(b"a.c".to_vec()), directory, None);
    for (start, end) in &starts {
        lines.begin_sequence(Some(Address::Constant(start - code)));
        for offset in (0..end - start).step_by(3) {
            lines.row().address_offset = offset;
            lines.row().file = file;
            lines.row().line = 10 + offset;
            lines.generate_row();
        }
        lines.end_sequence(end - start);
    }
    let id = dwarf.units.add(Unit::new(encoding, lines));
    let unit = dwarf.units.get_mut(id);
    let root = unit.root();
    let text = |text: &str| AttributeValue::String(text.as_bytes().to_vec());
    let int = entry(
        unit,
        root,
        dw::DW_TAG_base_type,
        vec![
            (dw::DW_AT_name, text("int")),
            (dw::DW_AT_encoding, AttributeValue::Encoding(dw::DW_ATE_signed)),
            (dw::DW_AT_byte_size, AttributeValue::Data1(4)),
        ],
    );
    let node = entry(
        unit,
        root,
        dw::DW_TAG_structure_type,
        vec![(dw::DW_AT_name, text("node")), (dw::DW_AT_byte_size, AttributeValue::Data1(8))],
    );
    let constant =
        entry(unit, root, dw::DW_TAG_const_type, vec![(dw::DW_AT_type, AttributeValue::UnitRef(node))]);
    let pointer =
        entry(unit, root, dw::DW_TAG_pointer_type, vec![(dw::DW_AT_type, AttributeValue::UnitRef(constant))]);
    for (at, (name, ty)) in [("value", int), ("next", pointer)].into_iter().enumerate() {
        let offset = AttributeValue::Data1(at as u8 * 4);
        let attributes = vec![
            (dw::DW_AT_name, text(name)),
            (dw::DW_AT_type, AttributeValue::UnitRef(ty)),
            (dw::DW_AT_data_member_location, offset),
        ];
        entry(unit, node, dw::DW_TAG_member, attributes);
    }
    let local = |index| {
        let mut expression = Expression::new();
        expression.op_wasm_local(index);
        expression.op(dw::DW_OP_stack_value);
        expression
    };
    let inlined = entry(
        unit,
        root,
        dw::DW_TAG_subprogram,
        vec![(dw::DW_AT_name, text("half")), (dw::DW_AT_inline, AttributeValue::Inline(dw::DW_INL_inlined))],
    );
    for (index, (start, end)) in starts.iter().enumerate() {
        let function = entry(
            unit,
            root,
            dw::DW_TAG_subprogram,
            vec![
                (dw::DW_AT_name, text(["sum", "twice"][index])),
                (dw::DW_AT_low_pc, AttributeValue::Address(Address::Constant(start - code))),
                (dw::DW_AT_high_pc, AttributeValue::Data4((end - start) as u32)),
                (dw::DW_AT_frame_base, AttributeValue::Exprloc(local(2))),
                (dw::DW_AT_type, AttributeValue::UnitRef(int)),
            ],
        );
        for (offset, ty) in [(0, int), (4, pointer)] {
            let mut expression = Expression::new();
            expression.op_fbreg(offset);
            let attributes = vec![
                (dw::DW_AT_name, text("variable")),
                (dw::DW_AT_type, AttributeValue::UnitRef(ty)),
                (dw::DW_AT_location, AttributeValue::Exprloc(expression)),
            ];
            entry(unit, function, dw::DW_TAG_formal_parameter, attributes);
        }
        let block = entry(
            unit,
            function,
            dw::DW_TAG_inlined_subroutine,
            vec![(dw::DW_AT_abstract_origin, AttributeValue::UnitRef(inlined))],
        );
        let moved = entry(
            unit,
            block,
            dw::DW_TAG_variable,
            vec![(dw::DW_AT_name, text("moved")), (dw::DW_AT_type, AttributeValue::UnitRef(int))],
        );
        let (start, end) = (Address::Constant(start - code + 4), Address::Constant(end - code));
        let place = |data| Location::StartEnd { begin: start, end, data };
        let list = unit.locations.add(LocationList(vec![place(local(0))]));
        unit.get_mut(moved).set(dw::DW_AT_location, AttributeValue::LocationListRef(list));
        let ranges = unit.ranges.add(RangeList(vec![Range::StartEnd { begin: start, end }]));
        unit.get_mut(block).set(dw::DW_AT_ranges, AttributeValue::RangeListRef(ranges));
    }
    let mut sections = Sections::new(EndianVec::new(LittleEndian));
    dwarf.write(&mut sections).unwrap();
    let mut found = Vec::new();
    sections
        .for_each(|id, bytes| {
            if !bytes.slice().is_empty() {
                found.push((id.name(), bytes.slice().to_vec()));
            }
            Ok::<_, gimli::write::Error>(())
        })
        .unwrap();
    (wasm, found)
}

/// The module with its sections, changed.
fn damaged(random: &mut Random, (wasm, sections): &Parts) -> Vec<u8> {
    let mut out = wasm.clone();
    let changed = random.below(sections.len());
    for (index, (name, bytes)) in sections.iter().enumerate() {
        let mut bytes = bytes.clone();
        let changes = if index == changed || random.one_in(4) { random.between(1, 6) } else { 0 };
        for _ in 0..changes {
            if bytes.is_empty() {
                break;
            }
            let at = random.below(bytes.len());
            match random.below(8) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                2 => bytes[at] = random.below(256) as u8,
                3 => bytes.truncate(at),
                4 => {
                    let len = random.between(1, 24).min(bytes.len() - at);
                    let from = random.below(bytes.len() - len + 1);
                    bytes.copy_within(from..from + len, at);
                }
                5 => {
                    let value = [0, u32::MAX, at as u32, bytes.len() as u32, 0xffff_fff0][random.below(5)];
                    let len = 4.min(bytes.len() - at);
                    bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
                }
                6 => {
                    let len = random.between(1, 40);
                    let insert = random.bytes(len);
                    bytes.splice(at..at, insert);
                }
                _ => bytes[at] = bytes[at].wrapping_add(1),
            }
        }
        let section = wasm_encoder::CustomSection { name: (*name).into(), data: bytes.into() };
        wasm_encoder::Section::append_to(&section, &mut out);
    }
    out
}

fn configs() -> Vec<Config> {
    let mut configs = Vec::new();
    for target in ["x86_64-linux", "s390x-linux"] {
        for opt_level in [OptLevel::None, OptLevel::Speed] {
            let target: Target = target.parse().unwrap();
            let config = Config { debug_info: DebugInfo::Full, opt_level, ..Config::image(target.clone()) };
            let program = Config::executable(target, |_, _| None);
            configs.push(Config { debug_info: DebugInfo::Full, opt_level, ..program });
            configs.push(config);
        }
    }
    configs
}

#[test]
fn whole_debug_information_is_taken_without_a_warning() {
    for version in [4, 5] {
        let (mut wasm, sections) = module(version);
        for (name, bytes) in sections {
            let section = wasm_encoder::CustomSection { name: name.into(), data: bytes.into() };
            wasm_encoder::Section::append_to(&section, &mut wasm);
        }
        for config in configs() {
            let compiled = compile(&wasm, &config).unwrap();
            assert_eq!(compiled.debug_warnings(), [] as [String; 0], "{version}");
            let object = compiled.object().unwrap();
            for name in [".debug_info", ".debug_line", ".debug_loclists"] {
                let is_there = object.windows(name.len()).any(|window| window == name.as_bytes());
                assert!(is_there || name == ".debug_loclists", "{version}: no {name}");
            }
        }
    }
}

#[test]
fn damage_never_fails_a_build() {
    let modules = [module(4), module(5)];
    let configs = configs();
    let clean: Vec<_> =
        configs.iter().map(|config| compile(&modules[0].0, config).unwrap().text_len()).collect();
    let mut warned = 0;
    for seed in 0..CHANGES {
        let mut random = Random::new(seed);
        let wasm = damaged(&mut random, &modules[seed as usize % 2]);
        let index = seed as usize % configs.len();
        let compiled = compile(&wasm, &configs[index]).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        // Optimised code may keep one local more.
        assert!(compiled.text_len().abs_diff(clean[index]) <= 64, "seed {seed}");
        compiled.object().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        warned += usize::from(!compiled.debug_warnings().is_empty());
    }
    println!("{warned} of {CHANGES} with warnings");
    assert!(warned as u64 > CHANGES / 10, "{warned}");
}
