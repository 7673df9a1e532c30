//! How far a compilation is, on a terminal: a line that goes away. In a pipe or a file there is nothing.

use aot_compiler::{Config, Progress};
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What is over sooner needs no line.
const FIRST: Duration = Duration::from_millis(500);
const EVERY: Duration = Duration::from_millis(100);

/// Takes the line to its beginning, and clears it (ECMA-48: EL).
const CLEAR: &str = "\r\x1b[K";

/// A line about a compilation, until it is dropped.
pub struct Shown(Option<(Sender<()>, JoinHandle<()>)>);

impl Shown {
    /// Shows how far the next compilation with these options is.
    pub fn begin(config: &mut Config) -> Shown {
        if !io::stderr().is_terminal() {
            return Shown(None);
        }
        let progress = Arc::new(Progress::default());
        config.progress = Some(Arc::clone(&progress));
        let (sender, receiver) = mpsc::channel();
        let start = Instant::now();
        let thread = thread::spawn(move || {
            let mut pause = FIRST;
            let mut is_there = false;
            while receiver.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                // Nobody looks: nothing is lost.
                drop(write!(io::stderr(), "{CLEAR}{}", line(progress.get(), start.elapsed())));
                is_there = true;
                pause = EVERY;
            }
            if is_there {
                drop(write!(io::stderr(), "{CLEAR}"));
            }
        });
        Shown(Some((sender, thread)))
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.0.take() {
            drop(sender);
            // What follows is written on a clear line.
            drop(thread.join());
        }
    }
}

fn line((functions, compiled): (usize, usize), time: Duration) -> String {
    match functions {
        // It looks at what there is to do.
        0 => format!("compiling, {} s", time.as_secs()),
        _ => format!("compiling: {compiled} of {functions} functions, {} s", time.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::line;
    use std::time::Duration;

    #[test]
    fn the_line_says_how_far_it_is() {
        assert_eq!(line((0, 0), Duration::from_millis(600)), "compiling, 0 s");
        assert_eq!(line((5000, 1234), Duration::from_secs(3)), "compiling: 1234 of 5000 functions, 3 s");
    }
}
