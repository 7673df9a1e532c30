//! Archives as rustc makes them → one with only what programs can use: members that are reachable from the symbols
//! of the runtime library, without debug information.
//!
//! There is a member for executables, which has the entry of the process, and one for libraries of C programs. None may
//! define what a libc does: linkers would take it for the whole program, and with it the entry. So functions of a libc have
//! names of our own.

use crate::lean;
use object::build::elf::{Builder, SectionData};
use object::elf;
use object::read::archive::ArchiveFile;
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{Endianness, Object as _, ObjectSymbol as _};
use std::collections::{BTreeSet, HashMap};
use std::error::Error;

struct Member<'data> {
    name: String,
    data: &'data [u8],
    defines: Vec<String>,
    needs: Vec<String>,
}

/// The functions of a libc, or of a compiler, that the library brings itself, and what they are called then: this, and the name.
const OF_LIBC: [&str; 7] = ["memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen", "_Unwind_Resume"];
const OWN_PREFIX: &str = "aot_";

/// Puts archives together, and drops members and sections that nobody needs.
pub fn merge(archives: &[Vec<u8>]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut members: Vec<Member<'_>> = Vec::new();
    for archive in archives {
        for member in read(archive)? {
            // What several need is the same in all.
            if !members.iter().any(|other| !other.defines.is_empty() && other.defines == member.defines) {
                members.push(member);
            }
        }
    }
    let mut output = Vec::new();
    for index in reachable(&members) {
        let member = &members[index];
        output.push((member, without_debug_info(member.data)?));
    }
    Ok(write(&output))
}

fn read(archive: &[u8]) -> Result<Vec<Member<'_>>, Box<dyn Error>> {
    let mut members = Vec::new();
    for member in ArchiveFile::parse(archive)?.members() {
        let member = member?;
        let data = member.data(archive)?;
        let object = object::File::parse(data)?;
        let (mut defines, mut needs) = (Vec::new(), Vec::new());
        for symbol in object.symbols().filter(|symbol| symbol.is_global()) {
            if symbol.name()?.ends_with("rust_eh_personality") {
                continue;
            }
            if symbol.is_undefined() { &mut needs } else { &mut defines }.push(own_name(symbol.name()?));
        }
        members.push(Member {
            name: String::from_utf8_lossy(member.name()).into_owned(),
            data,
            defines,
            needs,
        });
    }
    Ok(members)
}

/// The name of a symbol in our archive.
fn own_name(name: &str) -> String {
    if OF_LIBC.contains(&name) { format!("{OWN_PREFIX}{name}") } else { name.to_owned() }
}

/// The members that define an entry (`_start`, `aot_*`), and those that they need.
fn reachable(members: &[Member<'_>]) -> BTreeSet<usize> {
    let mut definitions = HashMap::new();
    for (index, member) in members.iter().enumerate() {
        for name in &member.defines {
            definitions.entry(name.as_str()).or_insert(index);
        }
    }
    let is_entry = |name: &&str| *name == "_start" || name.starts_with("aot_");
    let mut names: Vec<&str> = definitions.keys().copied().filter(is_entry).collect();
    let mut found = BTreeSet::new();
    while let Some(name) = names.pop() {
        if let Some(index) = definitions.get(name)
            && found.insert(*index)
        {
            names.extend(members[*index].needs.iter().map(String::as_str));
        }
    }
    found
}

/// The object without debug and unwind information, and without notes about its compiler.
fn without_debug_info(object: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    // Sections that refer to symbols or sections by number, in data that the builder does not follow.
    const NUMBERS: [&str; 3] = [".llvm_addrsig", ".llvm.call-graph-profile", ".group"];
    let object = without_groups(object)?;
    let mut builder = Builder::read(&*object)?;
    let mut has_section_names = false;
    for section in &mut builder.sections {
        section.sh_flags = elf::SectionFlags(section.sh_flags.0 & !elf::SHF_GROUP.0);
        let name = String::from_utf8_lossy(&section.name);
        let is_debug_info = name.starts_with(".debug") || name.starts_with(".rela.debug");
        // Debuggers and profilers walk the runtime by its frame pointers; its tables would be a sixth of a small program.
        let is_unwind_info = [".eh_frame", ".data.DW.ref"]
            .iter()
            .any(|part| name.strip_prefix(".rela").unwrap_or(&name).starts_with(part));
        section.delete = is_debug_info || is_unwind_info || name == ".comment" || NUMBERS.contains(&&*name);
        has_section_names |= matches!(section.data, SectionData::SectionString);
    }
    for symbol in &mut builder.symbols {
        let name = String::from_utf8_lossy(&symbol.name).into_owned();
        // Only unwind information refers to it.
        symbol.delete |= name.ends_with("rust_eh_personality");
        symbol.name = own_name(&name).into_bytes().into();
    }
    builder.delete_orphans();
    lean::cut_formatting(&mut builder);
    lean::split_strings(&mut builder);
    // LLVM keeps the names of sections and symbols in one table, the builder in two.
    if !has_section_names {
        let section = builder.sections.add();
        section.name = b".shstrtab"[..].into();
        section.sh_type = elf::SHT_STRTAB;
        section.sh_addralign = 1;
        section.data = SectionData::SectionString;
    }
    let mut bytes = Vec::new();
    builder.write(&mut bytes)?;
    Ok(bytes)
}

/// The object with its section groups as plain data, which can be dropped: there is one object per crate, so that no
/// section is there twice.
fn without_groups(object: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let header = elf::FileHeader64::<Endianness>::parse(object)?;
    let endian = header.endian()?;
    let size = usize::from(header.e_shentsize(endian));
    let table = usize::try_from(header.e_shoff(endian))?;
    let mut bytes = object.to_vec();
    for (index, section) in header.section_headers(endian, object)?.iter().enumerate() {
        if section.sh_type(endian) == elf::SHT_GROUP {
            // The type is the second word of a header.
            let at = table + index * size + 4;
            let plain = elf::SHT_PROGBITS.0;
            let plain = if header.is_big_endian() { plain.to_be_bytes() } else { plain.to_le_bytes() };
            bytes
                .get_mut(at..at + 4)
                .ok_or("a section header is outside of the file")?
                .copy_from_slice(&plain);
        }
    }
    Ok(bytes)
}

/// Writes an archive in the GNU format: the index of symbols, long names, members.
///
/// ```text
/// "!<arch>\n"
/// header "/"     u32 count, u32 × count offsets of headers (big-endian), names ended by NUL
/// header "//"    long names, each ended by "/\n"
/// header "/N"    a member whose name starts at byte N of the long names
/// ```
/// A header has 60 bytes; everything is aligned to 2 bytes.
fn write(members: &[(&Member<'_>, Vec<u8>)]) -> Vec<u8> {
    const HEADER: usize = 60;
    let (mut long_names, mut name_offsets) = (String::new(), Vec::new());
    for (member, _) in members {
        name_offsets.push(long_names.len());
        long_names += &format!("{}/\n", member.name);
    }
    let symbols = members.iter().flat_map(|(member, _)| &member.defines);
    let symbol_count = symbols.clone().count();
    let index_len = 4 + 4 * symbol_count + symbols.clone().map(|name| name.len() + 1).sum::<usize>();

    let mut index = (symbol_count as u32).to_be_bytes().to_vec();
    let mut offset =
        8 + HEADER + index_len.next_multiple_of(2) + HEADER + long_names.len().next_multiple_of(2);
    for (member, data) in members {
        for _ in &member.defines {
            index.extend((offset as u32).to_be_bytes());
        }
        offset += HEADER + data.len().next_multiple_of(2);
    }
    for name in symbols {
        index.extend(name.bytes().chain([0]));
    }

    let mut out = b"!<arch>\n".to_vec();
    let mut entry = |name: &str, data: &[u8]| {
        // Name, time, user, group, mode, size, end.
        out.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, data.len()).bytes());
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(2), b'\n');
    };
    entry("/", &index);
    entry("//", long_names.as_bytes());
    for ((_, data), name_offset) in members.iter().zip(name_offsets) {
        entry(&format!("/{name_offset}"), data);
    }
    out
}
