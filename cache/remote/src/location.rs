//! Where a remote store is: a URL, and what speaks to the server behind it.

use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use opendal::layers::RetryLayer;
use opendal::services::{Redis, S3, Webdav};
use opendal::{Buffer, HttpTransporter, OperationContext, Operator};
use opendal_http_transport_reqwest::ReqwestTransport;
use std::error::Error as _;
use std::fmt;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use url::Url;

/// How often a request is sent again.
const RETRIES: usize = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A text is no place of a remote store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLocation(String);

impl fmt::Display for BadLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadLocation {}

/// Where a remote store is:
///
/// - `s3://KEY:SECRET@BUCKET/PREFIX?endpoint=URL&region=NAME`; without KEY, the credentials are those that AWS's tools use
/// - `redis://USER:PASSWORD@HOST:PORT/DATABASE?ttl=SECONDS`, `rediss` with TLS, `valkey` and `valkeys` the same
/// - `http://USER:PASSWORD@HOST:PORT/PATH`, `https`: `GET` and `PUT`, as WebDAV servers have them
///
/// It is printed without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    url: Url,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    S3,
    Redis { tls: bool },
    Http,
}

impl FromStr for Location {
    type Err = BadLocation;

    fn from_str(text: &str) -> Result<Location, BadLocation> {
        let bad = |problem: &str| Err(BadLocation(problem.to_owned()));
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(error) => return bad(&format!("it is no URL: {error}")),
        };
        let (kind, known): (_, &[&str]) = match url.scheme() {
            "s3" => (Kind::S3, &["endpoint", "region"]),
            "redis" | "valkey" => (Kind::Redis { tls: false }, &["ttl"]),
            "rediss" | "valkeys" => (Kind::Redis { tls: true }, &["ttl"]),
            "http" | "https" => (Kind::Http, &[]),
            _ => {
                return bad(
                    "it starts with none of s3://, redis://, rediss://, valkey://, valkeys://, http://, https://",
                );
            }
        };
        if url.host_str().is_none_or(str::is_empty) {
            return bad(if kind == Kind::S3 { "it names no bucket" } else { "it names no host" });
        }
        if let Some((name, _)) = url.query_pairs().find(|(name, _)| !known.contains(&&**name)) {
            return bad(&format!("`{name}` means nothing for `{}`", url.scheme()));
        }
        let location = Location { url, kind };
        location.database().and(location.ttl())?;
        Ok(location)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        if url.password().is_some() && url.set_password(Some("…")).is_err() {
            return f.write_str(url.scheme());
        }
        f.write_str(url.as_str())
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

impl Location {
    fn query(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(other, _)| other == name).map(|(_, value)| value.into_owned())
    }

    fn database(&self) -> Result<i64, BadLocation> {
        match (self.kind, self.url.path().trim_matches('/')) {
            (Kind::Redis { .. }, path) if !path.is_empty() => {
                path.parse().map_err(|_| BadLocation(format!("`{path}` is not the number of a database")))
            }
            _ => Ok(0),
        }
    }

    fn ttl(&self) -> Result<Option<Duration>, BadLocation> {
        let Some(ttl) = self.query("ttl") else { return Ok(None) };
        match ttl.parse::<u32>() {
            Ok(seconds) if seconds > 0 => Ok(Some(Duration::from_secs(seconds.into()))),
            _ => Err(BadLocation(format!("ttl={ttl} is not a number of seconds"))),
        }
    }

    /// What speaks to the server. In a runtime; sends no request.
    pub(crate) fn connect(&self, timeout: Duration) -> Result<Backend, String> {
        let password = self.url.password().map(decoded).unwrap_or_default();
        let (user, root) = (decoded(self.url.username()), self.url.path());
        let host = self.url.host_str().unwrap_or_default();
        let operator = match self.kind {
            Kind::Redis { tls } => {
                let port = self.url.port().unwrap_or(6379);
                reachable(host, port, timeout)?;
                let scheme = if tls { "rediss" } else { "tcp" };
                let builder = Redis::default()
                    .endpoint(&format!("{scheme}://{host}:{port}"))
                    .username(&user)
                    .password(&password)
                    .db(self.database().map_err(|error| error.0)?)
                    .root("/aot");
                Operator::new(match self.ttl().map_err(|error| error.0)? {
                    Some(ttl) => builder.default_ttl(ttl),
                    None => builder,
                })
            }
            Kind::S3 => {
                let mut builder = S3::default().bucket(host).root(root);
                if let Some(endpoint) = self.query("endpoint") {
                    builder = builder.endpoint(&endpoint);
                }
                if let Some(region) = self.query("region") {
                    builder = builder.region(&region);
                }
                if !user.is_empty() {
                    builder = builder.access_key_id(&user).secret_access_key(&password).disable_config_load();
                }
                Operator::new(builder)
            }
            Kind::Http => {
                let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
                let builder = Webdav::default()
                    .endpoint(&format!("{}://{host}{port}", self.url.scheme()))
                    .username(&user)
                    .password(&password)
                    .root(root)
                    // Once is enough, and some servers know neither folders nor how to make them.
                    .disable_create_dir(true);
                Operator::new(builder)
            }
        };
        let operator = operator.map_err(|error| reason(&error))?;
        let operator = match self.kind {
            Kind::Redis { .. } => {
                install_tls();
                operator
            }
            Kind::S3 | Kind::Http => {
                let transport = HttpTransporter::new(ReqwestTransport::new(self.client(timeout)?));
                operator.with_context(OperationContext::new().with_http_transport(transport))
            }
        };
        let retry = RetryLayer::new()
            .with_max_times(RETRIES)
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_jitter();
        Ok(Backend { operator: operator.layer(retry), kind: self.kind, folder: Arc::new(OnceCell::new()) })
    }

    fn client(&self, timeout: Duration) -> Result<reqwest::Client, String> {
        install_tls();
        let endpoint = self.query("endpoint").unwrap_or_else(|| self.url.to_string());
        let mut builder = reqwest::Client::builder().connect_timeout(timeout);
        if endpoint.starts_with("http:") {
            // It needs no certificates, which there may be none of.
            builder = builder.tls_certs_only([]);
        }
        builder.build().map_err(|error| deepest(&error))
    }
}

fn install_tls() {
    // Fails if it was done before.
    drop(rustls::crypto::ring::default_provider().install_default());
}

fn decoded(text: &str) -> String {
    // A password with a reserved character is written with escapes in a URL.
    let pairs = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pairs.as_bytes())
        .next()
        .map(|(_, text)| text.into_owned())
        .unwrap_or_default()
}

/// Fails at once where nobody listens: the library would try for seconds.
fn reachable(host: &str, port: u16, timeout: Duration) -> Result<(), String> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses = (host, port).to_socket_addrs().map_err(|error| error.to_string())?;
    let mut problem = format!("`{host}` has no address");
    let found = addresses.any(|address| match TcpStream::connect_timeout(&address, timeout) {
        Ok(_) => true,
        Err(error) => {
            problem = error.to_string();
            false
        }
    });
    if found { Ok(()) } else { Err(problem) }
}

/// What speaks to a server.
#[derive(Clone)]
pub(crate) struct Backend {
    operator: Operator,
    kind: Kind,
    /// Set when the folder of the entries was made.
    folder: Arc<OnceCell<()>>,
}

impl Backend {
    /// Opens a file. Nothing if it is known to have more bytes than `limit`.
    pub async fn open(
        &self,
        path: &str,
        limit: usize,
    ) -> opendal::Result<Option<BoxStream<'static, opendal::Result<Buffer>>>> {
        // There it comes as a whole.
        if matches!(self.kind, Kind::Redis { .. })
            && self.operator.stat(path).await?.content_length() > limit as u64
        {
            return Ok(None);
        }
        let stream = self.operator.reader(path).await?.into_stream(..).await?;
        Ok(Some(Box::pin(stream.into_stream())))
    }

    pub async fn write(&self, path: &str, bytes: Vec<u8>) -> opendal::Result<()> {
        if self.kind == Kind::Http {
            let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
            let made = async {
                // Where it cannot be made and is needed, writing fails.
                drop(self.operator.create_dir(&format!("{folder}/")).await);
            };
            self.folder.get_or_init(|| made).await;
        }
        self.operator.write(path, bytes).await.map(drop)
    }
}

/// What an error of the library says that is of use to a user.
pub(crate) fn reason(error: &opendal::Error) -> String {
    match error.source() {
        Some(source) => deepest(source),
        None => {
            let text = error.to_string();
            // Behind the context of the request.
            let text = text.rsplit_once("} => ").map_or(&*text, |(_, text)| text);
            text.lines().next().unwrap_or_default().chars().take(200).collect()
        }
    }
}

/// The last of the causes of an error.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_urls() {
        for text in [
            "s3://bucket/some/prefix?endpoint=http://127.0.0.1:5000&region=us-east-1",
            "redis://127.0.0.1:6379/3?ttl=86400",
            "valkeys://user:p%40ss@cache.example",
            "https://cache.example/aot",
        ] {
            text.parse::<Location>().unwrap();
        }
        for (text, part) in [
            ("", "no URL"),
            ("cache.example", "no URL"),
            ("ftp://cache.example", "starts with none"),
            ("file:///tmp", "starts with none"),
            ("s3:///prefix", "no bucket"),
            ("s3://bucket?regoin=x", "`regoin` means nothing"),
            ("redis://host/x", "`x` is not the number"),
            ("redis://host?ttl=0", "ttl=0"),
        ] {
            let problem = text.parse::<Location>().unwrap_err().to_string();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn passwords_are_not_printed() {
        let location: Location = "redis://user:s3cret@host".parse().unwrap();
        assert!(!location.to_string().contains("s3cret") && !format!("{location:?}").contains("s3cret"));
        assert_eq!(decoded("p%40s+s%2Bé"), "p@s+s+é");
    }
}
