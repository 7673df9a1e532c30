//! The cache on a server: where it is, whom to trust, who signs. All of it is optional, and none of it fails a build.

#[cfg(feature = "remote-cache")]
pub use with::{Server, ServerArgs};
#[cfg(not(feature = "remote-cache"))]
pub use without::{Server, ServerArgs};

/// The variable that says where the server is.
const URL: &str = "AOT_CACHE_REMOTE";

#[cfg(feature = "remote-cache")]
mod with {
    use super::URL;
    use crate::{keys, report};
    use aot_cache::Key;
    use aot_cache_remote::{Location, Options, PublicKey, Remote};
    use std::env;
    use std::str::FromStr;
    use std::time::Duration;

    const READ_ONLY: &str = "AOT_CACHE_READ_ONLY";
    const TIMEOUT: &str = "AOT_CACHE_TIMEOUT";
    const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
    /// A larger value is no result of this program.
    const MAX_VALUE: usize = 256 << 20;

    /// Flags of commands that use the server.
    #[derive(clap::Args, Clone, Debug, Default)]
    pub struct ServerArgs {
        /// Share results with other machines: `s3://BUCKET/PREFIX`, `redis://HOST`, `https://HOST/PATH` [default:
        /// AOT_CACHE_REMOTE]
        #[arg(long, value_name = "URL", help_heading = "Cache", value_parser = parsed::<Location>)]
        cache_remote: Option<Location>,

        /// Take results from the server, and send it none
        #[arg(long, help_heading = "Cache")]
        cache_read_only: bool,

        /// Trust results on the server that this key has signed (`aot key`); can be given several times
        #[arg(long, value_name = "KEY", help_heading = "Cache", value_parser = parsed::<PublicKey>)]
        trust: Vec<PublicKey>,
    }

    fn parsed<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
        text.parse().map_err(|error: T::Err| error.to_string())
    }

    /// The server, for one command.
    pub struct Server {
        remote: Remote,
        name: String,
    }

    impl Server {
        /// Nothing is sent yet. Warns of settings that make no sense.
        pub fn open(args: &ServerArgs) -> Option<Server> {
            let location = args.cache_remote.clone().or_else(|| variable(URL))?;
            let name = location.to_string();
            let sign = keys::signing();
            let trust: Vec<_> = args.trust.iter().copied().chain(keys::trusted()).collect();
            let read_only =
                args.cache_read_only || env::var(READ_ONLY).is_ok_and(|text| text != "0" && !text.is_empty());
            let timeout: Option<u32> = variable(TIMEOUT);
            let timeout =
                timeout.map_or(DEFAULT_TIMEOUT, |seconds| Duration::from_secs(seconds.max(1).into()));
            let remote =
                Remote::new(Options { location, sign, trust, read_only, timeout, max_value: MAX_VALUE });
            if !remote.reads() {
                report::warn(&format!(
                    "the cache at {name} is not used: no key is trusted to sign what is there; `aot key --help` says more"
                ));
                return None;
            }
            Some(Server { remote, name })
        }

        pub fn get(&self, key: &Key) -> Option<Vec<u8>> {
            self.remote.get(key)
        }

        /// Begins to read what will be asked for.
        pub fn announce(&self, keys: &[Key]) {
            self.remote.announce(keys);
        }

        pub fn put(&self, key: &Key, value: &[u8]) {
            self.remote.put(key, value);
        }

        /// Waits for what is being sent. Returns how it went, and what the user should know.
        pub fn finish(&self, patience: Duration) -> (String, Option<String>) {
            let report = self.remote.finish(patience);
            let summary = format!(
                "server {}: {} found, {} missing, {} sent, {} not sent",
                self.name, report.hits, report.misses, report.stored, report.unsent
            );
            let mut warnings = Vec::new();
            if report.bad_entries > 0 {
                warnings.push(format!(
                    "{} of its entries are not what a trusted key has signed, and were not used",
                    report.bad_entries
                ));
            }
            if let Some(problem) = report.problem {
                let then = if report.is_off { "; it was left alone after that" } else { "" };
                warnings
                    .push(format!("{} requests failed, the last one with: {problem}{then}", report.failures));
            }
            let warning = format!("the cache at {}: {}", self.name, warnings.join("; "));
            (summary, (!warnings.is_empty()).then_some(warning))
        }
    }

    /// A variable that is set; one that makes no sense is none.
    fn variable<T: FromStr<Err: ToString>>(name: &str) -> Option<T> {
        let text = env::var(name).ok().filter(|text| !text.is_empty())?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                // Without its value, which may have a password.
                report::warn(&format!("the variable {name} is ignored: {}", error.to_string()));
                None
            }
        }
    }
}

#[cfg(not(feature = "remote-cache"))]
mod without {
    use super::URL;
    use crate::report;
    use aot_cache::Key;
    use std::time::Duration;

    #[derive(clap::Args, Clone, Debug, Default)]
    pub struct ServerArgs {}

    /// There is none.
    pub enum Server {}

    impl Server {
        pub fn open(_: &ServerArgs) -> Option<Server> {
            if std::env::var_os(URL).is_some() {
                report::warn(&format!(
                    "the variable {URL} is ignored: this aot was built without caches on servers"
                ));
            }
            None
        }

        pub fn get(&self, _: &Key) -> Option<Vec<u8>> {
            match *self {}
        }

        pub fn announce(&self, _: &[Key]) {
            match *self {}
        }

        pub fn put(&self, _: &Key, _: &[u8]) {
            match *self {}
        }

        pub fn finish(&self, _: Duration) -> (String, Option<String>) {
            match *self {}
        }
    }
}
