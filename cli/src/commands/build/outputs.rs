//! What a build makes, and where that goes.

use crate::output::{self, Content};
use crate::report::{self, Failure, Result, nearest};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// What can be made of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Executable,
    Object,
    /// What C programs include, to call the functions of a module.
    Header,
    StaticLibrary,
    SharedLibrary,
    Image,
    Clif,
    Assembly,
    /// What several modules are when they are linked.
    Module,
}

impl Kind {
    const NAMES: [(&str, Kind); 9] = [
        ("exe", Kind::Executable),
        ("obj", Kind::Object),
        ("header", Kind::Header),
        ("lib", Kind::StaticLibrary),
        ("shared", Kind::SharedLibrary),
        ("cwasm", Kind::Image),
        ("clif", Kind::Clif),
        ("asm", Kind::Assembly),
        ("wasm", Kind::Module),
    ];

    fn extension(self) -> &'static str {
        match self {
            Kind::Executable => "",
            Kind::Object => "o",
            Kind::Header => "h",
            Kind::StaticLibrary => "a",
            Kind::SharedLibrary => "so",
            Kind::Image => "cwasm",
            Kind::Clif => "clif",
            Kind::Assembly => "s",
            Kind::Module => "wasm",
        }
    }

    /// Whether it is for C programs that call functions of the module.
    pub fn is_of_library(self) -> bool {
        matches!(self, Kind::Header | Kind::StaticLibrary | Kind::SharedLibrary)
    }

    pub fn content(self) -> Content {
        match self {
            Kind::Executable | Kind::SharedLibrary => Content::Executable,
            Kind::Object | Kind::StaticLibrary | Kind::Image | Kind::Module => Content::Binary,
            Kind::Header | Kind::Clif | Kind::Assembly => Content::Text,
        }
    }
}

/// One `--emit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emit {
    kind: Kind,
    path: Option<PathBuf>,
}

impl Emit {
    pub fn parse(text: OsString) -> Result<Emit, String> {
        let (name, path) = match report::split_once(&text, '=') {
            Some((name, path)) => (name, Some(PathBuf::from(path))),
            None => (text.clone(), None),
        };
        let name = name.to_string_lossy();
        let Some((_, kind)) = Kind::NAMES.into_iter().find(|(known, _)| *known == name) else {
            let names = Kind::NAMES.map(|(name, _)| name);
            return Err(match nearest(&name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it is one of {}", names.join(", ")),
            });
        };
        if path.as_deref().is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(String::from("there is no path after `=`"));
        }
        Ok(Emit { kind, path })
    }
}

/// What to make and where to put it.
pub fn outputs(inputs: &[&Path], output: Option<&Path>, emit: &[Emit]) -> Result<Vec<(Kind, PathBuf)>> {
    let default = [Emit { kind: Kind::Executable, path: None }];
    let emit = if emit.is_empty() { &default } else { emit };
    let mut unnamed = output;
    let mut outputs: Vec<(Kind, PathBuf)> = Vec::new();
    for Emit { kind, path } in emit {
        let path = match (path, unnamed.take()) {
            (Some(path), rest) => {
                unnamed = rest;
                path.clone()
            }
            (None, Some(path)) => path.to_owned(),
            (None, None) => default_output(inputs[0], output, *kind)?,
        };
        if let Some((_, other)) = outputs.iter().find(|(_, other)| *other == path) {
            return Err(Failure::usage(format!("two results would go to `{}`", other.display()))
                .with_help("give each its own place: `--emit KIND=PATH`"));
        }
        if let Some(input) = inputs.iter().find(|input| is_same_file(&path, input)) {
            return Err(Failure::usage(format!(
                "the result would overwrite the input `{}`",
                input.display()
            ))
            .with_help("name another file with `-o`"));
        }
        outputs.push((*kind, path));
    }
    if let Some(unused) = unnamed {
        return Err(Failure::usage(format!(
            "nothing goes to `-o {}`: every `--emit` has its own path",
            unused.display()
        )));
    }
    Ok(outputs)
}

/// The place of a result that has no path of its own: beside `-o`, or in the current directory.
fn default_output(input: &Path, output: Option<&Path>, kind: Kind) -> Result<PathBuf> {
    let stem = match output {
        Some(output) if !output::is_stdout(output) => output.to_owned(),
        _ if input == Path::new("-") => {
            return Err(Failure::usage("a module from standard input has no name to call the result by")
                .with_help("name the result with `-o`"));
        }
        _ => PathBuf::from(input.file_name().unwrap_or(input.as_os_str())),
    };
    let file = stem.with_extension(kind.extension());
    Ok(match kind {
        // Linkers look for `-lNAME` in files of this form.
        Kind::StaticLibrary | Kind::SharedLibrary => {
            let mut name = OsString::from("lib");
            name.push(file.file_name().unwrap_or_default());
            file.with_file_name(name)
        }
        _ => file,
    })
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b && a.is_file(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, output: Option<&str>, emit: &[&str], expected: &[&str]) {
        let emit: Vec<Emit> = emit.iter().map(|text| Emit::parse(text.into()).unwrap()).collect();
        let paths: Vec<String> = match outputs(&[Path::new(input)], output.map(Path::new), &emit) {
            Ok(outputs) => outputs.into_iter().map(|(_, path)| path.display().to_string()).collect(),
            Err(_) => vec![String::from("error")],
        };
        assert_eq!(paths, expected);
    }

    #[test]
    fn results_have_places() {
        check("a/app.wasm", None, &[], &["app"]);
        check("app.wasm", None, &["obj", "asm", "exe=x/y"], &["app.o", "app.s", "x/y"]);
        check(
            "app.wasm",
            None,
            &["obj", "header", "lib", "shared"],
            &["app.o", "app.h", "libapp.a", "libapp.so"],
        );
        check("app.wasm", Some("b/out"), &["exe", "obj", "clif=-"], &["b/out", "b/out.o", "-"]);
        check("app.wasm", Some("-"), &["asm", "exe"], &["-", "app"]);
        check("app.wasm", Some("-"), &["asm=-", "clif"], &["error"]);
        check("app.wasm", Some("x"), &["asm=y"], &["error"]);
        check("app.wasm", None, &["asm", "asm"], &["error"]);
        check("-", None, &[], &["error"]);
        check("-", Some("x"), &[], &["x"]);
    }

    #[test]
    fn misspelt_kinds_are_explained() {
        assert_eq!(Emit::parse("exec".into()).unwrap_err(), "did you mean `exe`?");
        assert_eq!(Emit::parse("cwsm".into()).unwrap_err(), "did you mean `cwasm`?");
        assert!(Emit::parse("x".into()).unwrap_err().contains("one of exe, obj"));
        assert!(Emit::parse("obj=".into()).is_err());
    }
}
