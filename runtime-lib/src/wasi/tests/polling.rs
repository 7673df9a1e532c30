//! `poll_oneoff`.

use super::*;
use std::io::Write;
use std::time::{Duration, Instant};

const SUBSCRIPTIONS: u32 = BUFFER;
const EVENTS: u32 = BUFFER + 0x8000;
const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;

#[derive(Clone, Copy)]
enum Sub {
    Clock { id: u32, timeout: u64, flags: u16 },
    Read(u32),
    Write(u32),
}

#[derive(Debug, PartialEq, Eq)]
struct Event {
    userdata: u64,
    error: u16,
    kind: u8,
    nbytes: u64,
    flags: u16,
}

/// Polls with subscriptions whose userdata are 100, 101, ….
fn poll(guest: &mut Guest, subs: &[Sub]) -> Result<Vec<Event>> {
    for (index, sub) in subs.iter().enumerate() {
        let addr = SUBSCRIPTIONS + index as u32 * 48;
        guest.memory[addr as usize..][..48].fill(0);
        guest.put(addr, &(100 + index as u64).to_le_bytes());
        let kind = match *sub {
            Sub::Clock { id, timeout, flags } => {
                guest.put(addr + 16, &id.to_le_bytes());
                guest.put(addr + 24, &timeout.to_le_bytes());
                guest.put(addr + 40, &flags.to_le_bytes());
                0
            }
            Sub::Read(fd) => {
                guest.put(addr + 16, &fd.to_le_bytes());
                1
            }
            Sub::Write(fd) => {
                guest.put(addr + 16, &fd.to_le_bytes());
                2
            }
        };
        guest.put(addr + 8, &[kind]);
    }
    let count = subs.len() as u32;
    guest.call(|ctx, memory| poll_oneoff(ctx, memory, SUBSCRIPTIONS, EVENTS, count, RESULT))?;
    let u16 = |addr| u16::from_le_bytes(guest.get(addr, 2).try_into().unwrap());
    Ok((0..guest.u32(RESULT))
        .map(|index| EVENTS + index * 32)
        .map(|addr| Event {
            userdata: guest.u64(addr),
            error: u16(addr + 8),
            kind: guest.get(addr + 10, 1)[0],
            nbytes: guest.u64(addr + 16),
            flags: u16(addr + 24),
        })
        .collect())
}

fn relative(millis: u64) -> Sub {
    Sub::Clock { id: MONOTONIC, timeout: millis * 1_000_000, flags: 0 }
}

#[test]
fn clocks_run_out() {
    let mut guest = Guest::new(false);
    let mut check = |sub: Sub, least: u64| {
        let start = Instant::now();
        let events = poll(&mut guest, &[sub]).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(least));
        assert!(start.elapsed() < Duration::from_secs(20));
        assert_eq!(events, [Event { userdata: 100, error: 0, kind: 0, nbytes: 0, flags: 0 }]);
    };
    check(relative(5), 5);
    check(relative(0), 0);
    check(Sub::Clock { id: REALTIME, timeout: 5_000_000, flags: 0 }, 5);
    check(Sub::Clock { id: MONOTONIC, timeout: 0, flags: 1 }, 0);
    let now = |id| super::super::clock::now(id).unwrap();
    check(Sub::Clock { id: MONOTONIC, timeout: now(MONOTONIC) + 10_000_000, flags: 1 }, 9);
    check(Sub::Clock { id: REALTIME, timeout: now(REALTIME) + 10_000_000, flags: 1 }, 9);
    check(Sub::Clock { id: REALTIME, timeout: 0, flags: 1 }, 0);
}

#[test]
fn the_first_clock_wins() {
    let mut guest = Guest::new(false);
    let forever = Sub::Clock { id: MONOTONIC, timeout: u64::MAX, flags: 0 };
    let events = poll(&mut guest, &[forever, relative(5), relative(60_000)]).unwrap();
    assert_eq!(events.iter().map(|event| event.userdata).collect::<Vec<_>>(), [101]);
}

#[test]
fn files_are_always_ready() {
    let mut guest = Guest::new(false);
    let fd = guest.open("file", CREAT, RW).unwrap();
    guest.write(fd, b"12345").unwrap();
    guest.seek(fd, 2, 0).unwrap();
    let events = poll(&mut guest, &[Sub::Read(fd), relative(60_000), Sub::Write(fd)]).unwrap();
    assert_eq!(
        events,
        [
            Event { userdata: 100, error: 0, kind: 1, nbytes: 3, flags: 0 },
            Event { userdata: 102, error: 0, kind: 2, nbytes: 1, flags: 0 },
        ]
    );
    guest.seek(fd, 0, 2).unwrap();
    let events = poll(&mut guest, &[Sub::Read(fd)]).unwrap();
    assert_eq!(events, [Event { userdata: 100, error: 0, kind: 1, nbytes: 0, flags: 1 }]);
}

#[test]
fn pipes_are_ready_when_they_have_something() {
    let (stdin, mut to_guest) = std::io::pipe().unwrap();
    let (from_guest, stdout) = std::io::pipe().unwrap();
    let mut guest = Guest::new(false);
    let (stdin, stdout) = (Stdio::File(host_fd(stdin)), Stdio::File(host_fd(stdout)));
    guest.ctx = WasiCtxBuilder::new(stdin, stdout, Stdio::Null).unwrap().build();
    let events = poll(&mut guest, &[Sub::Read(0), relative(5)]).unwrap();
    assert_eq!(events.iter().map(|event| event.userdata).collect::<Vec<_>>(), [101]);
    let events = poll(&mut guest, &[relative(60_000), Sub::Read(0), Sub::Write(1), Sub::Write(2)]).unwrap();
    assert_eq!(events.iter().map(|event| event.userdata).collect::<Vec<_>>(), [102, 103]);
    to_guest.write_all(b"1234").unwrap();
    let events = poll(&mut guest, &[Sub::Read(0), relative(60_000)]).unwrap();
    assert_eq!(events, [Event { userdata: 100, error: 0, kind: 1, nbytes: 4, flags: 0 }]);
    drop(to_guest);
    guest.read(0, 10).unwrap();
    let events = poll(&mut guest, &[Sub::Read(0)]).unwrap();
    assert_eq!(events, [Event { userdata: 100, error: 0, kind: 1, nbytes: 0, flags: 1 }]);
    drop(from_guest);
    let events = poll(&mut guest, &[Sub::Write(1)]).unwrap();
    assert_eq!((events[0].kind, events[0].flags), (2, 1));
}

#[test]
fn wrong_subscriptions_are_refused() {
    let mut guest = Guest::new(false);
    assert_eq!(poll(&mut guest, &[]), Err(Errno::Inval));
    assert_eq!(poll(&mut guest, &[Sub::Read(99)]), Err(Errno::Badf));
    assert_eq!(poll(&mut guest, &[Sub::Read(u32::MAX), Sub::Write(u32::MAX)]), Err(Errno::Badf));
    assert_eq!(poll(&mut guest, &[Sub::Read(ROOT)]), Err(Errno::Badf));
    assert_eq!(poll(&mut guest, &[Sub::Write(0)]), Err(Errno::Badf));
    assert_eq!(poll(&mut guest, &[Sub::Clock { id: 2, timeout: 0, flags: 0 }]), Err(Errno::Inval));
    assert_eq!(poll(&mut guest, &[Sub::Clock { id: 0, timeout: 0, flags: 2 }]), Err(Errno::Inval));
    guest.put(SUBSCRIPTIONS + 8, &[3]);
    let mut raw = |subs, events, count, result| {
        guest.call(|ctx, memory| poll_oneoff(ctx, memory, subs, events, count, result))
    };
    assert_eq!(raw(SUBSCRIPTIONS, EVENTS, 1, RESULT), Err(Errno::Inval));
    let end = MEMORY_SIZE as u32;
    assert_eq!(raw(end - 47, EVENTS, 1, RESULT), Err(Errno::Fault));
    assert_eq!(raw(SUBSCRIPTIONS, end - 31, 1, RESULT), Err(Errno::Fault));
    assert_eq!(raw(SUBSCRIPTIONS, EVENTS, 1, end), Err(Errno::Fault));
    assert_eq!(raw(SUBSCRIPTIONS, EVENTS, u32::MAX, RESULT), Err(Errno::Inval));
    assert_eq!(raw(SUBSCRIPTIONS, EVENTS, 60_000, RESULT), Err(Errno::Fault));
}

#[test]
fn preview0_has_another_layout() {
    let mut guest = Guest::new(false);
    guest.put(SUBSCRIPTIONS, &7u64.to_le_bytes());
    guest.put(SUBSCRIPTIONS + 24, &MONOTONIC.to_le_bytes());
    guest.put(SUBSCRIPTIONS + 32, &1_000_000u64.to_le_bytes());
    guest.call(|ctx, memory| preview0::poll_oneoff(ctx, memory, SUBSCRIPTIONS, EVENTS, 1, RESULT)).unwrap();
    assert_eq!((guest.u32(RESULT), guest.u64(EVENTS)), (1, 7));
}
