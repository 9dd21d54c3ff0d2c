//! The check of addresses, before a request and when a connection is opened.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use url::{Host, Url};

use crate::address::AddressClass;
use crate::policy::{Policy, Refusal};

/// Checks where requests lead.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    policy: Policy,
}

impl Guard {
    pub const fn new(policy: Policy) -> Self {
        Self { policy }
    }

    /// Checks a URL as far as it can be told without a name server: its scheme, and its host if that is an IP address.
    ///
    /// Good for refusing a setting early, where it is made. Names are checked when they are resolved to connect.
    pub fn check_url(self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme { scheme: url.scheme().to_owned() });
        }
        match url.host() {
            Some(Host::Ipv4(address)) => self.check_address(&address.to_string(), address.into()),
            Some(Host::Ipv6(address)) => self.check_address(&address.to_string(), address.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    /// Tells whether there is nothing that it refuses.
    pub(crate) fn allows_all(self) -> bool {
        self.policy == Policy::Any
    }

    fn check_address(self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        let class = AddressClass::of(address);
        if self.policy.allows(class) {
            return Ok(());
        }
        Err(Refusal::Address { host: host.to_owned(), class, policy: self.policy })
    }

    /// Refuses a name that has an address which may not be called, among others or alone: who calls it may choose any.
    pub(crate) fn check_all(self, host: &str, mut addresses: Addrs) -> Result<(), Refusal> {
        addresses.try_for_each(|address| self.check_address(host, address.ip()))
    }

    /// Keeps the addresses of a name that may be called; refuses the name if it has none.
    fn check_resolved(self, host: &str, addresses: Addrs) -> Result<Vec<SocketAddr>, Refusal> {
        let mut refusal = None;
        let allowed: Vec<_> = addresses
            .filter(|address| match self.check_address(host, address.ip()) {
                Ok(()) => true,
                Err(refused) => {
                    refusal = Some(refused);
                    false
                }
            })
            .collect();
        match refusal {
            Some(refusal) if allowed.is_empty() => Err(refusal),
            _ => Ok(allowed),
        }
    }
}

/// Resolves names and lets only allowed addresses through. The connector connects to exactly what this returns.
pub(crate) struct GuardedResolver {
    pub(crate) guard: Guard,
    pub(crate) names: Arc<dyn Resolve>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.guard;
        let host = name.as_str().to_owned();
        let resolving = self.names.resolve(name);
        Box::pin(async move {
            let allowed = guard.check_resolved(&host, resolving.await?)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The resolver of the operating system. Each look-up keeps a thread for as long as the name server says nothing, also where nobody
/// waits for it any more, and the database works on threads of the same kind: so many at once, and no more.
pub(crate) struct SystemResolver {
    at_once: Arc<Semaphore>,
}

impl SystemResolver {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { at_once: Arc::new(Semaphore::new(at_once)) }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let at_once = Arc::clone(&self.at_once);
        Box::pin(async move {
            let place = at_once.acquire_owned().await?;
            let looking_up = tokio::task::spawn_blocking(move || {
                // The port is put in by the connector.
                let addresses = (name.as_str(), 0).to_socket_addrs();
                drop(place);
                addresses
            });
            Ok(Box::new(looking_up.await??) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(url: &str) -> Option<AddressClass> {
        match Guard::new(Policy::Public).check_url(&Url::parse(url).unwrap()) {
            Err(Refusal::Address { class, .. }) => Some(class),
            Ok(()) => None,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn an_address_is_seen_however_it_is_written() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
            "127。0。0。1",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "user:secret@127.0.0.1",
        ] {
            assert_eq!(class_of(&format!("http://{host}:8080/v1")), Some(AddressClass::Loopback), "{host}");
        }
        assert_eq!(class_of("http://0xa9fea9fe/latest/meta-data"), Some(AddressClass::LinkLocal));
        assert_eq!(class_of("http://[fe80::1]/"), Some(AddressClass::LinkLocal));
        assert_eq!(class_of("http://0/"), Some(AddressClass::Unspecified));
        assert_eq!(class_of("https://8.8.8.8/"), None);
    }

    #[test]
    fn metadata_services_are_out_of_reach_of_a_local_server_too_however_they_are_written() {
        for host in [
            "169.254.169.254",
            "169.254.43518",
            "2852039166",
            "0xA9FEA9FE",
            "0xa9.0xfe.0xa9.0xfe",
            "0251.0376.0251.0376",
            "025177524776",
            "[::ffff:169.254.169.254]",
            "[::169.254.169.254]",
            "[64:ff9b::169.254.169.254]",
            "[2002:a9fe:a9fe::]",
            "[fe80::a9fe:a9fe]",
            "[fd00:ec2::254]",
            "[fd00:0ec2:0:0:0:0:0:254]",
            "[fd20:ce::254]",
            "100.100.100.200",
            "168.63.129.16",
        ] {
            let url = Url::parse(&format!("http://{host}/latest/meta-data")).unwrap();
            for policy in [Policy::Public, Policy::LocalToo] {
                let refused = Guard::new(policy).check_url(&url);
                assert!(matches!(refused, Err(Refusal::Address { .. })), "{host}");
            }
        }
    }

    #[test]
    fn an_address_with_a_zone_is_no_url() {
        for host in ["[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%25lo]", "[fd00:ec2::254%1]"] {
            assert!(Url::parse(&format!("http://{host}/")).is_err(), "{host}");
        }
    }

    #[test]
    fn a_name_is_left_to_the_moment_it_is_resolved() {
        assert_eq!(class_of("http://localhost/"), None);
        assert_eq!(class_of("https://api.example.com/"), None);
    }

    #[test]
    fn other_schemes_are_refused_under_every_policy() {
        for policy in [Policy::Public, Policy::LocalToo, Policy::Any] {
            let refused = Guard::new(policy).check_url(&Url::parse("file:///etc/passwd").unwrap());
            assert_eq!(refused, Err(Refusal::Scheme { scheme: "file".into() }));
        }
    }

    #[test]
    fn of_a_names_addresses_only_the_allowed_ones_are_used() {
        let addresses = |texts: &[&str]| -> Addrs {
            let parsed: Vec<SocketAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
            Box::new(parsed.into_iter())
        };
        let guard = Guard::new(Policy::Public);
        let mixed = guard.check_resolved("mixed.test", addresses(&["10.0.0.1:0", "8.8.8.8:0", "[::1]:0"]));
        assert_eq!(mixed, Ok(vec!["8.8.8.8:0".parse().unwrap()]));
        let private = guard.check_resolved("private.test", addresses(&["10.0.0.1:0"]));
        assert!(matches!(private, Err(Refusal::Address { class: AddressClass::Private, .. })));
        assert_eq!(guard.check_resolved("nothing.test", addresses(&[])), Ok(Vec::new()));
        for hidden in ["[::ffff:10.0.0.1]:0", "[64:ff9b::7f00:1]:0", "[2002:a9fe:a9fe::1]:0", "[fe80::1%3]:0"]
        {
            assert!(guard.check_resolved("hidden.test", addresses(&[hidden])).is_err(), "{hidden}");
        }
    }
}
