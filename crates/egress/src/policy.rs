//! Which addresses may be called, and the words for those that may not.

use std::net::SocketAddr;
use std::str::FromStr;

use crate::address::AddressClass;

/// Which addresses a client may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Public addresses only: for what tenants give to a server that others can reach.
    Public,
    /// Public, loopback and private addresses: for what is given to a server that only this machine can reach, so that
    /// local model servers just work.
    LocalToo,
    /// Every address: for what the operator gives, or where the operator allowed everything.
    Any,
}

/// What the operator set for addresses that tenants give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setting {
    /// Decide by who can reach the server.
    #[default]
    Auto,
    /// Allow public addresses only, for a server that others reach through a proxy on the same machine.
    Public,
    /// Allow every address.
    Any,
}

/// The text is no setting of `egress`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`egress` must be \"auto\" (decide by the address that the server listens on), \"public\" (tenants may name public \
     addresses) or \"any\" (tenants may name every address)."
)]
pub struct UnknownSetting;

impl FromStr for Setting {
    type Err = UnknownSetting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "public" => Ok(Self::Public),
            "any" => Ok(Self::Any),
            _ => Err(UnknownSetting),
        }
    }
}

impl Policy {
    /// Returns the policy for addresses that tenants give to a server that listens on `listen`.
    pub fn for_tenants(setting: Setting, listen: SocketAddr) -> Self {
        match setting {
            Setting::Any => Self::Any,
            Setting::Public => Self::Public,
            Setting::Auto if AddressClass::of(listen.ip()) == AddressClass::Loopback => Self::LocalToo,
            Setting::Auto => Self::Public,
        }
    }

    /// Tells whether addresses of the class may be called.
    pub const fn allows(self, class: AddressClass) -> bool {
        match self {
            Self::Any => true,
            Self::LocalToo => {
                matches!(class, AddressClass::Public | AddressClass::Loopback | AddressClass::Private)
            }
            Self::Public => matches!(class, AddressClass::Public),
        }
    }
}

/// Why an address is not called. The text is for the caller of the API: it names the host as the caller gave it, never
/// the address that it resolved to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "The host `{host}` leads to {class}, which this server does not call. Use a host with {}, or ask the operator \
         of the server to set `egress = \"any\"`.",
        allowed(*policy)
    )]
    Address { host: String, class: AddressClass, policy: Policy },
    #[error("Only `http:` and `https:` addresses are called, not `{scheme}:`.")]
    Scheme { scheme: String },
}

const fn allowed(policy: Policy) -> &'static str {
    match policy {
        Policy::LocalToo => "a public, private or loopback address",
        Policy::Public | Policy::Any => "a public address",
    }
}

impl Refusal {
    /// Finds the refusal that made a request fail, if it was one.
    pub fn behind(error: &reqwest::Error) -> Option<&Self> {
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            if let Some(refusal) = error.downcast_ref() {
                return Some(refusal);
            }
            cause = error.source();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_for_tenants_follows_who_can_reach_the_server() {
        let check = |setting, listen: &str, expected| {
            assert_eq!(Policy::for_tenants(setting, listen.parse().unwrap()), expected, "{listen}");
        };
        check(Setting::Auto, "127.0.0.1:8080", Policy::LocalToo);
        check(Setting::Auto, "[::1]:8080", Policy::LocalToo);
        check(Setting::Auto, "0.0.0.0:8080", Policy::Public);
        check(Setting::Auto, "[::]:8080", Policy::Public);
        check(Setting::Auto, "192.168.1.2:8080", Policy::Public);
        check(Setting::Any, "0.0.0.0:8080", Policy::Any);
        check(Setting::Public, "127.0.0.1:8080", Policy::Public);
    }

    #[test]
    fn a_local_server_still_does_not_call_metadata_services() {
        for class in [AddressClass::LinkLocal, AddressClass::Metadata, AddressClass::Unspecified] {
            assert!(!Policy::LocalToo.allows(class), "{class}");
        }
        assert!(
            Policy::LocalToo.allows(AddressClass::Loopback) && Policy::LocalToo.allows(AddressClass::Private)
        );
        assert!(
            !Policy::Public.allows(AddressClass::Loopback) && !Policy::Public.allows(AddressClass::Private)
        );
    }

    #[test]
    fn a_refusal_says_what_was_refused_and_what_to_do() {
        let refusal = Refusal::Address {
            host: "ollama.internal".into(),
            class: AddressClass::Private,
            policy: Policy::Public,
        };
        assert_eq!(
            refusal.to_string(),
            "The host `ollama.internal` leads to a private address, which this server does not call. Use a host with a \
             public address, or ask the operator of the server to set `egress = \"any\"`."
        );
    }

    #[test]
    fn only_known_settings_are_read() {
        assert_eq!("auto".parse(), Ok(Setting::Auto));
        assert_eq!("public".parse(), Ok(Setting::Public));
        assert_eq!("any".parse(), Ok(Setting::Any));
        assert_eq!("ANY".parse::<Setting>(), Err(UnknownSetting));
    }
}
