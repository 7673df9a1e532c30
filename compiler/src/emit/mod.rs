//! Stage 5: compiled functions, in index order → an object file or an image.

mod coff;
mod compact_unwind;
pub(crate) mod cwasm;
pub(crate) mod description;
mod eh_frame;
pub(crate) mod elf;
pub(crate) mod fixed;
mod format;
pub(crate) mod header;
pub(crate) mod image;
pub(crate) mod initial;
pub(crate) mod interface;
mod macho;
pub(crate) mod memory;
pub(crate) mod object;
mod relocate;
pub(crate) mod text;
mod windows_unwind;

pub(crate) use image::Image;
pub(crate) use text::Text;
