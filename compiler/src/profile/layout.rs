//! Where an executable counts.

use super::{Described, Description, name_hash};
use crate::module::ModuleInfo;
use crate::plan::Plan;
use crate::scan::Scan;
use crate::target::Target;
use aot_abi::profile::{HEADER_WORDS, MAGIC, SITE_WORDS};

/// The counters of a module's functions, which are numbered without imported ones.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The first counter of each function.
    points: Vec<u32>,
    /// The first indirect call of each function.
    sites: Vec<u32>,
    /// Bytes from the symbol to the first counter, and to the first site.
    counters: u32,
    site_words: u32,
    /// The piece of data, as it is before anything is counted.
    bytes: Vec<u8>,
}

const WORD: u32 = 8;

impl Layout {
    /// Lays the counters out; nothing if there are too many of them. `file` is what the profile is written to.
    pub fn new(
        info: &ModuleInfo<'_>,
        plan: &Plan,
        scans: &[Scan],
        target: &Target,
        file: &str,
    ) -> Option<Layout> {
        let description = postcard::to_stdvec(&describe(info, plan, scans)).ok()?;
        let starts = |counts: &mut dyn Iterator<Item = u32>| -> Option<(Vec<u32>, u32)> {
            let mut sum: u32 = 0;
            let mut starts = Vec::with_capacity(scans.len());
            for count in counts {
                starts.push(sum);
                sum = sum.checked_add(count)?;
            }
            Some((starts, sum))
        };
        let (points, point_count) = starts(&mut scans.iter().map(|scan| scan.points))?;
        let (sites, site_count) = starts(&mut scans.iter().map(|scan| scan.sites.len() as u32))?;
        let number = u64::from_le_bytes(blake3::hash(&description).as_bytes()[..8].try_into().ok()?);
        let description_len = description.len().next_multiple_of(WORD as usize);
        // The word before the file is its length.
        let counters = u64::from(WORD) * (1 + HEADER_WORDS as u64) + description_len as u64;
        let site_words = counters + u64::from(WORD) * u64::from(point_count);
        let end = site_words + u64::from(WORD) * SITE_WORDS as u64 * u64::from(site_count);
        // Code has offsets of 32 bits with a sign.
        let end = i32::try_from(end).ok()? as usize;
        let words = [
            end as u64 - u64::from(WORD),
            MAGIC,
            number,
            description_len as u64,
            u64::from(point_count),
            u64::from(site_count),
        ];
        let mut bytes = Vec::with_capacity(end + file.len() + 1);
        for word in words {
            match target.is_big_endian() {
                true => bytes.extend(word.to_be_bytes()),
                false => bytes.extend(word.to_le_bytes()),
            }
        }
        bytes.extend(description);
        bytes.resize(end, 0);
        bytes.extend(file.as_bytes());
        bytes.push(0);
        Some(Layout { points, sites, counters: counters as u32, site_words: site_words as u32, bytes })
    }

    /// Bytes from the symbol to a counter of a function.
    pub fn point(&self, function: u32, point: u32) -> i32 {
        (self.counters + WORD * (self.points[function as usize] + point)) as i32
    }

    /// Bytes from the symbol to a site of a function.
    pub fn site(&self, function: u32, site: u32) -> i32 {
        (self.site_words + WORD * SITE_WORDS as u32 * (self.sites[function as usize] + site)) as i32
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn describe(info: &ModuleInfo<'_>, plan: &Plan, scans: &[Scan]) -> Description {
    let function = |(function, scan): (usize, &Scan)| Described {
        hash: scan
            .identity
            .as_ref()
            .map_or([0; 16], |identity| identity.hash[..16].try_into().expect("a hash has 32 bytes")),
        name: name_hash(info.func_name(function as u32 + info.imported_funcs)),
        points: scan.points,
        sites: scan.sites.len() as u32,
    };
    let tables = plan.fixed_tables.iter().enumerate().filter_map(|(table, fixed)| {
        let element = |func: &Option<u32>| {
            func.and_then(|func| func.checked_sub(info.imported_funcs)).map_or(0, |function| function + 1)
        };
        Some((table as u32, fixed.as_ref()?.elements.iter().map(element).collect()))
    });
    Description { functions: scans.iter().enumerate().map(function).collect(), tables: tables.collect() }
}
