//! The address of a database, as `postgres://…` says it.

use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::DbError;

/// The parameters that an address may have, for whoever has written another.
const PARAMETERS: &str = "sslmode, connect_timeout, application_name, options, target_session_attrs, keepalives, \
                          load_balance_hosts, channel_binding";

/// Whom a connection asks for what, in words for messages. The password is no part of it.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) hosts: String,
    pub(super) user: Option<String>,
    pub(super) database: Option<String>,
}

impl Address {
    pub(super) fn of(config: &Config) -> Self {
        let ports = config.get_ports();
        let port_of = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        let names = config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(folder) => folder.display().to_string(),
        });
        let numbers = config.get_hostaddrs().iter().map(ToString::to_string);
        let hosts: Vec<_> = if config.get_hosts().is_empty() { numbers.collect() } else { names.collect() };
        let hosts = hosts.iter().enumerate().map(|(index, host)| match host.contains(':') {
            true => format!("[{host}]:{}", port_of(index)),
            false => format!("{host}:{}", port_of(index)),
        });
        Self {
            hosts: hosts.collect::<Vec<_>>().join(" or "),
            user: config.get_user().map(ToOwned::to_owned),
            database: config.get_dbname().or(config.get_user()).map(ToOwned::to_owned),
        }
    }
}

/// Reads an address. What is wrong with one is said without a word of it: any part of it can be one of the password.
pub(super) fn parse(url: &str, wait: Duration) -> Result<Config, DbError> {
    let malformed = |what: &str| {
        Err(DbError::Unavailable(format!(
            "the database URL is malformed: {what}; write postgres://user:password@host/name"
        )))
    };
    // The certificate is checked whenever there is encryption, so the stricter modes ask for nothing more.
    let strict =
        url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require");
    let mut config: Config = match strict.parse() {
        Ok(config) => config,
        Err(error) => return malformed(&unreadable(&error)),
    };
    // The host begins behind the first of them. What belongs to a password must not be taken for a host, nor shown as one.
    let before_parameters = url.split('?').next().unwrap_or_default();
    let is_cut = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
    if before_parameters.matches('@').count() > 1 || config.get_hosts().iter().any(is_cut) {
        return malformed(
            "it has more than one `@`; one that belongs to the user or the password is written %40",
        );
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return malformed("it names no host");
    }
    if config.get_application_name().is_none() {
        config.application_name("ingram");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(wait);
    }
    Ok(config)
}

/// Says what of an address cannot be read. Names of parameters that are none can be a piece of a password.
fn unreadable(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    if cause.starts_with("unknown option") {
        return format!(
            "it has a parameter that is not known (`?` and `&` in a password are written %3F and %26), known are \
             {PARAMETERS}"
        );
    }
    match cause.strip_prefix("invalid value for option ") {
        Some("`sslmode`") => "its `sslmode` is none of disable, require, verify-ca, verify-full".to_owned(),
        Some("`port`") => {
            "its port is no number from 1 to 65535 (`:` and `/` in a password are written %3A and %2F)"
                .to_owned()
        }
        Some(option) => format!("its {option} is not usable"),
        None => "it cannot be read (a `%` that stands for itself is written %25)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Config, String> {
        parse(url, Duration::from_secs(5)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_asked_for_is_named_without_the_password() {
        let address = |url: &str| Address::of(&read(url).unwrap());
        let one = address("postgres://me:hush@db.example/data?sslmode=verify-full");
        assert_eq!((one.hosts.as_str(), one.user.as_deref()), ("db.example:5432", Some("me")));
        assert_eq!(one.database.as_deref(), Some("data"));
        assert_eq!(address("postgres://me@[::1]:7,other").hosts, "[::1]:7 or other:5432");
        assert_eq!(address("postgres://me@%2Frun%2Fpg").hosts, "/run/pg:5432");
        assert!(!format!("{one:?}").contains("hush"));
    }

    #[test]
    fn an_address_that_cannot_be_read_says_why_and_shows_nothing_of_it() {
        for (url, why) in [
            ("postgres://me:hu@sh@host/name", "more than one `@`"),
            ("postgres://me:hu@sh/x@host/name", "more than one `@`"),
            ("postgres://me:hu?sh@sh@host/name", "more than one `@`"),
            ("postgres://me:hush/x", "its port is no number"),
            ("postgres://me:pw@host/name?hush=1", "a parameter that is not known"),
            ("postgres://me:pw@host/name?sslmode=hush", "its `sslmode` is none of"),
            ("postgres://me:pw@host/name?connect_timeout=hush", "its `connect_timeout` is not usable"),
            ("postgres://me%ffhush:pw@host/name", "it cannot be read"),
            ("postgres:///hush", "it names no host"),
        ] {
            let told = read(url).unwrap_err();
            assert!(told.contains(why), "{url}: {told}");
            assert!(told.contains("write postgres://user:password@host/name"), "{url}: {told}");
            assert!(
                !told.contains("hush") && !told.contains("sh/x") && !told.contains("sh@"),
                "{url}: {told}"
            );
        }
    }
}
