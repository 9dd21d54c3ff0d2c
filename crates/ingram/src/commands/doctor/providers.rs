//! Whether the providers of models can be reached, and take the server's keys.

use std::time::Duration;

use ::egress::reqwest::Method;
use ::egress::{Egress, Policy, Timeouts, Url};
use domain::Timestamp;
use domain::models::Provider;
use engine::keys::HostedKey;
use jiff::fmt::rfc2822::DateTimeParser;

use super::{Finding, TOLERANCE, fine, note, seconds_between, wrong};
use crate::config::{Config, key_variable};

/// How long a provider gets to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The version of its API that Anthropic wants to be told.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// What a provider has answered.
struct Answer {
    status: u16,
    /// What its clock says.
    date: Option<Timestamp>,
}

pub(super) async fn examine(config: &Config, online: bool, now: Timestamp) -> Vec<Finding> {
    let check = "providers";
    if config.hosted.is_empty() {
        let text = "no key in the environment; where tenants set none either, the scripted model answers";
        return vec![note(check, text)];
    }
    let mut findings = Vec::new();
    for provider in Provider::ALL {
        let Some(key) = config.hosted.get(provider) else { continue };
        let name = provider.label();
        if !online {
            findings.push(fine(check, format!("{name} has a key (--online looks whether it is taken)")));
            continue;
        }
        match ask(*provider, key).await {
            Ok(answer) => findings.extend(judge(*provider, &answer, now)),
            Err(error) => findings.push(wrong(
                check,
                format!("{name} cannot be reached: {error:#}; check the network and the provider's base URL"),
            )),
        }
    }
    findings
}

fn judge(provider: Provider, Answer { status, date }: &Answer, now: Timestamp) -> Vec<Finding> {
    let check = "providers";
    let (name, variable) = (provider.label(), key_variable(provider).unwrap_or_default());
    let mut findings = vec![match status {
        200..=299 => fine(check, format!("{name} can be reached and takes the key")),
        401 => wrong(check, format!("{name} refuses the key ({status}); correct {variable}")),
        // Keys may be restricted to calls, and Gemini says 400 of a key that is none and of a place that it does not serve.
        403 => {
            note(check, format!("{name} lets the key list no models ({status}); calls may work all the same"))
        }
        400 if provider == Provider::Gemini => note(
            check,
            format!("{name} refuses the key, or this place ({status}); if calls fail, correct {variable}"),
        ),
        _ => note(
            check,
            format!("{name} can be reached, and answers {status}: whether it takes the key is not known"),
        ),
    }];
    if let Some(other) = date.filter(|date| seconds_between(now, *date) > TOLERANCE) {
        findings.push(wrong("clock", format!("it says {now}, and that of {name} {other}; set it by NTP")));
    }
    findings
}

/// Asks a provider for its models, with the key: that costs nothing.
async fn ask(provider: Provider, HostedKey { api_key, base_url }: &HostedKey) -> anyhow::Result<Answer> {
    let base = base_url.as_deref().or_else(|| models::base_url(provider)).unwrap_or_default();
    let timeouts = Timeouts { connect: PATIENCE, idle: Some(PATIENCE), total: Some(PATIENCE) };
    let client = Egress::new()?.client(Policy::Any, timeouts)?;
    let mut address = Url::parse(base)?;
    // A query that the address has stays behind the path.
    if let Ok(mut path) = address.path_segments_mut() {
        path.pop_if_empty().push("models");
    }
    let request = client.request(Method::GET, &address)?;
    let request = match provider {
        Provider::Anthropic => {
            request.header("x-api-key", &**api_key).header("anthropic-version", ANTHROPIC_VERSION)
        }
        Provider::Gemini => request.header("x-goog-api-key", &**api_key),
        Provider::Openai | Provider::OpenaiCompatible | Provider::Scripted => request.bearer_auth(api_key),
    };
    // An address can hold a password.
    let answer = request.send().await.map_err(|error| error.without_url())?;
    let date = answer.headers().get("date").and_then(|date| {
        let moment = DateTimeParser::new().parse_timestamp(date.as_bytes()).ok()?;
        Some(Timestamp::from_seconds(moment.as_second()))
    });
    Ok(Answer { status: answer.status().as_u16(), date })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::Verdict;
    use super::*;
    use crate::config::{Environment, Overrides};

    /// Has a provider answer one request; returns what is found, and the request.
    async fn found(variables: (&str, &str), answer: &str) -> (Vec<Finding>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1/?a=b", listener.local_addr().unwrap());
        let environment: Environment = [(variables.0, "hush"), (variables.1, &base)].into_iter().collect();
        let config = Config::load(&environment, &Overrides::default()).unwrap();
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        };
        let now = Timestamp::from_seconds(784_111_777);
        tokio::join!(examine(&config, true, now), answering)
    }

    #[tokio::test]
    async fn a_key_that_is_refused_is_wrong_and_names_its_variable() {
        let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
        for (key, base, header) in [
            ("OPENAI_API_KEY", "OPENAI_BASE_URL", "authorization: bearer hush"),
            ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "x-api-key: hush"),
            ("GEMINI_API_KEY", "GEMINI_BASE_URL", "x-goog-api-key: hush"),
        ] {
            let (findings, request) = found((key, base), refusal).await;
            assert!(
                request.starts_with("GET /v1/models?a=b HTTP/1.1") && request.to_lowercase().contains(header)
            );
            let Verdict::Wrong(text) = &findings[0].verdict else { panic!("{}", findings[0]) };
            assert!(text.contains(&format!("refuses the key (401); correct {key}")), "{text}");
            assert!(!text.contains("hush"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_key_that_is_taken_is_fine_and_a_clock_that_is_off_is_not() {
        let answer = "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 0\r\n\r\n";
        let openai = ("OPENAI_API_KEY", "OPENAI_BASE_URL");
        let (findings, _) = found(openai, answer).await;
        assert!(matches!(findings.as_slice(), [Finding { verdict: Verdict::Fine(_), .. }]));
        let (findings, _) = found(openai, &answer.replace("08:49:37", "08:40:00")).await;
        assert!(matches!(&findings[1], Finding { check: "clock", verdict: Verdict::Wrong(_) }));
        for status in ["503 Busy", "403 Forbidden"] {
            let (findings, _) =
                found(openai, &format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await;
            assert!(matches!(findings.as_slice(), [Finding { verdict: Verdict::Note(_), .. }]), "{status}");
        }
    }
}
