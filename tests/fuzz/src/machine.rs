//! Random state machines: loops around switches whose states are set to constants, or come from elsewhere, as compilers
//! make them of coroutines, `goto`s and parsers. Generators of any modules hardly ever make one.

use crate::random::Random;
use std::fmt::Write as _;

/// Local variables of a machine: two states, numbers, and what is left of its turns.
const STATES: [&str; 2] = ["$s", "$t"];
const NUMBERS: [&str; 4] = ["$a", "$x", "$y", "$z"];

/// Makes a module.
pub fn machine(random: &mut Random) -> Vec<u8> {
    let mut text = String::from("(module (memory 1 1) (global $g (mut i32) (i32.const 7))\n");
    let count = random.between(1, 3);
    for number in 0..count {
        Writer { random, text: &mut text, cases: 0 }.function(number);
    }
    text.push_str(")\n");
    wat::parse_str(&text).expect("a machine is a valid module")
}

struct Writer<'a> {
    random: &'a mut Random,
    text: &'a mut String,
    /// States of the function.
    cases: usize,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn function(&mut self, number: usize) {
        self.cases = self.random.between(1, 14);
        let cases = self.cases;
        writeln!(self.text, "(func (export \"run{number}\") (param $s i32) (param $a i32) (result i32 i64)")
            .unwrap();
        self.line(
            "(local $t i32) (local $x i32) (local $y i32) (local $z i32) (local $w i64) (local $fuel i32)",
        );
        self.line("(local.set $fuel (i32.const 60))");
        if self.random.one_in(2) {
            let first = self.random.below(cases);
            writeln!(self.text, "(local.set $s (i32.const {first}))").unwrap();
        }
        self.line("(block $end (loop $next");
        self.line("(br_if $end (i32.eqz (local.tee $fuel (i32.sub (local.get $fuel) (i32.const 1)))))");
        if self.random.one_in(3) {
            self.statement();
        }
        self.line("(block $join");
        for case in (0..cases).rev() {
            write!(self.text, "(block $c{case} ").unwrap();
        }
        let targets: String = (0..cases).map(|case| format!("$c{case} ")).collect();
        let default = ["$end", "$join", "$c0"][self.random.below(3)];
        let selector = match self.random.below(4) {
            0 => format!("(i32.and (local.get $s) (i32.const {}))", self.random.between(1, 15)),
            1 => String::from("(i32.sub (local.get $s) (i32.const 1))"),
            _ => String::from("(local.get $s)"),
        };
        writeln!(self.text, "(br_table {targets} {default} {selector})").unwrap();
        for _ in 0..cases {
            self.line(")");
            for _ in 0..self.random.below(3) {
                self.statement();
            }
            self.leave();
        }
        // Where cases meet that do not know the next state, or ask a second one for it.
        self.line(")");
        self.statement();
        match self.random.below(3) {
            0 => self.line("(br $next)"),
            1 => {
                self.line("(if (i32.eq (local.get $t) (i32.const 2)) (then");
                self.set_state("$s");
                self.line("(br $next)))");
                let state = self.state();
                writeln!(
                    self.text,
                    "(br_table $next $end $next $end (local.tee $s (i32.add (local.get $t) {state})))"
                )
                .unwrap();
            }
            _ => {
                self.set_state("$s");
                self.line("(br_if $next (local.get $t))");
            }
        }
        self.line("))");
        let result = self.expression(2);
        writeln!(self.text, "(i32.add {result} (local.get $s))").unwrap();
        self.line("(i64.add (local.get $w) (i64.extend_i32_u (i32.add (local.get $fuel) (global.get $g)))))");
    }

    /// The end of a case: on to a state, to where cases meet, out, or into the next case.
    fn leave(&mut self) {
        match self.random.below(8) {
            0 => {}
            1 => self.line("(br $end)"),
            2 => {
                self.set_state("$t");
                self.line("(br $join)");
            }
            3 => {
                let condition = self.expression(1);
                writeln!(self.text, "(if {condition} (then").unwrap();
                self.set_state("$s");
                self.line("(br $next)) (else");
                self.set_state("$s");
                self.line("))");
                self.line("(br $next)");
            }
            4 => {
                let condition = self.expression(2);
                self.set_state("$s");
                writeln!(self.text, "(br_if $next {condition})").unwrap();
            }
            _ => {
                self.set_state("$s");
                self.line("(br $next)");
            }
        }
    }

    fn set_state(&mut self, local: &str) {
        let state = self.state();
        writeln!(self.text, "(local.set {local} {state})").unwrap();
    }

    /// A constant, mostly.
    fn state(&mut self) -> String {
        match self.random.below(6) {
            0 => format!("(i32.rem_u (local.get $x) (i32.const {}))", self.cases + 1),
            1 => format!("(local.get {})", STATES[self.random.below(2)]),
            _ => format!("(i32.const {})", self.random.below(self.cases + 1)),
        }
    }

    fn statement(&mut self) {
        let value = self.expression(2);
        let number = NUMBERS[self.random.below(NUMBERS.len())];
        match self.random.below(8) {
            // What one edge passes is what another takes: all at once.
            0 => writeln!(self.text, "(local.get $x) (local.get $y) (local.set $x) (local.set $y)"),
            1 => writeln!(self.text, "(i32.store8 (i32.and {value} (i32.const 255)) (local.get {number}))"),
            2 => writeln!(self.text, "(global.set $g {value})"),
            3 => writeln!(self.text, "(local.set $w (i64.add (local.get $w) (i64.extend_i32_u {value})))"),
            // A flag that is asked for right after.
            4 => writeln!(
                self.text,
                "(if (if (result i32) {value} (then (i32.const 1)) (else (i32.eqz (local.get $y)))) \
                 (then (local.set {number} (i32.const 5))))"
            ),
            5 => writeln!(
                self.text,
                "(local.set $z (i32.const 3)) (loop $l (local.set $x (i32.add (local.get {number}) {value})) \
                 (br_if $l (local.tee $z (i32.shr_u (local.get $z) (i32.const 1)))))"
            ),
            _ => writeln!(self.text, "(local.set {number} {value})"),
        }
        .unwrap();
    }

    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 || self.random.one_in(4) {
            return match self.random.below(5) {
                0 => format!("(i32.const {})", self.random.below(9) as i32 - 2),
                1 => format!(
                    "(i32.load8_u (i32.and (local.get {}) (i32.const 255)))",
                    NUMBERS[self.random.below(4)]
                ),
                2 => format!("(local.get {})", STATES[self.random.below(2)]),
                _ => format!("(local.get {})", NUMBERS[self.random.below(NUMBERS.len())]),
            };
        }
        const OPERATORS: [&str; 10] = ["add", "sub", "mul", "and", "or", "xor", "lt_s", "eq", "ge_u", "rotl"];
        let operator = OPERATORS[self.random.below(OPERATORS.len())];
        let (left, right) = (self.expression(depth - 1), self.expression(depth - 1));
        format!("(i32.{operator} {left} {right})")
    }
}
