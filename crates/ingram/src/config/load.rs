//! Reading the settings from everywhere, and saying what is wrong where.

use std::fmt;
use std::path::PathBuf;

use figment::error::Kind;
use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::{Environment, Places, Settings, bounds, hosted, names, places};

/// The configuration file that is read where none is named.
pub(crate) const FILE: &str = "ingram.toml";
const PREFIX: &str = "INGRAM_";
/// Names the configuration file; the only variable that is no setting.
const CONFIG: &str = "INGRAM_CONFIG";
/// The older name of the variable for the metrics token, which deployments of the hosted product use.
const METRICS_TOKEN: &str = "IC_METRICS_TOKEN";

/// What the command line says; it has the last word.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub config: Option<PathBuf>,
    pub data: Option<String>,
    pub listen: Option<String>,
    pub database_url: Option<String>,
}

/// What is wrong with the configuration, one line for each fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(Vec<String>);

impl Invalid {
    pub(crate) fn one(fault: impl Into<String>) -> Self {
        Self(vec![fault.into()])
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the configuration is not usable")?;
        self.0.iter().try_for_each(|fault| write!(formatter, "\n  {fault}"))
    }
}

impl std::error::Error for Invalid {}

pub(super) fn settings(
    environment: &Environment,
    overrides: &Overrides,
) -> Result<(Settings, Places), Invalid> {
    let mut figment = Figment::new();
    if let Some(file) = file(environment, overrides)? {
        figment = figment.merge(Toml::file_exact(file));
    }
    for one in variables(environment)?.into_iter().chain(flags(overrides)) {
        figment = figment.merge(one);
    }
    let settings: Settings = figment.extract().map_err(explain)?;
    let places = Places::of(&figment);
    let faults = check(&settings);
    if faults.is_empty() {
        return Ok((settings, places));
    }
    Err(Invalid(faults.iter().map(|fault| fault.in_words(&places)).collect()))
}

/// Returns the configuration file that a flag or a variable names.
pub(super) fn named_file(environment: &Environment, overrides: &Overrides) -> Option<PathBuf> {
    overrides.config.clone().or_else(|| environment.get(CONFIG).map(PathBuf::from))
}

/// Finds the configuration file. The one with the usual name may be missing, one that is named may not.
fn file(environment: &Environment, overrides: &Overrides) -> Result<Option<PathBuf>, Invalid> {
    let by = if overrides.config.is_some() { "--config" } else { CONFIG };
    match named_file(environment, overrides) {
        Some(path) if path.is_file() => Ok(Some(path)),
        Some(path) => Err(Invalid::one(format!("{by}: there is no file {}", path.display()))),
        None => Ok(Some(PathBuf::from(FILE)).filter(|path| path.is_file())),
    }
}

/// Collects the variables that set something. One that begins like ours and is none is most likely misspelt.
fn variables(environment: &Environment) -> Result<Vec<One>, Invalid> {
    let names = names::all();
    let mut ones = Vec::new();
    // Left out, it would be as if it had been set to nothing: another folder, another database.
    let is_ours = |variable: &&String| {
        variable.starts_with(PREFIX) || *variable == METRICS_TOKEN || hosted::is_variable(variable)
    };
    let unreadable = environment.unreadable().iter().filter(is_ours);
    let mut wrong: Vec<_> =
        unreadable.map(|variable| format!("{variable}: expected a text in Unicode (UTF-8)")).collect();
    if let Some(token) = environment.get(METRICS_TOKEN) {
        ones.push(One::text(METRICS_TOKEN, "metrics_token", token));
    }
    for (variable, text) in environment.beginning_with(PREFIX) {
        match names.iter().find(|name| names::variable(name) == variable) {
            // A key is a text, also one of digits only.
            Some(name) if name.contains('.') && !name.ends_with(".api_key") => {
                ones.push(One::value(variable, name, text))
            }
            Some(name) => ones.push(One::text(variable, name, text)),
            None if variable == CONFIG => {}
            None => wrong.push(format!("{variable}: there is no such setting; see docs/configuration.md")),
        }
    }
    if wrong.is_empty() { Ok(ones) } else { Err(Invalid(wrong)) }
}

fn flags(overrides: &Overrides) -> impl Iterator<Item = One> {
    let Overrides { data, listen, database_url, .. } = overrides;
    let flags = [
        ("--data", "data", data),
        ("--listen", "listen", listen),
        ("--database-url", "database_url", database_url),
    ];
    flags.into_iter().filter_map(|(flag, name, text)| Some(One::text(flag, name, text.as_deref()?)))
}

/// One setting from one place.
struct One {
    place: String,
    value: Value,
}

impl One {
    fn text(place: &str, name: &str, text: &str) -> Self {
        Self { place: place.to_owned(), value: figment::util::nest(name, Value::from(text)) }
    }

    /// Reads numbers, lists and truth values from a text.
    fn value(place: &str, name: &str, text: &str) -> Self {
        // Reading never fails: what is nothing else is a text.
        let value = text.parse().unwrap_or_else(|_: std::convert::Infallible| Value::from(text));
        Self { place: place.to_owned(), value: figment::util::nest(name, value) }
    }
}

impl Provider for One {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let dict = self.value.as_dict().cloned().unwrap_or_default();
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

/// Puts faults into words: the place, the setting, what is wrong. Never the value, which can be a secret.
fn explain(error: figment::Error) -> Invalid {
    Invalid(error.into_iter().map(|fault| explain_one(&fault)).collect())
}

fn explain_one(fault: &figment::Error) -> String {
    let place = fault.metadata.as_ref().map_or_else(|| FILE.to_owned(), places::place);
    let wrong = match &fault.kind {
        Kind::UnknownField(name, known) => {
            let known = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            format!("there is no setting `{name}` here, only {known}")
        }
        Kind::InvalidType(actual, expected) => {
            format!("expected {}, found {}", plain(expected), kind(actual))
        }
        Kind::InvalidValue(_, expected) => format!("expected {}", plain(expected)),
        // Errors of the file's syntax quote the line, which can hold a secret: the place and the reason are enough.
        Kind::Message(message) => {
            let mut lines = message.lines().filter(|line| {
                !line.trim_start().starts_with(|first: char| first == '|' || first.is_ascii_digit())
            });
            let first = lines.next().unwrap_or_default().to_owned();
            lines.fold(first, |all, line| format!("{all}: {line}"))
        }
        other => other.to_string(),
    };
    let path = fault.path.join(".");
    // An unknown setting is named already.
    let is_named = matches!(fault.kind, Kind::UnknownField(..));
    if is_named || path.is_empty() {
        return format!("{place}: {wrong}");
    }
    format!("{}: {wrong}", places::label(&place, &path))
}

/// Says in plain words what a type takes.
fn plain(expected: &str) -> &str {
    match expected {
        "usize" | "u64" => "a whole number, 0 or more",
        "u32" => "a whole number from 0 to 4294967295",
        "f64" => "a number",
        "a string" => "a text",
        "a sequence" => "a list",
        other => other,
    }
}

fn kind(actual: &figment::error::Actual) -> &'static str {
    use figment::error::Actual;
    match actual {
        Actual::Bool(_) => "a truth value",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Str(_) | Actual::Char(_) => "a text",
        Actual::Seq => "a list",
        Actual::Map => "a section",
        _ => "something else",
    }
}

/// What is wrong with settings of which each has the right form.
pub(super) struct Fault {
    settings: Vec<&'static str>,
    wrong: String,
}

impl Fault {
    pub(super) fn of(setting: &'static str, wrong: impl Into<String>) -> Self {
        Self { settings: vec![setting], wrong: wrong.into() }
    }

    fn in_words(&self, places: &Places) -> String {
        let labels: Vec<_> = self.settings.iter().map(|setting| places.label(setting)).collect();
        format!("{}: {}", labels.join(" and "), self.wrong)
    }
}

/// Checks what depends on more than one setting, or on more than the form of one.
fn check(settings: &Settings) -> Vec<Fault> {
    let mut faults = Vec::new();
    let paths = [
        ("data", Some(&settings.data)),
        ("master_key_file", settings.master_key_file.as_ref()),
        ("scripts", settings.scripts.as_ref()),
    ];
    let empty = paths.into_iter().filter(|(_, path)| path.is_some_and(|path| path.as_os_str().is_empty()));
    faults.extend(empty.map(|(setting, _)| Fault::of(setting, "expected a path, found nothing")));
    if settings.master_key.is_some() && settings.master_key_file.is_some() {
        faults.push(Fault {
            settings: vec!["master_key", "master_key_file"],
            wrong: "set one of them, not both".to_owned(),
        });
    }
    if let Some(url) = &settings.database_url
        && !["postgres://", "postgresql://"].iter().any(|scheme| url.expose().starts_with(scheme))
    {
        faults.push(Fault::of("database_url", "expected an address that begins with postgres://"));
    }
    if let Some(url) = &settings.tools.search.base_url
        && !hosted::is_web_address(url)
    {
        faults.push(Fault::of("tools.search.base_url", "expected an address such as https://host"));
    }
    faults.extend(bounds::faults(settings));
    // The error of the filter is left out: it can quote the value, and says less than what is expected.
    if tracing_subscriber::EnvFilter::try_new(&settings.log).is_err() {
        faults
            .push(Fault::of("log", "expected a level such as info, or directives such as info,engine=debug"));
    }
    faults
}
