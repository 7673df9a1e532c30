//! The one error type of the compiler: what happened, where in the wasm file, and what to do about it.

use std::fmt;

/// What kind of thing went wrong. Callers match on this, never on the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text form could not be parsed.
    Syntax,
    /// The bytes are not a valid module.
    Invalid,
    /// The module needs a proposal or construct that is not supported or not enabled.
    Unsupported,
    /// The module passes a limit of this implementation.
    Limit,
    /// An import is bound to nothing.
    UnknownImport,
    /// The target or an option does not fit.
    Config,
    /// The linker failed.
    Link,
    /// A bug of ours.
    Internal,
}

/// Why a module could not be compiled.
#[derive(Debug)]
pub struct Error(Box<Parts>);

#[derive(Debug)]
struct Parts {
    kind: ErrorKind,
    message: String,
    file: Option<String>,
    offset: Option<u64>,
    function: Option<(u32, Option<String>)>,
    help: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Result of the compiler's stages.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Parts {
            kind,
            message: message.into(),
            file: None,
            offset: None,
            function: None,
            help: None,
            source: None,
        }))
    }

    /// A broken promise inside the compiler.
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal, message)
            .with_help("this is a bug in aot: please report it, with the module that shows it")
    }

    /// Adds the file, where there are several.
    pub fn in_file(mut self, file: &str) -> Error {
        self.0.file.get_or_insert_with(|| file.to_owned());
        self
    }

    /// Adds the offset in the wasm file, in bytes.
    pub fn at(mut self, offset: u64) -> Error {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// Adds the function by index, and by name where the module has one.
    pub fn in_function(mut self, index: u32, name: Option<&str>) -> Error {
        self.0.function.get_or_insert((index, name.map(str::to_owned)));
        self
    }

    /// Adds what the user can do.
    pub fn with_help(mut self, help: impl Into<String>) -> Error {
        self.0.help.get_or_insert(help.into());
        self
    }

    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.0.source = Some(Box::new(source));
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, in one line without location.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The file that it is about, where there are several.
    pub fn file(&self) -> Option<&str> {
        self.0.file.as_deref()
    }

    /// Offset in the wasm file, in bytes.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// What the user can do.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// Where it happened: function and offset, as far as known, for the line after the message.
    pub fn location(&self) -> Option<String> {
        let function = self.0.function.as_ref().map(|(index, name)| match name {
            Some(name) => format!("func {index} `{name}`"),
            None => format!("func {index}"),
        });
        let offset = self.0.offset.map(|offset| format!("offset {offset:#x}"));
        match (function, offset) {
            (Some(function), Some(offset)) => Some(format!("{function}, {offset}")),
            (function, offset) => function.or(offset),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match self.location() {
            Some(location) => write!(f, " ({location})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<wasmparser::BinaryReaderError> for Error {
    fn from(error: wasmparser::BinaryReaderError) -> Error {
        let message = error.message().to_owned();
        let kind = match () {
            // wasmparser tells these apart by text only.
            () if message.contains("is not enabled") || message.contains("support is disabled") => {
                ErrorKind::Unsupported
            }
            () if message.contains("implementation limit") || message.contains("exceeds limit") => {
                ErrorKind::Limit
            }
            () => ErrorKind::Invalid,
        };
        Error::new(kind, message).at(error.offset())
    }
}
