//! Remote stores on real servers, and on servers that are down, slow or lie.
//!
//! Redis is Debian's; S3 and WebDAV are Python packages, which `cargo xtask setup` installs. What is missing is skipped by
//! name; on CI that is a failure.

#[path = "../../../tests/servers.rs"]
mod servers;

use aot_cache::Key;
use aot_cache_remote::{Options, PublicKey, Remote, Report, SecretKey};
use servers::{Server, free_port, redis, skipped};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A program of the Python packages that the tests need.
fn python(name: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = target.join("setup/servers/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    skipped(name);
    None
}

fn s3() -> Option<(Server, String)> {
    let moto = python("moto_server")?;
    let server = Server::start(|port, _| {
        let mut command = Command::new(&moto);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command
    });
    let (status, _) = request(server.port, "PUT", "/bucket", b"");
    assert_eq!(status, 200);
    let url = format!(
        "s3://key:secret@bucket/some/prefix?endpoint=http://127.0.0.1:{}&region=us-east-1",
        server.port
    );
    Some((server, url))
}

fn webdav() -> Option<(Server, String, TempDir)> {
    let wsgidav = python("wsgidav")?;
    let directory = TempDir::new().unwrap();
    let server = Server::start(|port, _| {
        let mut command = Command::new(&wsgidav);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--auth", "anonymous", "--root"]);
        command.arg(directory.path()).args(["--server", "cheroot", "-q"]);
        command
    });
    let url = format!("http://127.0.0.1:{}/", server.port);
    Some((server, url, directory))
}

/// One request by hand.
fn request(port: u16, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
    let body = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    (status, answer[body..].to_vec())
}

fn key(number: u32) -> Key {
    Key::of(&[("number", &number.to_le_bytes())])
}

fn value(number: u32, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u32).wrapping_mul(31).wrapping_add(number) as u8).collect()
}

const PATIENCE: Duration = Duration::from_secs(60);

fn options(url: &str, secret: &SecretKey) -> Options {
    Options {
        location: url.parse().unwrap(),
        sign: Some(secret.clone()),
        trust: Vec::new(),
        read_only: false,
        timeout: Duration::from_secs(30),
        max_value: 16 << 20,
    }
}

fn secret() -> SecretKey {
    SecretKey::generate().unwrap()
}

fn reader(url: &str, trust: PublicKey) -> Remote {
    Remote::new(Options { sign: None, trust: vec![trust], ..options(url, &secret()) })
}

/// What every store does.
fn check_store(url: &str) {
    let secret = secret();
    let writer = Remote::new(options(url, &secret));
    assert_eq!(writer.get(&key(0)), None);
    let lens = [0, 1, 1000, 100_000, 5_000_000];
    for (number, len) in (1..).zip(lens) {
        writer.put(&key(number), &value(number, len));
    }
    let report = writer.finish(PATIENCE);
    assert_eq!(report, Report { misses: 1, stored: 5, ..Report::default() });

    let reads = reader(url, secret.public());
    for (number, len) in (1..).zip(lens) {
        assert_eq!(reads.get(&key(number)), Some(value(number, len)));
    }
    assert_eq!(reads.get(&key(0)), None);
    // It signs nothing, so it writes nothing.
    reads.put(&key(7), b"value");
    assert_eq!(reads.finish(PATIENCE), Report { hits: 5, misses: 1, ..Report::default() });
    let only = Remote::new(Options { read_only: true, ..options(url, &secret) });
    only.put(&key(7), b"value");
    assert_eq!(only.get(&key(7)), None);
    assert_eq!(only.finish(PATIENCE), Report { misses: 1, ..Report::default() });

    // One that trusts others, or nobody.
    let other = self::secret();
    let stranger = Remote::new(options(url, &other));
    assert_eq!(stranger.get(&key(3)), None);
    assert_eq!(stranger.finish(PATIENCE), Report { bad_entries: 1, ..Report::default() });
    let nobody = Remote::new(Options { sign: None, ..options(url, &secret) });
    assert!(!nobody.reads() && nobody.get(&key(3)).is_none());
    assert_eq!(nobody.finish(PATIENCE), Report::default());

    // A value that is larger than what is taken.
    let small = Remote::new(Options { max_value: 99_999, ..options(url, &secret) });
    assert_eq!(small.get(&key(4)), None);
    assert_eq!(small.get(&key(3)), Some(value(3, 1000)));
    small.put(&key(8), &value(8, 100_000));
    let report = small.finish(PATIENCE);
    assert_eq!((report.hits, report.bad_entries, report.failures, report.stored), (1, 1, 0, 0), "{report:?}");

    // Many at once, from several threads.
    let writer = Remote::new(options(url, &secret));
    thread::scope(|scope| {
        for thread in 0..4 {
            let writer = &writer;
            scope.spawn(move || {
                (0..25).for_each(|n| writer.put(&key(100 + thread * 25 + n), &value(n, 10_000)));
                (0..25).for_each(|n| assert_eq!(writer.get(&key(1000 + n)), None));
            });
        }
    });
    assert_eq!(writer.finish(PATIENCE), Report { misses: 100, stored: 100, ..Report::default() });
    let reads = reader(url, secret.public());
    assert!((0..100).all(|n| reads.get(&key(100 + n)) == Some(value(n % 25, 10_000))));
}

#[test]
fn redis_is_a_store() {
    let Some(server) = redis(&[]) else { return };
    check_store(&format!("redis://127.0.0.1:{}", server.port));
    check_store(&format!("valkey://127.0.0.1:{}/3?ttl=600", server.port));
}

#[test]
fn redis_has_a_password() {
    let Some(server) = redis(&["--requirepass", "p@ss word"]) else { return };
    check_store(&format!("redis://:p%40ss%20word@127.0.0.1:{}", server.port));
    let wrong = Remote::new(options(&format!("redis://:wrong@127.0.0.1:{}", server.port), &secret()));
    assert_eq!(wrong.get(&key(1)), None);
    let report = wrong.finish(PATIENCE);
    let problem = report.problem.unwrap();
    assert!(report.failures > 0 && !problem.contains("wrong@"), "{problem}");
}

#[test]
fn s3_is_a_store() {
    let Some((_server, url)) = s3() else { return };
    check_store(&url);
}

#[test]
fn webdav_is_a_store() {
    let Some((_server, url, directory)) = webdav() else { return };
    check_store(&url);
    check_store(&format!("{url}deep/er"));
    assert!(directory.path().join("deep/er/v1").is_dir());
}

/// What someone has done who can write to the server, but has no key.
#[test]
fn entries_that_were_changed_are_misses() {
    let Some((_server, url, directory)) = webdav() else { return };
    let secret = secret();
    let writer = Remote::new(options(&url, &secret));
    writer.put(&key(1), &value(1, 1000));
    writer.put(&key(2), &value(2, 1000));
    writer.finish(PATIENCE);
    let file = |number| directory.path().join("v1").join(key(number).to_string());
    let sound = std::fs::read(file(1)).unwrap();
    let bits = (0..sound.len() * 8).step_by(601);
    let count = bits.clone().count();
    for bit in bits {
        let mut bytes = sound.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(file(1), bytes).unwrap();
        assert_eq!(reader(&url, secret.public()).get(&key(1)), None, "bit {bit}");
    }
    assert!(count > 10);
    // A sound entry, but of another key.
    std::fs::copy(file(2), file(1)).unwrap();
    let reads = reader(&url, secret.public());
    assert_eq!(reads.get(&key(1)), None);
    assert_eq!(reads.get(&key(2)), Some(value(2, 1000)));
    // A server that lies again and again is not asked for ever.
    for _ in 0..100 {
        assert_eq!(reads.get(&key(1)), None);
    }
    let report = reads.finish(PATIENCE);
    assert!(report.is_off && report.bad_entries < 20, "{report:?}");
}

/// Everything that can be asked of a store, of one that cannot answer. Returns what it said.
fn check_useless(url: &str, timeout: Duration) -> Report {
    let remote = Remote::new(Options { timeout, ..options(url, &secret()) });
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..2 {
            let remote = &remote;
            scope.spawn(move || {
                for number in 0..50 {
                    assert_eq!(remote.get(&key(thread * 100 + number)), None);
                    remote.put(&key(thread * 100 + number), &value(1, 100_000));
                }
            });
        }
    });
    let report = remote.finish(Duration::from_secs(2));
    // It is bounded, whatever the server does. The bound is far above what it takes.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert!(
        report.is_off && report.hits == 0 && report.stored == 0 && report.problem.is_some(),
        "{report:?}"
    );
    report
}

#[test]
fn a_server_that_is_down_is_no_failure() {
    for scheme in ["redis", "rediss", "http", "https"] {
        check_useless(&format!("{scheme}://127.0.0.1:{}", free_port()), Duration::from_secs(5));
    }
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    check_useless(
        &format!("s3://key:secret@bucket?endpoint={endpoint}&region=us-east-1"),
        Duration::from_secs(5),
    );
    check_useless("http://host.invalid", Duration::from_secs(5));
}

/// A server that answers each connection with a function, and counts them.
fn serve(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let (answer, counter) = (Arc::new(answer), Arc::clone(&count));
    // It ends with the test.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, mut stream) = (Arc::clone(&answer), stream.unwrap());
            counter.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || answer(&mut stream));
        }
    });
    (port, count)
}

#[test]
fn a_server_that_stalls_is_no_failure() {
    let (port, _) = serve(|stream| {
        // Takes all, and says nothing.
        drop(std::io::copy(stream, &mut std::io::sink()));
    });
    for scheme in ["redis", "http", "https"] {
        check_useless(&format!("{scheme}://127.0.0.1:{port}"), Duration::from_millis(300));
    }
    let endpoint = format!("http://127.0.0.1:{port}");
    check_useless(
        &format!("s3://key:secret@bucket?endpoint={endpoint}&region=us-east-1"),
        Duration::from_millis(300),
    );
}

fn head_of_request(stream: &mut TcpStream) {
    let mut bytes = [0; 16 * 1024];
    // Whatever was asked, the answer is the same.
    drop(stream.read(&mut bytes));
}

#[test]
fn a_server_that_drips_is_no_failure() {
    let (port, _) = serve(|stream| {
        head_of_request(stream);
        let mut going = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").is_ok();
        while going {
            thread::sleep(Duration::from_millis(20));
            going = stream.write_all(b"x").is_ok();
        }
    });
    check_useless(&format!("http://127.0.0.1:{port}"), Duration::from_millis(300));
}

#[test]
fn a_value_without_an_end_is_no_failure() {
    // One length that is as large as it says, and one that is not told.
    for (head, bad_entries) in [("Content-Length: 1099511627776", 1), ("Transfer-Encoding: chunked", 0)] {
        let (port, _) = serve(move |stream| {
            head_of_request(stream);
            let mut going = stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes()).is_ok();
            let part = [b"10000\r\n", &[0; 0x10000][..], b"\r\n"].concat();
            while going {
                going = stream.write_all(&part).is_ok();
            }
        });
        let url = format!("http://127.0.0.1:{port}");
        let remote = Remote::new(Options { max_value: 1 << 20, ..options(&url, &secret()) });
        assert_eq!(remote.get(&key(1)), None);
        let report = remote.finish(PATIENCE);
        assert_eq!((report.bad_entries, report.failures), (bad_entries, 1 - bad_entries), "{report:?}");
    }
}

#[test]
fn answers_that_are_errors_or_rubbish_are_no_failure() {
    for answer in [
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "\0\0\0\0",
        "",
    ] {
        let (port, count) = serve(move |stream| {
            head_of_request(stream);
            drop(stream.write_all(answer.as_bytes()));
        });
        check_useless(&format!("http://127.0.0.1:{port}"), Duration::from_secs(1));
        // What follows the first failures is not sent at all.
        let count = count.load(Ordering::SeqCst);
        assert!(count < 250, "{answer}: {count}");
    }
    let (port, _) = serve(|stream| {
        head_of_request(stream);
        drop(stream.write_all(b"$99999999999999999999\r\n+OK\r\n-ERR no\r\n"));
    });
    check_useless(&format!("redis://127.0.0.1:{port}"), Duration::from_secs(1));
}

#[test]
fn a_server_may_die_meanwhile() {
    let Some(mut server) = redis(&[]) else { return };
    let url = format!("redis://127.0.0.1:{}", server.port);
    let remote = Remote::new(Options { timeout: Duration::from_secs(1), ..options(&url, &secret()) });
    for number in 0..20 {
        remote.put(&key(number), &value(number, 100_000));
    }
    assert_eq!(remote.get(&key(1000)), None);
    server.stop();
    let start = Instant::now();
    for number in 20..200 {
        remote.put(&key(number), &value(number, 100_000));
        assert_eq!(remote.get(&key(1000 + number)), None);
    }
    let report = remote.finish(Duration::from_secs(5));
    assert!(start.elapsed() < Duration::from_secs(30));
    assert!(report.is_off && report.problem.is_some(), "{report:?}");
}
