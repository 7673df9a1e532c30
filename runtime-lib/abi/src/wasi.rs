//! The functions of WASI preview 1: names, core wasm types and symbols, stated once for compiler and runtime.
//!
//! Source: `wasi_snapshot_preview1.witx`. Pointers, sizes, handles, enums and flags are `i32`; file sizes, offsets,
//! timestamps, rights and cookies are `i64`.

use crate::types::ValType;

/// Module name of preview 1 in imports.
pub const MODULE: &str = "wasi_snapshot_preview1";

/// Module name of preview 0, which programs of 2019 import. Its core types are those of preview 1; four functions
/// have other layouts of their records in memory.
pub const MODULE_PREVIEW0: &str = "wasi_unstable";

/// A function that a module can import from WASI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WasiFunction {
    /// Name in the import.
    pub name: &'static str,
    /// Symbol in the static runtime library: `fn(vmctx, params…)` with the platform's C calling convention.
    ///
    /// The 32-bit parameters are signed integers there: on targets whose convention extends small integers
    /// (riscv64, s390x) the caller sign-extends them. The result, if any, is the errno as `u32`.
    pub symbol: &'static str,
    /// Core parameter types, without the instance.
    pub params: &'static [ValType],
    /// Core result types: the errno, or nothing for `proc_exit`.
    pub results: &'static [ValType],
}

/// Calls the macro `$callback` with the list of all functions of preview 1.
///
/// Each entry is `errno NAME(PARAM: TYPE, …);` for a function that returns an errno, or `never NAME(…);` for one
/// that does not return. The compiler's table and the runtime's exports are both made from this list.
#[macro_export]
macro_rules! for_each_wasi_function {
    ($callback:ident) => {
        $callback! {
            errno args_get(argv: i32, argv_buf: i32);
            errno args_sizes_get(argc: i32, argv_buf_size: i32);
            errno environ_get(environ: i32, environ_buf: i32);
            errno environ_sizes_get(environc: i32, environ_buf_size: i32);
            errno clock_res_get(id: i32, resolution: i32);
            errno clock_time_get(id: i32, precision: i64, time: i32);
            errno fd_advise(fd: i32, offset: i64, len: i64, advice: i32);
            errno fd_allocate(fd: i32, offset: i64, len: i64);
            errno fd_close(fd: i32);
            errno fd_datasync(fd: i32);
            errno fd_fdstat_get(fd: i32, stat: i32);
            errno fd_fdstat_set_flags(fd: i32, flags: i32);
            errno fd_fdstat_set_rights(fd: i32, base: i64, inheriting: i64);
            errno fd_filestat_get(fd: i32, stat: i32);
            errno fd_filestat_set_size(fd: i32, size: i64);
            errno fd_filestat_set_times(fd: i32, atim: i64, mtim: i64, fst_flags: i32);
            errno fd_pread(fd: i32, iovs: i32, iovs_len: i32, offset: i64, nread: i32);
            errno fd_prestat_get(fd: i32, prestat: i32);
            errno fd_prestat_dir_name(fd: i32, path: i32, path_len: i32);
            errno fd_pwrite(fd: i32, iovs: i32, iovs_len: i32, offset: i64, nwritten: i32);
            errno fd_read(fd: i32, iovs: i32, iovs_len: i32, nread: i32);
            errno fd_readdir(fd: i32, buf: i32, buf_len: i32, cookie: i64, used: i32);
            errno fd_renumber(fd: i32, to: i32);
            errno fd_seek(fd: i32, offset: i64, whence: i32, new_offset: i32);
            errno fd_sync(fd: i32);
            errno fd_tell(fd: i32, offset: i32);
            errno fd_write(fd: i32, iovs: i32, iovs_len: i32, nwritten: i32);
            errno path_create_directory(fd: i32, path: i32, path_len: i32);
            errno path_filestat_get(fd: i32, flags: i32, path: i32, path_len: i32, stat: i32);
            errno path_filestat_set_times(
                fd: i32, flags: i32, path: i32, path_len: i32, atim: i64, mtim: i64, fst_flags: i32
            );
            errno path_link(
                old_fd: i32, old_flags: i32, old_path: i32, old_path_len: i32,
                new_fd: i32, new_path: i32, new_path_len: i32
            );
            errno path_open(
                fd: i32, dirflags: i32, path: i32, path_len: i32, oflags: i32,
                rights_base: i64, rights_inheriting: i64, fdflags: i32, opened: i32
            );
            errno path_readlink(fd: i32, path: i32, path_len: i32, buf: i32, buf_len: i32, used: i32);
            errno path_remove_directory(fd: i32, path: i32, path_len: i32);
            errno path_rename(
                fd: i32, old_path: i32, old_path_len: i32, new_fd: i32, new_path: i32, new_path_len: i32
            );
            errno path_symlink(old_path: i32, old_path_len: i32, fd: i32, new_path: i32, new_path_len: i32);
            errno path_unlink_file(fd: i32, path: i32, path_len: i32);
            errno poll_oneoff(subscriptions: i32, events: i32, nsubscriptions: i32, nevents: i32);
            never proc_exit(status: i32);
            errno proc_raise(signal: i32);
            errno sched_yield();
            errno random_get(buf: i32, buf_len: i32);
            errno sock_accept(fd: i32, flags: i32, accepted: i32);
            errno sock_recv(fd: i32, data: i32, data_len: i32, flags: i32, received: i32, out_flags: i32);
            errno sock_send(fd: i32, data: i32, data_len: i32, flags: i32, sent: i32);
            errno sock_shutdown(fd: i32, how: i32);
        }
    };
}

/// Calls the macro `$callback` with the functions of preview 0 whose records differ from preview 1, in the form of
/// [`for_each_wasi_function`]. All others are the functions of preview 1.
#[macro_export]
macro_rules! for_each_wasi_preview0_function {
    ($callback:ident) => {
        $callback! {
            errno fd_filestat_get(fd: i32, stat: i32);
            errno fd_seek(fd: i32, offset: i64, whence: i32, new_offset: i32);
            errno path_filestat_get(fd: i32, flags: i32, path: i32, path_len: i32, stat: i32);
            errno poll_oneoff(subscriptions: i32, events: i32, nsubscriptions: i32, nevents: i32);
        }
    };
}

macro_rules! val_type {
    (i32) => {
        ValType::I32
    };
    (i64) => {
        ValType::I64
    };
}

macro_rules! results {
    (errno) => {
        &[ValType::I32]
    };
    (never) => {
        &[]
    };
}

macro_rules! table {
    ($($kind:ident $name:ident($($param:ident: $ty:ident),* $(,)?);)*) => {
        /// Every function of preview 1, in the order of the list above.
        pub const FUNCTIONS: &[WasiFunction] = &[$(WasiFunction {
            name: stringify!($name),
            symbol: concat!("aot_wasi_", stringify!($name)),
            params: &[$(val_type!($ty)),*],
            results: results!($kind),
        }),*];
    };
}
for_each_wasi_function!(table);

macro_rules! preview0_table {
    ($($kind:ident $name:ident($($param:ident: $ty:ident),* $(,)?);)*) => {
        /// The functions of preview 0 that have a symbol of their own.
        pub const PREVIEW0_FUNCTIONS: &[WasiFunction] = &[$(WasiFunction {
            name: stringify!($name),
            symbol: concat!("aot_wasi0_", stringify!($name)),
            params: &[$(val_type!($ty)),*],
            results: results!($kind),
        }),*];
    };
}
for_each_wasi_preview0_function!(preview0_table);

/// Whether imports from the module `module` are WASI's.
pub fn is_wasi_module(module: &str) -> bool {
    module == MODULE || module == MODULE_PREVIEW0
}

/// The function imported as `module`.`name`, if WASI has one.
pub fn lookup(module: &str, name: &str) -> Option<&'static WasiFunction> {
    let find = |list: &'static [WasiFunction]| list.iter().find(|function| function.name == name);
    match module {
        MODULE => find(FUNCTIONS),
        // `sock_accept` came with preview 1.
        MODULE_PREVIEW0 if name != "sock_accept" => find(PREVIEW0_FUNCTIONS).or_else(|| find(FUNCTIONS)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_is_complete_and_unique() {
        assert_eq!(FUNCTIONS.len(), 46);
        for (index, function) in FUNCTIONS.iter().enumerate() {
            assert!(FUNCTIONS[..index].iter().all(|other| other.name != function.name), "{}", function.name);
            assert_eq!(function.symbol.strip_prefix("aot_wasi_"), Some(function.name));
            assert_eq!(function.results.is_empty(), function.name == "proc_exit");
        }
    }

    #[test]
    fn types_are_those_of_the_specification() {
        use ValType::{I32, I64};
        let path_open = lookup(MODULE, "path_open").unwrap();
        assert_eq!(path_open.params, [I32, I32, I32, I32, I32, I64, I64, I32, I32]);
        assert_eq!(path_open.results, [I32]);
        assert_eq!(lookup(MODULE, "sched_yield").unwrap().params, []);
        assert_eq!(lookup(MODULE, "fd_readdir").unwrap().params, [I32, I32, I32, I64, I32]);
        assert_eq!(lookup(MODULE, "proc_exit").unwrap().results, []);
    }

    #[test]
    fn lookup_knows_both_modules() {
        assert_eq!(lookup(MODULE, "fd_seek").unwrap().symbol, "aot_wasi_fd_seek");
        assert_eq!(lookup(MODULE_PREVIEW0, "fd_seek").unwrap().symbol, "aot_wasi0_fd_seek");
        assert_eq!(lookup(MODULE_PREVIEW0, "fd_write").unwrap().symbol, "aot_wasi_fd_write");
        assert!(lookup(MODULE_PREVIEW0, "sock_accept").is_none());
        assert!(lookup("env", "fd_write").is_none());
        assert!(lookup(MODULE, "fd_fly").is_none());
    }
}
