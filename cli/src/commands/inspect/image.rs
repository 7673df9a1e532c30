//! What `aot inspect` tells about images: what they were built for, and why this machine would refuse them.

use super::artifact::{self, ArtifactReport};
use super::{Out, SizeReport};
use aot_abi::image::{Foreign, ImageError, ImageFile, Machine, Part, flags, section};
use aot_compiler::{Cpu, Target};
use serde::Serialize;
use std::path::Path;

/// What is in an image, as far as it can be read.
#[derive(Serialize)]
pub struct ImageReport {
    /// Why it would be refused on this machine; nothing if it would not.
    refused: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<NoteReport>,
    #[serde(flatten)]
    artifact: Option<ArtifactReport>,
}

/// What the image says of itself.
#[derive(Serialize)]
struct NoteReport {
    triple: String,
    abi_hash: String,
    content_hash: String,
    compiler: String,
    cpu_features: Vec<String>,
    wasm_features: Vec<String>,
    built_with: Vec<String>,
    sections: Vec<SectionReport>,
}

#[derive(Serialize)]
struct SectionReport {
    offset: u64,
    #[serde(flatten)]
    size: SizeReport,
}

/// Reads an image.
pub fn report(path: &Path, bytes: &[u8]) -> ImageReport {
    match ImageFile::parse(bytes) {
        Ok(image) => ImageReport {
            refused: refusals(&image),
            note: Some(note(&image)),
            artifact: artifact::report(path, bytes).ok(),
        },
        Err(error) => refused(&error),
    }
}

/// Why an ELF file that looks like nothing of ours is a damaged image, if it may be one.
pub fn damage(bytes: &[u8]) -> Option<ImageReport> {
    match ImageFile::parse(bytes) {
        Ok(_) | Err(ImageError::Foreign(Foreign::Elf)) => None,
        Err(error) => Some(refused(&error)),
    }
}

fn refused(error: &ImageError) -> ImageReport {
    ImageReport { refused: vec![reason(error)], note: None, artifact: None }
}

fn reason(error: &ImageError) -> String {
    format!("{error}: {}", error.help())
}

/// Every reason why this machine would not load the image.
fn refusals(image: &ImageFile<'_>) -> Vec<String> {
    let cpu = Target::host().map(|host| host.with_cpu(Cpu::Native));
    let features = cpu.and_then(|cpu| aot_compiler::used_cpu_features(&cpu)).unwrap_or_default();
    let mut refusals = image.refusals(Machine::HOST, |name| features.iter().any(|feature| feature == name));
    let hash = image.verify(|parts| {
        let mut hasher = blake3::Hasher::new();
        parts.iter().for_each(|part| {
            hasher.update(part);
        });
        *hasher.finalize().as_bytes()
    });
    refusals.extend(hash.err());
    // The description of another ABI may be of another kind.
    if !refusals.iter().any(|refusal| matches!(refusal, ImageError::Abi { .. })) {
        refusals.extend(image.describe().err());
    }
    refusals.iter().map(reason).collect()
}

fn note(image: &ImageFile<'_>) -> NoteReport {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let sections = [
        (section::DESCRIPTION, image.description),
        (section::DATA, image.data),
        (section::EH_FRAME, image.eh_frame),
        (section::TEXT, image.text),
        (section::MEMORY, image.memory),
    ];
    let section = |(name, Part { offset, len }): (&str, Part)| SectionReport {
        offset,
        size: SizeReport { name: name.to_owned(), size: len },
    };
    let built_with = flags::ALL.iter().filter(|(flag, _)| image.note.flags & flag != 0);
    NoteReport {
        triple: image.note.triple.to_owned(),
        abi_hash: format!("{:032x}", image.note.abi_hash),
        content_hash: image.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        compiler: image.note.compiler.to_owned(),
        cpu_features: owned(&image.note.cpu_features),
        wasm_features: owned(&image.note.wasm_features),
        built_with: built_with.map(|(_, name)| (*name).to_owned()).collect(),
        sections: sections.into_iter().filter(|(_, part)| part.len > 0).map(section).collect(),
    }
}

impl ImageReport {
    pub fn print(&self, out: &mut Out) {
        if let Some(note) = &self.note {
            let list = |names: &[String], none: &str| match names {
                [] => none.to_owned(),
                names => names.join(" "),
            };
            out.value("built for", &note.triple);
            out.value("CPU features", &list(&note.cpu_features, "none beyond the baseline"));
            out.value("wasm features", &list(&note.wasm_features, "none"));
            out.value("built with", &list(&note.built_with, "none"));
            out.value("compiler", &note.compiler);
            out.value("ABI", &note.abi_hash);
            out.value("content", &note.content_hash);
        }
        out.value("would be loaded on this machine", if self.refused.is_empty() { "yes" } else { "no" });
        out.list("refused because", &self.refused);
        if let Some(artifact) = &self.artifact {
            artifact.print(out);
        }
        if let Some(note) = &self.note {
            let width = note.sections.iter().map(|section| section.size.name.len()).max().unwrap_or(0);
            let line = |section: &SectionReport| {
                let SizeReport { name, size } = &section.size;
                format!("{name:width$}  {size:>10} bytes at {:#x}", section.offset)
            };
            out.list("sections", note.sections.iter().map(line));
        }
    }
}
