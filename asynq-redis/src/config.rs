//! What may be said about the connection: the URL and the options of [`RedisBrokerBuilder`](crate::RedisBrokerBuilder).

use std::time::Duration;

use asynq_core::BrokerError;
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

/// How to talk to the server.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) retry_for: Duration,
    pub(crate) allow_eviction: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(3),
            retry_for: Duration::from_secs(5),
            allow_eviction: false,
        }
    }
}

/// The clients for a server: one for commands, one for messages that the server sends by itself.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) commands: Client,
    pub(crate) pushes: Client,
}

impl Clients {
    /// For a URL. Its password is in no error.
    pub(crate) fn open(url: &str) -> Result<Self, BrokerError> {
        Self::of(parse_url(url)?)
    }

    /// For the server that a client was made for.
    pub(crate) fn from_client(client: &Client) -> Result<Self, BrokerError> {
        Self::of(client.get_connection_info().clone())
    }

    fn of(info: ConnectionInfo) -> Result<Self, BrokerError> {
        // Without it the kernel waits for more to send, and each call takes 40 ms. Off by default in redis-rs 1.
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let with = |protocol| {
            let settings = info.redis_settings().clone().set_protocol(protocol);
            Client::open(info.clone().set_redis_settings(settings))
                .map_err(|error| BrokerError::Config(format!("cannot connect with these settings: {error}")))
        };
        Ok(Clients {
            commands: with(ProtocolVersion::RESP2)?,
            pushes: with(ProtocolVersion::RESP3)?,
        })
    }
}

/// Reads a Redis URL.
fn parse_url(url: &str) -> Result<ConnectionInfo, BrokerError> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(config("a Redis URL begins with redis:// or unix://".to_owned()));
    };
    let url = match scheme {
        "redis" | "valkey" | "redis+unix" | "valkey+unix" | "unix" => url.to_owned(),
        "redis-socket" => socket_url(rest),
        "rediss" | "valkeys" => return Err(config(format!("{scheme}:// needs TLS, which is not built in"))),
        "redis-sentinel" => return Err(config("redis-sentinel:// is not supported yet".to_owned())),
        other => {
            return Err(config(format!(
                "{other}:// is not a scheme of a Redis URL; expected redis://, unix:// or redis-socket://"
            )));
        }
    };
    // The library's error may show the URL, and with it the password.
    url.into_connection_info().map_err(|_| {
        config(format!(
            "not a Redis URL: expected {scheme}://[[user]:password@]address[/database]"
        ))
    })
}

/// `redis-socket://[:password@]/path[?db=n]`, as in Go asynq, in the form that redis-rs knows.
fn socket_url(rest: &str) -> String {
    let (credentials, path) = rest.split_once('@').unwrap_or(("", rest));
    let password = credentials
        .rsplit_once(':')
        .map_or(credentials, |(_, password)| password);
    if password.is_empty() {
        return format!("unix://{path}");
    }
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("unix://{path}{separator}pass={password}")
}

fn config(text: String) -> BrokerError {
    BrokerError::Config(text)
}

#[cfg(test)]
mod tests {
    use redis::ConnectionAddr;

    use super::*;

    #[test]
    fn urls_of_all_supported_forms_are_read() {
        let info = parse_url("redis://user:secret@example.org:6390/7").unwrap();
        assert_eq!(*info.addr(), ConnectionAddr::Tcp("example.org".into(), 6390));
        assert_eq!(info.redis_settings().db(), 7);
        assert_eq!(info.redis_settings().username(), Some("user"));
        assert_eq!(info.redis_settings().password(), Some("secret"));

        for url in [
            "unix:///tmp/r.sock?db=3&pass=secret",
            "redis-socket://:secret@/tmp/r.sock?db=3",
        ] {
            let info = parse_url(url).unwrap();
            assert_eq!(*info.addr(), ConnectionAddr::Unix("/tmp/r.sock".into()), "{url}");
            assert_eq!(info.redis_settings().db(), 3, "{url}");
            assert_eq!(info.redis_settings().password(), Some("secret"), "{url}");
        }
    }

    #[test]
    fn what_is_not_supported_says_so_without_the_password() {
        for (url, expected) in [
            ("rediss://:secret@h", "TLS"),
            ("redis-sentinel://:secret@h:1", "not supported yet"),
            ("http://:secret@h", "http:// is not a scheme"),
            ("redis://:secret@h:port", "not a Redis URL"),
            ("localhost:6379", "begins with redis://"),
        ] {
            let error = parse_url(url).unwrap_err().to_string();
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }
}
