//! Open files: reading, writing, offsets, flags, sizes, times, numbers.

use super::*;

#[test]
fn written_bytes_are_read_back() {
    both(|guest| {
        let fd = guest.open("file", CREAT, RW).unwrap();
        assert_eq!(fd, 4);
        assert_eq!(guest.write(fd, b"hello world"), Ok(11));
        assert_eq!(guest.tell(fd), Ok(11));
        assert_eq!(guest.seek(fd, -5, 1), Ok(6));
        assert_eq!(guest.read(fd, 100).unwrap(), b"world");
        assert_eq!(guest.read(fd, 100).unwrap(), b"");
        assert_eq!(guest.seek(fd, 0, 0), Ok(0));
        assert_eq!(guest.read(fd, 5).unwrap(), b"hello");
        assert_eq!(guest.seek(fd, 1000, 1), Ok(1005));
        assert_eq!(guest.seek(fd, -2000, 1), Err(Errno::Inval));
        assert_eq!(guest.seek(fd, -1, 0), Err(Errno::Inval));
        assert_eq!(guest.seek(fd, -1, 2), Ok(10));
        assert_eq!(guest.seek(fd, 0, 3), Err(Errno::Inval));
        assert_eq!(fs::read(guest.host("file")).unwrap(), b"hello world");
        guest.close(fd).unwrap();
        assert_eq!(guest.close(fd), Err(Errno::Badf));
        assert_eq!(guest.read(fd, 1), Err(Errno::Badf));
        assert_eq!(guest.read(u32::MAX, 1), Err(Errno::Badf));
    });
}

#[test]
fn several_buffers_are_used_in_order() {
    let mut guest = Guest::new(false);
    let fd = guest.open("file", CREAT, RW).unwrap();
    guest.put(BUFFER, b"abcdef");
    for (index, (offset, len)) in [(2, 2), (0, 0), (0, 2), (4, 2), (0, 6)].into_iter().enumerate() {
        guest.put(IOVECS + index as u32 * 8, &(BUFFER + offset).to_le_bytes());
        guest.put(IOVECS + index as u32 * 8 + 4, &u32::to_le_bytes(len));
    }
    guest.call(|ctx, memory| fd_write(ctx, memory, fd, IOVECS, 5, RESULT)).unwrap();
    assert_eq!(guest.u32(RESULT), 12);
    assert_eq!(fs::read(guest.host("file")).unwrap(), b"cdabefabcdef");
    // The last buffer overlaps the others and is left alone.
    guest.call(|ctx, memory| fd_pread(ctx, memory, fd, IOVECS, 5, 0, RESULT)).unwrap();
    assert_eq!(guest.u32(RESULT), 6);
    assert_eq!(guest.get(BUFFER, 6), b"abcdef");
}

#[test]
fn positioned_calls_leave_the_offset_alone() {
    let mut guest = Guest::new(false);
    let fd = guest.open("file", CREAT, RW).unwrap();
    guest.put(BUFFER, b"xyz");
    guest.iovec(0);
    guest.call(|ctx, memory| fd_pwrite(ctx, memory, fd, IOVECS, 1, 50, RESULT)).unwrap();
    assert_eq!(guest.filestat(fd).unwrap().size, 0);
    guest.put(BUFFER, b"xyz");
    guest.iovec(3);
    guest.call(|ctx, memory| fd_pwrite(ctx, memory, fd, IOVECS, 1, 2, RESULT)).unwrap();
    assert_eq!(guest.u32(RESULT), 3);
    assert_eq!(guest.tell(fd), Ok(0));
    assert_eq!(guest.read(fd, 10).unwrap(), b"\0\0xyz");
    guest.iovec(2);
    guest.call(|ctx, memory| fd_pread(ctx, memory, fd, IOVECS, 1, 3, RESULT)).unwrap();
    assert_eq!(guest.get(BUFFER, guest.u32(RESULT)), b"yz");
    assert_eq!(guest.tell(fd), Ok(5));
    let result = guest.call(|ctx, memory| fd_pread(ctx, memory, fd, IOVECS, 1, u64::MAX, RESULT));
    assert_eq!(result, Err(Errno::Inval));
}

#[test]
fn bad_pointers_are_faults_and_change_nothing() {
    let mut guest = Guest::new(false);
    let fd = guest.open("file", CREAT, RW).unwrap();
    let end = MEMORY_SIZE as u32;
    guest.iovec(4);
    let result = guest.call(|ctx, memory| fd_write(ctx, memory, fd, IOVECS, 1, end - 3));
    assert_eq!(result, Err(Errno::Fault));
    let result = guest.call(|ctx, memory| fd_write(ctx, memory, fd, end - 4, 1, RESULT));
    assert_eq!(result, Err(Errno::Fault));
    guest.iovec(end);
    let result = guest.call(|ctx, memory| fd_write(ctx, memory, fd, IOVECS, 1, RESULT));
    assert_eq!(result, Err(Errno::Fault));
    // 2^32 - 1 buffers of 0 bytes run out of memory at some point.
    let result = guest.call(|ctx, memory| fd_write(ctx, memory, fd, BUFFER, u32::MAX, RESULT));
    assert_eq!(result, Err(Errno::Fault));
    assert_eq!(fs::read(guest.host("file")).unwrap(), b"");

    let result = guest.with_path("new", |ctx, memory, path, len| {
        path_open(ctx, memory, ROOT, 0, path, len, CREAT, 0, 0, 0, end)
    });
    assert_eq!(result, Err(Errno::Fault));
    assert!(!guest.host("new").exists());
    let result = guest.call(|ctx, memory| path_create_directory(ctx, memory, ROOT, end - 1, 2));
    assert_eq!(result, Err(Errno::Fault));
    assert_eq!(guest.call(|ctx, memory| fd_filestat_get(ctx, memory, fd, end - 63)), Err(Errno::Fault));
    assert_eq!(guest.call(|ctx, memory| fd_fdstat_get(ctx, memory, fd, end - 23)), Err(Errno::Fault));
    assert_eq!(guest.call(|ctx, memory| random_get(ctx, memory, 0, end + 1)), Err(Errno::Fault));
    assert_eq!(guest.call(|ctx, memory| clock_time_get(ctx, memory, 0, 0, end - 7)), Err(Errno::Fault));
}

#[test]
fn more_buffers_than_one_call_handles_are_a_short_count() {
    let mut guest = Guest::new(false);
    let fd = guest.open("file", CREAT, RW).unwrap();
    for index in 0..100 {
        guest.put(IOVECS + index * 8, &(BUFFER + index).to_le_bytes());
        guest.put(IOVECS + index * 8 + 4, &1u32.to_le_bytes());
    }
    guest.call(|ctx, memory| fd_write(ctx, memory, fd, IOVECS, 100, RESULT)).unwrap();
    assert_eq!(guest.u32(RESULT), 64);
}

#[test]
fn append_mode_can_be_switched() {
    let mut guest = Guest::new(false);
    let fd = guest.open_at(ROOT, 0, "file", CREAT, RW, 1).unwrap();
    assert_eq!(guest.fdstat(fd).unwrap().flags, 1);
    guest.write(fd, b"aa").unwrap();
    guest.seek(fd, 0, 0).unwrap();
    guest.write(fd, b"bb").unwrap();
    assert_eq!(guest.tell(fd), Ok(4));
    guest.iovec(2);
    guest.call(|ctx, memory| fd_pwrite(ctx, memory, fd, IOVECS, 1, 0, RESULT)).unwrap();
    assert_eq!(guest.tell(fd), Ok(4));
    guest.call(|ctx, memory| fd_fdstat_set_flags(ctx, memory, fd, 0)).unwrap();
    assert_eq!(guest.fdstat(fd).unwrap().flags, 0);
    guest.seek(fd, 0, 0).unwrap();
    guest.write(fd, b"cc").unwrap();
    assert_eq!(fs::read(guest.host("file")).unwrap(), b"ccbbbb");
    let mut set = |flags| guest.call(|ctx, memory| fd_fdstat_set_flags(ctx, memory, fd, flags));
    assert_eq!(set(2), Err(Errno::Inval));
    assert_eq!(set(16), Err(Errno::Inval));
    assert_eq!(set(32), Err(Errno::Inval));
    assert_eq!(set(5), Ok(()));
    assert_eq!(guest.fdstat(fd).unwrap().flags, 5);
    let synced = guest.open_at(ROOT, 0, "synced", CREAT, RW, 17).unwrap();
    assert_eq!(guest.fdstat(synced).unwrap().flags, 17);
    assert_eq!(guest.call(|ctx, memory| fd_fdstat_set_flags(ctx, memory, synced, 16)), Ok(()));
}

#[test]
fn opening_obeys_the_flags() {
    both(|guest| {
        assert_eq!(guest.open("file", 0, FD_READ), Err(Errno::Noent));
        let fd = guest.open("file", CREAT | EXCL, RW).unwrap();
        guest.write(fd, b"contents").unwrap();
        guest.close(fd).unwrap();
        assert_eq!(guest.open("file", CREAT | EXCL, RW), Err(Errno::Exist));
        let fd = guest.open("file", TRUNC, 0).unwrap();
        assert_eq!(guest.filestat(fd).unwrap().size, 0);
        assert_eq!(guest.read(fd, 1), Err(Errno::Badf));
        guest.close(fd).unwrap();
        assert_eq!(guest.open("file", DIRECTORY, 0), Err(Errno::Notdir));
        assert_eq!(guest.open("file", DIRECTORY | CREAT, 0), Err(Errno::Inval));
        assert_eq!(guest.open("file", 16, 0), Err(Errno::Inval));
        assert_eq!(guest.open_at(ROOT, 2, "file", 0, 0, 0), Err(Errno::Inval));
        assert_eq!(guest.open_at(ROOT, 0, "file", 0, 0, 32), Err(Errno::Inval));
        assert_eq!(guest.open(".", DIRECTORY, RW), Err(Errno::Isdir));
        let dir = guest.open(".", 0, 0).unwrap();
        assert_eq!(guest.fdstat(dir).unwrap().filetype, TYPE_DIRECTORY);
        let dir = guest.open_at(ROOT, 0, ".", 0, 0, 4).unwrap();
        assert_eq!(guest.fdstat(dir).unwrap().flags, 0);
    });
}

#[test]
fn sizes_and_times_are_set() {
    let mut guest = Guest::new(false);
    let fd = guest.open("file", CREAT, RW).unwrap();
    guest.call(|ctx, memory| fd_filestat_set_size(ctx, memory, fd, 100)).unwrap();
    let before = guest.filestat(fd).unwrap();
    assert_eq!((before.size, before.filetype, before.nlink), (100, TYPE_FILE, 1));
    let mtim = before.mtim - 100;
    guest.call(|ctx, memory| fd_filestat_set_times(ctx, memory, fd, mtim, mtim, 4)).unwrap();
    let after = guest.filestat(fd).unwrap();
    assert_eq!(after, FileStat { mtim, ..before });
    for flags in [3, 12, 16, 15] {
        let result = guest.call(|ctx, memory| fd_filestat_set_times(ctx, memory, fd, 1, 2, flags));
        assert_eq!(result, Err(Errno::Inval));
    }
    assert_eq!(guest.filestat(fd).unwrap().mtim, mtim);
    guest.call(|ctx, memory| fd_filestat_set_times(ctx, memory, fd, 7, 0, 1 | 8)).unwrap();
    let after = guest.filestat(fd).unwrap();
    assert_eq!(after.atim, 7);
    assert!(after.mtim > mtim);

    guest.call(|ctx, memory| fd_allocate(ctx, memory, fd, 90, 20)).unwrap();
    assert_eq!(guest.filestat(fd).unwrap().size, 110);
    guest.call(|ctx, memory| fd_allocate(ctx, memory, fd, 0, 20)).unwrap();
    assert_eq!(guest.filestat(fd).unwrap().size, 110);
    assert_eq!(guest.call(|ctx, memory| fd_allocate(ctx, memory, fd, 0, 0)), Err(Errno::Inval));
    guest.call(|ctx, memory| fd_advise(ctx, memory, fd, 10, 50, 3)).unwrap();
    assert_eq!(guest.call(|ctx, memory| fd_advise(ctx, memory, fd, 10, 50, 6)), Err(Errno::Inval));
    guest.call(|ctx, memory| fd_sync(ctx, memory, fd)).unwrap();
    guest.call(|ctx, memory| fd_datasync(ctx, memory, fd)).unwrap();
}

#[test]
fn file_calls_on_a_directory_are_bad_descriptors() {
    let mut guest = Guest::new(false);
    let fd = guest.open(".", DIRECTORY, FD_READ).unwrap();
    for fd in [ROOT, fd] {
        assert_eq!(guest.read(fd, 1), Err(Errno::Badf));
        assert_eq!(guest.write(fd, b"x"), Err(Errno::Badf));
        for whence in 0..3 {
            assert_eq!(guest.seek(fd, 0, whence), Err(Errno::Badf));
        }
        assert_eq!(guest.tell(fd), Err(Errno::Badf));
        guest.iovec(1);
        let bad = Err(Errno::Badf);
        assert_eq!(guest.call(|ctx, memory| fd_pread(ctx, memory, fd, IOVECS, 1, 0, RESULT)), bad);
        assert_eq!(guest.call(|ctx, memory| fd_pwrite(ctx, memory, fd, IOVECS, 1, 0, RESULT)), bad);
        assert_eq!(guest.call(|ctx, memory| fd_advise(ctx, memory, fd, 0, 0, 4)), bad);
        assert_eq!(guest.call(|ctx, memory| fd_allocate(ctx, memory, fd, 0, 1)), bad);
        assert_eq!(guest.call(|ctx, memory| fd_sync(ctx, memory, fd)), bad);
        assert_eq!(guest.call(|ctx, memory| fd_datasync(ctx, memory, fd)), bad);
        assert_eq!(guest.call(|ctx, memory| fd_fdstat_set_flags(ctx, memory, fd, 4)), bad);
        assert_eq!(guest.call(|ctx, memory| fd_filestat_set_size(ctx, memory, fd, 0)), bad);
    }
}

#[test]
fn descriptors_are_renumbered() {
    let mut guest = Guest::new(false);
    let from = guest.open("one", CREAT, RW).unwrap();
    let to = guest.open("two", CREAT, RW).unwrap();
    guest.write(from, b"1").unwrap();
    let stat = guest.fdstat(from).unwrap();
    guest.call(|ctx, memory| fd_renumber(ctx, memory, from, to)).unwrap();
    assert_eq!(guest.close(from), Err(Errno::Badf));
    assert_eq!(guest.fdstat(to).unwrap(), stat);
    assert_eq!(guest.tell(to), Ok(1));
    assert_eq!(guest.call(|ctx, memory| fd_renumber(ctx, memory, to, from)), Err(Errno::Badf));
    assert_eq!(guest.call(|ctx, memory| fd_renumber(ctx, memory, from, to)), Err(Errno::Badf));
    assert_eq!(guest.call(|ctx, memory| fd_renumber(ctx, memory, to, to)), Ok(()));
    assert_eq!(guest.tell(to), Ok(1));
    // The freed number is the lowest one, and is given out again.
    assert_eq!(guest.open("three", CREAT, 0), Ok(from));
    // Over a preopened directory.
    let dir = guest.open(".", DIRECTORY, 0).unwrap();
    let ino = guest.filestat(dir).unwrap().ino;
    guest.call(|ctx, memory| fd_renumber(ctx, memory, dir, ROOT)).unwrap();
    assert_eq!(guest.filestat(ROOT).unwrap().ino, ino);
    assert_eq!(guest.call(|ctx, memory| fd_prestat_get(ctx, memory, ROOT, RESULT)), Err(Errno::Badf));
}

#[test]
fn preopens_tell_their_names() {
    let mut guest = Guest::new(false);
    guest.call(|ctx, memory| fd_prestat_get(ctx, memory, ROOT, RESULT)).unwrap();
    assert_eq!((guest.u32(RESULT), guest.u32(RESULT + 4)), (0, 1));
    let name = |guest: &mut Guest, fd, len| {
        guest.call(|ctx, memory| fd_prestat_dir_name(ctx, memory, fd, BUFFER, len))
    };
    guest.put(BUFFER, b"xx");
    assert_eq!(name(&mut guest, ROOT, 0), Err(Errno::Nametoolong));
    assert_eq!(name(&mut guest, ROOT, 2), Ok(()));
    assert_eq!(guest.get(BUFFER, 2), b"/x");
    assert_eq!(name(&mut guest, 0, 2), Err(Errno::Notdir));
    assert_eq!(name(&mut guest, 99, 2), Err(Errno::Badf));
    assert_eq!(guest.call(|ctx, memory| fd_prestat_get(ctx, memory, 0, RESULT)), Err(Errno::Badf));
    assert_eq!(guest.call(|ctx, memory| fd_prestat_get(ctx, memory, 4, RESULT)), Err(Errno::Badf));
    guest.close(ROOT).unwrap();
    assert_eq!(guest.fdstat(ROOT), Err(Errno::Badf));
}

#[test]
fn arguments_and_environment_arrive() {
    let mut builder = WasiCtxBuilder::new(Stdio::Null, Stdio::Null, Stdio::Null).unwrap();
    builder.arg(b"prog").arg(b"").arg(b"a b\0lost").env(b"A=1").env(b"B=");
    let mut guest = Guest::new(false);
    guest.ctx = builder.build();
    guest.call(|ctx, memory| args_sizes_get(ctx, memory, RESULT, RESULT2)).unwrap();
    assert_eq!((guest.u32(RESULT), guest.u32(RESULT2)), (3, 10));
    guest.call(|ctx, memory| args_get(ctx, memory, IOVECS, BUFFER)).unwrap();
    assert_eq!(guest.get(BUFFER, 10), b"prog\0\0a b\0");
    let pointers: Vec<u32> = (0..3).map(|index| guest.u32(IOVECS + index * 4) - BUFFER).collect();
    assert_eq!(pointers, [0, 5, 6]);
    guest.call(|ctx, memory| environ_sizes_get(ctx, memory, RESULT, RESULT2)).unwrap();
    assert_eq!((guest.u32(RESULT), guest.u32(RESULT2)), (2, 7));
    guest.call(|ctx, memory| environ_get(ctx, memory, IOVECS, BUFFER)).unwrap();
    assert_eq!(guest.get(BUFFER, 7), b"A=1\0B=\0");
    let end = MEMORY_SIZE as u32;
    assert_eq!(guest.call(|ctx, memory| args_get(ctx, memory, IOVECS, end - 9)), Err(Errno::Fault));
    assert_eq!(guest.call(|ctx, memory| args_get(ctx, memory, end - 11, BUFFER)), Err(Errno::Fault));
}

#[test]
fn clocks_randomness_and_process() {
    let mut guest = Guest::new(false);
    for id in 0..4 {
        guest.call(|ctx, memory| clock_res_get(ctx, memory, id, RESULT)).unwrap();
        assert_ne!(guest.u64(RESULT), 0);
        guest.call(|ctx, memory| clock_time_get(ctx, memory, id, 1, RESULT)).unwrap();
        let first = guest.u64(RESULT);
        guest.call(|ctx, memory| clock_time_get(ctx, memory, id, 0, RESULT)).unwrap();
        assert!(guest.u64(RESULT) >= first);
    }
    guest.call(|ctx, memory| clock_time_get(ctx, memory, 0, 0, RESULT)).unwrap();
    let host = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(host.abs_diff(core::time::Duration::from_nanos(guest.u64(RESULT))).as_secs() < 60);
    assert_eq!(guest.call(|ctx, memory| clock_time_get(ctx, memory, 4, 0, RESULT)), Err(Errno::Inval));
    assert_eq!(guest.call(|ctx, memory| clock_res_get(ctx, memory, 4, RESULT)), Err(Errno::Inval));

    guest.call(|ctx, memory| random_get(ctx, memory, BUFFER, 1000)).unwrap();
    assert!(guest.get(BUFFER, 1000).iter().filter(|&&byte| byte == 0).count() < 50);
    assert_eq!(guest.get(BUFFER + 1000, 100), [0; 100]);
    assert_eq!(guest.call(|ctx, memory| random_get(ctx, memory, BUFFER, 0)), Ok(()));

    let mut memory = [];
    let memory = &mut GuestMemory::from_slice(&mut memory);
    assert_eq!(proc_exit(&mut guest.ctx, memory, 33), Exit(33));
    assert_eq!(proc_raise(&mut guest.ctx, memory, 6), Err(Errno::Notsup));
    assert_eq!(sched_yield(&mut guest.ctx, memory), Ok(()));
}
