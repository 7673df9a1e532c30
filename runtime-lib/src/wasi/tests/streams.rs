//! Standard streams, pipes and sockets.

use super::super::fdtable::{FdEntry, HostFd};
use super::*;
use alloc::boxed::Box;
use rustix::fd::AsFd;
use std::io::{Read, Write};
use std::os::fd::OwnedFd as StdFd;
use std::os::unix::net::UnixStream;

/// A guest with these files as standard streams.
fn with_streams(stdin: impl Into<StdFd>, stdout: impl Into<StdFd>) -> Guest {
    let mut guest = Guest::new(false);
    let builder = WasiCtxBuilder::new(Stdio::File(host_fd(stdin)), Stdio::File(host_fd(stdout)), Stdio::Null);
    guest.ctx = builder.unwrap().build();
    guest
}

#[test]
fn streams_have_one_direction_and_no_offset() {
    let (stdin, mut to_guest) = std::io::pipe().unwrap();
    let (mut from_guest, stdout) = std::io::pipe().unwrap();
    let mut guest = with_streams(stdin, stdout);
    to_guest.write_all(b"input").unwrap();
    assert_eq!(guest.read(0, 100).unwrap(), b"input");
    assert_eq!(guest.write(1, b"output"), Ok(6));
    let mut buffer = [0; 6];
    from_guest.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"output");
    assert_eq!(guest.write(0, b"x"), Err(Errno::Badf));
    assert_eq!(guest.read(1, 1), Err(Errno::Badf));
    for fd in [0, 1] {
        assert_eq!(guest.seek(fd, 0, 1), Err(Errno::Spipe));
        assert_eq!(guest.seek(fd, 0, 0), Err(Errno::Spipe));
        assert_eq!(guest.tell(fd), Err(Errno::Spipe));
        assert_eq!(guest.fdstat(fd).unwrap().filetype, 0);
    }
    guest.iovec(1);
    let result = guest.call(|ctx, memory| fd_pread(ctx, memory, 0, IOVECS, 1, 0, RESULT));
    assert_eq!(result, Err(Errno::Spipe));
    let result = guest.call(|ctx, memory| fd_pwrite(ctx, memory, 1, IOVECS, 1, 0, RESULT));
    assert_eq!(result, Err(Errno::Spipe));
    drop(to_guest);
    assert_eq!(guest.read(0, 100).unwrap(), b"");
    // Test processes of Rust ignore SIGPIPE, as executables do.
    drop(from_guest);
    assert_eq!(guest.write(1, b"x"), Err(Errno::Pipe));
}

#[test]
fn a_character_device_that_is_no_terminal_does_not_look_like_one() {
    let mut guest = Guest::new(false);
    let stat = guest.fdstat(1).unwrap();
    assert_eq!(stat.filetype, TYPE_CHARACTER_DEVICE);
    assert_ne!(stat.base & (super::super::rights::FD_SEEK | super::super::rights::FD_TELL), 0);
    assert_eq!(guest.write(1, b"lost"), Ok(4));
    assert_eq!(guest.read(0, 1).unwrap(), b"");
}

#[test]
fn a_redirected_file_is_a_file() {
    let dir = TempDir::new(&std::env::temp_dir());
    let path = dir.0.join("input");
    fs::write(&path, "some input").unwrap();
    let output = fs::OpenOptions::new().create(true).append(true).open(dir.0.join("output")).unwrap();
    let mut guest = with_streams(fs::File::open(&path).unwrap(), output);
    assert_eq!(guest.fdstat(0).unwrap().filetype, TYPE_FILE);
    assert_eq!(guest.filestat(0).unwrap().size, 10);
    assert_eq!(guest.seek(0, 5, 0), Ok(5));
    assert_eq!(guest.read(0, 100).unwrap(), b"input");
    assert_eq!(guest.fdstat(1).unwrap().flags, 1);
}

#[test]
fn the_process_streams_report_nothing_about_the_host() {
    let mut guest = Guest::new(false);
    guest.ctx = WasiCtxBuilder::new(Stdio::Inherit, Stdio::Inherit, Stdio::Inherit).unwrap().build();
    for fd in 0..3 {
        let stat = guest.filestat(fd).unwrap();
        if stat.filetype != TYPE_FILE {
            assert_eq!((stat.dev, stat.ino, stat.size, stat.atim, stat.mtim), (0, 0, 0, 0, 0));
        }
    }
    // Closing the guest's descriptor leaves the host's open.
    guest.close(2).unwrap();
    assert_eq!(guest.write(2, b"x"), Err(Errno::Badf));
    rustix::io::fcntl_getfd(crate::sys::standard_stream(2)).unwrap();
}

#[test]
fn blocking_is_the_guests_choice() {
    // The host's pipe is non-blocking, the guest has not asked for it.
    let (stdin, mut to_guest) = std::io::pipe().unwrap();
    let stdin = host_fd(stdin);
    rustix::io::ioctl_fionbio(&stdin, true).unwrap();
    let (_from_guest, stdout) = std::io::pipe().unwrap();
    let mut guest = Guest::new(false);
    let builder = WasiCtxBuilder::new(Stdio::File(stdin), Stdio::File(host_fd(stdout)), Stdio::Null);
    guest.ctx = builder.unwrap().build();
    let writer = std::thread::spawn(move || {
        std::thread::sleep(core::time::Duration::from_millis(30));
        to_guest.write_all(b"late").unwrap();
        to_guest
    });
    assert_eq!(guest.read(0, 10).unwrap(), b"late");
    let to_guest = writer.join().unwrap();
    guest.call(|ctx, memory| fd_fdstat_set_flags(ctx, memory, 0, 4)).unwrap();
    assert_eq!(guest.fdstat(0).unwrap().flags, 4);
    assert_eq!(guest.read(0, 10), Err(Errno::Again));
    drop(to_guest);
    assert_eq!(guest.read(0, 10).unwrap(), b"");
}

#[test]
fn sockets_are_used_and_nothing_else_is_one() {
    let mut guest = Guest::new(false);
    let file = guest.open("file", CREAT, RW).unwrap();
    for fd in [1, ROOT, file] {
        let not = Err(Errno::Notsock);
        guest.iovec(1);
        assert_eq!(guest.call(|ctx, memory| sock_shutdown(ctx, memory, fd, 1)), not);
        assert_eq!(guest.call(|ctx, memory| sock_accept(ctx, memory, fd, 0, RESULT)), not);
        assert_eq!(guest.call(|ctx, memory| sock_send(ctx, memory, fd, IOVECS, 1, 0, RESULT)), not);
        let result = guest.call(|ctx, memory| sock_recv(ctx, memory, fd, IOVECS, 1, 0, RESULT, RESULT2));
        assert_eq!(result, not);
    }
    assert_eq!(guest.call(|ctx, memory| sock_shutdown(ctx, memory, 99, 1)), Err(Errno::Badf));

    let (near, mut far) = UnixStream::pair().unwrap();
    let mut builder = WasiCtxBuilder::new(Stdio::Null, Stdio::Null, Stdio::Null).unwrap();
    builder.open_file(host_fd(near)).unwrap();
    guest.ctx = builder.build();
    let fd = 3;
    assert_eq!(guest.fdstat(fd).unwrap().filetype, 6);
    let len = guest.put(BUFFER, b"ping");
    guest.iovec(len);
    guest.call(|ctx, memory| sock_send(ctx, memory, fd, IOVECS, 1, 0, RESULT)).unwrap();
    let mut buffer = [0; 4];
    far.read_exact(&mut buffer).unwrap();
    assert_eq!((&buffer, guest.u32(RESULT)), (b"ping", 4));
    far.write_all(b"pong").unwrap();
    for flags in [1, 0] {
        guest.iovec(100);
        guest.call(|ctx, memory| sock_recv(ctx, memory, fd, IOVECS, 1, flags, RESULT, RESULT2)).unwrap();
        assert_eq!(guest.get(BUFFER, guest.u32(RESULT)), b"pong");
    }
    let mut shutdown = |how| guest.call(|ctx, memory| sock_shutdown(ctx, memory, fd, how));
    assert_eq!(shutdown(0), Err(Errno::Inval));
    assert_eq!(shutdown(4), Err(Errno::Inval));
    assert_eq!(shutdown(2), Ok(()));
    assert_eq!(far.read(&mut buffer).unwrap(), 0);
    guest.iovec(1);
    let result = guest.call(|ctx, memory| sock_send(ctx, memory, fd, IOVECS, 1, 0, RESULT));
    assert_eq!(result, Err(Errno::Pipe));
}

#[test]
fn a_standard_stream_is_not_shut_down() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let near: &'static OwnedFd = Box::leak(Box::new(host_fd(near)));
    let mut guest = Guest::new(false);
    let entry = FdEntry::new(HostFd::Standard(near.as_fd())).unwrap();
    let fd = guest.ctx.fds.insert(entry).unwrap();
    let result = guest.call(|ctx, memory| sock_shutdown(ctx, memory, fd, 2));
    assert_eq!(result, Err(Errno::Notsock));
    guest.write(fd, b"on").unwrap();
    let mut buffer = [0; 2];
    far.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"on");
}

#[test]
fn connections_are_accepted() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut builder = WasiCtxBuilder::new(Stdio::Null, Stdio::Null, Stdio::Null).unwrap();
    builder.open_file(host_fd(listener)).unwrap();
    let mut guest = Guest::new(false);
    guest.ctx = builder.build();
    let mut client = std::net::TcpStream::connect(address).unwrap();
    assert_eq!(guest.call(|ctx, memory| sock_accept(ctx, memory, 3, 1, RESULT)), Err(Errno::Inval));
    guest.call(|ctx, memory| sock_accept(ctx, memory, 3, 4, RESULT)).unwrap();
    let fd = guest.u32(RESULT);
    assert_eq!(guest.fdstat(fd).unwrap().flags, 4);
    assert_eq!(guest.read(fd, 1), Err(Errno::Again));
    assert_eq!(guest.write(fd, b"hi"), Ok(2));
    let mut buffer = [0; 2];
    client.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"hi");
}
