//! Where the server listens, as it is set.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::lookup_host;

/// How long a look-up of a name may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest name that a host can have.
const LONGEST: usize = 253;

/// An address, or a name whose addresses are looked up when they are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Address(SocketAddr),
    Name { host: String, port: u16 },
}

impl Listen {
    /// Returns the addresses that are meant, in the order in which they are to be tried; there is one at least.
    pub(crate) async fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let (host, port) = match self {
            Self::Address(address) => return Ok(vec![*address]),
            Self::Name { host, port } => (host, *port),
        };
        let looked_up = tokio::time::timeout(PATIENCE, lookup_host((host.as_str(), port))).await;
        let looked_up = looked_up.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let addresses = looked_up.and_then(|addresses| {
            let addresses: Vec<_> = addresses.collect();
            if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
        });
        addresses.with_context(|| {
            format!(
                "there is no address for the host `{host}`; check the name, or give an address of this machine, such as \
                 127.0.0.1:{port}"
            )
        })
    }
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            "expected an address or the name of a host, and a port, such as 127.0.0.1:8080 or my-host:8080";
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let (host, port) = text.rsplit_once(':').filter(|(host, _)| is_name(host)).ok_or(wrong)?;
        // A number may begin with a plus, a port may not.
        let port = port.parse().ok().filter(|_| !port.starts_with('+')).ok_or(wrong)?;
        // The one name whose address is known without asking. What the system says could be IPv6 only.
        if host.eq_ignore_ascii_case("localhost") {
            return Ok(Self::Address(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
        }
        Ok(Self::Name { host: host.to_owned(), port })
    }
}

/// Tells whether a text can be the name of a host. One whose last part is a number is a misspelt address, which some
/// systems would take for another one.
fn is_name(text: &str) -> bool {
    let parts = || text.strip_suffix('.').unwrap_or(text).split('.');
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let is_number = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_digit()) || part.starts_with("0x") || part.starts_with("0X")
    };
    text.len() <= LONGEST && parts().all(is_part) && !parts().next_back().is_some_and(is_number)
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Name { host, port } => write!(formatter, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: &str, port: u16) -> Listen {
        Listen::Name { host: host.to_owned(), port }
    }

    #[test]
    fn an_address_or_a_name_has_a_port() {
        let check = |text: &str, expected: Listen| assert_eq!(text.parse(), Ok(expected), "{text}");
        let address = |text: &str| Listen::Address(text.parse().unwrap());
        check("127.0.0.1:8080", address("127.0.0.1:8080"));
        check("0.0.0.0:0", address("0.0.0.0:0"));
        check("[::1]:8080", address("[::1]:8080"));
        check("localhost:8080", address("127.0.0.1:8080"));
        check("LocalHost:8080", address("127.0.0.1:8080"));
        check("my-host:8080", name("my-host", 8080));
        check("4.host.example.:65535", name("4.host.example.", 65535));
        check("my_host:1", name("my_host", 1));
        let longest = format!("{}com", "abcd.".repeat(50));
        assert_eq!(longest.len(), LONGEST);
        check(&format!("{longest}:1"), name(&longest, 1));
        for text in [
            "",
            "x",
            ":8080",
            "8080",
            "host:",
            "host:x",
            "host:+1",
            "host:-1",
            "host:65536",
            "host:1:2",
            "::1:8080",
            "[::1]",
            "[host]:1",
            "*:8080",
            "127.1:8080",
            "0x7f000001:80",
            "127.0.0.0X1:80",
            "300.0.0.1:80",
            "1:2",
            "a..b:1",
            ".:1",
            "a b:1",
            "h\u{f6}st:1",
            "http://host:1",
            "user@host:1",
            &format!("a{longest}:1"),
        ] {
            let parsed = text.parse::<Listen>();
            assert!(
                parsed.is_err_and(|wrong| wrong.starts_with("expected an address or the name")),
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn a_name_stands_for_its_addresses() {
        let addresses = name("localhost", 7).addresses().await.unwrap();
        assert!(!addresses.is_empty());
        assert!(
            addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 7),
            "{addresses:?}"
        );
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_an_error_that_says_what_to_do() {
        let error = name("nowhere.invalid", 7).addresses().await.unwrap_err().to_string();
        assert!(
            error.contains("there is no address for the host `nowhere.invalid`; check the name"),
            "{error}"
        );
        assert!(error.contains("such as 127.0.0.1:7"), "{error}");
    }
}
