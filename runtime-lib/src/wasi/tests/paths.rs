//! Functions on paths: links, renames, slashes at the end, attributes.

use super::*;

#[test]
fn directories_are_made_and_removed() {
    both(|guest| {
        guest.mkdir("dir").unwrap();
        guest.mkdir("dir/nested/").unwrap();
        assert_eq!(guest.mkdir("dir"), Err(Errno::Exist));
        assert_eq!(guest.mkdir("no/dir"), Err(Errno::Noent));
        assert_eq!(guest.rmdir("dir"), Err(Errno::Notempty));
        assert_eq!(guest.rmdir("dir/nested/"), Ok(()));
        assert_eq!(guest.rmdir("dir"), Ok(()));
        guest.create("file");
        assert_eq!(guest.rmdir("file"), Err(Errno::Notdir));
        assert_eq!(guest.rmdir("file/"), Err(Errno::Notdir));
        assert_eq!(guest.mkdir("file/sub"), Err(Errno::Notdir));
        assert_eq!(guest.mkdir("..b/"), Ok(()));
    });
}

#[test]
fn files_are_unlinked() {
    both(|guest| {
        guest.mkdir("dir").unwrap();
        assert_eq!(guest.unlink("dir"), Err(Errno::Isdir));
        assert_eq!(guest.unlink("dir/"), Err(Errno::Isdir));
        guest.create("dir/file");
        assert_eq!(guest.unlink("dir/file/"), Err(Errno::Notdir));
        assert_eq!(guest.unlink("dir/file"), Ok(()));
        assert_eq!(guest.unlink("dir/file"), Err(Errno::Noent));
        // The link goes, not its target.
        guest.symlink("dir", "link").unwrap();
        assert_eq!(guest.unlink("link"), Ok(()));
        assert!(guest.host("dir").exists());
    });
}

#[test]
fn slashes_and_dots_are_understood() {
    both(|guest| {
        guest.mkdir("dir").unwrap();
        guest.mkdir("dir/nested").unwrap();
        guest.create("dir/nested/file");
        guest.open("dir/.//nested/../../dir/nested/../nested///./file", 0, 0).unwrap();
        for path in ["dir/nested/file/", "dir/nested/file///", "dir/nested/file/.", "dir/nested/file/.."] {
            assert_eq!(guest.open(path, 0, 0), Err(Errno::Notdir), "{path}");
        }
        for path in ["dir/nested/", "dir/nested///", "dir/nested/.", "dir/nested/..", ".", "./", "dir/.."] {
            let fd = guest.open(path, 0, 0).unwrap();
            assert_eq!(guest.fdstat(fd).unwrap().filetype, TYPE_DIRECTORY, "{path}");
            assert_eq!(guest.path_filestat(0, path).unwrap().filetype, TYPE_DIRECTORY, "{path}");
            assert_eq!(guest.path_filestat(FOLLOW, path).unwrap().filetype, TYPE_DIRECTORY, "{path}");
            assert_eq!(guest.set_times(0, path, 5, 4), Ok(()), "{path}");
            assert_eq!(guest.path_filestat(0, path).unwrap().mtim, 5, "{path}");
            assert_eq!(guest.set_times(FOLLOW, path, 6, 4), Ok(()), "{path}");
        }
        for path in ["dir/new/", "dir/nested/", ".", "dir/.."] {
            assert_eq!(guest.open(path, CREAT, FD_WRITE), Err(Errno::Isdir), "{path}");
        }
        assert_eq!(guest.open("", 0, 0), Err(Errno::Noent));
        assert_eq!(guest.mkdir(""), Err(Errno::Noent));
        assert_eq!(guest.path_filestat(0, ""), Err(Errno::Noent));
        assert_eq!(guest.mkdir("dir/."), Err(Errno::Exist));
        assert_eq!(guest.mkdir("dir/.."), Err(Errno::Exist));
        assert_eq!(guest.rmdir("dir/."), Err(Errno::Inval));
    });
}

#[test]
fn bad_names_are_refused() {
    both(|guest| {
        assert_eq!(guest.open("file\0", CREAT, 0), Err(Errno::Inval));
        assert_eq!(guest.open(&"a".repeat(256), CREAT, 0), Err(Errno::Nametoolong));
        assert_eq!(guest.open(&"a/".repeat(2048), 0, 0), Err(Errno::Nametoolong));
        let result = guest.with_path(b"\xc3\x28", |ctx, memory, path, len| {
            path_create_directory(ctx, memory, ROOT, path, len)
        });
        assert_eq!(result, Err(Errno::Ilseq));
        guest.create("naïve ✓");
        assert!(guest.host("naïve ✓").exists());
    });
}

#[test]
fn symbolic_links_are_followed_only_where_asked() {
    both(|guest| {
        guest.mkdir("dir").unwrap();
        guest.create("dir/file");
        guest.symlink("dir/file", "link").unwrap();
        guest.symlink("dir", "dirlink").unwrap();
        guest.symlink("../link", "dir/up").unwrap();

        assert_eq!(guest.path_filestat(0, "link").unwrap().filetype, TYPE_SYMLINK);
        assert_eq!(guest.path_filestat(0, "link").unwrap().size, 8);
        assert_eq!(guest.path_filestat(FOLLOW, "link").unwrap().filetype, TYPE_FILE);
        assert_eq!(guest.path_filestat(0, "dirlink").unwrap().filetype, TYPE_SYMLINK);
        assert_eq!(guest.path_filestat(0, "dirlink/").unwrap().filetype, TYPE_DIRECTORY);
        assert_eq!(guest.path_filestat(0, "link/"), Err(Errno::Notdir));
        assert_eq!(guest.path_filestat(0, "dirlink/up").unwrap().filetype, TYPE_SYMLINK);
        assert_eq!(guest.path_filestat(FOLLOW, "dirlink/up").unwrap().filetype, TYPE_FILE);

        assert_eq!(guest.open("link", 0, FD_READ), Err(Errno::Loop));
        assert_eq!(guest.open("dirlink", DIRECTORY, 0), Err(Errno::Notdir));
        for path in ["link", "dir/up", "dirlink/up", "dirlink/../dirlink/file"] {
            guest.open_at(ROOT, FOLLOW, path, 0, FD_READ, 0).unwrap();
        }
        guest.open_at(ROOT, FOLLOW, "dirlink", DIRECTORY, 0, 0).unwrap();
        guest.open("dirlink/", 0, 0).unwrap();
        assert_eq!(guest.open_at(ROOT, FOLLOW, "link", DIRECTORY, 0, 0), Err(Errno::Notdir));

        // Through a link to nothing, a file is made where it points.
        guest.symlink("dir/new", "dangling").unwrap();
        assert_eq!(guest.open_at(ROOT, FOLLOW, "dangling", 0, 0, 0), Err(Errno::Noent));
        assert_eq!(guest.open("dangling", CREAT, 0), Err(Errno::Loop));
        assert_eq!(guest.open_at(ROOT, FOLLOW, "dangling", CREAT | EXCL, 0, 0), Err(Errno::Exist));
        guest.open_at(ROOT, FOLLOW, "dangling", CREAT, 0, 0).unwrap();
        assert!(guest.host("dir/new").exists());
    });
}

#[test]
fn link_loops_end() {
    both(|guest| {
        guest.symlink("loop", "loop").unwrap();
        guest.symlink("b", "a").unwrap();
        guest.symlink("a", "b").unwrap();
        for path in ["loop", "a", "loop/x", "a/x/y"] {
            assert_eq!(guest.open_at(ROOT, FOLLOW, path, 0, 0, 0), Err(Errno::Loop), "{path}");
            assert_eq!(guest.path_filestat(FOLLOW, path), Err(Errno::Loop), "{path}");
            assert_eq!(guest.set_times(FOLLOW, path, 1, 4), Err(Errno::Loop), "{path}");
        }
        assert_eq!(guest.open("loop", 0, 0), Err(Errno::Loop));
        assert_eq!(guest.open("loop", DIRECTORY, 0), Err(Errno::Notdir));
        assert_eq!(guest.mkdir("a/x"), Err(Errno::Loop));
        // 40 links are fine.
        guest.create("c0");
        for index in 1..=41 {
            guest.symlink(&std::format!("c{}", index - 1), &std::format!("c{index}")).unwrap();
        }
        assert!(guest.open_at(ROOT, FOLLOW, "c40", 0, 0, 0).is_ok());
        assert_eq!(guest.open_at(ROOT, FOLLOW, "c41", 0, 0, 0), Err(Errno::Loop));
    });
}

#[test]
fn links_are_read_and_cut_off() {
    both(|guest| {
        guest.create("target");
        guest.symlink("target", "link").unwrap();
        assert_eq!(guest.readlink("link", 10).unwrap(), b"target");
        assert_eq!(guest.get(BUFFER + 6, 4), [0; 4]);
        assert_eq!(guest.readlink("link", 4).unwrap(), b"targ");
        assert_eq!(guest.readlink("link", 0).unwrap(), b"");
        assert_eq!(guest.readlink("target", 10), Err(Errno::Inval));
        assert_eq!(guest.readlink("target", 0), Err(Errno::Inval));
        assert_eq!(guest.readlink(".", 10), Err(Errno::Inval));
        assert_eq!(guest.readlink("link/", 10), Err(Errno::Notdir));
        assert_eq!(guest.readlink("none", 10), Err(Errno::Noent));
    });
}

#[test]
fn symbolic_links_are_made() {
    both(|guest| {
        assert_eq!(guest.symlink("source", "target/"), Err(Errno::Noent));
        guest.mkdir("target").unwrap();
        assert_eq!(guest.symlink("source", "target/"), Err(Errno::Exist));
        assert_eq!(guest.symlink("source", "target"), Err(Errno::Exist));
        guest.rmdir("target").unwrap();
        guest.create("target");
        assert_eq!(guest.symlink("source", "target/"), Err(Errno::Notdir));
        assert_eq!(guest.symlink("source", "target"), Err(Errno::Exist));
        assert_eq!(guest.symlink("/", "root"), Err(Errno::Perm));
        assert_eq!(guest.symlink("", "empty"), Err(Errno::Noent));
    });
}

#[test]
fn hard_links_are_made() {
    both(|guest| {
        guest.create("file");
        guest.link(0, "file", "link").unwrap();
        let (file, link) = (guest.path_filestat(0, "file"), guest.path_filestat(0, "link"));
        assert_eq!(file, link);
        assert_eq!(file.unwrap().nlink, 2);
        assert_eq!(guest.link(0, "file", "link"), Err(Errno::Exist));
        assert_eq!(guest.link(0, "file", "file"), Err(Errno::Exist));
        assert_eq!(guest.link(0, "file", "new/"), Err(Errno::Noent));
        assert_eq!(guest.link(0, "file/", "new"), Err(Errno::Notdir));
        guest.mkdir("dir").unwrap();
        assert_eq!(guest.link(0, "dir", "new"), Err(Errno::Perm));
        assert_eq!(guest.link(0, "dir/", "new"), Err(Errno::Perm));
        assert_eq!(guest.link(0, "file", "dir"), Err(Errno::Exist));
        guest.symlink("nothing", "dangling").unwrap();
        guest.link(0, "dangling", "dangling2").unwrap();
        assert_eq!(guest.readlink("dangling2", 10).unwrap(), b"nothing");
        assert_eq!(guest.link(0, "file", "dangling"), Err(Errno::Exist));
        assert_eq!(guest.link(FOLLOW, "dangling", "new"), Err(Errno::Inval));
    });
}

#[test]
fn files_and_directories_are_renamed() {
    both(|guest| {
        guest.mkdir("source").unwrap();
        guest.rename("source", "target").unwrap();
        assert_eq!(guest.open("source", DIRECTORY, 0), Err(Errno::Noent));
        for (old, new) in [("target/", "source"), ("source", "target/"), ("target/", "source/")] {
            guest.rename(old, new).unwrap();
        }
        guest.mkdir("target").unwrap();
        guest.rename("source", "target").unwrap();
        guest.mkdir("source").unwrap();
        guest.create("target/file");
        assert_eq!(guest.rename("source", "target"), Err(Errno::Notempty));
        assert_eq!(guest.rename("source", "target/file"), Err(Errno::Notdir));
        assert_eq!(guest.rename("target/file", "source"), Err(Errno::Isdir));
        for (old, new) in [("target/file/", "x"), ("target/file", "x/"), ("target/file/", "x/")] {
            assert_eq!(guest.rename(old, new), Err(Errno::Notdir), "{old} {new}");
        }
        guest.create("other");
        guest.rename("target/file", "other").unwrap();
        assert_eq!(guest.rename("none", "other"), Err(Errno::Noent));
        assert_eq!(guest.rename("target", "target/below"), Err(Errno::Inval));
    });
}

#[test]
fn times_of_links_and_targets_are_apart() {
    both(|guest| {
        guest.mkdir("dir").unwrap();
        guest.create("dir/file");
        guest.symlink("file", "dir/link").unwrap();
        guest.symlink("dir/link", "link").unwrap();
        let file = guest.path_filestat(0, "dir/file").unwrap();
        guest.set_times(0, "link", 1000, 4).unwrap();
        assert_eq!(guest.path_filestat(0, "link").unwrap().mtim, 1000);
        assert_eq!(guest.path_filestat(0, "dir/file").unwrap(), file);
        guest.set_times(FOLLOW, "link", 2000, 4).unwrap();
        assert_eq!(guest.path_filestat(0, "dir/file").unwrap().mtim, 2000);
        assert_eq!(guest.path_filestat(FOLLOW, "link").unwrap().mtim, 2000);
        assert_eq!(guest.path_filestat(0, "link").unwrap().mtim, 1000);
        assert_eq!(guest.set_times(0, "link", 1, 12), Err(Errno::Inval));
        assert_eq!(guest.set_times(0, "link/", 1, 4), Err(Errno::Notdir));
        assert_eq!(guest.set_times(2, "link", 1, 4), Err(Errno::Inval));
        guest.set_times(FOLLOW, "dir/", 3000, 4).unwrap();
        assert_eq!(guest.path_filestat(0, "dir").unwrap().mtim, 3000);
    });
}

#[test]
fn preview0_has_its_own_records() {
    let mut guest = Guest::new(false);
    let fd = guest.open("file", CREAT, RW).unwrap();
    guest.write(fd, b"12345").unwrap();
    let stat = guest.filestat(fd).unwrap();
    let check = |guest: &Guest| {
        assert_eq!(guest.u64(BUFFER + 8), stat.ino);
        assert_eq!((guest.memory[BUFFER as usize + 16], guest.u32(BUFFER + 20)), (TYPE_FILE, 1));
        assert_eq!((guest.u64(BUFFER + 24), guest.u64(BUFFER + 40)), (5, stat.mtim));
        assert_eq!(guest.get(BUFFER + 56, 8), [9; 8]);
    };
    guest.memory[BUFFER as usize..][..64].fill(9);
    guest.call(|ctx, memory| preview0::fd_filestat_get(ctx, memory, fd, BUFFER)).unwrap();
    check(&guest);
    guest.memory[BUFFER as usize..][..64].fill(9);
    guest
        .with_path("file", |ctx, memory, path, len| {
            preview0::path_filestat_get(ctx, memory, ROOT, 0, path, len, BUFFER)
        })
        .unwrap();
    check(&guest);
    for (offset, whence, expected) in [(1i64, 2, 1), (1, 0, 2), (-1, 1, 4)] {
        let offset = offset.cast_unsigned();
        guest.call(|ctx, memory| preview0::fd_seek(ctx, memory, fd, offset, whence, RESULT)).unwrap();
        assert_eq!(guest.u64(RESULT), expected);
    }
}
