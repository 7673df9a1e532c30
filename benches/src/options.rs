//! The command line, as plain data.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::engines::emulated::{self, Machine};

pub const HELP: &str = "\
cargo xtask bench [OPTION]… [NAME]…      (NAME: only these programs)

  --filter TEXT        only programs whose name contains TEXT
  --suite run|compile|edit|startup|cross|calls|instructions-x86-64|instructions-aarch64
                       only this suite; can be given several times; without it, all but the last two, which take long:
                       they count instructions on an emulated machine
  --rounds N           rounds of measurement, 5 by default
  --cpu baseline|native
                       CPU features that every engine's code may use; baseline by default
  --write              write the tables and the plot to docs/ as well; with `--suite`, only the tables of the suites
  --list               name the programs
";

/// One of the questions that are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    Run,
    Compile,
    Edit,
    StartUp,
    Cross,
    Calls,
    Instructions(&'static Machine),
}

const SUITES: &[(&str, Suite)] = &[
    ("run", Suite::Run),
    ("compile", Suite::Compile),
    ("edit", Suite::Edit),
    ("startup", Suite::StartUp),
    ("cross", Suite::Cross),
    ("calls", Suite::Calls),
    ("instructions-x86-64", Suite::Instructions(&emulated::X86_64)),
    ("instructions-aarch64", Suite::Instructions(&emulated::AARCH64)),
];

/// The suites that need no name.
fn default_suites() -> impl Iterator<Item = Suite> {
    SUITES.iter().map(|(_, suite)| *suite).filter(|suite| !matches!(suite, Suite::Instructions(_)))
}

/// CPU features, by the names that `aot build --cpu` has for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    Baseline,
    Native,
}

impl Cpu {
    pub fn name(self) -> &'static str {
        match self {
            Cpu::Baseline => "baseline",
            Cpu::Native => "native",
        }
    }
}

#[derive(Debug)]
pub struct Options {
    pub names: Vec<String>,
    pub filter: Option<String>,
    pub suites: Vec<Suite>,
    pub rounds: usize,
    pub cpu: Cpu,
    pub write: bool,
    pub list: bool,
    /// The `aot` to measure.
    pub aot: PathBuf,
    /// The directory that holds `programs` and `benches`.
    pub target_dir: PathBuf,
}

impl Options {
    /// Nothing if help is asked for.
    ///
    /// # Errors
    /// The command line makes no sense.
    pub fn parse(args: &[String]) -> Result<Option<Options>> {
        let mut options = Options {
            names: Vec::new(),
            filter: None,
            suites: Vec::new(),
            rounds: 5,
            cpu: Cpu::Baseline,
            write: false,
            list: false,
            aot: PathBuf::new(),
            target_dir: PathBuf::new(),
        };
        let mut args = args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("`{arg}` needs a value"));
            match arg {
                "--filter" => options.filter = Some(value()?.to_owned()),
                "--suite" => options.suites.push(named(SUITES, value()?)?),
                "--rounds" => {
                    options.rounds = value()?.parse().context("`--rounds` takes a number")?;
                }
                "--cpu" => {
                    options.cpu = named(&[("baseline", Cpu::Baseline), ("native", Cpu::Native)], value()?)?;
                }
                "--write" => options.write = true,
                "--list" => options.list = true,
                "--aot" => options.aot = value()?.into(),
                "--target-dir" => options.target_dir = value()?.into(),
                "--help" | "-h" => return Ok(None),
                name if !name.starts_with('-') => options.names.push(name.to_owned()),
                other => bail!("unknown option `{other}`\n\n{HELP}"),
            }
        }
        if options.rounds == 0 {
            bail!("at least one round is needed");
        }
        if options.write && (!options.names.is_empty() || options.filter.is_some()) {
            bail!("`--write` replaces whole tables, so it can't be combined with a choice of programs");
        }
        if options.suites.is_empty() {
            options.suites = default_suites().collect();
        }
        Ok(Some(options))
    }

    /// Whether every question is asked that need not be named.
    pub fn all_suites(&self) -> bool {
        default_suites().all(|suite| self.suites.contains(&suite))
    }

    pub fn selects(&self, name: &str) -> bool {
        (self.names.is_empty() || self.names.iter().any(|wanted| wanted == name))
            && self.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()))
    }
}

fn named<T: Copy>(table: &[(&str, T)], name: &str) -> Result<T> {
    let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    let found = table.iter().find(|(known, _)| *known == name);
    Ok(found.with_context(|| format!("`{name}` is not one of {}", names.join(", ")))?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        let options = parse("fib --suite run --rounds 3 sha256").unwrap().unwrap();
        assert_eq!((options.rounds, options.suites), (3, vec![Suite::Run]));
        assert_eq!(options.names, ["fib", "sha256"]);
        assert!(parse("--help").unwrap().is_none());
    }

    #[test]
    fn counting_instructions_has_to_be_asked_for() {
        let options = parse("").unwrap().unwrap();
        assert!(options.all_suites() && options.suites.len() == SUITES.len() - 2);
        let options = parse("--suite instructions-aarch64 --write").unwrap().unwrap();
        assert!(!options.all_suites() && options.suites == [Suite::Instructions(&emulated::AARCH64)]);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["--rounds", "--rounds x", "--rounds 0", "--suite speed", "--wrong", "--write fib"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
