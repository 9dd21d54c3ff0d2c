//! The `Authorization` header.

use domain::{Code, Problem};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Reads the bearer token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Err(missing()) };
    if values.next().is_some() {
        return Err(rejected());
    }
    let value = value.to_str().map_err(|_| rejected())?;
    let (scheme, token) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    match token.trim() {
        "" => Err(missing()),
        token => Ok(token),
    }
}

/// The refusal of a request without a bearer token.
fn missing() -> Problem {
    let message = "This route needs a token. Send it as `Authorization: Bearer <token>`.";
    Problem::new(Code::AuthRequired, message)
}

/// The refusal of a token that is not accepted. It does not tell why, except where that gives nothing away.
pub(crate) fn rejected() -> Problem {
    let message = "The token is malformed, expired or revoked, or belongs to another server. Mint a new one.";
    Problem::new(Code::Unauthenticated, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<String, Code> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        bearer(&headers).map(str::to_owned).map_err(|problem| problem.code)
    }

    #[test]
    fn a_token_is_read_whatever_the_case_of_the_scheme() {
        assert_eq!(read(&["Bearer abc"]).as_deref(), Ok("abc"));
        assert_eq!(read(&["bearer  abc "]).as_deref(), Ok("abc"));
    }

    #[test]
    fn what_holds_no_bearer_asks_for_one() {
        for values in [&[][..], &["Bearer"], &["Bearer "], &["Basic abc"], &["abc"]] {
            assert_eq!(read(values), Err(Code::AuthRequired), "{values:?}");
        }
    }

    #[test]
    fn two_tokens_are_none() {
        assert_eq!(read(&["Bearer a", "Bearer b"]), Err(Code::Unauthenticated));
    }
}
