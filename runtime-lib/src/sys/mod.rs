//! What the runtime needs from the operating system beyond the portable calls of `rustix`.
//!
//! One file per system; each has the same list of functions.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::{exit_group, fill_standard_streams, open_beneath, standard_stream};
