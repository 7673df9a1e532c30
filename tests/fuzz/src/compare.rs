//! The oracle: the code of every configuration does what the reference does.

use crate::compiled::{self, Running};
use crate::random::Random;
use crate::reference::{self, Instances, State, Trace};
use crate::trap::Trap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What came of a case.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdict {
    /// Whether the module could be compared at all: the reference took it.
    pub compared: bool,
    /// Calls that were compared, over all configurations.
    pub calls: usize,
    /// Those among them that trapped.
    pub traps: usize,
    /// Those that were left out, because one of the engines ran out of stack.
    pub overflows: usize,
}

/// A difference, told with all that is needed to find it again except the module.
#[derive(Debug)]
pub struct Mismatch(String);

impl Mismatch {
    pub(crate) fn new(what: String) -> Mismatch {
        Mismatch(what)
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

/// Runs a module everywhere. `random` gives the arguments of calls.
///
/// # Errors
/// If some configuration does not do what the reference does.
pub fn check(wasm: &[u8], random: &mut Random) -> Result<Verdict, Mismatch> {
    // The reference has bugs: where it panics, what is left to check is that we take the module.
    let trace = match catch_unwind(AssertUnwindSafe(|| reference::run(wasm, random, Instances::Few))) {
        Ok(Ok(trace)) => Some(trace),
        // The generator makes valid modules: only the reference's own limits are a reason.
        Ok(Err(error)) if error.contains("limit") || error.contains("out of bounds") => None,
        Ok(Err(error)) => return Err(Mismatch(format!("the reference refuses the module: {error}"))),
        Err(_) => None,
    };
    let mut verdict = Verdict { compared: trace.is_some(), ..Verdict::default() };
    for (name, config, compile) in compiled::configurations() {
        let module = compile(wasm, &config)
            .map_err(|error| Mismatch(format!("with {name}: the module is refused: {error}")))?;
        let Some(trace) = &trace else { continue };
        compare(&module, trace, &mut verdict)
            .map_err(|Mismatch(what)| Mismatch(format!("with {name}: {what}")))?;
    }
    Ok(verdict)
}

fn compare(
    module: &aot_runtime::embed::Module,
    trace: &Trace,
    verdict: &mut Verdict,
) -> Result<(), Mismatch> {
    let (mut running, result) = Running::new(module);
    if [&result, &trace.instantiation].contains(&&Err(Trap::StackOverflow)) {
        verdict.overflows += 1;
        return Ok(());
    }
    expect("instantiation", &trace.instantiation, &result)?;
    same_state("instantiation", &trace.initial, &running.state())?;
    // After an overflow the instances are in different states, until both are new.
    let mut diverged = false;
    for (number, call) in trace.calls.iter().enumerate() {
        if call.fresh {
            running = Running::new(module).0;
            diverged = false;
        }
        if diverged {
            continue;
        }
        let outcome = running.call(&call.function, &call.args);
        if [&outcome, &call.outcome].contains(&&Err(Trap::StackOverflow)) {
            verdict.overflows += 1;
            diverged = true;
            continue;
        }
        verdict.calls += 1;
        verdict.traps += usize::from(outcome.is_err());
        let what = format!("call {number} of `{}` with {:?}", call.function, call.args);
        expect(&what, &call.outcome, &outcome)?;
        same_state(&what, &call.state, &running.state())?;
    }
    Ok(())
}

fn expect<T: fmt::Debug + PartialEq>(what: &str, expected: &T, actual: &T) -> Result<(), Mismatch> {
    if expected == actual {
        return Ok(());
    }
    Err(Mismatch(format!("{what}: expected {expected:?}, got {actual:?}")))
}

fn same_state(what: &str, expected: &State, actual: &State) -> Result<(), Mismatch> {
    for ((name, expected), (_, actual)) in expected.globals.iter().zip(&actual.globals) {
        expect(&format!("{what}: global `{name}`"), expected, actual)?;
    }
    for ((name, expected), (_, actual)) in expected.memories.iter().zip(&actual.memories) {
        expect(&format!("{what}: size of memory `{name}`"), &expected.len(), &actual.len())?;
        // Whole memories compare much faster than bytes.
        if expected != actual
            && let Some(at) = (0..expected.len()).find(|at| expected[*at] != actual[*at])
        {
            let what = format!("{what}: memory `{name}` at {at:#x}");
            expect(&what, &expected[at], &actual[at])?;
        }
    }
    let counts = |state: &State| (state.globals.len(), state.memories.len());
    expect(&format!("{what}: number of globals and memories"), &counts(expected), &counts(actual))
}
