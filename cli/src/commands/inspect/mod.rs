//! `aot inspect`: what a file is, what it asks for and offers, and whether it can be built.

mod artifact;
mod image;
mod module;

use crate::file_kind::FileKind;
use crate::report::{Failure, Result, printable};
use crate::{input, output};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  aot inspect app.wasm           imports, exports, sizes; the features that it needs; why it would be refused
  aot inspect app --json         the same of an executable, for programs
  aot inspect app.cwasm          what an image was built for, and why it would be refused here";

/// Tell what a file is and what is in it
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Module, executable, object, image or any other file; `-` is standard input
    file: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// All that is known about a file.
#[derive(Serialize)]
struct Report {
    file: String,
    kind: &'static str,
    size: u64,
    #[serde(flatten)]
    details: Details,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Details {
    Module(Box<module::ModuleReport>),
    Artifact(Box<artifact::ArtifactReport>),
    Image(Box<image::ImageReport>),
    /// What can be done with a file that is not ours.
    Other {
        refused: Vec<String>,
    },
}

/// An import, in a module or in an artifact.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct ImportReport {
    module: String,
    name: String,
    #[serde(rename = "type")]
    ty: String,
}

/// An export, in a module or in an artifact.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct ExportReport {
    name: String,
    kind: &'static str,
    index: u32,
    #[serde(rename = "type")]
    ty: String,
}

/// Something with a size in bytes.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct SizeReport {
    name: String,
    size: u64,
}

pub fn run(args: &Args) -> Result<()> {
    let bytes = input::read(&args.file)?;
    let kind = FileKind::of(&bytes);
    let details = match kind {
        FileKind::Module => Details::Module(Box::new(module::report(&bytes))),
        FileKind::Text => match input::module(&args.file, bytes.clone()) {
            Ok(wasm) => Details::Module(Box::new(module::report(&wasm))),
            Err(failure) => Details::Other { refused: vec![failure.message().to_owned()] },
        },
        FileKind::Executable | FileKind::Object => {
            Details::Artifact(Box::new(artifact::report(&args.file, &bytes)?))
        }
        FileKind::Image => Details::Image(Box::new(image::report(&args.file, &bytes))),
        // Perhaps an image whose end is missing.
        FileKind::Elf => match image::damage(&bytes) {
            Some(damage) => Details::Image(Box::new(damage)),
            None => Details::Other { refused: refusal(&args.file, bytes.clone()) },
        },
        _ => Details::Other { refused: refusal(&args.file, bytes.clone()) },
    };
    let report =
        Report { file: args.file.display().to_string(), kind: kind.id(), size: bytes.len() as u64, details };
    let text = if args.json { json(&report)? } else { text(&report, kind) };
    output::print(&text)
}

/// Why a file that is not a module cannot be built.
fn refusal(file: &std::path::Path, bytes: Vec<u8>) -> Vec<String> {
    match input::module(file, bytes) {
        Ok(_) => Vec::new(),
        Err(failure) => {
            let help = failure.help().map(|help| format!(": {help}")).unwrap_or_default();
            vec![format!("{}{help}", failure.message())]
        }
    }
}

fn json(report: &Report) -> Result<String> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|error| Failure::new(format!("cannot write the report as JSON: {error}")))?;
    Ok(text + "\n")
}

fn text(report: &Report, kind: FileKind) -> String {
    let mut out = Out::default();
    out.line(&format!("{}: {kind}, {} bytes", report.file, report.size));
    match &report.details {
        Details::Module(module) => module.print(&mut out),
        Details::Artifact(artifact) => artifact.print(&mut out),
        Details::Image(image) => image.print(&mut out),
        Details::Other { refused } => out.list("cannot be built", refused),
    }
    out.text
}

/// Text in sections with titles.
#[derive(Default)]
struct Out {
    text: String,
}

impl Out {
    fn line(&mut self, line: &str) {
        // Names may contain anything; here each has one line.
        writeln!(self.text, "{}", printable(line).replace('\n', "\\n")).expect("strings take all text");
    }

    /// A title with one value.
    fn value(&mut self, title: &str, value: &str) {
        self.line(&format!("{title}: {value}"));
    }

    /// A title with indented lines; nothing without lines.
    fn list<S: AsRef<str>>(&mut self, title: &str, lines: impl IntoIterator<Item = S>) {
        let mut lines = lines.into_iter().peekable();
        if lines.peek().is_some() {
            self.text.push('\n');
            self.line(&format!("{title}:"));
        }
        for line in lines {
            self.line(&format!("  {}", line.as_ref()));
        }
    }

    fn imports(&mut self, imports: &[ImportReport]) {
        self.list(
            "imports",
            imports.iter().map(|import| format!("{}.{} {}", import.module, import.name, import.ty)),
        );
    }

    fn exports(&mut self, exports: &[ExportReport]) {
        self.list("exports", exports.iter().map(|export| format!("{} {}", export.name, export.ty)));
    }

    fn sizes(&mut self, title: &str, sizes: &[SizeReport]) {
        let width = sizes.iter().map(|size| size.name.chars().count()).max().unwrap_or(0);
        self.list(title, sizes.iter().map(|size| format!("{:width$}  {:>10} bytes", size.name, size.size)));
    }
}

/// Minimum and maximum as the text format writes them.
fn limits(min: u64, max: Option<u64>) -> String {
    max.map_or_else(|| min.to_string(), |max| format!("{min} {max}"))
}
