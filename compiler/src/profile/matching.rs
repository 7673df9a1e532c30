//! Finds the functions of a profile in the module of now.

use super::file::SiteCount;
use super::{Profile, name_hash};
use crate::module::ModuleInfo;
use crate::plan::{FixedTable, Plan};
use crate::scan::{Scan, Site};
use std::collections::HashMap;

/// How much of a profile is of the module that it is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileFit {
    /// Functions of the module that the profile knows.
    pub functions: usize,
    /// How much of all that the profile counted is in these, in percent, rounded down.
    pub percent: u8,
}

/// What a profile says of a module. Functions are numbered without imported ones.
#[derive(Debug)]
pub(crate) struct ModuleProfile {
    functions: Vec<Option<FunctionProfile>>,
    fit: ProfileFit,
    /// From this count on code is hot: a few places that do most of the work.
    hot: u64,
    /// Of the profile, and what follows from all of it.
    hash: [u8; 32],
}

/// What a profile says of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FunctionProfile {
    /// How often control passed each point (`scan::points`).
    pub counts: Vec<u64>,
    /// By indirect call.
    pub promotions: Vec<Option<Promotion>>,
}

/// A target that an indirect call is compared with first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promotion {
    /// An element of the call's table, and the function in it, by function index.
    pub element: u32,
    pub func: u32,
    /// How often it was called here, at least about.
    pub calls: u64,
}

/// Per mille of all that was counted that hot code makes up.
const HOT_SHARE: u128 = 990;

impl ModuleProfile {
    pub fn new(profile: &Profile, info: &ModuleInfo<'_>, plan: &Plan, scans: &[Scan]) -> ModuleProfile {
        let matches = matches(profile, info, scans);
        let hot = hot(profile);
        let mut now_of = HashMap::new();
        for (function, old) in matches.iter().enumerate() {
            if let Some(old) = old {
                now_of.entry(old.index).or_insert(function as u32 + info.imported_funcs);
            }
        }
        let targets = Targets { profile, info, plan, now_of, elements: elements(plan) };
        let functions = matches.iter().zip(scans).map(|(old, scan)| {
            let old = old.as_ref()?;
            let sites = &profile.sites[old.sites.clone()];
            Some(FunctionProfile {
                counts: profile.counters[old.points.clone()].to_vec(),
                promotions: sites
                    .iter()
                    .zip(&scan.sites)
                    .map(|(count, site)| targets.promotion(*count, *site, hot))
                    .collect(),
            })
        });
        let fit = fit(profile, &matches);
        ModuleProfile { functions: functions.collect(), fit, hot, hash: profile.hash() }
    }

    pub fn function(&self, function: u32) -> Option<&FunctionProfile> {
        self.functions.get(function as usize)?.as_ref()
    }

    pub fn fit(&self) -> ProfileFit {
        self.fit
    }

    /// Whether code that ran so often is hot.
    pub fn is_hot(&self, count: u64) -> bool {
        count >= self.hot
    }

    /// Whether a function is called so often that what it costs to call it matters.
    pub fn is_hot_function(&self, function: u32) -> bool {
        self.function(function).is_some_and(|known| self.is_hot(known.counts[0]))
    }

    /// All that decides about the code of a function beyond the profiles of other functions.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The functions that indirect calls of a function may become direct calls of, by function index.
    pub fn promoted(&self, function: u32) -> impl Iterator<Item = u32> {
        let promotions = self.function(function).map_or(&[][..], |known| &known.promotions);
        promotions.iter().flatten().map(|promotion| promotion.func)
    }
}

/// A function of the profile: its number, and the ranges of its counters and sites.
#[derive(Clone, Debug)]
struct Old {
    index: u32,
    points: std::ops::Range<usize>,
    sites: std::ops::Range<usize>,
}

/// For each function of now that of the profile: the one with the same body, or else with the same name and as many points.
fn matches(profile: &Profile, info: &ModuleInfo<'_>, scans: &[Scan]) -> Vec<Option<Old>> {
    let mut olds = Vec::with_capacity(profile.description.functions.len());
    let (mut point, mut site) = (0, 0);
    // Several functions can have equal bodies: they are taken in their order.
    let mut by_hash: HashMap<[u8; 16], Vec<u32>> = HashMap::new();
    let mut by_name: HashMap<u64, Option<u32>> = HashMap::new();
    for (index, function) in profile.description.functions.iter().enumerate() {
        let index = index as u32;
        let (points, sites) = (function.points as usize, function.sites as usize);
        olds.push(Old { index, points: point..point + points, sites: site..site + sites });
        (point, site) = (point + points, site + sites);
        by_hash.entry(function.hash).or_default().push(index);
        by_name.entry(function.name).and_modify(|known| *known = None).or_insert(Some(index));
    }
    let mut taken: HashMap<[u8; 16], usize> = HashMap::new();
    let find = |(function, scan): (usize, &Scan)| {
        let hash = scan.identity.as_ref()?.hash.first_chunk::<16>()?;
        let old = match by_hash.get(hash) {
            Some(equal) => {
                let next = taken.entry(*hash).or_default();
                let old = *equal.get(*next).or(equal.last())?;
                *next += 1;
                old
            }
            None => {
                let name = name_hash(info.func_name(function as u32 + info.imported_funcs));
                (*by_name.get(&name).filter(|_| name != 0)?)?
            }
        };
        let old = &olds[old as usize];
        let is_alike = old.points.len() == scan.points as usize && old.sites.len() == scan.sites.len();
        is_alike.then(|| old.clone())
    };
    scans.iter().enumerate().map(find).collect()
}

/// What the profile has found in the module. Functions with equal bodies may be one of the profile.
fn fit(profile: &Profile, matches: &[Option<Old>]) -> ProfileFit {
    let found: HashMap<u32, &Old> = matches.iter().flatten().map(|old| (old.index, old)).collect();
    let sum = |counts: &[u64]| counts.iter().map(|count| u128::from(*count)).sum::<u128>();
    let known: u128 = found.values().map(|old| sum(&profile.counters[old.points.clone()])).sum();
    let percent = (known * 100).checked_div(sum(&profile.counters)).unwrap_or(100);
    ProfileFit { functions: matches.iter().flatten().count(), percent: percent as u8 }
}

/// The smallest count of those that make up most of all that was counted, and at least two.
fn hot(profile: &Profile) -> u64 {
    let mut counts: Vec<u64> = profile.counters.iter().copied().filter(|count| *count > 0).collect();
    counts.sort_unstable_by(|x, y| y.cmp(x));
    let all: u128 = counts.iter().map(|count| u128::from(*count)).sum();
    let mut left = all * HOT_SHARE / 1000;
    let hot = counts.iter().find(|count| {
        let is_last = left <= u128::from(**count);
        left = left.saturating_sub(u128::from(**count));
        is_last
    });
    hot.copied().unwrap_or(u64::MAX).max(2)
}

/// For each table whose contents are known, the first element that each function is in.
fn elements(plan: &Plan) -> Vec<HashMap<u32, u32>> {
    let table = |table: &Option<FixedTable>| {
        let elements = table.iter().flat_map(|table| table.elements.iter().enumerate());
        let mut first = HashMap::new();
        for (element, func) in elements {
            if let Some(func) = func {
                first.entry(*func).or_insert(element as u32);
            }
        }
        first
    };
    plan.fixed_tables.iter().map(table).collect()
}

/// Turns what a profile says of an indirect call into what can be compared now.
struct Targets<'p> {
    profile: &'p Profile,
    info: &'p ModuleInfo<'p>,
    plan: &'p Plan,
    /// Function indices of now by numbers of the profile.
    now_of: HashMap<u32, u32>,
    elements: Vec<HashMap<u32, u32>>,
}

impl Targets<'_> {
    /// The target of a hot call, if it gets at least two thirds of the calls.
    fn promotion(&self, count: SiteCount, site: Site, hot: u64) -> Option<Promotion> {
        let SiteCount { target, votes, calls } = count;
        if calls < hot || votes < calls / 3 || votes > calls {
            return None;
        }
        let target = target.checked_sub(1)?;
        let (table, element) = ((target >> 32) as u32, target as u32);
        let tables = &self.profile.description.tables;
        let (_, old) = tables.iter().find(|(index, _)| *index == table)?;
        let function = old.get(element as usize)?.checked_sub(1)?;
        let func = *self.now_of.get(&function)?;
        let canonical = |ty: u32| self.info.canonical_types.get(ty as usize);
        if canonical(site.type_index)? != canonical(*self.info.funcs.get(func as usize)?)? {
            return None;
        }
        // The same element if the function is still there: it may be in several.
        let now = self.plan.fixed_tables.get(site.table as usize)?.as_ref()?;
        let element = match now.elements.get(element as usize) {
            Some(Some(there)) if *there == func => element,
            _ => *self.elements.get(site.table as usize)?.get(&func)?,
        };
        Some(Promotion { element, func, calls: calls - (calls - votes) / 2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Description;

    #[test]
    fn hot_is_what_does_most_of_the_work() {
        let hot_of = |counters: &[u64]| {
            let profile = Profile::of_parts(Description::default(), counters.to_vec(), Vec::new());
            hot(&profile)
        };
        assert_eq!(hot_of(&[]), u64::MAX);
        assert_eq!(hot_of(&[1, 1, 1]), 2);
        assert_eq!(hot_of(&[1, 5, 1_000_000, 400_000, 900]), 400_000);
        assert_eq!(hot_of(&[u64::MAX, u64::MAX, 3]), u64::MAX);
    }
}
