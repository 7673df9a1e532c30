//! `aot completion`: scripts that complete our command line in a shell.

use super::Cli;
use crate::output;
use crate::report::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  aot completion bash > ~/.local/share/bash-completion/completions/aot
  aot completion zsh > ~/.zfunc/_aot
  aot completion fish > ~/.config/fish/completions/aot.fish";

/// Print a completion script for a shell
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: &Args) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "aot", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
