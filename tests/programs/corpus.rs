//! The program corpus as data: reads `tests/programs/*.toml` and runs a program's scenarios.
//!
//! One source file for two users: the test `tests/programs.rs`, which runs what `aot` makes, and
//! `cargo xtask programs --reference`, which runs the same scenarios in an independent engine and writes
//! the expected outputs. It knows neither: the caller says how a program is started.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

/// A step that runs longer than this has hung.
const STEP_LIMIT: Duration = Duration::from_secs(300);

/// One file `tests/programs/<name>.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The file's name without `.toml`; filled in by [`load`].
    #[serde(skip)]
    pub name: String,
    /// The language that most of the program is written in.
    pub language: String,
    /// What it is, in one line.
    #[allow(dead_code, reason = "read by people and by `cargo xtask programs`, not by the test")]
    pub about: String,
    /// The registry package that its source or binary comes from, and its licence.
    #[allow(dead_code, reason = "read by people and by `cargo xtask programs`, not by the test")]
    pub origin: String,
    /// Host directories (relative to the scenario's scratch directory) that the guest sees: `HOST::GUEST`.
    #[serde(default)]
    pub dirs: Vec<String>,
    /// The guest's whole environment: `NAME=VALUE`.
    #[serde(default)]
    pub env: Vec<String>,
    /// How it is built; only `cargo xtask programs` understands this.
    #[allow(dead_code, reason = "the test takes the built program as it is")]
    pub build: toml::Table,
    #[serde(rename = "scenario")]
    pub scenarios: Vec<Scenario>,
}

/// Steps that run one after the other in one fresh directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    /// Files of `tests/programs/data/` that are copied into the directory first.
    #[serde(default)]
    pub files: Vec<String>,
    /// Why the reference engine can't run this; then the expected outputs were written by hand.
    #[allow(dead_code, reason = "only the reference engine leaves it out")]
    pub not_in_reference: Option<String>,
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// One start of the program. Its standard output must equal the expected one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    #[serde(default)]
    pub args: Vec<String>,
    /// A file of `tests/programs/data/` to read from; nothing by default.
    pub stdin: Option<String>,
    /// The expected exit code.
    #[serde(default)]
    pub exit: i32,
    /// The output must equal this file of `tests/programs/data/`, instead of a blessed one.
    pub same_as: Option<String>,
    /// Files that the step writes; their contents are compared too.
    #[serde(default)]
    pub writes: Vec<String>,
}

/// What to do with the outputs of a step.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "the test only checks; blessing is for the reference engine")]
pub enum Mode {
    Check,
    Bless,
}

/// Every program of the corpus, by name.
///
/// # Errors
/// A file that can't be read, or that isn't what this module describes.
pub fn load(dir: &Path) -> io::Result<Vec<Program>> {
    let mut programs = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let mut program: Program = toml::from_str(&fs::read_to_string(&path)?)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        program.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        programs.push(program);
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

impl Program {
    /// The options that give the program its directories and environment; `aot build`, `aot run` and the
    /// reference engine's script take the same ones.
    pub fn options(&self) -> Vec<String> {
        let dirs = self.dirs.iter().flat_map(|dir| ["--dir".to_owned(), dir.clone()]);
        let env = self.env.iter().flat_map(|variable| ["--env".to_owned(), variable.clone()]);
        dirs.chain(env).collect()
    }
}

/// Runs one scenario in `scratch`, which is emptied first. `launch` makes the command for given guest arguments.
///
/// # Errors
/// A message for people that says which step went wrong and how.
pub fn run_scenario(
    corpus_dir: &Path,
    program: &Program,
    scenario: &Scenario,
    scratch: &Path,
    mode: Mode,
    launch: &dyn Fn(&[String]) -> Command,
) -> Result<(), String> {
    let data = corpus_dir.join("data");
    let prepare = || -> io::Result<()> {
        if scratch.exists() {
            fs::remove_dir_all(scratch)?;
        }
        fs::create_dir_all(scratch)?;
        for file in &scenario.files {
            fs::copy(data.join(file), scratch.join(file))?;
        }
        Ok(())
    };
    prepare().map_err(|error| format!("can't prepare `{}`: {error}", scenario.name))?;

    for (index, step) in scenario.steps.iter().enumerate() {
        let expected = Expected { corpus_dir, program, scenario, step_number: index + 1 };
        run_step(&expected, step, scratch, mode, launch).map_err(|error| {
            format!("{}, step {} (`{}`): {error}", scenario.name, index + 1, step.args.join(" "))
        })?;
    }
    Ok(())
}

/// Names the files with the expected outputs of one step.
struct Expected<'a> {
    corpus_dir: &'a Path,
    program: &'a Program,
    scenario: &'a Scenario,
    step_number: usize,
}

impl Expected<'_> {
    fn file(&self, what: &str) -> PathBuf {
        let name = self.scenario.name.replace(' ', "-");
        let step =
            if self.scenario.steps.len() == 1 { String::new() } else { format!(".{}", self.step_number) };
        self.corpus_dir.join("expected").join(&self.program.name).join(format!("{name}{step}.{what}"))
    }
}

fn run_step(
    expected: &Expected<'_>,
    step: &Step,
    scratch: &Path,
    mode: Mode,
    launch: &dyn Fn(&[String]) -> Command,
) -> Result<(), String> {
    let data = expected.corpus_dir.join("data");
    // Beside the directory that the guest sees, not in it.
    let stdout_path = scratch.with_extension("stdout");
    let stderr_path = scratch.with_extension("stderr");
    let open_stdin = || match &step.stdin {
        Some(file) => File::open(data.join(file)).map(Stdio::from),
        None => Ok(Stdio::null()),
    };
    let start = || -> io::Result<_> {
        launch(&step.args)
            .current_dir(scratch)
            .stdin(open_stdin()?)
            .stdout(File::create(&stdout_path)?)
            .stderr(File::create(&stderr_path)?)
            .spawn()
    };
    let mut child = start().map_err(|error| format!("can't start: {error}"))?;
    let started = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| format!("can't wait: {error}"))? {
            Some(status) => break status,
            None if started.elapsed() > STEP_LIMIT => {
                let killed = child.kill().and_then(|()| child.wait());
                return Err(format!("still running after {} s ({killed:?})", STEP_LIMIT.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };

    let read =
        |path: &Path| fs::read(path).map_err(|error| format!("can't read {}: {error}", path.display()));
    let stderr = read(&stderr_path)?;
    if status.code() != Some(step.exit) {
        return Err(format!("expected exit code {}, got {status}{}", step.exit, tail("stderr", &stderr)));
    }
    let stdout = read(&stdout_path)?;
    match &step.same_as {
        Some(file) => compare("stdout", &read(&data.join(file))?, &stdout),
        None => check_or_bless("stdout", &expected.file("stdout"), &stdout, mode),
    }
    .map_err(|error| format!("{error}{}", tail("stderr", &stderr)))?;
    for file in &step.writes {
        check_or_bless(file, &expected.file(file), &read(&scratch.join(file))?, mode)?;
    }
    Ok(())
}

fn check_or_bless(what: &str, expected_path: &Path, actual: &[u8], mode: Mode) -> Result<(), String> {
    if mode == Mode::Bless {
        let write = || -> io::Result<()> {
            if let Some(parent) = expected_path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(expected_path, actual)
        };
        return write().map_err(|error| format!("can't write {}: {error}", expected_path.display()));
    }
    let expected = fs::read(expected_path)
        .map_err(|error| format!("no expected output {}: {error}", expected_path.display()))?;
    compare(what, &expected, actual)
}

fn compare(what: &str, expected: &[u8], actual: &[u8]) -> Result<(), String> {
    if expected == actual {
        return Ok(());
    }
    let (expected_text, actual_text) = (String::from_utf8_lossy(expected), String::from_utf8_lossy(actual));
    let differing = expected_text.lines().zip(actual_text.lines()).position(|(e, a)| e != a);
    let line = differing.unwrap_or_else(|| expected_text.lines().count().min(actual_text.lines().count()));
    let show =
        |text: &str| text.lines().nth(line).map_or("(end)".to_owned(), |l| l.chars().take(200).collect());
    Err(format!(
        "{what} differs ({} bytes expected, {} bytes got), first at line {}:\n      expected: {}\n      got:      {}",
        expected.len(),
        actual.len(),
        line + 1,
        show(&expected_text),
        show(&actual_text),
    ))
}

/// The last lines of an output, for an error message.
fn tail(what: &str, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text.lines().collect();
    let shown: Vec<_> = lines.iter().skip(lines.len().saturating_sub(8)).copied().collect();
    if shown.is_empty() {
        String::new()
    } else {
        format!("\n      {what}: {}", shown.join("\n              "))
    }
}
