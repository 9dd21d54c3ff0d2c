//! `current_time`: what time it is where the person is.

use domain::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::json;

use super::Function;
use super::arguments::arguments;
use crate::{Answer, Call};

pub(super) const NAME: &str = "current_time";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    #[serde(default)]
    timezone: Option<String>,
}

pub(super) fn functions() -> Vec<Function> {
    vec![Function::harmless(
        NAME,
        "Tells the current date, weekday and time: in the time zone of the person you work for, or in another that you \
         name. Use it whenever an answer depends on today's date or the time.",
        json!({
            "type": "object",
            "properties": {
                "timezone": {
                    "type": ["string", "null"],
                    "maxLength": 64,
                    "description": "An IANA name such as `Europe/Paris`. Left out: the person's time zone, or UTC if that \
                                    is not known.",
                },
            },
            "additionalProperties": false,
        }),
    )]
}

pub(super) fn current_time(call: &Call, now: Timestamp) -> Answer {
    let Arguments { timezone } = match arguments(call) {
        Ok(arguments) => arguments,
        Err(answer) => return answer,
    };
    let asked = timezone.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let zone = match asked {
        Some(name) => match TimeZone::get(name) {
            Ok(zone) => zone,
            Err(_) => {
                let name: String = name.chars().take(64).collect();
                return Answer::error(format!(
                    "`{name}` is no time zone. Give an IANA name such as `Europe/Paris`, or leave it out."
                ));
            }
        },
        // A zone that is kept of a person but that nobody knows is no reason to leave the model without a time.
        None => {
            call.person.timezone.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC)
        }
    };
    let moment = jiff::Timestamp::from_second(now.as_seconds()).unwrap_or_default();
    let here = moment.to_zoned_datetime(zone);
    let answer = json!({
        "timezone": here.time_zone().iana_name().unwrap_or("UTC"),
        "date": here.date().to_string(),
        "weekday": here.strftime("%A").to_string(),
        "time": here.strftime("%H:%M:%S").to_string(),
        "utc_offset": here.strftime("%:z").to_string(),
        "utc": moment.to_string(),
    });
    Answer::text(answer.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::call;

    /// 1 May 2026, 12:00 UTC, a Friday.
    const NOW: Timestamp = Timestamp::from_micros(1_777_636_800_123_456);

    fn ask(person: Option<&str>, args: Value) -> Answer {
        let mut call = call(NAME, args);
        call.person.timezone = person.map(str::to_owned);
        current_time(&call, NOW)
    }

    #[track_caller]
    fn check(person: Option<&str>, args: Value, expected: Value) {
        assert_eq!(serde_json::from_str::<Value>(&ask(person, args).output).unwrap(), expected);
    }

    #[test]
    fn the_time_is_that_of_the_person_unless_another_zone_is_named() {
        let berlin = json!({
            "timezone": "Europe/Berlin", "date": "2026-05-01", "weekday": "Friday", "time": "14:00:00",
            "utc_offset": "+02:00", "utc": "2026-05-01T12:00:00Z",
        });
        check(Some("Europe/Berlin"), json!({}), berlin.clone());
        check(Some("Asia/Tokyo"), json!({"timezone": "europe/berlin"}), berlin);
        let kiritimati = json!({
            "timezone": "Pacific/Kiritimati", "date": "2026-05-02", "weekday": "Saturday", "time": "02:00:00",
            "utc_offset": "+14:00", "utc": "2026-05-01T12:00:00Z",
        });
        check(Some("Pacific/Kiritimati"), json!({"timezone": null}), kiritimati);
    }

    #[test]
    fn without_a_zone_that_is_known_it_is_utc() {
        let utc = json!({
            "timezone": "UTC", "date": "2026-05-01", "weekday": "Friday", "time": "12:00:00",
            "utc_offset": "+00:00", "utc": "2026-05-01T12:00:00Z",
        });
        check(None, json!({}), utc.clone());
        check(Some("Mars/Olympus"), json!({"timezone": " "}), utc);
    }

    #[test]
    fn a_zone_that_does_not_exist_is_an_error() {
        let answer = ask(Some("Europe/Berlin"), json!({"timezone": "Europe/Atlantis"}));
        assert!(answer.is_error && answer.output.contains("Europe/Atlantis"), "{answer:?}");
        assert!(ask(None, json!({"zone": "UTC"})).is_error);
    }
}
