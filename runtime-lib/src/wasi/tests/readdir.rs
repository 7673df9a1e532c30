//! `fd_readdir`: entries, cookies, buffers that are too small.

use super::*;
use std::string::String;

#[derive(Debug, Clone)]
struct Entry {
    next: u64,
    ino: u64,
    filetype: u8,
    name: String,
}

/// The entries in a buffer of `len` bytes from `cookie` on that are complete, and how much of it was used.
fn read_some(guest: &mut Guest, fd: u32, len: u32, cookie: u64) -> Result<(Vec<Entry>, u32)> {
    guest.memory[BUFFER as usize..][..len as usize + 8].fill(0xaa);
    guest.call(|ctx, memory| fd_readdir(ctx, memory, fd, BUFFER, len, cookie, RESULT))?;
    let used = guest.u32(RESULT);
    assert!(used <= len);
    assert_eq!(guest.get(BUFFER + used, len - used + 8), vec![0xaa; (len - used) as usize + 8]);
    let mut entries = Vec::new();
    let mut at = 0;
    while used - at >= 24 {
        let name_len = guest.u32(BUFFER + at + 16);
        if used - at < 24 + name_len {
            break;
        }
        let name = guest.get(BUFFER + at + 24, name_len).to_vec();
        entries.push(Entry {
            next: guest.u64(BUFFER + at),
            ino: guest.u64(BUFFER + at + 8),
            filetype: guest.memory[(BUFFER + at + 20) as usize],
            name: String::from_utf8(name).unwrap(),
        });
        at += 24 + name_len;
    }
    Ok((entries, used))
}

/// All entries, read with a buffer of `len` bytes.
fn read_all(guest: &mut Guest, fd: u32, len: u32) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    let mut cookie = 0;
    loop {
        let (entries, used) = read_some(guest, fd, len, cookie).unwrap();
        assert!(used < len || !entries.is_empty(), "the buffer is too small for an entry");
        cookie = entries.last().map_or(cookie, |entry| entry.next);
        all.extend(entries);
        if used < len {
            return all;
        }
    }
}

#[test]
fn entries_are_those_of_the_directory() {
    let mut guest = Guest::new(false);
    let (entries, used) = read_some(&mut guest, ROOT, 256, 0).unwrap();
    assert_eq!(used, 2 * 24 + 3);
    let ino = guest.filestat(ROOT).unwrap().ino;
    assert_eq!((entries[0].name.as_str(), entries[0].ino, entries[0].filetype), (".", ino, TYPE_DIRECTORY));
    assert_eq!((entries[1].name.as_str(), entries[1].filetype), ("..", TYPE_DIRECTORY));

    guest.create("file");
    guest.mkdir("dir").unwrap();
    guest.symlink("file", "link").unwrap();
    let mut entries = read_all(&mut guest, ROOT, 256);
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, [".", "..", "dir", "file", "link"]);
    for (entry, filetype) in entries[2..].iter().zip([TYPE_DIRECTORY, TYPE_FILE, TYPE_SYMLINK]) {
        assert_eq!(entry.filetype, filetype);
        assert_eq!(entry.ino, guest.path_filestat(0, &entry.name).unwrap().ino);
    }
}

#[test]
fn cookies_continue_where_they_say() {
    check_cookies(Guest::new(false));
    // File systems differ in their cookies: those of a RAM disk are consecutive numbers.
    let shm = Path::new("/dev/shm");
    if shm.is_dir() {
        check_cookies(Guest::new_in(shm, false));
    } else {
        std::eprintln!("skipped: no /dev/shm");
    }
}

fn check_cookies(mut guest: Guest) {
    for index in 0..300 {
        fs::write(guest.host(&std::format!("file.{index}")), "").unwrap();
    }
    let all = read_all(&mut guest, ROOT, 0x8000);
    assert_eq!(all.len(), 302);
    for len in [56, 100, 256, 1000] {
        let names: Vec<String> =
            read_all(&mut guest, ROOT, len).into_iter().map(|entry| entry.name).collect();
        assert!(names.iter().eq(all.iter().map(|entry| &entry.name)), "{len}");
    }
    for index in [0, 1, 2, 150, 300] {
        let (rest, _) = read_some(&mut guest, ROOT, 0x8000, all[index].next).unwrap();
        assert!(rest.iter().map(|entry| &entry.name).eq(all[index + 1..].iter().map(|entry| &entry.name)));
    }
    // In any order, and C programs have only 32 bits for them.
    for index in (0..301).rev() {
        let next = all[index].next;
        assert!(next < 1 << 31);
        let (rest, _) = read_some(&mut guest, ROOT, 60, next).unwrap();
        assert_eq!(rest[0].name, all[index + 1].name);
    }
    // Nothing comes after the last entry, and nothing after that.
    let last = all[301].next;
    for cookie in [last, last + 1, u64::MAX / 2, u64::MAX] {
        assert_eq!(read_some(&mut guest, ROOT, 100, cookie).unwrap().1, 0, "{cookie:#x}");
    }
    // Files that go away don't shift those that are still to come.
    let (first, used) = read_some(&mut guest, ROOT, 5000, 0).unwrap();
    assert_eq!(used, 5000);
    for entry in &first[2..] {
        guest.unlink(&entry.name).unwrap();
    }
    let (rest, _) = read_some(&mut guest, ROOT, 0x8000, first.last().unwrap().next).unwrap();
    assert!(rest.iter().map(|entry| &entry.name).eq(all[first.len()..].iter().map(|entry| &entry.name)));
    // New ones are seen from the start.
    guest.create("new");
    assert!(read_all(&mut guest, ROOT, 500).iter().any(|entry| entry.name == "new"));
}

#[test]
fn the_last_entry_is_cut_off() {
    let mut guest = Guest::new(false);
    guest.create("a-long-name");
    for len in 0..=(3 * 24 + 3 + 11) {
        let (entries, used) = read_some(&mut guest, ROOT, len, 0).unwrap();
        assert_eq!(used, len);
        let complete = [25, 51, 86].iter().filter(|&&end| end <= len).count();
        assert_eq!(entries.len(), complete, "{len}");
    }
    assert_eq!(read_some(&mut guest, ROOT, 200, 0).unwrap().1, 86);
}

#[test]
fn wrong_uses_are_refused() {
    let mut guest = Guest::new(false);
    let file = guest.open("file", CREAT, RW).unwrap();
    assert_eq!(read_some(&mut guest, file, 100, 0).unwrap_err(), Errno::Notdir);
    assert_eq!(read_some(&mut guest, 0, 100, 0).unwrap_err(), Errno::Badf);
    assert_eq!(read_some(&mut guest, 99, 100, 0).unwrap_err(), Errno::Badf);
    let end = MEMORY_SIZE as u32;
    let result = guest.call(|ctx, memory| fd_readdir(ctx, memory, ROOT, end - 10, 11, 0, RESULT));
    assert_eq!(result, Err(Errno::Fault));
    // A directory that has been removed is empty.
    guest.mkdir("dir").unwrap();
    let dir = guest.open("dir", DIRECTORY, 0).unwrap();
    guest.rmdir("dir").unwrap();
    let (entries, _) = read_some(&mut guest, dir, 200, 0).unwrap();
    assert_eq!(entries.len(), 2);
}
