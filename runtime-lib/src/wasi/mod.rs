//! WASI preview 1.
//!
//! Each function of the interface is a Rust function of the same name in the file of its group: it gets the
//! context, the guest's memory and the parameters as they arrive, and returns an [`Errno`] or nothing. Executables
//! reach them through the C symbols in `shims`, host programs through the embedding API.
//!
//! Where the specification leaves something open, the functions do what `wasmtime` does.
//!
//! Stack: the functions keep paths and lists on the stack of the caller, at most 32 KiB with all they call.
//!
//! Signals: a process that runs guests must ignore `SIGPIPE`, so that writing to a closed pipe gives the guest the
//! errno `PIPE`, as `wasmtime`'s users see it. The start-up code of executables does so.
#![allow(clippy::too_many_arguments, reason = "the parameters are those of the specification")]

mod args;
#[cfg(feature = "embed")]
mod buffer;
mod clock;
mod context;
mod errno;
mod fd;
mod fd_attributes;
mod fdtable;
mod memory;
mod path;
mod path_open;
mod poll;
pub mod preview0;
mod proc;
mod random;
mod readdir;
mod resolve;
mod rights;
mod sock;
mod start;
mod types;
mod walk;

#[cfg(feature = "standalone")]
mod shims;

#[cfg(test)]
mod tests;

pub use args::{args_get, args_sizes_get, environ_get, environ_sizes_get};
#[cfg(feature = "embed")]
pub use buffer::OutputBuffer;
pub use clock::{Clock, clock_res_get, clock_time_get};
#[cfg(feature = "embed")]
pub use context::RandomSource;
pub use context::{Caller, Stdio, WasiCtx, WasiCtxBuilder};
pub use errno::{Errno, to_raw};
pub use fd::{
    fd_advise, fd_allocate, fd_close, fd_datasync, fd_pread, fd_pwrite, fd_read, fd_renumber, fd_seek,
    fd_sync, fd_tell, fd_write,
};
pub use fd_attributes::{
    fd_fdstat_get, fd_fdstat_set_flags, fd_fdstat_set_rights, fd_filestat_get, fd_filestat_set_size,
    fd_filestat_set_times, fd_prestat_dir_name, fd_prestat_get,
};
pub use memory::GuestMemory;
pub use path::{
    path_create_directory, path_filestat_get, path_filestat_set_times, path_link, path_readlink,
    path_remove_directory, path_rename, path_symlink, path_unlink_file,
};
pub use path_open::path_open;
pub use poll::poll_oneoff;
pub use proc::{Exit, proc_exit, proc_raise, sched_yield};
pub use random::random_get;
pub use readdir::fd_readdir;
pub use sock::{sock_accept, sock_recv, sock_send, sock_shutdown};
pub use start::{StartError, context_from_options};
