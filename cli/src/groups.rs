//! Grouped options as in Wasmtime: `-O KEY[=VAL],…`, `-W …`, `-S …`. `help` as key lists the keys.

use crate::report::nearest;
use aot_compiler::{Model, OptLevel, Pass, supported_features};
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::time::Duration;
use wasmparser::WasmFeatures;

/// `-O`: how code is optimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimize {
    Level(OptLevel),
}

/// `-C`: how machine code is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codegen {
    Model(Model),
    Inlining(bool),
    /// Whether a pass runs.
    Pass(Pass, bool),
    /// Whether results of earlier builds are used.
    Cache(bool),
}

/// `-D`: what debuggers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Debug {
    /// Whether types and variables of the source are described.
    Info(bool),
}

/// `-W`: the wasm language and its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wasm {
    /// Bytes that all linear memories of the program may have.
    MaxMemorySize(u64),
    /// Bytes of stack for wasm code.
    MaxWasmStack(u64),
    UnknownImportsTrap(bool),
    /// Whether loops look for an interruption.
    EpochInterruption(bool),
    /// Instructions that the guest may execute.
    Fuel(u64),
    /// How long the guest may run.
    Timeout(Duration),
    /// Whether a proposal may be used.
    Feature(WasmFeatures, bool),
}

/// `-S`: the system interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Whether modules can import WASI.
    Cli(bool),
    /// Whether the program sees the environment of its process.
    InheritEnv(bool),
}

/// Settings of one occurrence of a group.
#[derive(Clone, Debug)]
pub struct Settings<T>(pub Vec<T>);

/// One key of a group.
struct Key<T> {
    name: &'static str,
    /// What stands behind `=`; empty for a switch.
    value: &'static str,
    help: &'static str,
    parse: Parse<T>,
}

enum Parse<T> {
    /// `y` or `n`; without a value `y`.
    Switch(fn(bool) -> Result<T, String>),
    Value(fn(&str) -> Result<T, String>),
}

/// A group of options that are one flag to clap.
pub struct Group<T: 'static> {
    flag: char,
    about: &'static str,
    keys: &'static [Key<T>],
}

impl<T> Clone for Group<T> {
    fn clone(&self) -> Self {
        Group { flag: self.flag, about: self.about, keys: self.keys }
    }
}

/// The key of a proposal. What the compiler does not know cannot be turned on.
macro_rules! feature_key {
    ($name:literal, $help:literal, $flag:ident) => {
        Key {
            name: $name,
            value: "",
            help: $help,
            parse: Parse::Switch(|on| {
                if on && !supported_features().contains(WasmFeatures::$flag) {
                    return Err(format!("`{}` is not supported yet", $name));
                }
                Ok(Wasm::Feature(WasmFeatures::$flag, on))
            }),
        }
    };
}
pub const OPTIMIZE: Group<Optimize> = Group {
    flag: 'O',
    about: "Optimisation",
    keys: &[Key {
        name: "opt-level",
        value: "0|1|2|s",
        help: "0 compiles fast, 1 and 2 make fast code, s makes code that is fast and small [default: 2]",
        parse: Parse::Value(opt_level),
    }],
};

pub const CODEGEN: Group<Codegen> = Group {
    flag: 'C',
    about: "Code generation",
    keys: &[
        Key {
            name: "model",
            value: "static|instance",
            help: "static puts the state of an executable at fixed addresses, which makes its code faster; instance needs \
                   no address in particular [default: static]",
            parse: Parse::Value(model),
        },
        Key {
            name: "inlining",
            value: "",
            help: "put the bodies of small functions in place of calls; static model only [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Inlining(on))),
        },
        Key {
            name: "pass-schedule",
            value: "",
            help: "move operations close to their operands, to use fewer registers [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Schedule, on))),
        },
        Key {
            name: "pass-threading",
            value: "",
            help: "go straight to where a branch would lead, where that is known before [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Threading, on))),
        },
        Key {
            name: "pass-rotation",
            value: "",
            help: "put the test of a loop at its end [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Rotation, on))),
        },
        Key {
            name: "pass-forwarding",
            value: "",
            help: "take what was stored in place of loads, across stores to other places; static model only [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Forwarding, on))),
        },
        Key {
            name: "pass-masks",
            value: "",
            help: "leave out masks of bits that are zero anyway [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Masks, on))),
        },
        Key {
            name: "pass-widening",
            value: "",
            help: "extend what serves as an address where it is made [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Widening, on))),
        },
        Key {
            name: "pass-constants",
            value: "",
            help: "keep constants that take instructions to make in registers, in loops [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Constants, on))),
        },
        Key {
            name: "pass-hoisting",
            value: "",
            help: "compute once, before them, what several blocks of one path compute [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Hoisting, on))),
        },
        Key {
            name: "pass-invariants",
            value: "",
            help: "compute before a loop what each of its rounds computes from the same values [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Invariants, on))),
        },
        Key {
            name: "pass-advances",
            value: "",
            help: "use what a loop computes for its next round also after it [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Advances, on))),
        },
        Key {
            name: "pass-dispatch",
            value: "",
            help: "give each case of a switch in a loop its own jump to the next case [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Dispatch, on))),
        },
        Key {
            name: "pass-epilogue",
            value: "",
            help: "take out of the epilogues of x86-64 code what does nothing [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Epilogue, on))),
        },
        Key {
            name: "pass-relaxation",
            value: "",
            help: "give the branches of x86-64 code, and other instructions, their shortest forms [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Relaxation, on))),
        },
        Key {
            name: "pass-reloads",
            value: "",
            help: "leave out of x86-64 code what moves values to the stack, or from there, that are there already [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Reloads, on))),
        },
        Key {
            name: "pass-effectless",
            value: "",
            help: "leave out of x86-64 code tests and extensions of what has been tested or extended by what computed it [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::Effectless, on))),
        },
        Key {
            name: "pass-loop-ends",
            value: "",
            help: "end the loops of aarch64 code in one branch [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Pass(Pass::LoopEnds, on))),
        },
        Key {
            name: "cache",
            value: "",
            help: "use results of earlier builds, and keep new ones; n is `--no-cache` [default: y]",
            parse: Parse::Switch(|on| Ok(Codegen::Cache(on))),
        },
    ],
};

pub const DEBUG: Group<Debug> = Group {
    flag: 'D',
    about: "Debugging",
    keys: &[Key {
        name: "debug-info",
        value: "",
        help: "describe types and variables of the source to debuggers, as far as the module does; the same as -g [default: n]",
        parse: Parse::Switch(|on| Ok(Debug::Info(on))),
    }],
};

pub const WASM: Group<Wasm> = Group {
    flag: 'W',
    about: "WebAssembly limits and proposals",
    keys: &[
        Key {
            name: "max-memory-size",
            value: "BYTES",
            help: "how far linear memories can grow; `memory.grow` fails beyond; 64K, 16M, 1G are understood",
            parse: Parse::Value(|text| size(text).map(Wasm::MaxMemorySize)),
        },
        Key {
            name: "max-wasm-stack",
            value: "BYTES",
            help: "stack for wasm code; a program that needs more traps",
            parse: Parse::Value(|text| size(text).map(Wasm::MaxWasmStack)),
        },
        Key {
            name: "unknown-imports-trap",
            value: "",
            help: "accept functions that nothing defines: calling one traps",
            parse: Parse::Switch(|on| Ok(Wasm::UnknownImportsTrap(on))),
        },
        Key {
            name: "epoch-interruption",
            value: "",
            help: "let the host interrupt loops of an image; functions look for it anyway",
            parse: Parse::Switch(|on| Ok(Wasm::EpochInterruption(on))),
        },
        Key {
            name: "fuel",
            value: "N",
            help: "count instructions in an image; `aot run` stops the program after N of them",
            parse: Parse::Value(|text| {
                text.parse().map(Wasm::Fuel).map_err(|_| format!("`{text}` is not a number of instructions"))
            }),
        },
        Key {
            name: "timeout",
            value: "TIME",
            help: "`aot run` stops the program after this time: 500ms, 10s, 5m",
            parse: Parse::Value(|text| duration(text).map(Wasm::Timeout)),
        },
        feature_key!(
            "mutable-global",
            "globals that are imported or exported can be mutable",
            MUTABLE_GLOBAL
        ),
        feature_key!("sign-extension", "sign extension instructions", SIGN_EXTENSION),
        feature_key!(
            "saturating-float-to-int",
            "conversions of floats that do not trap",
            SATURATING_FLOAT_TO_INT
        ),
        feature_key!("multi-value", "several results of functions and blocks", MULTI_VALUE),
        feature_key!("bulk-memory", "memory.copy, memory.fill, table.copy, passive segments", BULK_MEMORY),
        feature_key!("reference-types", "externref, several tables, table.get", REFERENCE_TYPES),
        feature_key!("simd", "128-bit vectors", SIMD),
        feature_key!("relaxed-simd", "vector instructions whose results depend on the machine", RELAXED_SIMD),
        feature_key!("extended-const", "arithmetic in constant expressions", EXTENDED_CONST),
        feature_key!("tail-call", "calls that replace their caller", TAIL_CALL),
        feature_key!("threads", "shared memories and atomic instructions", THREADS),
        feature_key!("exceptions", "try_table, throw", EXCEPTIONS),
        feature_key!("legacy-exceptions", "try, catch as browsers shipped them first", LEGACY_EXCEPTIONS),
        feature_key!("function-references", "typed references to functions", FUNCTION_REFERENCES),
        feature_key!("gc", "structs and arrays on a collected heap", GC),
        feature_key!("memory64", "memories with 64-bit addresses", MEMORY64),
        feature_key!("multi-memory", "several memories", MULTI_MEMORY),
        feature_key!("custom-page-sizes", "memories with pages of one byte", CUSTOM_PAGE_SIZES),
        feature_key!("wide-arithmetic", "128-bit addition and multiplication", WIDE_ARITHMETIC),
        feature_key!("stack-switching", "coroutines", STACK_SWITCHING),
    ],
};

pub const SYSTEM: Group<System> = Group {
    flag: 'S',
    about: "System interface",
    keys: &[
        Key {
            name: "cli",
            value: "",
            help: "functions of `wasi_snapshot_preview1` can be imported [default: y]",
            parse: Parse::Switch(|on| Ok(System::Cli(on))),
        },
        Key {
            name: "inherit-env",
            value: "",
            help: "the program sees all environment variables [default: n]",
            parse: Parse::Switch(|on| Ok(System::InheritEnv(on))),
        },
    ],
};

fn model(text: &str) -> Result<Codegen, String> {
    Ok(Codegen::Model(match text {
        "static" => Model::Static,
        "instance" => Model::Instance,
        _ => return Err(String::from("`model` is one of static, instance")),
    }))
}

fn opt_level(text: &str) -> Result<Optimize, String> {
    Ok(Optimize::Level(match text {
        "0" => OptLevel::None,
        "1" | "2" => OptLevel::Speed,
        "s" => OptLevel::SpeedAndSize,
        _ => return Err(String::from("`opt-level` is one of 0, 1, 2, s")),
    }))
}

/// A time, with a unit.
fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let parsed = units.into_iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Duration::try_from_secs_f64(number * seconds).ok()
    });
    parsed.ok_or_else(|| format!("`{text}` is not a time: write a number and a unit, such as 500ms or 10s"))
}

/// Bytes, with a unit of 1024 bytes and its powers where one is given.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size: write a number of bytes, such as 65536 or 64K");
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, c)) if c.is_ascii_alphabetic() => {
            let shift = match c.to_ascii_uppercase() {
                'K' => 10,
                'M' => 20,
                'G' => 30,
                'T' => 40,
                _ => return Err(wrong()),
            };
            (&text[..at], 1u64 << shift)
        }
        _ => (text, 1),
    };
    // `parse` would take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

impl<T> Group<T> {
    /// Parses `KEY[=VAL],…`.
    fn settings(&self, text: &str) -> Result<Vec<T>, String> {
        text.split(',').map(|setting| self.setting(setting.trim())).collect()
    }

    fn setting(&self, text: &str) -> Result<T, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        // Wasmtime takes both spellings too.
        let name = name.replace('_', "-");
        let Some(key) = self.keys.iter().find(|key| key.name == name) else {
            let suggestion = match nearest(&name, self.keys.iter().map(|key| key.name)) {
                Some(near) => format!("did you mean `{near}`? "),
                None => String::new(),
            };
            return Err(format!("unknown key `{name}`; {suggestion}`-{} help` lists all keys", self.flag));
        };
        match (&key.parse, value) {
            (Parse::Switch(make), value) => make(switch(value.unwrap_or("y"))?),
            (Parse::Value(_), None) => Err(format!("`{name}` needs a value: {name}={}", key.value)),
            (Parse::Value(make), Some(value)) => make(value),
        }
    }

    fn help(&self) -> String {
        let title = |key: &Key<T>| match key.parse {
            Parse::Switch(_) => format!("{}[=y|n]", key.name),
            Parse::Value(_) => format!("{}={}", key.name, key.value),
        };
        let width = self.keys.iter().map(|key| title(key).len()).max().unwrap_or(0);
        let mut text = format!("{}:\n\n", self.about);
        for key in self.keys {
            let note = match key.parse {
                Parse::Switch(make) if make(true).is_err() => " (not supported yet)",
                _ => "",
            };
            writeln!(text, "  -{} {:width$}  {}{note}", self.flag, title(key), key.help)
                .expect("strings take all text");
        }
        text
    }
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "y" | "yes" | "true" => Ok(true),
        "n" | "no" | "false" => Ok(false),
        _ => Err(format!("`{text}` is neither y nor n")),
    }
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Group<T> {
    type Value = Settings<T>;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Settings<T>, clap::Error> {
        let value = value.to_string_lossy();
        if value == "help" {
            return Err(clap::Error::raw(ErrorKind::DisplayHelp, self.help()));
        }
        self.settings(&value).map(Settings).map_err(|problem| {
            let text = format!("invalid value `{value}` for `-{}`: {problem}\n", self.flag);
            clap::Error::raw(ErrorKind::InvalidValue, text).with_cmd(command)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_values() {
        assert_eq!(
            WASM.settings("max-memory-size=64K, unknown_imports_trap,simd=n"),
            Ok(vec![
                Wasm::MaxMemorySize(65536),
                Wasm::UnknownImportsTrap(true),
                Wasm::Feature(WasmFeatures::SIMD, false)
            ])
        );
        assert_eq!(
            WASM.settings("timeout=500ms,fuel=7"),
            Ok(vec![Wasm::Timeout(Duration::from_millis(500)), Wasm::Fuel(7)])
        );
        assert_eq!(OPTIMIZE.settings("opt-level=s"), Ok(vec![Optimize::Level(OptLevel::SpeedAndSize)]));
        assert_eq!(SYSTEM.settings("cli=no"), Ok(vec![System::Cli(false)]));
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, part) in [
            ("opt-levl=2", "did you mean `opt-level`?"),
            ("", "unknown key ``"),
            ("opt-level", "needs a value"),
            ("opt-level=3", "one of 0, 1, 2, s"),
        ] {
            let problem = OPTIMIZE.settings(text).unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
        for (text, part) in [
            ("simd=maybe", "neither y nor n"),
            ("fuel=much", "not a number of instructions"),
            ("timeout=5", "not a time"),
            ("timeout=-1s", "not a time"),
            ("gc", "not supported yet"),
            ("max-memory-size=-1", "not a size"),
            ("max-memory-size=", "not a size"),
            ("max-memory-size=99999999999G", "not a size"),
            ("max-memory-size=1é", "not a size"),
        ] {
            let problem = WASM.settings(text).unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
    }
}
