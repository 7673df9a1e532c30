//! Modules in a Rust program: what `aot-build` made of `modules/*.wat`, used as users do.

use aot_build_tests::{calls, imports, own_wasi, program, starts, stoppable};
use std::error::Error;
use std::io::{Read as _, Seek as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

type Tested = Result<(), Box<dyn Error>>;

#[test]
fn exports_have_their_types() -> Tested {
    let mut instance = calls::Instance::new()?;
    assert_eq!(instance.add(40, 2)?, 42);
    assert_eq!(instance.add(i32::MAX, 1)?, i32::MIN);
    assert_eq!(instance.mix(-1, 1 << 40, 0.5, 0.25)?, (1u64 << 40) as f64 - 0.25);
    assert_eq!(instance.many(i64::MAX)?, (-1, i64::MIN, 0.5, -2.0));
    let bytes: [u8; 16] = std::array::from_fn(|index| index as u8);
    let mut reversed = bytes;
    reversed.reverse();
    assert_eq!(instance.reverse(bytes)?, reversed);
    assert_eq!(instance.swap(bytes, -7)?, (-7, bytes));
    let reference = calls::ExternRef(0xdead_beef);
    assert_eq!(instance.same_extern(reference)?, reference);
    Ok(())
}

#[test]
fn names_become_identifiers() -> Tested {
    let mut instance = calls::Instance::new()?;
    assert_eq!([instance.type_()?, instance.a_b()?, instance.a_b_2()?], [10, 11, 12]);
    assert_eq!([instance._1_()?, instance.host_2()?], [13, 14]);
    assert_eq!(instance._______()?, 15);
    Ok(())
}

#[test]
fn globals_are_read_and_set() -> Tested {
    let mut instance = calls::Instance::new()?;
    let other = calls::Instance::new()?;
    instance.set_count(-1);
    instance.bump()?;
    assert_eq!((instance.get_count(), other.get_count()), (0, 7));
    assert_eq!(instance.get_pi(), 3.25);
    instance.set_thing(calls::ExternRef(5));
    assert_eq!((instance.get_thing().0, other.get_thing().0), (5, 0));
    assert_eq!(instance.get_kept(), None);
    Ok(())
}

#[test]
fn functions_of_another_instance_are_refused() -> Tested {
    let mut instance = calls::Instance::new()?;
    let func = instance.get_func(1)?;
    assert!(func.is_some() && instance.get_func(0)?.is_none());
    assert_eq!(instance.call_func(func)?, 1);
    instance.set_kept(func)?;
    assert_eq!(instance.get_kept(), func);
    drop(instance);

    let mut other = calls::Instance::new()?;
    let trap = other.call_func(func).unwrap_err();
    assert_eq!(trap.code(), calls::TrapCode::Error);
    assert!(trap.to_string().contains("another instance"), "{trap}");
    assert!(other.set_kept(func).is_err());
    assert_eq!(other.get_kept(), None);
    assert_eq!(other.call_func(None).unwrap_err().code(), calls::TrapCode::UninitializedElement);
    Ok(())
}

#[test]
fn memory_is_reached_in_bounds_only() -> Tested {
    let mut instance = calls::Instance::new()?;
    let size = 0x1_0000;
    assert_eq!(instance.memory().len(), size);
    instance.write_memory(8, &0x0102_0304u32.to_le_bytes())?;
    assert_eq!(instance.load(8)?, 0x0102_0304);
    instance.memory_mut()[9] = 0xff;
    assert_eq!(instance.load(8)?, 0x0102_ff04);
    assert_eq!(instance.read_memory(8, 4)?, [0x04, 0xff, 2, 1]);

    let end = size as u32;
    assert!(instance.read_memory(end, 0)?.is_empty());
    for (offset, len) in [(end, 1), (end - 3, 4), (u32::MAX, u32::MAX), (0, u32::MAX), (end + 1, 0)] {
        let error = instance.read_memory(offset, len).unwrap_err();
        assert_eq!(error, calls::OutOfBounds { offset, len: len as usize, size });
    }
    assert!(instance.write_memory(end - 3, &[1; 4]).is_err());
    assert_eq!(instance.load(end.cast_signed() - 4)?, 0, "nothing was written");

    assert!(instance.grow_memory(2));
    assert_eq!(instance.memory().len(), 3 * size);
    assert!(!instance.grow_memory(1), "the module declares three pages at most");
    instance.write_memory(end - 3, &[1; 4])?;
    Ok(())
}

#[test]
fn traps_say_what_and_where() -> Tested {
    use calls::TrapCode::{
        IntegerDivideByZero, IntegerOverflow, MemoryOutOfBounds, StackOverflow, Unreachable,
    };
    let mut instance = calls::Instance::new()?;
    let codes = [
        instance.divide(1, 0).unwrap_err().code(),
        instance.divide(i32::MIN, -1).unwrap_err().code(),
        instance.load(-1).unwrap_err().code(),
        instance.deep(0).unwrap_err().code(),
    ];
    assert_eq!(codes, [IntegerDivideByZero, IntegerOverflow, MemoryOutOfBounds, StackOverflow]);
    let trap = instance.crash().unwrap_err();
    assert_eq!((trap.code(), trap.exit_status()), (Unreachable, None));
    assert_eq!(trap.backtrace(), "  0: inner\n  1: outer\n");
    assert!(trap.to_string().contains("unreachable"), "{trap}");
    assert_eq!(instance.add(1, 2)?, 3, "it goes on");
    Ok(())
}

#[test]
fn limits_hold() -> Tested {
    let options = calls::Options::new().max_memory(0x2_0000).max_stack(64 * 1024);
    let mut instance = calls::Instance::with_options(&options)?;
    assert!(instance.grow_memory(1) && !instance.grow_memory(1));
    assert_eq!(instance.deep(0).unwrap_err().code(), calls::TrapCode::StackOverflow);
    let options = calls::Options::new().max_memory(0x8000);
    let trap = calls::Instance::with_options(&options).unwrap_err();
    assert!(trap.to_string().contains("not enough memory"), "{trap}");
    Ok(())
}

#[test]
fn instances_move_between_threads() -> Tested {
    let mut instance = calls::Instance::new()?;
    instance.bump()?;
    let moved = thread::spawn(move || {
        instance.bump()?;
        let trap = instance.deep(0).unwrap_err();
        assert_eq!(trap.code(), calls::TrapCode::StackOverflow);
        Ok::<_, calls::Trap>(instance)
    });
    let mut instance = moved.join().expect("no panic")?;
    instance.bump()?;
    assert_eq!(instance.get_count(), 10);

    let threads: Vec<_> = (0..4)
        .map(|number| {
            thread::spawn(move || {
                let mut instance = calls::Instance::new().unwrap();
                for round in 0..2000 {
                    assert_eq!(instance.add(number, round).unwrap(), number + round);
                    assert!(instance.divide(round, 0).is_err());
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    Ok(())
}

#[test]
fn loops_are_interrupted() -> Tested {
    let mut instance = stoppable::Instance::new()?;
    let handle = instance.interrupt_handle();
    let stopper = thread::spawn({
        let handle = handle.clone();
        move || {
            thread::sleep(Duration::from_millis(50));
            handle.interrupt();
        }
    });
    assert_eq!(instance.spin().unwrap_err().code(), stoppable::TrapCode::Interrupt);
    stopper.join().expect("no panic");
    assert_eq!(instance.add(1, 2)?, 3);
    drop(instance);
    handle.interrupt();
    Ok(())
}

/// What the imports of the tests do.
#[derive(Debug, Default)]
struct Host {
    notes: Vec<String>,
    /// What `add` does instead of adding.
    add: Add,
    depth: u32,
}

#[derive(Clone, Copy, Debug, Default)]
enum Add {
    #[default]
    Adds,
    Fails,
    Panics,
}

#[derive(Debug, PartialEq)]
struct Refusal(i32);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused\0 {}", self.0)
    }
}

impl Error for Refusal {}

impl imports::Imports for Host {
    fn env_add(guest: &mut imports::Guest<'_, Self>, a: i32, b: i32) -> Result<i32, imports::HostError> {
        match guest.host().add {
            Add::Adds => Ok(a + b),
            Add::Fails => Err(Refusal(a).into()),
            Add::Panics => panic!("add {a} {b}"),
        }
    }

    fn env_many(
        _: &mut imports::Guest<'_, Self>,
        a: i32,
        b: i64,
        c: f32,
        d: f64,
    ) -> Result<(f64, f32, i64, i32), imports::HostError> {
        Ok((d + 1.0, c + 1.0, b + 1, a + 1))
    }

    fn env_vector(
        _: &mut imports::Guest<'_, Self>,
        vector: [u8; 16],
    ) -> Result<[u8; 16], imports::HostError> {
        Ok(vector.map(|byte| byte.wrapping_add(1)))
    }

    fn env_extern(
        _: &mut imports::Guest<'_, Self>,
        reference: imports::ExternRef,
    ) -> Result<imports::ExternRef, imports::HostError> {
        Ok(imports::ExternRef(reference.0 + 1))
    }

    fn env_func(
        _: &mut imports::Guest<'_, Self>,
        func: Option<imports::FuncRef>,
    ) -> Result<Option<imports::FuncRef>, imports::HostError> {
        Ok(func)
    }

    fn env_log(guest: &mut imports::Guest<'_, Self>, at: i32, len: i32) -> Result<(), imports::HostError> {
        let note = String::from_utf8(guest.read_memory(at.cast_unsigned(), len.cast_unsigned())?.to_vec())?;
        guest.host_mut().notes.push(note);
        let (memory, host) = guest.memory_and_host();
        memory[..8].copy_from_slice(&(host.notes.len() as u64).to_le_bytes());
        Ok(())
    }

    fn env_again(guest: &mut imports::Guest<'_, Self>, n: i32) -> Result<i32, imports::HostError> {
        guest.host_mut().depth += 1;
        if n == 0 && guest.host().depth > 5 {
            return Ok(guest.add(0, 0)?);
        }
        Ok(guest.sum(n)?)
    }
}

#[test]
fn imports_have_their_types() -> Tested {
    let mut instance = imports::Instance::new(Host::default())?;
    assert_eq!(instance.add(40, 2)?, 42);
    assert_eq!(instance.many(1, 2, 3.0, 4.0)?, (5.0, 4.0, 3, 2));
    assert_eq!(instance.vector([7; 16])?, [8; 16]);
    assert_eq!(instance.extern_(imports::ExternRef(9))?, imports::ExternRef(10));
    assert_eq!(instance.func()?, 0);
    Ok(())
}

#[test]
fn imports_see_the_memory() -> Tested {
    let mut instance = imports::Instance::new(Host::default())?;
    instance.log(16, 5)?;
    instance.log(16, 2)?;
    assert_eq!(instance.host().notes, ["hello", "he"]);
    assert_eq!(instance.memory()[0], 2);
    let trap = instance.log(-1, 5).unwrap_err();
    let error = trap.source().and_then(|source| source.downcast_ref::<imports::OutOfBounds>());
    assert_eq!(error.map(|error| error.offset), Some(u32::MAX));
    assert_eq!(trap.to_string(), "5 bytes at 0xffffffff are not in a memory of 0x10000 bytes");
    Ok(())
}

#[test]
fn errors_of_imports_come_back() -> Tested {
    let mut instance = imports::Instance::new(Host { add: Add::Fails, ..Host::default() })?;
    let trap = instance.add(3, 4).unwrap_err();
    assert_eq!((trap.code(), trap.to_string().as_str()), (imports::TrapCode::Error, "refused? 3"));
    assert_eq!(trap.into_source().and_then(|error| error.downcast().ok()), Some(Box::new(Refusal(3))));
    instance.host_mut().add = Add::Adds;
    assert_eq!(instance.add(3, 4)?, 7);
    Ok(())
}

#[test]
fn panics_of_imports_go_on() -> Tested {
    let mut instance = imports::Instance::new(Host { add: Add::Panics, ..Host::default() })?;
    for round in 0..3 {
        let payload = catch_unwind(AssertUnwindSafe(|| instance.add(round, 4))).unwrap_err();
        assert_eq!(payload.downcast_ref::<String>(), Some(&format!("add {round} 4")));
    }
    instance.host_mut().add = Add::Adds;
    assert_eq!(instance.add(3, 4)?, 7, "the instance is as good as before");
    Ok(())
}

#[test]
fn imports_call_the_guest() -> Tested {
    let mut instance = imports::Instance::new(Host::default())?;
    assert_eq!(instance.sum(10)?, 55);
    assert_eq!(instance.host().depth, 10);

    // The innermost fails: every call on the way fails, and the reason is at the end of the chain.
    instance.host_mut().add = Add::Fails;
    let trap = instance.sum(3).unwrap_err();
    let mut reason: &(dyn Error + 'static) = &trap;
    let mut depth = 0;
    while let Some(source) = reason.source() {
        (reason, depth) = (source, depth + 1);
    }
    assert_eq!((reason.downcast_ref(), depth), (Some(&Refusal(0)), 4));

    instance.host_mut().add = Add::Panics;
    let payload = catch_unwind(AssertUnwindSafe(|| instance.sum(3))).unwrap_err();
    assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("add 0 0"));
    instance.host_mut().add = Add::Adds;
    assert_eq!(instance.sum(4)?, 10);

    let trap = instance.sum(1_000_000).unwrap_err();
    let mut reason = trap;
    while let Some(source) = reason.into_source() {
        let Ok(inner) = source.downcast::<imports::Trap>() else { panic!("another error") };
        if inner.source().is_none() {
            assert_eq!(inner.code(), imports::TrapCode::StackOverflow);
            return Ok(());
        }
        reason = *inner;
    }
    panic!("it traps by way of the program");
}

/// Notes what the start function says.
struct Starter<'a> {
    starts: &'a mut Vec<i32>,
    fails: bool,
    panics: bool,
}

impl starts::Imports for Starter<'_> {
    fn env_start(guest: &mut starts::Guest<'_, Self>, value: i32) -> Result<(), starts::HostError> {
        let twice = guest.twice(value)?;
        guest.write_memory(0, &[1])?;
        assert!(guest.grow_memory(1));
        let Starter { starts, fails, panics } = guest.host_mut();
        starts.push(twice);
        assert!(!*panics, "panics at the start");
        if *fails { Err("fails at the start".into()) } else { Ok(()) }
    }
}

#[test]
fn start_functions_use_imports() -> Tested {
    let mut starts = Vec::new();
    let mut new = |fails, panics| {
        starts::Instance::new(Starter { starts: &mut starts, fails, panics })
            .map(|instance| (instance.memory().len(), instance.memory()[0]))
    };
    assert_eq!(new(false, false)?, (0x2_0000, 1));
    assert_eq!(new(true, false).unwrap_err().to_string(), "fails at the start");
    let payload = catch_unwind(AssertUnwindSafe(|| new(false, true))).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"panics at the start"));
    assert_eq!(starts, [10, 10, 10]);
    Ok(())
}

#[test]
fn wasi_sees_what_it_was_given() -> Tested {
    let mut input = tempfile::tempfile()?;
    let mut output = tempfile::tempfile()?;
    input.write_all(b"some input; ")?;
    input.rewind()?;
    let options = program::Options::new()
        .arg("name")
        .arg("two words")
        .env("A", "1")
        .env("B", "2")
        .stdin(input)
        .stdout(output.try_clone()?);
    let mut instance = program::Instance::with_options(&options)?;
    instance.echo()?;
    instance.print_args()?;
    assert_eq!(instance.variables()?, 2);
    let trap = instance.quit(7).unwrap_err();
    assert_eq!((trap.code(), trap.exit_status()), (program::TrapCode::Exit, Some(7)));
    let mut text = String::new();
    output.rewind()?;
    output.read_to_string(&mut text)?;
    assert_eq!(text, "some input; name\0two words\0");

    let mut instance = program::Instance::new()?;
    instance.echo()?;
    assert_eq!(instance.variables()?, 0, "nothing of the process");
    Ok(())
}

#[test]
fn options_are_checked() {
    for (options, text) in [
        (program::Options::new().arg("a\0b"), "an argument has a NUL byte in it: \"a\\0b\""),
        (program::Options::new().dir("/does/not/exist", "/"), "cannot use the directory `/does/not/exist`"),
    ] {
        let trap = program::Instance::with_options(&options).unwrap_err();
        assert!(trap.to_string().starts_with(text), "{trap}");
    }
}

/// WASI by the program itself.
struct Own(Option<i32>);

impl own_wasi::Imports for Own {
    fn wasi_snapshot_preview1_fd_read(
        _: &mut own_wasi::Guest<'_, Self>,
        _: i32,
        _: i32,
        _: i32,
        _: i32,
    ) -> Result<i32, own_wasi::HostError> {
        Ok(8)
    }

    fn wasi_snapshot_preview1_fd_write(
        _: &mut own_wasi::Guest<'_, Self>,
        _: i32,
        _: i32,
        _: i32,
        _: i32,
    ) -> Result<i32, own_wasi::HostError> {
        Ok(8)
    }

    fn wasi_snapshot_preview1_args_sizes_get(
        _: &mut own_wasi::Guest<'_, Self>,
        _: i32,
        _: i32,
    ) -> Result<i32, own_wasi::HostError> {
        Ok(0)
    }

    fn wasi_snapshot_preview1_args_get(
        _: &mut own_wasi::Guest<'_, Self>,
        _: i32,
        _: i32,
    ) -> Result<i32, own_wasi::HostError> {
        Ok(0)
    }

    fn wasi_snapshot_preview1_environ_sizes_get(
        guest: &mut own_wasi::Guest<'_, Self>,
        count: i32,
        _: i32,
    ) -> Result<i32, own_wasi::HostError> {
        guest.write_memory(count.cast_unsigned(), &[99])?;
        Ok(0)
    }

    fn wasi_snapshot_preview1_proc_exit(
        guest: &mut own_wasi::Guest<'_, Self>,
        status: i32,
    ) -> Result<(), own_wasi::HostError> {
        guest.host_mut().0 = Some(status);
        Ok(())
    }
}

#[test]
fn wasi_can_be_the_programs() -> Tested {
    let mut instance = own_wasi::Instance::new(Own(None))?;
    assert_eq!(instance.variables()?, 99);
    assert_eq!(instance.quit(3).unwrap_err().code(), own_wasi::TrapCode::Unreachable);
    assert_eq!(instance.host().0, Some(3));
    Ok(())
}

/// The runtime brings functions of its own that the standard library has too; none may take the place of another.
#[test]
fn the_standard_library_still_unwinds() {
    struct Sets<'a>(&'a mut bool);
    impl Drop for Sets<'_> {
        fn drop(&mut self) {
            *self.0 = true;
        }
    }
    let mut is_dropped = false;
    let mut instance = calls::Instance::new().unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _sets = Sets(&mut is_dropped);
        instance.add(1, 2).unwrap();
        std::panic::panic_any(5u8);
    }));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&5u8));
    assert!(is_dropped);
}

/// Instances go to other threads, and are not shared by them.
#[test]
fn instances_are_send_and_not_sync() {
    fn is_send<T: Send>() {}
    is_send::<calls::Instance>();
    is_send::<imports::Instance<Host>>();
    is_send::<calls::InterruptHandle>();

    trait IsAmbiguousIfSync<A> {
        fn check() {}
    }
    impl<T: ?Sized> IsAmbiguousIfSync<()> for T {}
    impl<T: ?Sized + Sync> IsAmbiguousIfSync<u8> for T {}
    // These would not compile.
    <calls::Instance as IsAmbiguousIfSync<_>>::check();
    <imports::Instance<Host> as IsAmbiguousIfSync<_>>::check();
}
