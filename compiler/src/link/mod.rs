//! Stage 6: objects and the runtime library → a static executable, linked in-process.
//!
//! `exe` links by `libwild`, and by the linker in `small` for machines that `libwild` does not know. No linker is needed on the machine. What goes in are bytes of relocatable objects and of an archive; what comes
//! out are the bytes of an executable that was read back and checked. Nothing here touches a file.

pub mod entry;
pub mod exe;
pub mod library;
pub mod options;
pub mod position;
mod small;
pub(crate) mod split;
