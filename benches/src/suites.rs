//! The questions that are asked, one file each. Each measures and gives a section of the report.

pub mod calls;
pub mod compile_time;
mod contestant;
pub mod cross;
pub mod edit;
mod equal;
pub mod instructions;
pub mod run_time;
pub mod start_up;
