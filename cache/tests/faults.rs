//! What goes wrong around a store: processes that are killed, disks that are full, others at the same time. Never is there
//! a wrong value, and never more than the bound.

use aot_cache::{Key, Limits, Lookup, Store, Verified};
use rustix::fs::{FlockOperation, flock};
use std::env;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// Tells a process that it is a child of a test, and what it is to do.
const ROLE: &str = "AOT_CACHE_TEST_ROLE";
const DIRECTORY: &str = "AOT_CACHE_TEST_DIRECTORY";

const BOUND: u64 = 2_000_000;
/// What an entry is larger than its value.
const TAG: u64 = 32;

fn open(directory: &Path) -> Store {
    Store::open(directory, Limits { size: BOUND, ..Limits::default() }).unwrap()
}

fn key(number: u64) -> Key {
    Key::of(&[("number", &number.to_le_bytes())])
}

/// The one value that belongs to a key.
fn value(number: u64) -> Vec<u8> {
    let len = number * 7919 % 200_000;
    (0..len).map(|at| (at * 31 + number) as u8).collect()
}

/// This program again, as one that does what `ROLE` says.
fn child(role: &str, directory: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "as_a_child", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(DIRECTORY, directory).stdin(Stdio::null());
    command
}

/// Not a test, but what the children of tests run.
#[test]
fn as_a_child() {
    let (Ok(role), Some(directory)) = (env::var(ROLE), env::var_os(DIRECTORY)) else { return };
    let store = open(Path::new(&directory));
    let seed: u64 = role.split(' ').nth(1).unwrap_or("0").parse().unwrap();
    match role.split(' ').next().unwrap() {
        // Until it is killed; says how often it has written.
        "write" => {
            for round in 0.. {
                let number = (seed * 17 + round * 7) % 60;
                store.put(&key(number), &value(number)).unwrap();
                eprint!(".");
            }
        }
        "share" => {
            for round in 0..60 {
                let number = (seed + round * 7) % 40;
                match store.get(&key(number)) {
                    Lookup::Hit(found) => assert_eq!(found, value(number)),
                    Lookup::Miss => store.put(&key(number), &value(number)).unwrap(),
                    Lookup::Damaged => panic!("entry {number} is damaged"),
                }
            }
        }
        "overfill" => {
            let error = store.put(&key(1), &vec![7; 300_000]).unwrap_err();
            eprint!("{error}");
        }
        other => panic!("unknown role {other}"),
    }
}

/// Bytes of all regular files below a directory.
fn size_of(directory: &Path) -> u64 {
    let Ok(items) = fs::read_dir(directory) else { return 0 };
    let items = items.filter_map(Result::ok);
    items
        .map(|item| match fs::symlink_metadata(item.path()) {
            Ok(metadata) if metadata.is_dir() => size_of(&item.path()),
            Ok(metadata) => metadata.len(),
            // It went in the meantime.
            Err(_) => 0,
        })
        .sum()
}

fn kill(child: &mut Child) -> usize {
    child.kill().unwrap();
    let mut written = String::new();
    child.stderr.take().unwrap().read_to_string(&mut written).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "{written}");
    written.len()
}

#[test]
fn writers_that_are_killed_leave_nothing_wrong() {
    let place = TempDir::new().unwrap();
    let directory = place.path().join("store");
    let (mut written, mut kills) = (0, 0u64);
    while written < 1000 || kills < 40 {
        let mut writers: Vec<Child> = (0..2)
            .map(|n| {
                let mut writer = child(&format!("write {}", kills + n), &directory);
                writer.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        // At points that have nothing to do with what they do.
        thread::sleep(Duration::from_micros(20_000 + kills * 7_919 % 30_000));
        for writer in &mut writers {
            written += kill(writer);
            kills += 1;
        }
        let store = open(&directory);
        assert!(store.stats().size <= BOUND, "{:?} after {kills} kills", store.stats());
        // At most what the last two have not finished.
        assert!(size_of(&directory) <= BOUND + 4 * 200_000);
        for entry in store.entries() {
            let number = (0..60).find(|number| key(*number) == entry.key).unwrap();
            assert_eq!(store.get(&entry.key), Lookup::Hit(value(number)));
        }
    }
    let store = open(&directory);
    store.put(&key(1), &value(1)).unwrap();
    assert_eq!(fs::read_dir(directory.join("v1/tmp")).unwrap().count(), 0);
    assert_eq!(store.verify().damaged, 0);
}

#[test]
fn thirty_two_processes_share_a_store_and_its_bound() {
    let place = TempDir::new().unwrap();
    let directory = place.path().join("store");
    let mut children: Vec<Child> = (0..32)
        .map(|n| {
            let role = format!("share {}", n % 8);
            child(&role, &directory).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let mut most = 0;
    while children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        if let Ok(ledger) = fs::File::open(directory.join("v1/ledger")) {
            // Nobody adds or removes any while they are counted.
            flock(&ledger, FlockOperation::LockExclusive).unwrap();
            most = most.max(open(&directory).stats().size);
        }
        thread::sleep(Duration::from_millis(2));
    }
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // The values are more than fits.
    assert!((0..40).map(|number| value(number).len() as u64).sum::<u64>() > BOUND);
    assert!(most > BOUND / 2 && most <= BOUND, "{most}");
    assert_eq!(open(&directory).verify().damaged, 0);
}

/// The limit on the size of files stands for the disk: it needs no rights.
#[test]
fn a_full_disk_keeps_nothing_and_leaves_nothing() {
    let place = TempDir::new().unwrap();
    let directory = place.path().join("store");
    open(&directory).put(&key(2), &value(2)).unwrap();
    let before = size_of(&directory);
    let inner = child("overfill", &directory);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""]).arg(inner.get_program());
    command.args(inner.get_args()).envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("File too large"), "{said}");
    assert_eq!(size_of(&directory), before);
    let store = open(&directory);
    assert_eq!((store.get(&key(1)), store.get(&key(2))), (Lookup::Miss, Lookup::Hit(value(2))));
}

/// What keeps the size may be gone, damaged, or say anything.
#[test]
fn a_wrong_ledger_moves_no_bound() {
    let place = TempDir::new().unwrap();
    let directory = place.path().join("store");
    let store = open(&directory);
    let ledger = directory.join("v1/ledger");
    let fill = || {
        for number in 0..60 {
            store.put(&key(number), &value(number)).unwrap();
            assert!(store.stats().size <= BOUND);
        }
    };
    fill();
    let sound = fs::read(&ledger).unwrap();
    for bit in 0..sound.len() * 8 {
        let mut bytes = sound.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&ledger, bytes).unwrap();
        let number = bit as u64 % 60;
        store.put(&key(number), &value(number)).unwrap();
        assert!(store.stats().size <= BOUND);
    }
    for bytes in [&b""[..], b"short", &[0; 48], &[255; 4096]] {
        fs::write(&ledger, bytes).unwrap();
        fill();
    }
    // One of another store, which says that there is much room.
    let other = TempDir::new().unwrap();
    open(other.path()).put(&key(1), b"").unwrap();
    fs::copy(other.path().join("v1/ledger"), &ledger).unwrap();
    fill();
    fs::remove_file(&ledger).unwrap();
    // What is put there by hand counts after an hour at the latest, or when it is asked for.
    fs::copy(directory.join("key"), place.path().join("key")).unwrap();
    fill();
    assert_eq!(store.verify().damaged, 0);
}

/// Where others hold the lock for ever, an entry is not kept, soon.
#[test]
fn a_lock_that_is_held_does_not_hold_up() {
    let place = TempDir::new().unwrap();
    let store = open(place.path());
    store.put(&key(1), b"kept").unwrap();
    let ledger = fs::File::open(place.path().join("v1/ledger")).unwrap();
    flock(&ledger, FlockOperation::LockExclusive).unwrap();
    let start = Instant::now();
    assert!(store.put(&key(2), b"lost").is_err());
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!(store.get(&key(1)), Lookup::Hit(b"kept".to_vec()));
    assert_eq!(fs::read_dir(place.path().join("v1/tmp")).unwrap().count(), 0);
    drop(ledger);
    store.put(&key(2), b"kept too").unwrap();
}

/// Entries of a time to come are no older than others, and stay no longer.
#[test]
fn clocks_that_jump_neither_lose_nor_keep_entries() {
    let place = TempDir::new().unwrap();
    let store = open(place.path());
    let path = |key: Key| {
        let name = key.to_string();
        place.path().join("v1").join(&name[..2]).join(&name[2..])
    };
    let set = |number, time| {
        fs::File::open(path(key(number))).unwrap().set_modified(time).unwrap();
    };
    let now = SystemTime::now();
    let year = Duration::from_secs(365 * 24 * 3600);
    for number in 0..5 {
        store.put(&key(number), &[0; 300_000]).unwrap();
    }
    set(0, now + 80 * year);
    assert_eq!(store.collect().unwrap(), 0);
    // It is the one that was used last, but its time has come to an end: others are used after it.
    assert!(store.entries().iter().all(|entry| entry.used <= SystemTime::now()));
    for number in 1..5 {
        set(number, SystemTime::now() + Duration::from_secs(1));
        assert!(matches!(store.get(&key(number)), Lookup::Hit(_)));
    }
    thread::sleep(Duration::from_millis(1100));
    set(0, now - Duration::from_secs(100));
    for number in 5..8 {
        store.put(&key(number), &[0; 300_000]).unwrap();
    }
    assert_eq!(store.get(&key(0)), Lookup::Miss);
    // At the beginning of time, all of them are old.
    for entry in store.entries() {
        fs::File::open(path(entry.key)).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    let count = store.stats().entries;
    assert_eq!(store.collect().unwrap(), count);
}

#[test]
fn links_lead_nowhere() {
    let place = TempDir::new().unwrap();
    let elsewhere = place.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let name = key(1).to_string();
    // In place of a folder of entries, and of that for what is being written.
    for link in [&name[..2], "tmp"] {
        let directory = TempDir::new().unwrap();
        let store = open(directory.path());
        let link = directory.path().join("v1").join(link);
        drop(fs::remove_dir_all(&link));
        symlink(&elsewhere, &link).unwrap();
        drop(store.put(&key(1), b"value"));
        if let Ok(store) = Store::open(directory.path(), Limits::default()) {
            assert!(store.put(&key(1), b"value").is_err());
        }
        assert_eq!(fs::read_dir(&elsewhere).unwrap().filter(is_entry).count(), 0);
    }
    // In place of the ledger: what it leads to stays what it is.
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let target = elsewhere.join("target");
    fs::write(&target, b"precious").unwrap();
    drop(fs::remove_file(directory.path().join("v1/ledger")));
    symlink(&target, directory.path().join("v1/ledger")).unwrap();
    assert!(store.put(&key(1), b"value").is_err());
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    // The user's own link to a directory is for the user to make.
    let real = place.path().join("real");
    fs::create_dir(&real).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o700)).unwrap();
    symlink(&real, place.path().join("link")).unwrap();
    open(&place.path().join("link")).put(&key(1), b"value").unwrap();
    assert_eq!(open(&real).get(&key(1)), Lookup::Hit(b"value".to_vec()));
}

fn is_entry(item: &std::io::Result<fs::DirEntry>) -> bool {
    item.as_ref().is_ok_and(|item| item.file_name().len() == 62)
}

#[test]
fn a_file_that_was_found_stays_what_it_is() {
    let place = TempDir::new().unwrap();
    let store = open(place.path());
    store.put(&key(3), &value(3)).unwrap();
    let Lookup::Hit(found) = store.find(&key(3)) else { panic!("it was put there") };
    store.put(&key(3), b"something else").unwrap();
    store.clear().unwrap();
    assert_eq!((found.len(), found.read().unwrap()), (value(3).len() as u64, value(3)));
    let copy = place.path().join("copy");
    found.copy_to(&mut fs::File::create(&copy).unwrap()).unwrap();
    assert_eq!(fs::read(&copy).unwrap(), value(3));
}

/// A copy is the user's: what is done to it does nothing to the entry.
#[test]
fn copies_are_not_entries() {
    let place = TempDir::new().unwrap();
    let store = open(place.path());
    store.put(&key(3), &value(3)).unwrap();
    let Lookup::Hit(found) = store.find(&key(3)) else { panic!("it was put there") };
    let mut copy = fs::File::create(place.path().join("copy")).unwrap();
    found.copy_to(&mut copy).unwrap();
    copy.write_all_at(b"changed", 0).unwrap();
    assert_eq!(store.verify(), Verified { sound: 1, damaged: 0 });
    assert_eq!(store.get(&key(3)), Lookup::Hit(value(3)));
}

#[test]
fn entries_larger_than_everything_are_damaged() {
    let place = TempDir::new().unwrap();
    let store = open(place.path());
    store.put(&key(3), &value(3)).unwrap();
    let name = key(3).to_string();
    let path = place.path().join("v1").join(&name[..2]).join(&name[2..]);
    // A hole of a terabyte is read by nobody.
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(store.find(&key(3)), Lookup::Damaged));
    assert_eq!(store.get(&key(3)), Lookup::Miss);
    assert!(store.stats().size + TAG < BOUND);
}
