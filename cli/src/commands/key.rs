//! `aot key`: keys that sign what is kept on a server.

use crate::report::{Failure, Result};
use crate::{keys, output};
use aot_cache_remote::SecretKey;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  aot key new                           make your key, and print its public part
  aot key show                          print the public part again
  aot key new ci.key                    a key for CI: the file's text is the secret AOT_CACHE_SIGN_KEY of its jobs
  aot build app.wasm --cache-remote redis://cache.example --trust aot-public-…
                                        take what that key has signed

A server is not trusted with code: only what is signed by a key that you trust is taken from it, for just the input and \
options that it was made of. Your own key is trusted by you. Others are named with `--trust`, in the variable \
AOT_CACHE_TRUST, or in the file `trust` beside your key, one a line.";

/// Make or show the key that signs results for other machines
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Make a key, write it to a file that only you can read, and print its public part
    New {
        /// Where the secret key goes [default: `aot/key` among your settings]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Print the public part of a key
    Show {
        /// Where the secret key is [default: the one that signs]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

pub fn run(args: &Args) -> Result<()> {
    let key = match &args.action {
        Action::New { file } => {
            let path = match file {
                Some(path) => path.clone(),
                None => default_path()?,
            };
            let key =
                SecretKey::generate().map_err(|error| Failure::new(format!("cannot make a key: {error}")))?;
            keys::write(&path, &key)?;
            key
        }
        Action::Show { file: Some(path) } => keys::read(path)?,
        Action::Show { file: None } => keys::signing()
            .ok_or_else(|| Failure::new("there is no key that signs").with_help("`aot key new` makes one"))?,
    };
    output::print(&format!("{}\n", key.public()))
}

fn default_path() -> Result<PathBuf> {
    let directory = keys::directory().ok_or_else(|| {
        Failure::new("there is no place for a key: neither HOME nor XDG_CONFIG_HOME is set")
            .with_help("name a file: `aot key new FILE`")
    })?;
    Ok(directory.join("key"))
}
