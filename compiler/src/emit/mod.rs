//! Stage 5: compiled functions, in index order → an object file or an image.

pub(crate) mod cwasm;
pub(crate) mod description;
mod eh_frame;
pub(crate) mod elf;
pub(crate) mod fixed;
pub(crate) mod image;
pub(crate) mod memory;
pub(crate) mod object;
pub(crate) mod text;

pub(crate) use image::Image;
pub(crate) use text::Text;
