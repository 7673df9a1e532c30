//! Addresses and file offsets of everything.

use super::input::{Inputs, Place, Section};
use super::s390x;
use aot_abi::descriptor::{MEMORY_IMAGE, MEMORY_SECTION};
use object::elf;
use std::collections::HashMap;

/// Where the first segment is, unless it can be anywhere.
const BASE: u64 = 0x100_0000;
/// Largest page size of the machine.
const PAGE: u64 = 4096;
const FILE_HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;

/// The kinds of segments, in the order in which they lie in memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    ReadOnly,
    Code,
    Data,
    Zeros,
    /// What the kernel maps of the module's memory: it has an address.
    Memory,
    /// Not in memory at all: debug information.
    NotLoaded,
}

/// A section of the executable.
pub(super) struct Output {
    pub name: String,
    pub kind: Kind,
    pub flags: elf::SectionFlags,
    pub align: u64,
    pub address: u64,
    pub offset: u64,
    pub size: u64,
    /// Sections of the inputs, and their offsets in this one.
    pub parts: Vec<(usize, u64)>,
}

impl Output {
    /// Bytes in the file.
    pub fn file_size(&self) -> u64 {
        if self.kind == Kind::Zeros { 0 } else { self.size }
    }
}

/// A segment.
pub(super) struct Segment {
    pub flags: elf::ProgramFlags,
    pub address: u64,
    pub offset: u64,
    pub file_size: u64,
    pub memory_size: u64,
}

/// Where everything is.
pub(super) struct Layout {
    pub outputs: Vec<Output>,
    pub segments: Vec<Segment>,
    /// By input section: the output section, and the offset in it.
    pub places: HashMap<usize, (usize, u64)>,
    /// Address of the table of addresses, and the slot of each symbol in it.
    pub got: (u64, HashMap<usize, u64>),
    /// What only executables have that can be mapped anywhere: the addresses of [`RELOCATIONS`] and [`DYNAMIC`].
    pub position: Option<(u64, u64)>,
}

/// Name of the section with the table of addresses.
pub(super) const GOT: &str = ".got";

/// Name of the section with relocations for run time, and bytes of each.
pub(super) const RELOCATIONS: &str = ".rela.dyn";
pub(super) const RELOCATION_LEN: u64 = 24;

/// Name of the section that tells where they are, and its size: four pairs of words.
pub(super) const DYNAMIC: &str = ".dynamic";
pub(super) const DYNAMIC_LEN: u64 = 64;

impl Layout {
    /// Adds a section that the linker makes.
    fn add(&mut self, name: &str, kind: Kind, flags: elf::SectionFlags, size: u64) {
        let name = name.to_owned();
        let (align, address, offset, parts) = (8, 0, 0, Vec::new());
        self.outputs.push(Output { name, kind, flags, align, address, offset, size, parts });
    }

    /// The address of an input section; `None` if it is not in the executable.
    pub fn section_address(&self, section: usize) -> Option<u64> {
        let (output, offset) = self.places.get(&section)?;
        Some(self.outputs[*output].address + offset)
    }

    pub fn address(&self, place: Place) -> Option<u64> {
        match place {
            // Only weak symbols can still be undefined: they are null.
            Place::Undefined => Some(0),
            Place::Absolute(address) => Some(address),
            Place::Dynamic => Some(self.position?.1),
            Place::Section(section, offset) => Some(self.section_address(section)?.wrapping_add(offset)),
        }
    }
}

fn kind(section: &Section<'_>, is_pie: bool) -> Kind {
    let has = |flag| section.flags.contains(flag);
    match section.data {
        _ if !has(elf::SHF_ALLOC) => Kind::NotLoaded,
        None => Kind::Zeros,
        _ if section.name == MEMORY_SECTION => Kind::Memory,
        _ if has(elf::SHF_EXECINSTR) => Kind::Code,
        // Relocated once and for all here, so nothing writes to it.
        _ if !has(elf::SHF_WRITE) || !is_pie && section.name.starts_with(".data.rel.ro") => Kind::ReadOnly,
        Some(_) => Kind::Data,
    }
}

/// The name of the output section: compilers give each function and variable a section of its own.
fn output_name(name: &str) -> &str {
    const GROUPS: [&str; 5] = [".text", ".data.rel.ro", ".rodata", ".data", ".bss"];
    let of = |group: &&&str| {
        name.strip_prefix(**group).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    GROUPS.iter().find(of).copied().unwrap_or(name)
}

/// Puts everything in its place.
pub(super) fn lay_out(inputs: &Inputs<'_>, live: &[bool], is_pie: bool) -> Result<Layout, String> {
    let mut layout = Layout {
        outputs: Vec::new(),
        segments: Vec::new(),
        places: HashMap::new(),
        got: (0, HashMap::new()),
        position: is_pie.then_some((0, 0)),
    };
    collect(inputs, live, &mut layout)?;
    add_got(inputs, live, &mut layout);
    if is_pie {
        let relocations = run_time_relocations(inputs, live)? + layout.got.1.len();
        layout.add(RELOCATIONS, Kind::ReadOnly, elf::SHF_ALLOC, relocations as u64 * RELOCATION_LEN);
        layout.add(DYNAMIC, Kind::Data, elf::SHF_ALLOC | elf::SHF_WRITE, DYNAMIC_LEN);
    }
    layout.outputs.sort_by_key(|output| output.kind);
    for (index, output) in layout.outputs.iter().enumerate() {
        for (section, offset) in &output.parts {
            layout.places.insert(*section, (index, *offset));
        }
    }
    let memory = inputs.symbols.iter().find(|symbol| symbol.name == MEMORY_IMAGE);
    let memory = memory.and_then(|symbol| layout.address(symbol.place));
    place(&mut layout, memory)?;
    Ok(layout)
}

/// Collects the sections of one name and kind.
fn collect(inputs: &Inputs<'_>, live: &[bool], layout: &mut Layout) -> Result<(), String> {
    for (index, section) in inputs.sections.iter().enumerate().filter(|(index, _)| live[*index]) {
        let (kind, name) = (kind(section, layout.position.is_some()), output_name(section.name));
        let mask = elf::SHF_ALLOC.0 | elf::SHF_EXECINSTR.0 | elf::SHF_WRITE.0;
        let found = layout.outputs.iter().position(|output| output.kind == kind && output.name == name);
        let output = found.unwrap_or_else(|| {
            layout.outputs.push(Output {
                name: name.to_owned(),
                kind,
                flags: elf::SectionFlags(section.flags.0 & mask),
                align: 1,
                address: 0,
                offset: 0,
                size: 0,
                parts: Vec::new(),
            });
            layout.outputs.len() - 1
        });
        let output = &mut layout.outputs[output];
        let start = output.size.checked_next_multiple_of(section.align);
        let end = start.and_then(|start| start.checked_add(section.size)).filter(|end| *end < 1 << 40);
        let (Some(start), Some(end)) = (start, end) else {
            return Err(format!("the section `{}` is too large", section.name));
        };
        output.parts.push((index, start));
        output.size = end;
        output.align = output.align.max(section.align);
    }
    Ok(())
}

/// Gives a slot in the table of addresses to each symbol that code looks up there.
fn add_got(inputs: &Inputs<'_>, live: &[bool], layout: &mut Layout) {
    let sections = inputs.sections.iter().enumerate().filter(|(index, _)| live[*index]);
    for relocation in sections.flat_map(|(_, section)| &section.relocations) {
        if s390x::needs_got(relocation.kind) {
            let next = layout.got.1.len() as u64 * 8;
            layout.got.1.entry(relocation.symbol).or_insert(next);
        }
    }
    if !layout.got.1.is_empty() {
        let (kind, flags) = match layout.position {
            Some(_) => (Kind::Data, elf::SHF_ALLOC | elf::SHF_WRITE),
            None => (Kind::ReadOnly, elf::SHF_ALLOC),
        };
        layout.add(GOT, kind, flags, layout.got.1.len() as u64 * 8);
    }
}

/// Counts the addresses in sections that are loaded.
fn run_time_relocations(inputs: &Inputs<'_>, live: &[bool]) -> Result<usize, String> {
    let mut count = 0;
    for (_, section) in inputs.sections.iter().enumerate().filter(|(index, _)| live[*index]) {
        for relocation in &section.relocations {
            if !s390x::is_address(relocation.kind, inputs.place(relocation.symbol)) {
                continue;
            }
            match kind(section, true) {
                Kind::NotLoaded => {}
                Kind::Data => count += 1,
                _ => return Err(format!("the section `{}` has addresses in it", section.name)),
            }
        }
    }
    Ok(count)
}

/// Gives each output section its address and its place in the file. The headers are part of the first segment.
fn place(layout: &mut Layout, memory: Option<u64>) -> Result<(), String> {
    // One header for each segment, and those for the stack and for run-time relocations.
    let headers = FILE_HEADER + PROGRAM_HEADER * 7;
    let base = if layout.position.is_some() { 0 } else { BASE };
    let (mut address, mut offset) = (base + headers, headers);
    let mut segments: Vec<(Kind, Segment)> = vec![(
        Kind::ReadOnly,
        Segment { flags: elf::PF_R, address: base, offset: 0, file_size: headers, memory_size: headers },
    )];
    for output in &mut layout.outputs {
        if output.align > PAGE {
            return Err(format!(
                "the section `{}` wants an alignment of {} bytes",
                output.name, output.align
            ));
        }
        if output.kind == Kind::NotLoaded {
            offset = offset.next_multiple_of(output.align);
            (output.address, output.offset) = (0, offset);
            offset += output.size;
            continue;
        }
        let flags = match output.kind {
            Kind::ReadOnly => elf::PF_R,
            Kind::Code => elf::PF_R | elf::PF_X,
            _ => elf::PF_R | elf::PF_W,
        };
        if segments.last().is_none_or(|(kind, _)| *kind != output.kind) {
            // A page of its own, at the same place in the page as in the file.
            address = address.next_multiple_of(PAGE) + offset % PAGE;
            if output.kind == Kind::Memory {
                let fixed = memory.ok_or_else(|| format!("no symbol `{MEMORY_IMAGE}`"))?;
                // Nothing else of the file may be mapped with it.
                offset = offset.next_multiple_of(PAGE);
                if address > fixed || fixed % PAGE != 0 {
                    return Err(String::from("the program is too large to end below its memory"));
                }
                address = fixed;
            }
        }
        let padding = address.next_multiple_of(output.align) - address;
        address += padding;
        if output.kind != Kind::Zeros {
            offset += padding;
        }
        (output.address, output.offset) = (address, offset);
        if segments.last().is_none_or(|(kind, _)| *kind != output.kind) {
            let segment = Segment { flags, address, offset, file_size: 0, memory_size: 0 };
            segments.push((output.kind, segment));
        }
        address += output.size;
        offset += output.file_size();
        if let Some((_, segment)) = segments.last_mut() {
            segment.memory_size = address - segment.address;
            segment.file_size = if output.kind == Kind::Zeros { 0 } else { offset - segment.offset };
        }
    }
    if let Some(got) = layout.outputs.iter().find(|output| output.name == GOT) {
        layout.got.0 = got.address;
    }
    let address =
        |name| layout.outputs.iter().find(|output| output.name == name).map(|output| output.address);
    if layout.position.is_some() {
        layout.position = address(RELOCATIONS).zip(address(DYNAMIC));
    }
    layout.segments = segments.into_iter().map(|(_, segment)| segment).collect();
    Ok(())
}
