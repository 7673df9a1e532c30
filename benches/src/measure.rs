//! Runs other programs and says what that cost.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use wait4::Wait4 as _;

/// What one run of a program cost, or several steps together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub user_seconds: f64,
    pub system_seconds: f64,
    pub wall_seconds: f64,
    /// The largest resident set. The kernel counts what the harness itself had in use before `exec`, so the
    /// harness stays small.
    pub peak_bytes: u64,
    /// Nothing after a signal.
    pub exit: Option<i32>,
}

/// The standard streams of a run: files, or nothing.
#[derive(Clone, Copy, Default)]
pub struct Streams<'a> {
    pub stdin: Option<&'a Path>,
    pub stdout: Option<&'a Path>,
    pub stderr: Option<&'a Path>,
}

/// Runs a program to its end.
///
/// # Errors
/// It can't be started, or a file can't be opened.
pub fn run(command: &mut Command, streams: Streams<'_>) -> Result<Sample> {
    let output = |path: Option<&Path>| match path {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("can't write {}", path.display()))?;
            anyhow::Ok(Stdio::from(file))
        }
        None => Ok(Stdio::null()),
    };
    let stdin = match streams.stdin {
        Some(path) => {
            Stdio::from(File::open(path).with_context(|| format!("can't read {}", path.display()))?)
        }
        None => Stdio::null(),
    };
    command.stdin(stdin).stdout(output(streams.stdout)?).stderr(output(streams.stderr)?);

    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("can't start `{}`", show(command)))?;
    let used = child.wait4().with_context(|| format!("can't wait for `{}`", show(command)))?;
    let wall_seconds = started.elapsed().as_secs_f64();
    Ok(Sample {
        user_seconds: used.rusage.utime.as_secs_f64(),
        system_seconds: used.rusage.stime.as_secs_f64(),
        wall_seconds,
        peak_bytes: used.rusage.maxrss,
        exit: used.status.code(),
    })
}

/// Runs commands one after the other, which all have to succeed; the costs are added up.
///
/// # Errors
/// One can't be started or fails; the message has what it wrote to standard error.
pub fn run_steps(steps: &mut [Command], log: &Path) -> Result<Sample> {
    let mut total = Sample::default();
    for step in steps {
        let sample = run(step, Streams { stderr: Some(log), ..Streams::default() })?;
        if sample.exit != Some(0) {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            bail!("`{}` failed\n{}", show(step), said.trim_end());
        }
        total.user_seconds += sample.user_seconds;
        total.system_seconds += sample.system_seconds;
        total.wall_seconds += sample.wall_seconds;
        total.peak_bytes = total.peak_bytes.max(sample.peak_bytes);
        total.exit = sample.exit;
    }
    Ok(total)
}

/// Measures contestants in turn: round by round, each round beginning with another one, so that neither a slow
/// minute of the machine nor what a neighbor leaves in its caches falls on one of them alone.
///
/// Gives the samples by contestant.
///
/// # Errors
/// A run that fails.
pub fn in_turn(
    contestants: usize,
    rounds: usize,
    mut run_one: impl FnMut(usize) -> Result<Sample>,
) -> Result<Vec<Vec<Sample>>> {
    let mut samples = vec![Vec::with_capacity(rounds); contestants];
    for round in 0..rounds {
        for place in 0..contestants {
            let contestant = (round + place) % contestants;
            samples[contestant].push(run_one(contestant)?);
        }
    }
    Ok(samples)
}

/// One figure of each sample.
pub fn figures(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
    samples.iter().map(figure).collect()
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_begins_with_another() {
        let mut order = Vec::new();
        let samples = in_turn(3, 2, |contestant| {
            order.push(contestant);
            Ok(Sample::default())
        });
        assert_eq!(order, [0, 1, 2, 1, 2, 0]);
        assert!(samples.unwrap().iter().all(|samples| samples.len() == 2));
    }
}
