//! A small static linker, for machines that `libwild` does not know: s390x.
//!
//! It does what our executables need and refuses the rest: relocatable objects and archives of them go in; sections that are
//! reachable from the entry come out, in four segments (read-only, code, data, zeros) at fixed addresses. There are no
//! shared libraries, no thread-local storage, no linker scripts.
//!
//! ```text
//! input   objects → sections, symbols, relocations
//! live    which sections are needed
//! layout  addresses and file offsets
//! s390x   relocations of the machine
//! write   the ELF file
//! ```

mod input;
mod layout;
mod live;
mod s390x;
mod write;

use super::exe::Strip;

/// Links objects and archives. The order of `files` decides which definition of a symbol counts.
///
/// # Errors
/// What is wrong with an input, or what is not supported, in one line.
pub(super) fn link(files: &[(String, &[u8])], entry: &str, strip: Strip) -> Result<Vec<u8>, String> {
    let inputs = input::read(files)?;
    let live = live::find(&inputs, entry)?;
    let layout = layout::lay_out(&inputs, &live)?;
    write::write(&inputs, &layout, entry, strip)
}
