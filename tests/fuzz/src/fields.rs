//! Random accesses to fields: a few pointers, constants that are added to them, offsets that are close to each other, all
//! widths. Generators of any modules hardly ever load what they stored.

use crate::random::Random;
use std::fmt::Write as _;

/// What pointers are made of: the frame, what the caller passed, and two that are computed.
const POINTERS: [&str; 5] = ["$f", "$a", "$b", "$p", "$q"];

/// Operators that store a 32-bit or 64-bit integer, and that load one, with the bytes of the access.
const STORES: [(&str, &str); 9] = [
    ("i32.store", "$x"),
    ("i32.store", "$y"),
    ("i32.store8", "$x"),
    ("i32.store16", "$y"),
    ("i64.store", "$w"),
    ("i64.store8", "$w"),
    ("i64.store32", "$w"),
    ("f32.store", "$d"),
    ("v128.store", "$v"),
];
const LOADS: [(&str, &str); 13] = [
    ("i32.load", "$x"),
    ("i32.load", "$y"),
    ("i32.load8_u", "$x"),
    ("i32.load8_s", "$y"),
    ("i32.load16_u", "$x"),
    ("i32.load16_s", "$y"),
    ("i64.load", "$w"),
    ("i64.load8_u", "$w"),
    ("i64.load8_s", "$w"),
    ("i64.load32_s", "$w"),
    ("i64.load32_u", "$w"),
    ("f32.load", "$d"),
    ("v128.load", "$v"),
];

const LOCALS: &str = "(local $f i32) (local $p i32) (local $q i32) (local $x i32) (local $y i32) (local $n i32) \
                      (local $w i64) (local $d f32) (local $v v128)";

/// Makes a module.
pub fn fields(random: &mut Random) -> Vec<u8> {
    let mut text =
        String::from("(module (memory (export \"m\") 1 2) (global $sp (mut i32) (i32.const 4096))\n");
    let mut writer = Writer { random, text: &mut text, helpers: 0 };
    for number in 0..writer.random.between(1, 3) {
        let head = format!("(func $helper{number} (param $a i32) (param $b i32) (result i32) {LOCALS}");
        writer.line(&head);
        writer.line(
            "(local.set $f (local.get $a)) (local.set $p (local.get $b)) (local.set $q (local.get $b))",
        );
        for _ in 0..writer.random.between(1, 4) {
            writer.access();
        }
        writer.line("(i32.add (local.get $x) (i32.wrap_i64 (local.get $w))))");
        writer.helpers += 1;
    }
    for number in 0..writer.random.between(1, 3) {
        let head =
            format!("(func (export \"run{number}\") (param $a i32) (param $b i32) (result i32 i64) {LOCALS}");
        writer.line(&head);
        writer.line("(global.set $sp (local.tee $f (i32.sub (global.get $sp) (i32.const 64))))");
        // As they come, most pointers are nowhere.
        for pointer in ["$a", "$b"].iter().filter(|_| !writer.random.one_in(4)).collect::<Vec<_>>() {
            writer.line(&format!("(local.set {pointer} (i32.and (local.get {pointer}) (i32.const 4095)))"));
        }
        writer.line("(local.set $x (local.get $b)) (local.set $y (i32.const -2))");
        writer.line("(local.set $w (i64.const 0x8182838485868788))");
        writer.pointer();
        writer.pointer();
        for _ in 0..writer.random.between(4, 20) {
            writer.statement(2);
        }
        writer.line("(global.set $sp (i32.add (local.get $f) (i32.const 64)))");
        writer.line("(i32.xor (local.get $x) (i32.xor (local.get $y) (i32.reinterpret_f32 (local.get $d))))");
        writer.line("(i64.xor (local.get $w) (i64x2.extract_lane 1 (local.get $v))))");
    }
    text.push_str(")\n");
    wat::parse_str(&text).expect("accesses to fields are a valid module")
}

struct Writer<'a> {
    random: &'a mut Random,
    text: &'a mut String,
    helpers: usize,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A pointer, or one that a constant was added to.
    fn address(&mut self) -> String {
        let pointer = POINTERS[self.random.below(POINTERS.len())];
        match self.random.below(6) {
            0 | 1 => format!("(i32.add (local.get {pointer}) (i32.const {}))", 4 * self.random.below(6)),
            2 => format!("(i32.sub (local.get {pointer}) (i32.const {}))", 4 * self.random.below(4)),
            3 => format!(
                "(i32.add (i32.add (local.get {pointer}) (i32.const -8)) (i32.const {}))",
                self.random.below(20)
            ),
            _ => format!("(local.get {pointer})"),
        }
    }

    /// Sets one of the pointers that are computed.
    fn pointer(&mut self) {
        let (pointer, address) = (POINTERS[self.random.between(3, 4)], self.address());
        writeln!(self.text, "(local.set {pointer} {address})").unwrap();
    }

    fn access(&mut self) {
        let address = self.address();
        let offset = if self.random.one_in(5) { self.random.below(24) } else { 4 * self.random.below(7) };
        if self.random.one_in(2) {
            let (operator, value) = STORES[self.random.below(STORES.len())];
            writeln!(self.text, "({operator} offset={offset} {address} (local.get {value}))").unwrap();
        } else {
            let (operator, value) = LOADS[self.random.below(LOADS.len())];
            writeln!(self.text, "(local.set {value} ({operator} offset={offset} {address}))").unwrap();
        }
    }

    fn statement(&mut self, depth: usize) {
        match self.random.below(if depth == 0 { 10 } else { 13 }) {
            0 => self.pointer(),
            1 => self.line("(local.set $x (i32.add (local.get $x) (i32.const 0x01020304)))"),
            2 => self.line("(local.set $w (i64.add (local.get $w) (i64.extend_i32_u (local.get $x))))"),
            3 if self.helpers > 0 => {
                let (helper, first, second) =
                    (self.random.below(self.helpers), self.address(), self.address());
                writeln!(self.text, "(local.set $y (call $helper{helper} {first} {second}))").unwrap();
            }
            4 if self.random.one_in(3) => {
                let (to, from) = (self.address(), self.address());
                writeln!(self.text, "(memory.copy {to} {from} (i32.const {}))", self.random.below(40))
                    .unwrap();
            }
            10 => {
                self.line("(if (i32.and (local.get $x) (i32.const 1)) (then");
                self.statements(depth);
                self.line(") (else");
                self.statements(depth);
                self.line("))");
            }
            11 => {
                self.line("(block $out (br_if $out (i32.eqz (local.get $y)))");
                self.statements(depth);
                self.line(")");
            }
            12 => {
                self.line("(local.set $n (i32.const 3)) (loop $again");
                self.statements(0);
                self.line("(br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))");
            }
            _ => self.access(),
        }
    }

    fn statements(&mut self, depth: usize) {
        for _ in 0..self.random.below(4) {
            self.statement(depth.saturating_sub(1));
        }
    }
}
