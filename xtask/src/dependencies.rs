//! Checks the dependencies: licences, where they come from, duplicates, crates that are banned.
//!
//! In: cargo's metadata and `xtask/dependencies.toml`. It looks at what the lock file says, builds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::repo;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Policy {
    licenses: BTreeSet<String>,
    license_exceptions: BTreeMap<String, String>,
    duplicates: BTreeMap<String, String>,
    banned: BTreeMap<String, String>,
}

/// The part of cargo's metadata that is looked at.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// Nothing for a package of the workspace.
    source: Option<String>,
}

/// Checks every package of the lock file.
///
/// # Errors
/// It names each package that breaks the policy, and how.
pub fn run() -> Result<()> {
    let path = repo::root().join("xtask/dependencies.toml");
    let policy = fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    let policy: Policy = toml::from_str(&policy).with_context(|| path.display().to_string())?;
    let metadata: Metadata =
        serde_json::from_value(repo::metadata()?).context("can't read cargo's metadata")?;

    let problems = check(&policy, &metadata.packages);
    for problem in &problems {
        println!("dependencies: {problem}");
    }
    if !problems.is_empty() {
        bail!("{} problems with dependencies; the policy is in {}", problems.len(), path.display());
    }
    println!("dependencies: {} packages are as xtask/dependencies.toml allows", metadata.packages.len());
    Ok(())
}

fn check(policy: &Policy, packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        let Package { name, version, license, source } = package;
        let Some(source) = source else {
            continue;
        };
        versions.entry(name).or_default().insert(version);
        if !(source.starts_with("registry+") && source.ends_with("/crates.io-index")) {
            problems.push(format!("`{name} {version}` comes from {source}; only crates.io is allowed"));
        }
        if let Some(reason) = policy.banned.get(name) {
            problems.push(format!("`{name} {version}` is banned: {reason}"));
        }
        let is_allowed = |license: &str| policy.licenses.contains(license);
        match license {
            _ if policy.license_exceptions.contains_key(name) => {}
            Some(license) if License::parse(license).is_some_and(|parsed| parsed.holds(&is_allowed)) => {}
            Some(license) => problems.push(format!("`{name} {version}` has the licence `{license}`")),
            None => problems.push(format!("`{name} {version}` doesn't say its licence")),
        }
    }
    for (name, versions) in &versions {
        if versions.len() > 1 && !policy.duplicates.contains_key(*name) {
            let versions: Vec<_> = versions.iter().copied().collect();
            problems.push(format!("`{name}` is there {} times: {}", versions.len(), versions.join(", ")));
        }
    }
    for name in
        policy.duplicates.keys().filter(|name| versions.get(name.as_str()).is_none_or(|v| v.len() < 2))
    {
        problems.push(format!("`{name}` is listed as a duplicate but isn't one"));
    }
    for name in policy.license_exceptions.keys().filter(|name| !versions.contains_key(name.as_str())) {
        problems.push(format!("`{name}` is listed as a licence exception but isn't a dependency"));
    }
    problems
}

/// An SPDX licence expression (<https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/>).
#[derive(Debug)]
enum License {
    One(String),
    And(Box<License>, Box<License>),
    Or(Box<License>, Box<License>),
}

impl License {
    /// Nothing if the text isn't an expression.
    fn parse(text: &str) -> Option<License> {
        // Old crates write `MIT/Apache-2.0`.
        let text = text.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let mut words = text.split_whitespace().peekable();
        let license = parse_or(&mut words)?;
        words.next().is_none().then_some(license)
    }

    fn holds(&self, is_allowed: &dyn Fn(&str) -> bool) -> bool {
        match self {
            License::One(license) => is_allowed(license),
            License::And(a, b) => a.holds(is_allowed) && b.holds(is_allowed),
            License::Or(a, b) => a.holds(is_allowed) || b.holds(is_allowed),
        }
    }
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn parse_or(words: &mut Words<'_>) -> Option<License> {
    let mut license = parse_and(words)?;
    while words.next_if_eq(&"OR").is_some() {
        license = License::Or(Box::new(license), Box::new(parse_and(words)?));
    }
    Some(license)
}

fn parse_and(words: &mut Words<'_>) -> Option<License> {
    let mut license = parse_one(words)?;
    while words.next_if_eq(&"AND").is_some() {
        license = License::And(Box::new(license), Box::new(parse_one(words)?));
    }
    Some(license)
}

fn parse_one(words: &mut Words<'_>) -> Option<License> {
    match words.next()? {
        "(" => {
            let license = parse_or(words)?;
            words.next_if_eq(&")")?;
            Some(license)
        }
        ")" | "AND" | "OR" | "WITH" => None,
        name => {
            let exception = words.next_if_eq(&"WITH").and_then(|_| words.next());
            Some(License::One(
                exception.map_or(name.to_owned(), |exception| format!("{name} WITH {exception}")),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_license(expression: &str, expected: bool) {
        let is_allowed = |license: &str| ["MIT", "Apache-2.0 WITH LLVM-exception", "ISC"].contains(&license);
        let actual = License::parse(expression).is_some_and(|license| license.holds(&is_allowed));
        assert_eq!(actual, expected, "{expression}");
    }

    #[test]
    fn license_expressions() {
        check_license("MIT", true);
        check_license("GPL-3.0", false);
        check_license("GPL-3.0 OR MIT", true);
        check_license("GPL-3.0 AND MIT", false);
        check_license("MIT/GPL-3.0", true);
        check_license("(GPL-3.0 OR MIT) AND ISC", true);
        check_license("GPL-3.0 OR MIT AND GPL-2.0", false);
        check_license("Apache-2.0 WITH LLVM-exception", true);
        check_license("Apache-2.0", false);
        check_license("MIT OR", false);
        check_license("", false);
    }
}
