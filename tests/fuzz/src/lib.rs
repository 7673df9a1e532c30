//! Differential fuzzing: random modules run on an independent engine and on the compiler's code, and must do the same.
//!
//! A case is a number. From it [`generate`] makes a module, [`reference`] says what the module does, and [`compare`]
//! checks that the code of every configuration of the compiler does that too. Nothing depends on time or on the
//! machine, except that the configurations for the native CPU use what it has.
#![forbid(unsafe_code)]

mod compare;
mod compiled;
mod executable;
mod fields;
mod generate;
mod host;
mod linked;
mod machine;
mod random;
mod reference;
mod trap;
mod value;
mod workaround;

pub use compare::{Mismatch, Verdict, check};
pub use executable::check_executables;
pub use generate::{Shape, generate};
pub use random::Random;
