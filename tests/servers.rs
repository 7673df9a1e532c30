//! Servers in processes of their own, for the tests of the remote cache. What is missing is skipped by name; on CI that is
//! a failure.

use std::env;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server in a process of its own, with a directory that goes away.
pub struct Server {
    process: Child,
    pub port: u16,
    _directory: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    /// Starts a command that listens at a port, and waits until it does.
    pub fn start(make: impl Fn(u16, &Path) -> Command) -> Server {
        // Another process may take the port before the server does.
        for _ in 0..5 {
            let directory = TempDir::new().unwrap();
            let port = free_port();
            let mut command = make(port, directory.path());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut server = Server { process: command.spawn().unwrap(), port, _directory: directory };
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(60) && server.process.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return server;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("the server does not start");
    }

    pub fn stop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn skipped(what: &str) {
    println!("SKIPPED: {what} is missing: `cargo xtask setup` installs it");
    assert!(
        env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{what} is missing, and on CI nothing is skipped"
    );
}

pub fn redis(options: &[&str]) -> Option<Server> {
    if Command::new("redis-server").arg("--version").output().is_err() {
        skipped("redis-server");
        return None;
    }
    Some(Server::start(|port, directory| {
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(directory);
        command.args(options);
        command
    }))
}
