//! Reads the files that profiled programs write. They may be damaged.

use super::Description;
use crate::error::{Error, ErrorKind, Result};
use aot_abi::profile::{HEADER_WORDS, MAGIC, SITE_WORDS};

/// How often the code of a module ran.
#[derive(Debug)]
pub struct Profile {
    /// Of the module that was profiled: only counters of the same one can be added up.
    number: u64,
    /// Of all that it says.
    hash: [u8; 32],
    pub(super) description: Description,
    pub(super) counters: Vec<u64>,
    pub(super) sites: Vec<SiteCount>,
}

/// What is known of the targets of an indirect call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SiteCount {
    /// Table in the upper half, element in the lower half, plus 1; 0 if it was never called.
    pub target: u64,
    /// By how many calls the target got more than all others, at least.
    pub votes: u64,
    pub calls: u64,
}

impl Profile {
    /// Reads the file of a profile.
    ///
    /// # Errors
    /// If the bytes are not such a file, or a part of it.
    pub fn read(bytes: &[u8]) -> Result<Profile> {
        Reader::new(bytes).and_then(Reader::profile).map_err(|what| {
            Error::new(ErrorKind::Config, format!("this is no profile: {what}"))
                .with_help("a program that was built with `--profile-generate` writes one when it ends")
        })
    }

    /// Adds the counts of another run of the same program.
    ///
    /// # Errors
    /// If the profile is of another module.
    pub fn add(&mut self, other: &Profile) -> Result<()> {
        let is_same = self.number == other.number
            && self.description == other.description
            && self.counters.len() == other.counters.len();
        if !is_same {
            return Err(Error::new(ErrorKind::Config, "the profiles are of different modules")
                .with_help("give those of one build of the program"));
        }
        for (sum, count) in self.counters.iter_mut().zip(&other.counters) {
            *sum = sum.saturating_add(*count);
        }
        for (sum, site) in self.sites.iter_mut().zip(&other.sites) {
            *sum = sum.add(*site);
        }
        let mut hasher = blake3::Hasher::new();
        self.hash = *hasher.update(&self.hash).update(&other.hash).finalize().as_bytes();
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn of_parts(description: Description, counters: Vec<u64>, sites: Vec<SiteCount>) -> Profile {
        Profile { number: 0, hash: [0; 32], description, counters, sites }
    }

    /// A hash of all that the profile says.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }
}

impl SiteCount {
    fn add(self, other: SiteCount) -> SiteCount {
        let calls = self.calls.saturating_add(other.calls);
        let (target, votes) = match (self.votes, other.votes) {
            (own, others) if self.target == other.target => (self.target, own.saturating_add(others)),
            (own, others) if own >= others => (self.target, own - others),
            (own, others) => (other.target, others - own),
        };
        SiteCount { target, votes, calls }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    rest: &'a [[u8; 8]],
    is_swapped: bool,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> std::result::Result<Reader<'a>, &'static str> {
        let (words, _) = bytes.as_chunks::<8>();
        match words.split_first().map(|(magic, rest)| (u64::from_le_bytes(*magic), rest)) {
            Some((MAGIC, rest)) => Ok(Reader { bytes, rest, is_swapped: false }),
            Some((magic, rest)) if magic == MAGIC.swap_bytes() => {
                Ok(Reader { bytes, rest, is_swapped: true })
            }
            // The magic is written last.
            Some((0, _)) => Err("the program was stopped while it wrote it"),
            _ => Err("it starts with something else"),
        }
    }

    fn word(&mut self) -> std::result::Result<u64, &'static str> {
        let (word, rest) = self.rest.split_first().ok_or("it is cut off")?;
        self.rest = rest;
        Ok(if self.is_swapped { u64::from_be_bytes(*word) } else { u64::from_le_bytes(*word) })
    }

    fn words(&mut self, count: u64) -> std::result::Result<Vec<u64>, &'static str> {
        if count > self.rest.len() as u64 {
            return Err("it is cut off");
        }
        (0..count).map(|_| self.word()).collect()
    }

    fn profile(mut self) -> std::result::Result<Profile, &'static str> {
        let [number, description_len, counters, sites] =
            [self.word()?, self.word()?, self.word()?, self.word()?];
        let start = HEADER_WORDS * 8;
        let words = description_len / 8;
        if !description_len.is_multiple_of(8) || words > self.rest.len() as u64 {
            return Err("its description is cut off");
        }
        let description = &self.bytes[start..start + description_len as usize];
        self.rest = &self.rest[words as usize..];
        let description: Description = match postcard::take_from_bytes(description) {
            Ok((description, _)) => description,
            Err(_) => return Err("its description is damaged"),
        };
        let counters = self.words(counters)?;
        let words = self.words(sites.checked_mul(SITE_WORDS as u64).ok_or("it is cut off")?)?;
        if !self.rest.is_empty() || !self.bytes.len().is_multiple_of(8) {
            return Err("something comes after its end");
        }
        let sites = words.chunks_exact(SITE_WORDS).map(|words| SiteCount {
            target: words[0],
            votes: words[1],
            calls: words[2],
        });
        let sites: Vec<_> = sites.collect();
        let sums = description.functions.iter().fold((0, 0), |(points, sites), function| {
            (points + u64::from(function.points), sites + u64::from(function.sites))
        });
        if sums != (counters.len() as u64, sites.len() as u64) {
            return Err("its description contradicts its counters");
        }
        let hash = *blake3::hash(self.bytes).as_bytes();
        Ok(Profile { number, hash, description, counters, sites })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Described;

    fn file(is_big_endian: bool) -> Vec<u8> {
        let described = Described { hash: [7; 16], name: 9, points: 2, sites: 1 };
        let description = Description { functions: vec![described], tables: vec![(0, vec![0, 1])] };
        let mut description = postcard::to_stdvec(&description).unwrap();
        description.resize(description.len().next_multiple_of(8), 0);
        let word = |word: u64| if is_big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
        let mut bytes = Vec::new();
        for number in [MAGIC, 5, description.len() as u64, 2, 1] {
            bytes.extend(word(number));
        }
        bytes.extend(description);
        for number in [10, 3, 2, 40, 50] {
            bytes.extend(word(number));
        }
        bytes
    }

    #[test]
    fn files_of_both_byte_orders_are_read_and_added_up() {
        let mut profile = Profile::read(&file(false)).unwrap();
        let other = Profile::read(&file(true)).unwrap();
        assert_eq!((&profile.counters, &profile.sites), (&other.counters, &other.sites));
        profile.add(&other).unwrap();
        assert_eq!(profile.counters, [20, 6]);
        assert_eq!(profile.sites, [SiteCount { target: 2, votes: 80, calls: 100 }]);
    }

    #[test]
    fn votes_for_different_targets_cancel() {
        let site = |target, votes, calls| SiteCount { target, votes, calls };
        assert_eq!(site(1, 5, 9).add(site(2, 3, 7)), site(1, 2, 16));
        assert_eq!(site(1, 5, 9).add(site(2, 8, 8)), site(2, 3, 17));
        assert_eq!(site(0, 0, 0).add(site(2, 8, 8)), site(2, 8, 8));
    }

    #[test]
    fn damage_is_an_error() {
        let good = file(false);
        assert!(Profile::read(&[]).is_err());
        for len in 0..good.len() {
            assert!(Profile::read(&good[..len]).is_err(), "{len} bytes");
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                // Whatever it says, it is read or refused.
                drop(Profile::read(&bytes));
            }
        }
        let longer = [&good[..], &[0; 8]].concat();
        assert!(Profile::read(&longer).unwrap_err().to_string().contains("after its end"));
    }
}
