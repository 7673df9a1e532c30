//! Libraries for C programs: an object and the runtime library, as an archive or as a shared object.

use super::exe::{ENTRY, Machine, check_archive, check_object, damaged, run_linker};
use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;
use ar_archive_writer::{ArchiveKind, DEFAULT_OBJECT_READER, NewArchiveMember, write_archive_to_stream};
use object::read::archive::ArchiveFile;
use object::{Object as _, ObjectSymbol as _};
use std::io::Cursor;

/// An archive with the object and all of the runtime library: what the system's linker needs, in one file.
///
/// # Errors
/// If one of them is damaged.
pub fn static_library(object: &[u8], runtime: &[u8]) -> Result<Vec<u8>> {
    let member = |name: String, bytes: &[u8]| NewArchiveMember {
        buf: Box::new(bytes.to_vec()),
        object_reader: &DEFAULT_OBJECT_READER,
        member_name: name,
        mtime: 0,
        uid: 0,
        gid: 0,
        perms: 0o644,
    };
    let mut members = vec![member(String::from("module.o"), object)];
    members.extend(self::members(runtime)?.into_iter().map(|(name, bytes)| member(name, bytes)));
    let mut out = Cursor::new(Vec::new());
    write_archive_to_stream(&mut out, &members, ArchiveKind::Gnu, false, None)
        .map_err(|error| Error::new(ErrorKind::Link, format!("the archive cannot be written: {error}")))?;
    Ok(out.into_inner())
}

/// Names and bytes of the objects of an archive.
fn members(archive: &[u8]) -> Result<Vec<(String, &[u8])>> {
    let unreadable = |_| Error::new(ErrorKind::Link, "the runtime library is damaged: it is no archive");
    let mut members = Vec::new();
    for file in ArchiveFile::parse(archive).map_err(unreadable)?.members() {
        let file = file.map_err(unreadable)?;
        let name = String::from_utf8_lossy(file.name()).into_owned();
        members.push((name, file.data(archive).map_err(unreadable)?));
    }
    Ok(members)
}

/// Whether an object defines a symbol.
fn defines(object: &[u8], name: &str) -> bool {
    let Ok(file) = object::File::parse(object) else { return false };
    file.symbols().any(|symbol| symbol.is_definition() && symbol.name() == Ok(name))
}

/// A shared object with the object and what it needs of the runtime library. It needs no other one, and exports the
/// functions of the header only.
///
/// # Errors
/// If one of them is damaged, or the linker does not know the target.
pub fn shared_library(object: Vec<u8>, runtime: &[u8], target: &Target, prefix: &str) -> Result<Vec<u8>> {
    let machine = Machine::of(target)?;
    let Some(emulation) = machine.emulation else {
        let message = format!("aot cannot link shared libraries for {target}");
        return Err(Error::new(ErrorKind::Config, message)
            .with_help("make a static one with `--emit lib`, and link it with `cc -shared`"));
    };
    check_object(&object, machine).map_err(|problem| damaged("the object", problem))?;
    check_archive(runtime, machine)?;
    let exports = format!(
        "{{ global: {prefix}_*; aot_trap_*; aot_options_*; aot_instance_*; aot_memory_read; aot_memory_write; aot_handle_fault; local: *; }};\n"
    );
    let mut files = vec![(String::from("exports"), exports.into_bytes()), (String::from("module.o"), object)];
    let members = members(runtime)?;
    // The linker would take the one with the entry of executables too.
    let of_libraries = members.iter().filter(|(_, bytes)| !defines(bytes, ENTRY));
    files.extend(of_libraries.map(|(name, bytes)| (name.clone(), bytes.to_vec())));
    let names: Vec<String> = files[1..].iter().map(|(name, _)| name.clone()).collect();
    let mut words =
        vec!["-shared", "--gc-sections", "--eh-frame-hdr", "-z", "noexecstack", "-z", "relro", "-z", "now"];
    words.extend(["--build-id=fast", "--no-identity-comment", "--version-script", "exports"]);
    words.extend(names.iter().map(String::as_str));
    run_linker(files, emulation, &words)
}
