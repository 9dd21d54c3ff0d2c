use std::path::Path;

use super::*;

fn load(variables: &[(&str, &str)], overrides: &Overrides) -> Result<Settings, String> {
    let environment: Environment = variables.iter().copied().collect();
    Config::load(&environment, overrides).map(|config| config.settings).map_err(|error| error.to_string())
}

/// Writes a configuration file and names it on the command line.
fn file(folder: &Path, text: &str) -> Overrides {
    let path = folder.join("ingram.toml");
    std::fs::write(&path, text).unwrap();
    Overrides { config: Some(path), ..Overrides::default() }
}

fn fault(text: &str, variables: &[(&str, &str)], overrides: Overrides) -> String {
    let folder = tempfile::tempdir().unwrap();
    let overrides = Overrides { config: file(folder.path(), text).config, ..overrides };
    load(variables, &overrides).unwrap_err().replace(&folder.path().display().to_string(), "DIR")
}

#[test]
fn what_nobody_sets_has_its_default() {
    assert_eq!(load(&[], &Overrides::default()), Ok(Settings::default()));
    assert_eq!(
        load(&[("INGRAM_LISTEN", ""), ("PATH", "/bin")], &Overrides::default()),
        Ok(Settings::default())
    );
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let in_file = file(folder.path(), "data = \"a\"\nlisten = \"127.0.0.1:1\"\n[http]\nmax_requests = 7\n");
    let variables = [("INGRAM_LISTEN", "127.0.0.1:2"), ("INGRAM_HTTP_MAX_REQUESTS", "8")];
    let settings = load(&[], &in_file).unwrap();
    assert_eq!((settings.listen.to_string().as_str(), settings.http.max_requests), ("127.0.0.1:1", 7));
    let settings = load(&variables, &in_file).unwrap();
    assert_eq!((settings.listen.to_string().as_str(), settings.http.max_requests), ("127.0.0.1:2", 8));
    let settings = load(&variables, &Overrides { listen: Some("my-host:3".into()), ..in_file }).unwrap();
    assert_eq!((settings.listen.to_string().as_str(), settings.data.to_str()), ("my-host:3", Some("a")));
}

#[test]
fn a_text_that_looks_like_a_number_stays_a_text() {
    let settings =
        load(&[("IC_METRICS_TOKEN", "0123"), ("INGRAM_DATA", "42")], &Overrides::default()).unwrap();
    assert_eq!(settings.metrics_token.unwrap().expose(), "0123");
    assert_eq!(settings.data, Path::new("42"));
}

#[test]
fn a_wrong_value_names_where_it_came_from() {
    let head = "the configuration is not usable\n  ";
    let check = |fault: String, expected: &str| assert_eq!(fault, format!("{head}{expected}"));
    let address =
        "expected an address or the name of a host, and a port, such as 127.0.0.1:8080 or my-host:8080";
    check(
        fault("listen = \"x\"", &[], Overrides::default()),
        &format!("DIR/ingram.toml: `listen`: {address}"),
    );
    check(fault("", &[("INGRAM_LISTEN", "x")], Overrides::default()), &format!("INGRAM_LISTEN: {address}"));
    let flag = Overrides { listen: Some("x".into()), ..Overrides::default() };
    check(fault("", &[], flag), &format!("--listen: {address}"));
    check(
        fault("[http]\nmax_requests = \"many\"", &[], Overrides::default()),
        "DIR/ingram.toml: `http.max_requests`: expected a whole number, 0 or more, found a text",
    );
    check(
        fault("", &[("INGRAM_HTTP_MAX_REQUESTS", "many")], Overrides::default()),
        "INGRAM_HTTP_MAX_REQUESTS: expected a whole number, 0 or more, found a text",
    );
    check(
        fault("", &[("OPENAI_API_KEY", "sk"), ("OPENAI_BASE_URL", "host")], Overrides::default()),
        "OPENAI_BASE_URL: expected an address such as https://host/v1",
    );
}

#[test]
fn a_value_that_is_out_of_bounds_names_where_it_came_from() {
    let check = |text: &str, variables: &[(&str, &str)], expected: &[&str]| {
        let told = fault(text, variables, Overrides::default());
        let expected: String = expected.iter().map(|fault| format!("\n  {fault}")).collect();
        assert_eq!(told, format!("the configuration is not usable{expected}"));
    };
    let many = "expected a number from 1 to 1000000000";
    let bytes = "expected a number from 1 to 1099511627776";
    check("", &[("INGRAM_HTTP_MAX_REQUESTS", "0")], &[&format!("INGRAM_HTTP_MAX_REQUESTS: {many}")]);
    check(
        "[http]\nmax_exports = 0\nmax_requests = 0\n[tools]\nfetch_max_bytes = 0",
        &[("INGRAM_HTTP_MAX_EXPORTS", "8")],
        &[
            &format!("DIR/ingram.toml: `http.max_requests`: {many}"),
            &format!("DIR/ingram.toml: `tools.fetch_max_bytes`: {bytes}"),
        ],
    );
    let postgres = "expected an address that begins with postgres://";
    check("database_url = \"mysql://host\"", &[], &[&format!("DIR/ingram.toml: `database_url`: {postgres}")]);
    check("", &[("INGRAM_DATABASE_URL", "host")], &[&format!("INGRAM_DATABASE_URL: {postgres}")]);
    let search = "expected an address such as https://host";
    check(
        "[tools.search]\nbase_url = \"host\"",
        &[],
        &[&format!("DIR/ingram.toml: `tools.search.base_url`: {search}")],
    );
    check(
        "",
        &[("INGRAM_TOOLS_SEARCH_BASE_URL", "host")],
        &[&format!("INGRAM_TOOLS_SEARCH_BASE_URL: {search}")],
    );
    let path = "expected a path, found nothing";
    check(
        "data = \"\"\nscripts = \"\"\nmaster_key_file = \"\"",
        &[("INGRAM_SCRIPTS", "")],
        &["data", "master_key_file", "scripts"]
            .map(|name| format!("DIR/ingram.toml: `{name}`: {path}"))
            .each_ref()
            .map(String::as_str),
    );
    let log = "expected a level such as info, or directives such as info,engine=debug";
    check("log = \"a=b=c\"", &[], &[&format!("DIR/ingram.toml: `log`: {log}")]);
    check("", &[("INGRAM_LOG", "a=b=c")], &[&format!("INGRAM_LOG: {log}")]);
}

/// The settings that are numbers, with a number in the place of the default.
fn numbers(value: &str) -> Vec<(String, String)> {
    let numbers = documented().into_iter().filter(|(.., default)| default.parse::<f64>().is_ok());
    let assigned = numbers.map(|(name, ..)| {
        let text = format!("{name} = {value}");
        (name, text)
    });
    assigned.collect()
}

#[test]
fn no_number_is_taken_that_is_larger_than_any_server_needs() {
    for (name, text) in numbers("9223372036854775807").into_iter().chain(numbers("-1")) {
        let told = fault(&text, &[], Overrides::default());
        let start = format!("the configuration is not usable\n  DIR/ingram.toml: `{name}`: expected a ");
        assert!(told.starts_with(&start), "{text}: {told}");
        assert!(!told.contains("usize") && !told.contains(" u32") && !told.contains("u64"), "{told}");
    }
}

#[test]
fn nought_is_taken_only_where_it_means_something() {
    let folder = tempfile::tempdir().unwrap();
    let mut taken = Vec::new();
    for (name, text) in numbers("0") {
        match load(&[], &file(folder.path(), &text)) {
            Ok(_) => taken.push(name),
            Err(told) => assert!(told.contains(&format!("`{name}`: expected a number ")), "{told}"),
        }
    }
    assert_eq!(
        taken,
        [
            "http.max_embedding_bytes",
            "http.max_ui_template_bytes",
            "http.requests_per_minute",
            "http.signature_cache_seconds",
            "server.close_ms",
            "database.cache_bytes",
            "database.statement_timeout_ms",
            "engine.max_running_per_project",
            "engine.max_unstored",
            "engine.max_waiting_per_thread",
            "engine.max_tools",
            "engine.max_tools_bytes",
            "engine.context_tokens",
            "engine.context_turns",
            "engine.max_attachment_bytes",
            "engine.max_schema_bytes",
            "engine.drain_ms",
            "models.backoff_base",
            "models.backoff_max",
            "models.reattach",
            "tools.webhook_backoff",
            "mcp.session_idle",
        ]
    );
}

#[test]
fn a_flag_that_is_out_of_bounds_is_named_and_not_what_it_replaced() {
    let flag = Overrides { database_url: Some("mysql://host".into()), ..Overrides::default() };
    let told = fault("database_url = \"a\"", &[("INGRAM_DATABASE_URL", "b")], flag);
    let expected = "\n  --database-url: expected an address that begins with postgres://";
    assert!(told.ends_with(expected) && told.lines().count() == 2, "{told}");
}

#[test]
fn two_settings_that_exclude_each_other_are_both_named_with_their_places() {
    let check = |text: &str, variables: &[(&str, &str)], expected: &str| {
        let told = fault(text, variables, Overrides::default());
        assert_eq!(told, format!("the configuration is not usable\n  {expected}: set one of them, not both"));
    };
    let (key, path) = (("INGRAM_MASTER_KEY", "hush"), ("INGRAM_MASTER_KEY_FILE", "/a"));
    check("", &[key, path], "INGRAM_MASTER_KEY and INGRAM_MASTER_KEY_FILE");
    check("master_key_file = \"a\"", &[key], "INGRAM_MASTER_KEY and DIR/ingram.toml: `master_key_file`");
    check(
        "master_key = \"a\"\nmaster_key_file = \"a\"",
        &[],
        "DIR/ingram.toml: `master_key` and DIR/ingram.toml: `master_key_file`",
    );
}

#[test]
fn a_setting_is_named_by_the_last_place_that_has_set_it() {
    let folder = tempfile::tempdir().unwrap();
    let overrides =
        Overrides { data: Some("x".into()), ..file(folder.path(), "listen = \"[::1]:1\"\ndata = \"y\"") };
    let environment: Environment =
        [("INGRAM_SCRIPTS", "s"), ("IC_METRICS_TOKEN", "m"), ("INGRAM_DATA", "z")].into_iter().collect();
    let places = Config::load(&environment, &overrides).unwrap().places;
    let path = folder.path().join("ingram.toml");
    assert_eq!(places.label("listen"), format!("{}: `listen`", path.display()));
    assert_eq!(places.label("data"), "--data");
    assert_eq!(places.label("scripts"), "INGRAM_SCRIPTS");
    assert_eq!(places.label("metrics_token"), "IC_METRICS_TOKEN: `metrics_token`");
    assert_eq!(places.label("log"), "`log`", "nothing has set it");
    let in_file = ["listen", "data", "scripts", "metrics_token", "log"].map(|name| places.is_in_file(name));
    assert_eq!(in_file, [true, false, false, false, false]);
}

#[test]
fn a_setting_that_nobody_knows_is_an_error() {
    let variable = fault("", &[("INGRAM_LISTN", "x")], Overrides::default());
    assert!(variable.contains("INGRAM_LISTN: there is no such setting"), "{variable}");
    let key = fault("listn = 1", &[], Overrides::default());
    assert!(key.contains("DIR/ingram.toml: there is no setting `listn` here"), "{key}");
    let nested = fault("[http]\nmax = 1", &[], Overrides::default());
    assert!(nested.contains("DIR/ingram.toml") && nested.contains("`max`"), "{nested}");
    let missing = Overrides { config: Some("nowhere.toml".into()), ..Overrides::default() };
    assert!(load(&[], &missing).unwrap_err().contains("--config: there is no file nowhere.toml"));
}

#[test]
fn a_fault_never_shows_a_secret() {
    let text = fault("master_key = \"hush\nlisten = 1", &[], Overrides::default());
    assert!(!text.contains("hush") && text.contains("line 1"), "{text}");
    let text = fault("", &[("INGRAM_DATABASE_URL", "mysql://me:hush@host")], Overrides::default());
    assert!(!text.contains("hush") && text.contains("INGRAM_DATABASE_URL"), "{text}");
    let text = fault("", &[("INGRAM_LOG", "hush=hush=hush,a[hush")], Overrides::default());
    assert!(!text.contains("hush") && text.contains("INGRAM_LOG"), "{text}");
    let settings = load(&[("INGRAM_MASTER_KEY", "hush")], &Overrides::default()).unwrap();
    assert!(!format!("{settings:?}").contains("hush"));
}

#[test]
fn keys_of_providers_come_from_their_own_variables() {
    let environment: Environment = [
        ("OPENAI_API_KEY", "sk-1"),
        ("OPENAI_BASE_URL", "https://proxy.example/v1"),
        ("GEMINI_API_KEY", " "),
    ]
    .into_iter()
    .collect();
    let hosted = Config::load(&environment, &Overrides::default()).unwrap().hosted;
    let openai = &hosted[&domain::models::Provider::Openai];
    assert_eq!((&*openai.api_key, openai.base_url.as_deref()), ("sk-1", Some("https://proxy.example/v1")));
    assert_eq!(hosted.len(), 1);
}

#[test]
fn the_key_for_searches_comes_from_the_settings_or_from_the_providers_own_variable() {
    let search = |variables: &[(&str, &str)]| load(variables, &Overrides::default()).unwrap().tools.search;
    let key = |key: &str| Some(tools::ApiKey::new(key));
    let brave = ("INGRAM_TOOLS_SEARCH_PROVIDER", "brave");
    assert_eq!(search(&[brave, ("BRAVE_API_KEY", " b-1 ")]).api_key, key("b-1"));
    assert_eq!(
        search(&[brave, ("BRAVE_API_KEY", "b-1"), ("INGRAM_TOOLS_SEARCH_API_KEY", "007")]).api_key,
        key("007")
    );
    assert_eq!(search(&[brave, ("TAVILY_API_KEY", "t-1")]).api_key, None);
    assert_eq!(
        search(&[("INGRAM_TOOLS_SEARCH_PROVIDER", "tavily"), ("TAVILY_API_KEY", "t-1")]).api_key,
        key("t-1")
    );
    assert_eq!(search(&[("BRAVE_API_KEY", "b-1")]), tools::Search::default());
}

/// A row of the tables in `docs/configuration.md`: setting, default as it is written in the file.
fn documented() -> Vec<(String, String, String)> {
    let text = include_str!("../../../../docs/configuration.md");
    let rows = text.lines().filter(|line| line.starts_with("| `") && line.contains("`INGRAM_"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
        (cells[1].clone(), cells[2].clone(), cells[3].clone())
    })
    .filter(|(name, ..)| name != "INGRAM_CONFIG")
    .collect()
}

#[test]
fn every_setting_is_documented_with_its_variable() {
    let mut names = names::all();
    let mut rows: Vec<_> = documented().into_iter().map(|(name, variable, _)| (name, variable)).collect();
    names.sort();
    rows.sort();
    let expected: Vec<_> = names.into_iter().map(|name| (name.clone(), names::variable(&name))).collect();
    assert_eq!(rows, expected);
}

#[test]
fn every_documented_default_is_the_default() {
    for (name, _, default) in documented() {
        if default == "unset" {
            continue;
        }
        let settings: Settings = toml::from_str(&format!("{name} = {default}")).unwrap();
        assert_eq!(settings, Settings::default(), "{name}");
    }
}
