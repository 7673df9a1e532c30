//! WASI for guests of a host program.

use super::module;
use aot_runtime::embed::wasi::{Clock, OutputBuffer, Stdio, WasiCtx, WasiCtxBuilder, add_to_linker};
use aot_runtime::embed::{Engine, Error, Linker, Store};
use std::fs;
use std::os::fd::OwnedFd;

const GUEST: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 500) "made")
    ;; Copies what it reads to a stream.
    (func (export "copy") (param $to i32) (result i32) (local $count i32)
        (loop $more
            (i32.store (i32.const 0) (i32.const 1024))
            (i32.store (i32.const 4) (i32.const 100))
            (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then (return (i32.const -1))))
            (i32.store (i32.const 4) (i32.load (i32.const 8)))
            (if (i32.load (i32.const 8))
                (then
                    (if (call $write (local.get $to) (i32.const 0) (i32.const 1) (i32.const 12))
                        (then (return (i32.const -2))))
                    (local.set $count (i32.add (local.get $count) (i32.load (i32.const 12))))
                    (br $more))))
        (local.get $count))
    (func (export "args") (result i32) (drop (call $args (i32.const 16) (i32.const 20))) (i32.load (i32.const 16)))
    (func (export "environ") (result i32)
        (drop (call $environ (i32.const 600) (i32.const 700))) (i32.load8_u (i32.const 702)))
    (func (export "time") (param i32) (result i64)
        (drop (call $clock (local.get 0) (i64.const 1) (i32.const 32))) (i64.load (i32.const 32)))
    (func (export "random") (result i64)
        (drop (call $random (i32.const 40) (i32.const 8))) (i64.load (i32.const 40)))
    (func (export "exit") (param i32) (call $exit (local.get 0)))
    (func (export "mkdir") (param i32) (result i32) (call $mkdir (local.get 0) (i32.const 500) (i32.const 4))))"#;

fn run<R: aot_runtime::embed::WasmResults, P: aot_runtime::embed::WasmParams>(
    ctx: WasiCtx,
    name: &str,
    params: P,
) -> Result<R, Error> {
    let mut linker: Linker<WasiCtx> = Linker::new();
    add_to_linker(&mut linker, |ctx| ctx)?;
    let mut store = Store::new(&Engine::default(), ctx);
    let instance = linker.instantiate(&mut store, &module(GUEST))?;
    instance.get_typed_func::<P, R>(&store, name)?.call(&mut store, params)
}

fn builder() -> WasiCtxBuilder {
    WasiCtxBuilder::new(Stdio::Null, Stdio::Null, Stdio::Null).unwrap()
}

#[test]
fn streams_are_buffers() {
    let input = b"some text of the host\n".repeat(40);
    let (out, err) = (OutputBuffer::new(1 << 20).unwrap(), OutputBuffer::new(1 << 20).unwrap());
    for stream in [1, 2] {
        let stdin = Stdio::input(&input).unwrap();
        let ctx = WasiCtxBuilder::new(stdin, out.stream().unwrap(), err.stream().unwrap()).unwrap().build();
        assert_eq!(run::<i32, i32>(ctx, "copy", stream).unwrap(), input.len() as i32);
    }
    assert_eq!(out.contents().unwrap(), input);
    assert_eq!(err.contents().unwrap(), input);
}

#[test]
fn a_buffer_does_not_grow_beyond_its_capacity() {
    let out = OutputBuffer::new(250).unwrap();
    let stdin = Stdio::input(&[b'x'; 1000]).unwrap();
    let ctx = WasiCtxBuilder::new(stdin, out.stream().unwrap(), Stdio::Null).unwrap().build();
    assert_eq!(run::<i32, i32>(ctx, "copy", 1).unwrap(), -2);
    assert!(out.contents().unwrap().len() <= 250);
}

#[test]
fn streams_are_pipes() {
    let (reader, writer) = std::io::pipe().unwrap();
    let stdin = Stdio::input(b"through a pipe").unwrap();
    let ctx = WasiCtxBuilder::new(stdin, Stdio::File(OwnedFd::from(writer)), Stdio::Null).unwrap().build();
    assert_eq!(run::<i32, i32>(ctx, "copy", 1).unwrap(), 14);
    assert_eq!(std::io::read_to_string(reader).unwrap(), "through a pipe");
}

#[test]
fn arguments_and_environment_are_given() {
    let mut ctx = builder();
    ctx.arg(b"name").arg(b"one").env(b"A=Z");
    assert_eq!(run::<i32, ()>(ctx.build(), "args", ()).unwrap(), 2);
    let mut ctx = builder();
    ctx.env(b"A=Z");
    assert_eq!(run::<i32, ()>(ctx.build(), "environ", ()).unwrap(), i32::from(b'Z'));
}

struct Steps(u64);

impl Clock for Steps {
    fn now(&mut self, monotonic: bool) -> u64 {
        self.0 += 10;
        self.0 + u64::from(monotonic)
    }
}

#[test]
fn clock_and_random_source_are_replaced() {
    let mut ctx = builder();
    ctx.clock(Steps(100));
    assert_eq!(run::<i64, i32>(ctx.build(), "time", 0).unwrap(), 110);
    let mut ctx = builder();
    ctx.clock(Steps(100));
    assert_eq!(run::<i64, i32>(ctx.build(), "time", 1).unwrap(), 111);
    assert!(run::<i64, i32>(builder().build(), "time", 0).unwrap() > 1 << 60);
    let mut ctx = builder();
    ctx.random(|bytes: &mut [u8]| bytes.fill(1));
    assert_eq!(run::<i64, ()>(ctx.build(), "random", ()).unwrap(), 0x0101_0101_0101_0101);
    assert_ne!(run::<i64, ()>(builder().build(), "random", ()).unwrap(), 0);
}

#[test]
fn guests_end_themselves() {
    for status in [0, 3, 200] {
        let error = run::<(), i32>(builder().build(), "exit", status).unwrap_err();
        assert!(matches!(error, Error::Exit(code) if code == status as u32), "{error}");
    }
}

#[test]
fn directories_are_given() {
    let directory = tempfile::tempdir().unwrap();
    let mut ctx = builder();
    ctx.preopen(directory.path().to_str().unwrap().as_bytes(), b"/").unwrap();
    assert_eq!(run::<i32, i32>(ctx.build(), "mkdir", 3).unwrap(), 0);
    assert!(fs::metadata(directory.path().join("made")).unwrap().is_dir());
    assert_ne!(run::<i32, i32>(builder().build(), "mkdir", 3).unwrap(), 0);
}

#[test]
fn names_are_defined_once_and_the_older_interface_has_its_own() {
    let mut linker: Linker<WasiCtx> = Linker::new();
    linker.func_wrap("wasi_unstable", "fd_seek", || {}).unwrap();
    let error = add_to_linker(&mut linker, |ctx| ctx).unwrap_err();
    assert_eq!(error.to_string(), "`wasi_unstable` `fd_seek` is defined already");
    // What the host allows stays allowed.
    let mut linker: Linker<WasiCtx> = Linker::new();
    linker.allow_shadowing(true);
    add_to_linker(&mut linker, |ctx| ctx).unwrap();
    linker.func_wrap("wasi_snapshot_preview1", "sched_yield", || 0).unwrap();
    let late =
        module(r#"(module (import "wasi_unstable" "sock_accept" (func (param i32 i32 i32) (result i32))))"#);
    assert!(matches!(linker.instantiate_pre(&late), Err(Error::Import(_))));
    let old =
        module(r#"(module (import "wasi_unstable" "fd_seek" (func (param i32 i64 i32 i32) (result i32))))"#);
    linker.instantiate_pre(&old).unwrap();
}
