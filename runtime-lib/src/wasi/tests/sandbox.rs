//! Nothing leads out of the sandbox.

use super::*;
use std::sync::atomic::AtomicBool;
use std::thread;

/// Things outside: `secret` (a file) and `private` (a directory with a file), and links to them from inside.
fn plant(guest: &Guest) {
    let outside = &guest.outside.0;
    fs::write(outside.join("secret"), "secret").unwrap();
    fs::create_dir(outside.join("private")).unwrap();
    fs::write(outside.join("private/file"), "private").unwrap();
    fs::create_dir(guest.host("dir")).unwrap();
    host_symlink("../secret", guest.host("rel"));
    host_symlink(outside.join("secret"), guest.host("abs"));
    host_symlink("../private", guest.host("reldir"));
    host_symlink(outside.join("private"), guest.host("absdir"));
    host_symlink("../../private", guest.host("dir/updir"));
    host_symlink("reldir", guest.host("chain"));
    host_symlink("..", guest.host("up"));
    host_symlink("/", guest.host("slash"));
    host_symlink("../gone", guest.host("gone"));
}

/// What the outside looks like: names and contents.
fn snapshot(guest: &Guest) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for dir in [guest.outside.0.clone(), guest.outside.0.join("private")] {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let contents = fs::read(&path).unwrap_or_default();
            found.push((path, contents));
        }
    }
    found.sort();
    found
}

/// Paths to an existing file outside.
const FILES_OUTSIDE: &[&str] = &[
    "../secret",
    "dir/../../secret",
    "./.././secret",
    "reldir/file",
    "absdir/file",
    "dir/updir/file",
    "chain/file",
    "up/secret",
    "dir/../up/private/file",
    "slash/etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
];

#[test]
fn no_path_leads_out() {
    both(|guest| {
        plant(guest);
        let before = snapshot(guest);
        guest.create("inside");
        for path in FILES_OUTSIDE {
            let perm = Err(Errno::Perm);
            for follow in [0, FOLLOW] {
                assert_eq!(guest.open_at(ROOT, follow, path, 0, FD_READ, 0), perm, "{path}");
                assert_eq!(guest.open_at(ROOT, follow, path, CREAT | TRUNC, RW, 0), perm, "{path}");
                assert_eq!(guest.path_filestat(follow, path), Err(Errno::Perm), "{path}");
                assert_eq!(guest.set_times(follow, path, 1, 4), Err(Errno::Perm), "{path}");
            }
            assert_eq!(guest.unlink(path), Err(Errno::Perm), "{path}");
            assert_eq!(guest.rmdir(path), Err(Errno::Perm), "{path}");
            assert_eq!(guest.mkdir(path), Err(Errno::Perm), "{path}");
            assert_eq!(guest.readlink(path, 10), Err(Errno::Perm), "{path}");
            assert_eq!(guest.rename(path, "here"), Err(Errno::Perm), "{path}");
            assert_eq!(guest.rename("inside", path), Err(Errno::Perm), "{path}");
            assert_eq!(guest.link(0, path, "here"), Err(Errno::Perm), "{path}");
            assert_eq!(guest.link(0, "inside", path), Err(Errno::Perm), "{path}");
            assert_eq!(guest.symlink("inside", path), Err(Errno::Perm), "{path}");
        }
        assert_eq!(snapshot(guest), before);
    });
}

#[test]
fn no_link_in_the_last_component_leads_out() {
    both(|guest| {
        plant(guest);
        let before = snapshot(guest);
        for path in ["rel", "abs"] {
            assert_eq!(guest.open_at(ROOT, FOLLOW, path, 0, FD_READ, 0), Err(Errno::Perm), "{path}");
            assert_eq!(guest.open_at(ROOT, FOLLOW, path, CREAT | TRUNC, RW, 0), Err(Errno::Perm), "{path}");
            assert_eq!(guest.open(path, CREAT | TRUNC, RW), Err(Errno::Loop), "{path}");
            assert_eq!(guest.path_filestat(FOLLOW, path), Err(Errno::Perm), "{path}");
            assert_eq!(guest.set_times(FOLLOW, path, 1, 4), Err(Errno::Perm), "{path}");
            // The link itself is inside.
            assert_eq!(guest.path_filestat(0, path).unwrap().filetype, TYPE_SYMLINK);
            assert_eq!(guest.set_times(0, path, 1, 4), Ok(()), "{path}");
            assert_eq!(guest.readlink(path, 9).unwrap().len(), 9, "{path}");
        }
        // A slash at the end makes the kernel follow a link even where it is told not to.
        // That must not even tell whether there is something outside.
        let links = ["reldir/", "absdir/", "dir/updir/", "chain/", "up/", "slash/", "rel/", "abs/", "gone/"];
        for path in links.into_iter().chain(["..", "../", "dir/../.."]) {
            for follow in [0, FOLLOW] {
                assert_eq!(guest.open_at(ROOT, follow, path, 0, 0, 0), Err(Errno::Perm), "{path}");
                assert_eq!(guest.open_at(ROOT, follow, path, DIRECTORY, 0, 0), Err(Errno::Perm), "{path}");
                assert_eq!(guest.path_filestat(follow, path), Err(Errno::Perm), "{path}");
                assert_eq!(guest.set_times(follow, path, 1, 4), Err(Errno::Perm), "{path}");
            }
            assert_eq!(guest.readlink(path, 10), Err(Errno::Perm), "{path}");
            assert_eq!(guest.link(0, path, "here"), Err(Errno::Perm), "{path}");
            guest.create("inside");
            for result in [
                guest.mkdir(path),
                guest.rmdir(path),
                guest.unlink(path),
                guest.rename(path, "here"),
                guest.rename("inside", path),
                guest.link(0, "inside", path),
                guest.symlink("inside", path),
            ] {
                result.unwrap_err();
            }
        }
        assert_eq!(snapshot(guest), before);
        assert!(guest.host("reldir").is_symlink());
    });
}

#[test]
fn directories_opened_inside_are_sandboxes_themselves() {
    both(|guest| {
        guest.mkdir("dir").unwrap();
        guest.create("file");
        guest.symlink("../file", "dir/link").unwrap();
        let dir = guest.open("dir", DIRECTORY, 0).unwrap();
        assert_eq!(guest.open_at(dir, 0, "../file", 0, 0, 0), Err(Errno::Perm));
        assert_eq!(guest.open_at(dir, FOLLOW, "link", 0, 0, 0), Err(Errno::Perm));
        assert!(guest.open_at(ROOT, FOLLOW, "dir/link", 0, 0, 0).is_ok());
    });
}

#[test]
fn magic_links_are_not_followed() {
    for walk in [false, true] {
        let mut builder = WasiCtxBuilder::new(Stdio::Null, Stdio::Null, Stdio::Null).unwrap();
        builder.preopen(b"/proc/self", b"/").unwrap();
        if walk {
            builder.walk_paths();
        }
        let mut guest = Guest::new(walk);
        guest.ctx = builder.build();
        for path in ["cwd", "root", "fd/0"] {
            let result = guest.open_at(ROOT, FOLLOW, path, 0, 0, 0);
            assert!(matches!(result, Err(Errno::Loop | Errno::Perm)), "{path}: {result:?}");
        }
        let result = guest.open("root/etc/passwd", 0, FD_READ);
        assert!(matches!(result, Err(Errno::Loop | Errno::Perm)), "{result:?}");
    }
}

/// While the host swaps a directory with a link to one outside, and moves a directory out and back, the guest goes
/// through them with all it has.
#[test]
fn races_do_not_lead_out() {
    for walk in [false, true] {
        let mut guest = Guest::new(walk);
        plant(&guest);
        fs::create_dir_all(guest.host("a/b/c")).unwrap();
        fs::write(guest.host("dir/file"), "inside").unwrap();
        fs::write(guest.host("file"), "inside").unwrap();
        fs::write(guest.outside.0.join("file"), "outside").unwrap();
        let outside = guest.outside.0.clone();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let inside = outside.join("sandbox");
                let mut rounds = 0;
                while !stop.load(Ordering::Relaxed) || rounds < 100 {
                    fs::rename(inside.join("dir"), inside.join("away")).unwrap();
                    host_symlink("../private", inside.join("dir"));
                    fs::remove_file(inside.join("dir")).unwrap();
                    fs::rename(inside.join("away"), inside.join("dir")).unwrap();
                    fs::rename(inside.join("a/b"), outside.join("b")).unwrap();
                    fs::rename(outside.join("b"), inside.join("a/b")).unwrap();
                    rounds += 1;
                }
            });
            for _ in 0..3000 {
                for path in ["dir/file", "a/b/../../file", "a/b/c/../../../file"] {
                    if let Ok(fd) = guest.open_at(ROOT, FOLLOW, path, 0, FD_READ, 0) {
                        assert_eq!(guest.read(fd, 100).unwrap(), b"inside", "{path}");
                        guest.close(fd).unwrap();
                    }
                }
                if guest.mkdir("dir/made").is_ok() {
                    guest.rmdir("dir/made").ok();
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(!guest.outside.0.join("private/made").exists());
    }
}
