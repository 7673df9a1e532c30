use super::{Lookup, Store, TAG};
use crate::{Key, Limits, Stats, Verified};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

struct Sandbox(PathBuf);

impl Sandbox {
    fn new() -> Sandbox {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("aot-cache-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Sandbox(std::env::temp_dir().join(name))
    }

    fn open(&self) -> Store {
        self.with(Limits::default())
    }

    fn with(&self, limits: Limits) -> Store {
        Store::open(&self.0, limits).unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn key(number: u32) -> Key {
    Key::of(&[("number", &number.to_le_bytes())])
}

#[test]
fn what_is_put_is_found() {
    let sandbox = Sandbox::new();
    let store = sandbox.open();
    assert_eq!(store.get(&key(1)), Lookup::Miss);
    for value in [&b""[..], b"value", &[7; 100_000]] {
        store.put(&key(1), value).unwrap();
        assert_eq!(store.get(&key(1)), Lookup::Hit(value.to_vec()));
    }
    // Another process has the same key.
    assert_eq!(sandbox.open().get(&key(1)), Lookup::Hit(vec![7; 100_000]));
    assert_eq!(store.stats(), Stats { entries: 1, size: 100_000 + TAG as u64 });
    assert_eq!(store.clear().unwrap(), 1);
    assert_eq!(store.get(&key(1)), Lookup::Miss);
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let sandbox = Sandbox::new();
    let store = sandbox.open();
    let path = store.path(&key(1));
    for bit in 0..(5 + TAG) * 8 {
        store.put(&key(1), b"value").unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bytes).unwrap();
        assert_eq!(store.get(&key(1)), Lookup::Damaged);
        assert_eq!(store.get(&key(1)), Lookup::Miss);
    }
    for len in 0..5 + TAG {
        store.put(&key(1), b"value").unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..len]).unwrap();
        assert_eq!(store.verify(), Verified { sound: 0, damaged: 1 });
    }
}

#[test]
fn entries_of_others_are_no_entries() {
    let (sandbox, other) = (Sandbox::new(), Sandbox::new());
    let (store, foreign) = (sandbox.open(), other.open());
    foreign.put(&key(1), b"evil").unwrap();
    store.put(&key(1), b"good").unwrap();
    // Made with another key, or for another question.
    fs::copy(foreign.path(&key(1)), store.path(&key(1))).unwrap();
    assert_eq!(store.get(&key(1)), Lookup::Damaged);
    store.put(&key(2), b"other").unwrap();
    fs::create_dir_all(store.path(&key(1)).parent().unwrap()).unwrap();
    fs::rename(store.path(&key(2)), store.path(&key(1))).unwrap();
    assert_eq!(store.get(&key(1)), Lookup::Damaged);
    // Not even a link to a sound entry.
    store.put(&key(2), b"other").unwrap();
    symlink(store.path(&key(2)), store.path(&key(1))).unwrap();
    assert_eq!(store.get(&key(1)), Lookup::Miss);
}

#[test]
fn directories_that_others_can_write_are_refused() {
    let sandbox = Sandbox::new();
    drop(sandbox.open());
    let set = |path: &PathBuf, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o770, 0o707, 0o777] {
        set(&sandbox.0, mode);
        assert!(Store::open(&sandbox.0, Limits::default()).is_err());
    }
    set(&sandbox.0, 0o700);
    let secret = sandbox.0.join("key");
    set(&secret, 0o644);
    assert!(Store::open(&sandbox.0, Limits::default()).is_err());
    fs::remove_file(&secret).unwrap();
    symlink("/dev/zero", &secret).unwrap();
    assert!(Store::open(&sandbox.0, Limits::default()).is_err());
}

#[test]
fn the_least_recently_used_goes_first() {
    let sandbox = Sandbox::new();
    let size = 10 * (1000 + TAG as u64);
    let store = sandbox.with(Limits { size, ..Limits::default() });
    let past = SystemTime::now() - Duration::from_secs(1000);
    for number in 0..10 {
        store.put(&key(number), &[0; 1000]).unwrap();
        let file = fs::File::open(store.path(&key(number))).unwrap();
        file.set_modified(past + Duration::from_secs(u64::from(number))).unwrap();
    }
    assert!(matches!(store.get(&key(0)), Lookup::Hit(_)));
    store.put(&key(10), &[0; 1000]).unwrap();
    assert!(matches!(store.get(&key(0)), Lookup::Hit(_)));
    assert_eq!(store.get(&key(1)), Lookup::Miss);
    // Room for a sixteenth of the bound is made, and the next entry finds it.
    assert_eq!(store.stats().entries, 10);
    // What is larger than everything is not kept, and takes nothing's place.
    store.put(&key(11), &vec![0; size as usize]).unwrap();
    assert_eq!((store.get(&key(11)), store.stats().entries), (Lookup::Miss, 10));
}

#[test]
fn age_is_bounded_and_clocks_may_jump() {
    let sandbox = Sandbox::new();
    let store = sandbox.open();
    let now = SystemTime::now();
    for number in [0, 1] {
        store.put(&key(number), b"value").unwrap();
    }
    let day = Duration::from_secs(24 * 3600);
    for (number, time) in [(0, now - 61 * day), (1, now + 10_000 * day)] {
        fs::File::open(store.path(&key(number))).unwrap().set_modified(time).unwrap();
    }
    let left = store.path(&key(2));
    fs::write(sandbox.0.join("v1/tmp/left"), b"half").unwrap();
    fs::File::open(sandbox.0.join("v1/tmp/left"))
        .unwrap()
        .set_modified(now - Duration::from_secs(7200))
        .unwrap();
    assert_eq!(store.collect().unwrap(), 1);
    assert!(!left.exists() && fs::read_dir(sandbox.0.join("v1/tmp")).unwrap().next().is_none());
    assert_eq!(store.get(&key(0)), Lookup::Miss);
    assert!(matches!(store.get(&key(1)), Lookup::Hit(_)));
}

#[test]
fn many_users_at_once_see_whole_entries() {
    let sandbox = Sandbox::new();
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let sandbox = &sandbox;
            scope.spawn(move || {
                // Each opens the store on its own: one of them makes the key.
                let store = sandbox.with(Limits { size: 200_000, ..Limits::default() });
                for round in 0..200 {
                    let number = (round * 7 + thread) % 20;
                    match store.get(&key(number)) {
                        Lookup::Hit(value) => assert_eq!(value, vec![number as u8; 1000 * number as usize]),
                        Lookup::Miss => {
                            store.put(&key(number), &vec![number as u8; 1000 * number as usize]).unwrap()
                        }
                        Lookup::Damaged => panic!("entry {number} is damaged"),
                    }
                }
            });
        }
    });
    assert!(sandbox.with(Limits { size: 200_000, ..Limits::default() }).stats().size <= 200_000);
}
