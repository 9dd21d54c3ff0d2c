//! What `ingram serve` says to do next, so that it works as it is in another terminal in the same folder.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::Config;

/// Returns an address at which this machine reaches the server: "all addresses" is where one listens, and not where one calls.
pub(super) fn url(address: SocketAddr) -> String {
    let mut address = address;
    match address {
        SocketAddr::V4(all) if all.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(all) if all.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}")
}

/// Writes the command that mints a token for this server. What is secret is not repeated: it has to be set where the command is
/// typed. What `ingram.toml` says, the command reads for itself.
pub(super) fn step(program: &str, config: &Config) -> String {
    let Config { settings, places, file, .. } = config;
    let mut command = format!("{} token create --admin", quoted(program));
    let mut secrets = Vec::new();
    if let Some(file) = file {
        command.push_str(&format!(" --config {}", quoted(&file.display().to_string())));
    }
    if settings.uses_data() {
        command.push_str(&format!(" --data {}", quoted(&settings.data.display().to_string())));
    }
    if let Some(url) = &settings.database_url
        && !places.is_in_file("database_url")
    {
        match url.expose() {
            url if holds_password(url) => secrets.push("INGRAM_DATABASE_URL"),
            url => command.push_str(&format!(" --database-url {}", quoted(url))),
        }
    }
    if settings.master_key.is_some() && !places.is_in_file("master_key") {
        secrets.push("INGRAM_MASTER_KEY");
    }
    if let Some(path) = &settings.master_key_file
        && !places.is_in_file("master_key_file")
    {
        command = format!("INGRAM_MASTER_KEY_FILE={} {command}", quoted(&path.display().to_string()));
    }
    let condition = match secrets.as_slice() {
        [] => String::new(),
        [one] => format!(", where {one} is set as for this server"),
        more => format!(", where {} are set as for this server", more.join(" and ")),
    };
    format!("Next{condition}: export IC_TOKEN=$({command})")
}

/// Tells whether an address of a database may hold a password. One that cannot be told apart does.
fn holds_password(url: &str) -> bool {
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let has_one = behind_scheme.rsplit_once('@').is_some_and(|(before, _)| before.contains(':'));
    has_one || url.contains("password")
}

/// Writes a word so that a shell takes it as it is.
fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_./:@%+,=-".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Overrides};

    #[test]
    fn all_addresses_are_called_at_one_of_them() {
        let check = |address: &str, expected: &str| assert_eq!(url(address.parse().unwrap()), expected);
        check("0.0.0.0:8080", "http://127.0.0.1:8080");
        check("[::]:8080", "http://[::1]:8080");
        check("10.0.0.5:1", "http://10.0.0.5:1");
    }

    #[test]
    fn what_is_secret_is_asked_for_and_what_is_not_is_repeated() {
        let check = |variables: &[(&str, &str)], flag: Option<&str>, expected: &str| {
            let environment: Environment = variables.iter().copied().collect();
            let overrides = Overrides { database_url: flag.map(ToOwned::to_owned), ..Overrides::default() };
            let told = step("ingram", &Config::load(&environment, &overrides).unwrap());
            assert_eq!(told, expected);
            assert!(!told.contains("hush"), "{told}");
        };
        let create = "ingram token create --admin";
        check(&[], None, &format!("Next: export IC_TOKEN=$({create} --data data)"));
        let peer = "postgres://me@host/name";
        let told = format!("Next: export IC_TOKEN=$({create} --data data --database-url {peer})");
        check(&[("INGRAM_DATABASE_URL", peer)], None, &told);
        let told = format!(
            "Next, where INGRAM_DATABASE_URL is set as for this server: export IC_TOKEN=$({create} --data data)"
        );
        check(&[], Some("postgres://me:hush@host/name"), &told);
        check(&[], Some("postgres://host/name?user=me&password=hush"), &told);
        let told = format!(
            "Next, where INGRAM_DATABASE_URL and INGRAM_MASTER_KEY are set as for this server: export \
             IC_TOKEN=$({create})"
        );
        check(
            &[("INGRAM_DATABASE_URL", "postgres://me:hush@h/n"), ("INGRAM_MASTER_KEY", "hush")],
            None,
            &told,
        );
        let told = format!(
            "Next: export IC_TOKEN=$(INGRAM_MASTER_KEY_FILE=/etc/key {create} --database-url {peer})"
        );
        check(&[("INGRAM_DATABASE_URL", peer), ("INGRAM_MASTER_KEY_FILE", "/etc/key")], None, &told);
    }

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(quoted("/var/lib/in-gram_1"), "/var/lib/in-gram_1");
        assert_eq!(quoted("my data"), "'my data'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("$(x)"), "'$(x)'");
    }
}
