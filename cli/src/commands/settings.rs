//! `aot settings`: the CPUs and CPU features that code can be made for.

use crate::report::{Failure, Result};
use crate::{args, output};
use aot_compiler::CpuSetting;
use std::fmt::Write as _;

/// List the CPUs and CPU features of a machine
#[derive(clap::Args)]
pub struct Args {
    /// Machine that the code is for; `aot targets` lists them [default: this one]
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let target = args::target(args.target.as_deref(), &args::CpuArgs::default())?;
    let (features, cpus) =
        aot_compiler::cpu_settings(&target).map_err(|error| Failure::new(error.message()))?;
    let mut text = format!("{target}\n\n--cpu-features +NAME,-NAME:\n");
    list(&mut text, &features);
    text += "\n--cpu NAME:\n";
    let own =
        [("baseline", "What every machine of the architecture has."), ("native", "What this machine has.")];
    let own = own.map(|(name, about)| CpuSetting { name: name.to_owned(), about });
    list(&mut text, &[&own[..], &cpus].concat());
    output::print(&text)
}

fn list(text: &mut String, settings: &[CpuSetting]) {
    let width = settings.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
    for CpuSetting { name, about } in settings {
        let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(text, "  {name:width$}  {about}").expect("strings take all text");
    }
}
