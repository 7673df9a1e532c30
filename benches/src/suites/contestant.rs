//! A program as the engines have made it, and the check that all of them do the same.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::equal;
use crate::engines::Engine;
use crate::measure::{self, Sample, Streams};
use crate::programs::Program;
use crate::setting::{Setting, make_dir};
use crate::{inputs, kernels};

/// An engine with an artifact of one program.
pub struct Contestant<'a> {
    engine: &'a dyn Engine,
    /// Its place among all engines.
    pub index: usize,
    pub artifact: PathBuf,
    work: PathBuf,
    program: &'a Program,
}

impl Contestant<'_> {
    fn file(&self, what: &str) -> PathBuf {
        self.work.join(format!("{what}.{}", self.engine.name()))
    }

    /// One run in a fresh directory.
    ///
    /// # Errors
    /// It does not end with success.
    pub fn run(&self) -> Result<Sample> {
        let dir = self.file("dir");
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("can't remove {}", dir.display()))?;
        }
        make_dir(&dir)?;
        let inputs = self.work.join("inputs");
        for input in &self.program.inputs {
            fs::copy(inputs.join(&input.to), dir.join(&input.to)).context("can't copy an input")?;
        }
        let stdin = self.program.stdin.as_ref().map(|name| inputs.join(name));
        let (stdout, stderr) = (self.file("stdout"), self.file("stderr"));
        let mut command = self.engine.run(self.program, &self.artifact);
        command.current_dir(&dir);
        let streams = Streams { stdin: stdin.as_deref(), stdout: Some(&stdout), stderr: Some(&stderr) };
        let sample = measure::run(&mut command, streams)?;
        if sample.exit != Some(0) {
            let said = fs::read_to_string(&stderr).unwrap_or_default();
            let exit = sample.exit.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
            bail!("{} ends it with {exit}\n{}", self.engine.name(), said.trim_end());
        }
        Ok(sample)
    }

    fn check_equal(&self, other: &Contestant<'_>) -> Result<()> {
        let what = || format!("{} and {} don't do the same", self.engine.name(), other.engine.name());
        equal::check_files(&self.file("stdout"), &other.file("stdout")).with_context(what)?;
        for name in &self.program.writes {
            let file = |contestant: &Contestant<'_>| contestant.file("dir").join(name);
            equal::check_files(&file(self), &file(other)).with_context(what)?;
        }
        Ok(())
    }
}

/// Makes the artifact of each engine that has a way for the program, and runs it once. Artifacts and outputs go to a
/// directory of the suite.
///
/// # Errors
/// A step or a run fails, or outputs differ.
pub fn prepare<'a>(
    setting: &Setting,
    engines: &'a [Box<dyn Engine>],
    program: &'a Program,
    suite: &str,
) -> Result<Vec<Contestant<'a>>> {
    kernels::build(program, &setting.dirs)?;
    let work = setting.dirs.work.join(suite).join(&program.name);
    let inputs = work.join("inputs");
    make_dir(&inputs)?;
    inputs::write(&program.inputs, &setting.dirs, &inputs)?;

    let mut contestants = Vec::new();
    for (index, engine) in engines.iter().enumerate() {
        let artifact = work.join(format!("program.{}", engine.name()));
        if let Some(mut steps) = engine.prepare(program, &artifact) {
            measure::run_steps(&mut steps, &work.join("log"))?;
            let engine = engine.as_ref();
            let contestant = Contestant { engine, index, artifact, work: work.clone(), program };
            if let Some(mut steps) = engine.improve(program, &contestant.artifact) {
                contestant.run()?;
                measure::run_steps(&mut steps, &work.join("log"))?;
            }
            contestants.push(contestant);
        }
    }

    let (first, others) = contestants.split_first().context("no engine runs it")?;
    first.run()?;
    for other in others {
        other.run()?;
        first.check_equal(other)?;
    }
    Ok(contestants)
}
