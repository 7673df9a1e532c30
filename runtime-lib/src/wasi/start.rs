//! The context of an executable: from its run options, arguments and environment.

use super::context::{Stdio, WasiCtx, WasiCtxBuilder};
use crate::options::{AOT_RUN, RunOptions};
use crate::sys;
use alloc::vec::Vec;
use rustix::io::Errno as HostErrno;

/// Why an executable can't start.
#[derive(Debug)]
pub struct StartError {
    /// The directory that can't be opened, or nothing if it is a standard stream.
    directory: Option<Vec<u8>>,
    error: HostErrno,
}

impl StartError {
    /// The message for the user, without `error: ` in front or a newline at the end.
    pub fn message(&self) -> Vec<u8> {
        let mut message = Vec::new();
        match &self.directory {
            Some(directory) => {
                message.extend(b"cannot open directory `");
                message.extend(directory);
                message.extend(b"`");
            }
            None => message.extend(b"cannot use the standard streams"),
        }
        message.extend(b": ");
        match describe(self.error) {
            Some(text) => message.extend(text.as_bytes()),
            None => {
                message.extend(b"error ");
                push_decimal(&mut message, self.error.raw_os_error().unsigned_abs());
            }
        }
        message
    }
}

/// The usual text of the errors that opening a directory gives.
fn describe(error: HostErrno) -> Option<&'static str> {
    Some(match error {
        HostErrno::NOENT => "No such file or directory",
        HostErrno::ACCESS => "Permission denied",
        HostErrno::PERM => "Operation not permitted",
        HostErrno::NOTDIR => "Not a directory",
        HostErrno::LOOP => "Too many levels of symbolic links",
        HostErrno::NAMETOOLONG => "File name too long",
        HostErrno::INVAL => "Invalid argument",
        HostErrno::IO => "Input/output error",
        HostErrno::MFILE => "Too many open files",
        HostErrno::NFILE => "Too many open files in system",
        HostErrno::NOMEM => "Cannot allocate memory",
        HostErrno::BADF => "Bad file descriptor",
        _ => return None,
    })
}

fn push_decimal(out: &mut Vec<u8>, mut number: u32) {
    let start = out.len();
    loop {
        out.insert(start, b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            return;
        }
    }
}

/// The context of an executable.
///
/// `args` are the process's, `environ` its environment as `NAME=VALUE` strings. To be called before any other file
/// is opened.
///
/// # Errors
///
/// A directory of the options can't be opened.
pub fn context_from_options(
    options: &RunOptions,
    args: &[&[u8]],
    environ: &[&[u8]],
) -> Result<WasiCtx, StartError> {
    sys::fill_standard_streams();
    let mut builder = WasiCtxBuilder::new(Stdio::Inherit, Stdio::Inherit, Stdio::Inherit)
        .map_err(|error| StartError { directory: None, error })?;
    for arg in args {
        builder.arg(arg);
    }
    for variable in environment(options, environ) {
        builder.env(variable);
    }
    for dir in &options.dirs {
        builder
            .preopen(&dir.host, &dir.guest)
            .map_err(|error| StartError { directory: Some(dir.host.clone()), error })?;
    }
    Ok(builder.build())
}

fn name_of(variable: &[u8]) -> &[u8] {
    variable.split(|&byte| byte == b'=').next().unwrap_or(variable)
}

/// The guest's environment: that of the process if it is inherited, then what the options set, the last one of a
/// name winning. The variable with run options is never part of it.
fn environment<'a>(options: &'a RunOptions, environ: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let mut variables: Vec<&[u8]> = Vec::new();
    let mut set = |variable: &'a [u8]| {
        if name_of(variable) == AOT_RUN {
            return;
        }
        match variables.iter_mut().find(|other| name_of(other) == name_of(variable)) {
            Some(other) => *other = variable,
            None => variables.push(variable),
        }
    };
    if options.inherit_env {
        for variable in environ {
            set(variable);
        }
    }
    for variable in &options.env {
        if variable.contains(&b'=') {
            set(variable);
        } else if let Some(inherited) = environ.iter().find(|other| name_of(other) == variable.as_slice()) {
            // A variable that the process doesn't have is left out.
            set(inherited);
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::parse;

    fn check(words: &[&str], expected: &[&str]) {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let options = parse(words).unwrap();
        let environ: [&[u8]; 4] = [b"A=1", b"B=2", b"AOT_RUN=--env C=3", b"EMPTY="];
        let variables = environment(&options, &environ);
        let expected: Vec<&[u8]> = expected.iter().map(|variable| variable.as_bytes()).collect();
        assert_eq!(variables, expected);
    }

    #[test]
    fn environment_is_what_the_options_say() {
        check(&[], &[]);
        check(&["-S", "inherit-env"], &["A=1", "B=2", "EMPTY="]);
        check(&["--env", "A=x", "--env", "B", "--env", "MISSING"], &["A=x", "B=2"]);
        check(&["-S", "inherit-env", "--env", "A=x=y"], &["A=x=y", "B=2", "EMPTY="]);
        check(&["--env", "A=x", "--env", "A=y"], &["A=y"]);
        check(&["--env", "AOT_RUN", "--env", "AOT_RUN=z"], &[]);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let mut builder = WasiCtxBuilder::new(Stdio::Null, Stdio::Null, Stdio::Null).unwrap();
        let error = builder.preopen(b"/no/such/dir", b"/").unwrap_err();
        let message = StartError { directory: Some(b"/no/such/dir".to_vec()), error }.message();
        assert_eq!(message, b"cannot open directory `/no/such/dir`: No such file or directory");
        let unknown = StartError { directory: None, error: HostErrno::from_raw_os_error(120) }.message();
        assert_eq!(unknown, b"cannot use the standard streams: error 120");
    }
}
