//! Rights: what is reported, what is checked, how they are taken away.

use super::super::rights::*;
use super::{DIRECTORY, *};

fn set_rights(guest: &mut Guest, fd: u32, base: u64, inheriting: u64) -> Result<()> {
    guest.call(|ctx, memory| fd_fdstat_set_rights(ctx, memory, fd, base, inheriting))
}

#[test]
fn preopens_have_the_rights_that_programs_expect() {
    let mut guest = Guest::new(false);
    let stat = guest.fdstat(ROOT).unwrap();
    assert_eq!(stat.filetype, TYPE_DIRECTORY);
    assert_eq!(stat.base & (FD_READ | FD_WRITE | FD_SEEK | FD_TELL | FD_FILESTAT_SET_SIZE), 0);
    let files =
        FD_DATASYNC | FD_READ | FD_SEEK | FD_FDSTAT_SET_FLAGS | FD_SYNC | FD_TELL | FD_WRITE | FD_ADVISE;
    let sizes =
        FD_ALLOCATE | FD_FILESTAT_GET | FD_FILESTAT_SET_SIZE | FD_FILESTAT_SET_TIMES | POLL_FD_READWRITE;
    assert_eq!(stat.inheriting & (stat.base | files | sizes), stat.base | files | sizes);
    // The same rights again.
    let fd = guest.open(".", 0, stat.base).unwrap();
    assert_eq!(guest.fdstat(fd).unwrap(), stat);
    // Without any, a directory is as good.
    let fd = guest.open(".", DIRECTORY, 0).unwrap();
    assert_eq!(guest.fdstat(fd).unwrap(), stat);
    assert!(guest.open_at(fd, 0, "file", CREAT, RW, 0).is_ok());
}

#[test]
fn reading_and_writing_must_be_asked_for() {
    let mut guest = Guest::new(false);
    guest.create("file");
    let read = guest.open("file", 0, FD_READ).unwrap();
    let write = guest.open("file", 0, FD_WRITE).unwrap();
    let neither = guest.open("file", 0, 0).unwrap();
    assert_eq!(guest.fdstat(read).unwrap().base & RW, FD_READ);
    assert_eq!(guest.fdstat(write).unwrap().base & RW, FD_WRITE);
    assert_eq!(guest.fdstat(neither).unwrap().base & RW, 0);
    assert_eq!(guest.fdstat(read).unwrap().base & (FD_READDIR | PATH_OPEN), 0);
    assert_eq!(guest.read(read, 1).unwrap(), b"");
    assert_eq!(guest.write(read, b"x"), Err(Errno::Badf));
    assert_eq!(guest.write(write, b"x"), Ok(1));
    assert_eq!(guest.read(write, 1), Err(Errno::Badf));
    assert_eq!(guest.read(neither, 1), Err(Errno::Badf));
    assert_eq!(guest.write(neither, b"x"), Err(Errno::Badf));
}

#[test]
fn rights_go_and_do_not_come_back() {
    let mut guest = Guest::new(false);
    let fd = guest.open("file", CREAT, RW).unwrap();
    guest.write(fd, b"data").unwrap();
    let stat = guest.fdstat(fd).unwrap();
    set_rights(&mut guest, fd, stat.base, stat.inheriting).unwrap();
    set_rights(&mut guest, fd, stat.base & !RW, stat.inheriting).unwrap();
    let less = guest.fdstat(fd).unwrap();
    assert_eq!(less, Fdstat { base: stat.base & !RW, ..stat });
    assert_eq!(guest.read(fd, 1), Err(Errno::Badf));
    assert_eq!(guest.write(fd, b"x"), Err(Errno::Badf));
    assert_eq!(guest.seek(fd, 0, 0), Ok(0));
    assert_eq!(set_rights(&mut guest, fd, stat.base, stat.inheriting), Err(Errno::Notcapable));
    assert_eq!(set_rights(&mut guest, fd, 0, FD_READ), Err(Errno::Notcapable));
    assert_eq!(guest.fdstat(fd).unwrap(), less);

    set_rights(&mut guest, fd, FD_SEEK | FD_TELL, 0).unwrap();
    set_rights(&mut guest, fd, FD_SEEK, 0).unwrap();
    assert_eq!(guest.tell(fd), Ok(0));
    let other = guest.open("file", 0, 0).unwrap();
    guest.call(|ctx, memory| fd_renumber(ctx, memory, other, fd)).unwrap();
    set_rights(&mut guest, fd, FD_TELL, 0).unwrap();
    assert_eq!(guest.seek(fd, 0, 1), Ok(0));
    assert_eq!(guest.tell(fd), Ok(0));
    assert_eq!(guest.seek(fd, 0, 0), Err(Errno::Notcapable));
    let denied = Err(Errno::Notcapable);
    assert_eq!(guest.filestat(fd), Err(Errno::Notcapable));
    assert_eq!(guest.call(|ctx, memory| fd_sync(ctx, memory, fd)), denied);
    assert_eq!(guest.call(|ctx, memory| fd_datasync(ctx, memory, fd)), denied);
    assert_eq!(guest.call(|ctx, memory| fd_advise(ctx, memory, fd, 0, 0, 0)), denied);
    assert_eq!(guest.call(|ctx, memory| fd_allocate(ctx, memory, fd, 0, 1)), denied);
    assert_eq!(guest.call(|ctx, memory| fd_filestat_set_size(ctx, memory, fd, 0)), denied);
    assert_eq!(guest.call(|ctx, memory| fd_filestat_set_times(ctx, memory, fd, 0, 0, 0)), denied);
    assert_eq!(guest.call(|ctx, memory| fd_fdstat_set_flags(ctx, memory, fd, 0)), denied);
    assert_eq!(set_rights(&mut guest, 99, 0, 0), Err(Errno::Badf));
}

#[test]
fn each_path_function_has_its_right() {
    let mut guest = Guest::new(false);
    guest.create("file");
    guest.mkdir("dir").unwrap();
    guest.symlink("file", "link").unwrap();
    type Call = fn(&mut Guest) -> Result<()>;
    let calls: [(u64, Call); 14] = [
        (PATH_CREATE_DIRECTORY, |guest| guest.mkdir("new")),
        (PATH_OPEN, |guest| guest.open("file", 0, 0).map(drop)),
        (PATH_CREATE_FILE, |guest| guest.open("file", CREAT, 0).map(drop)),
        (PATH_FILESTAT_SET_SIZE, |guest| guest.open("file", TRUNC, 0).map(drop)),
        (PATH_LINK_SOURCE, |guest| guest.link(0, "file", "new")),
        (PATH_LINK_TARGET, |guest| guest.link(0, "file", "new")),
        (FD_READDIR, |guest| guest.call(|ctx, memory| fd_readdir(ctx, memory, ROOT, BUFFER, 9, 0, RESULT))),
        (PATH_READLINK, |guest| guest.readlink("link", 9).map(drop)),
        (PATH_RENAME_SOURCE, |guest| guest.rename("file", "new")),
        (PATH_RENAME_TARGET, |guest| guest.rename("file", "new")),
        (PATH_FILESTAT_GET, |guest| guest.path_filestat(0, "file").map(drop)),
        (PATH_FILESTAT_SET_TIMES, |guest| guest.set_times(0, "file", 0, 0)),
        (PATH_SYMLINK, |guest| guest.symlink("file", "new")),
        (PATH_REMOVE_DIRECTORY, |guest| guest.rmdir("dir")),
    ];
    let all = guest.fdstat(ROOT).unwrap();
    let spare = guest.open(".", DIRECTORY, 0).unwrap();
    for (right, call) in calls {
        // A fresh descriptor of the directory, without the right.
        let fd = guest.open_at(spare, 0, ".", DIRECTORY, 0, 0).unwrap();
        set_rights(&mut guest, fd, all.base & !right, all.inheriting).unwrap();
        guest.call(|ctx, memory| fd_renumber(ctx, memory, fd, ROOT)).unwrap();
        assert_eq!(call(&mut guest), Err(Errno::Notcapable), "right {right:#x}");
    }
    let fd = guest.open_at(spare, 0, ".", DIRECTORY, 0, 0).unwrap();
    set_rights(&mut guest, fd, all.base & !PATH_UNLINK_FILE, all.inheriting).unwrap();
    guest.call(|ctx, memory| fd_renumber(ctx, memory, fd, ROOT)).unwrap();
    assert_eq!(guest.unlink("file"), Err(Errno::Notcapable));
    assert_eq!(guest.rmdir("dir"), Ok(()));
}

#[test]
fn a_directory_passes_on_what_it_may() {
    both(|guest| {
        guest.create("file");
        guest.mkdir("dir").unwrap();
        let dir = guest.open(".", DIRECTORY, 0).unwrap();
        let stat = guest.fdstat(dir).unwrap();
        let inheriting = stat.inheriting & !(FD_WRITE | FD_SEEK | FD_SYNC | PATH_UNLINK_FILE);
        set_rights(guest, dir, stat.base, inheriting).unwrap();
        assert_eq!(guest.open_at(dir, 0, "file", 0, RW, 0), Err(Errno::Notcapable));
        assert_eq!(guest.open_at(dir, 0, "file", 0, FD_READ, 16), Err(Errno::Notcapable));
        let fd = guest.open_at(dir, 0, "file", 0, FD_READ, 0).unwrap();
        assert_eq!(guest.seek(fd, 1, 0), Err(Errno::Notcapable));
        let sub = guest.open_at(dir, 0, "dir", DIRECTORY, 0, 0).unwrap();
        let sub_stat = guest.fdstat(sub).unwrap();
        assert_eq!(sub_stat.inheriting, inheriting);
        assert_eq!(sub_stat.base & PATH_UNLINK_FILE, 0);
        // Bits that mean nothing are ignored.
        assert!(guest.open("file", 0, FD_READ | 1 << 40).is_ok());
    });
}

#[test]
fn a_file_is_no_directory() {
    let mut guest = Guest::new(false);
    let file = guest.open("file", CREAT, RW).unwrap();
    assert_eq!(guest.open_at(file, 0, "x", CREAT, 0, 0), Err(Errno::Notdir));
    assert_eq!(guest.open_at(0, 0, "x", CREAT, 0, 0), Err(Errno::Badf));
    assert_eq!(guest.open_at(99, 0, "x", CREAT, 0, 0), Err(Errno::Badf));
}
