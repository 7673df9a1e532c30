//! Where results go: files that are whole or not there at all, and standard output that may be closed.

use crate::cache::Artifact;
use crate::report::{Failure, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process;

/// Standard output for text that somebody reads.
pub struct Stdout(io::StdoutLock<'static>);

impl Stdout {
    pub fn new() -> Stdout {
        Stdout(io::stdout().lock())
    }

    /// Prints text, and tells whether there still is a reader. One that has seen enough is no error.
    pub fn print(&mut self, text: &str) -> Result<bool> {
        match self.0.write_all(text.as_bytes()).and_then(|()| self.0.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(stdout_failure(&error)),
        }
    }
}

/// Prints text to standard output.
pub fn print(text: &str) -> Result<()> {
    Stdout::new().print(text).map(|_| ())
}

fn stdout_failure(error: &io::Error) -> Failure {
    Failure::io("cannot write to", Path::new("standard output"), error)
}

/// What a file of results is, for its permissions and for terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Executable,
    Binary,
    Text,
}

/// Whether the path stands for standard output.
pub fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == Path::new(name))
}

/// Writes a result. A file is replaced as a whole: whoever opens it sees the old or the new content.
pub fn write(path: &Path, bytes: &[u8], content: Content) -> Result<()> {
    if is_stdout(path) {
        return write_stdout(bytes, content);
    }
    write_with(path, content, |file| file.write_all(bytes))
}

/// The same for a result that may be in the cache.
pub fn write_artifact(path: &Path, artifact: &Artifact, content: Content) -> Result<()> {
    if is_stdout(path) {
        return match artifact {
            Artifact::Memory(bytes) => write_stdout(bytes, content),
            Artifact::Stored(found) => {
                let bytes = found.read().map_err(|error| Failure::io("cannot read", path, &error))?;
                write_stdout(&bytes, content)
            }
        };
    }
    write_with(path, content, |file| artifact.write_to(file))
}

fn write_with(path: &Path, content: Content, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let failure = |error: io::Error| Failure::io("cannot write", path, &error);
    // Through a symbolic link to its file. What is not there yet has no other name.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(&target) {
        Ok(metadata) if metadata.is_dir() => {
            Err(Failure::new(format!("cannot write `{}`: it is a directory", path.display()))
                .with_help("name a file with `-o`"))
        }
        // Devices and pipes cannot be replaced.
        Ok(metadata) if !metadata.is_file() => {
            OpenOptions::new().write(true).open(&target).and_then(|mut file| fill(&mut file)).map_err(failure)
        }
        _ => replace(&target, content, fill).map_err(failure),
    }
}

fn write_stdout(bytes: &[u8], content: Content) -> Result<()> {
    let mut stdout = io::stdout().lock();
    if content != Content::Text && stdout.is_terminal() {
        return Err(Failure::new("standard output is a terminal, which binary data would garble")
            .with_help("name a file with `-o`, or redirect the output"));
    }
    // Unlike text for a reader, this is the product: all of it arrives, or the build failed.
    let result = stdout.write_all(bytes).and_then(|()| stdout.flush());
    result.map_err(|error| stdout_failure(&error))
}

/// A file that is removed unless it is renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the renaming there is nothing to remove.
        drop(fs::remove_file(&self.0));
    }
}

/// Writes to a temporary file in the same directory, and renames it.
///
/// There is no `fsync`: as with other compilers, a result that a crash of the machine takes away is built again.
fn replace(path: &Path, content: Content, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let (mut file, temporary) = create_temporary(path, content)?;
    fill(&mut file)?;
    // An executable that is open for writing cannot be started.
    drop(file);
    fs::rename(&temporary.0, path)
}

fn create_temporary(path: &Path, content: Content) -> io::Result<(File, Temporary)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // Less the user's umask.
        options.mode(if content == Content::Executable { 0o777 } else { 0o666 });
    }
    let mut attempt = 0u32;
    loop {
        // Not made from the file's own name, which may be as long as names can be.
        let temporary = path.with_file_name(format!(".aot-{}-{attempt}.tmp", process::id()));
        match options.open(&temporary) {
            Ok(file) => return Ok((file, Temporary(temporary))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}
