//! What is to be embedded: a text, several, or either of them cut into tokens.

use domain::{Code, Problem};
use models::EmbeddingInput;
use serde_json::Value;

/// The most texts of one request.
const MOST: usize = 2_048;
/// What a token counts for in the bound on the input, in bytes.
const BYTES_A_TOKEN: usize = 4;

/// Reads `input`, whose texts may have so many bytes together.
pub(super) fn parse(input: Option<&Value>, max_bytes: usize) -> Result<EmbeddingInput, Problem> {
    let parsed = match input {
        Some(Value::String(one)) => EmbeddingInput::Texts(vec![text(one, "input".to_owned())?]),
        Some(Value::Array(list)) => match list.first() {
            Some(Value::Number(_)) => EmbeddingInput::Tokens(vec![tokens(list, "input")?]),
            Some(Value::Array(_)) => EmbeddingInput::Tokens(each(list, |entry, at| match entry {
                Value::Array(list) => tokens(list, &at),
                _ => Err(Problem::invalid_input(
                    at,
                    "Every entry of `input` must be a list of tokens, as the first is.",
                )),
            })?),
            Some(_) => EmbeddingInput::Texts(each(list, |entry, at| match entry {
                Value::String(one) => text(one, at),
                _ => Err(Problem::invalid_input(at, "Every entry of `input` must be a text.")),
            })?),
            None => return Err(malformed()),
        },
        _ => return Err(malformed()),
    };
    let bytes: usize = match &parsed {
        EmbeddingInput::Texts(texts) => texts.iter().map(String::len).sum(),
        EmbeddingInput::Tokens(lists) => {
            lists.iter().map(|list| list.len().saturating_mul(BYTES_A_TOKEN)).sum()
        }
    };
    if bytes <= max_bytes {
        return Ok(parsed);
    }
    let message = format!("`input` may have at most {max_bytes} bytes of text. Send it in several requests.");
    Err(Problem::invalid_input("input", message))
}

fn each<T>(list: &[Value], read: impl Fn(&Value, String) -> Result<T, Problem>) -> Result<Vec<T>, Problem> {
    if list.len() > MOST {
        let message = format!(
            "`input` may hold at most {MOST} texts, and holds {}. Send them in several requests.",
            list.len()
        );
        return Err(Problem::new(Code::TooManyInputs, message).at("input"));
    }
    list.iter().enumerate().map(|(index, entry)| read(entry, format!("input[{index}]"))).collect()
}

fn text(text: &str, at: String) -> Result<String, Problem> {
    if text.is_empty() {
        return Err(Problem::invalid_input(at, "A text to embed must not be empty."));
    }
    Ok(text.to_owned())
}

fn tokens(list: &[Value], at: &str) -> Result<Vec<u32>, Problem> {
    if list.is_empty() {
        return Err(Problem::invalid_input(at, "A list of tokens must not be empty."));
    }
    let token = |(index, token): (usize, &Value)| {
        let token = token.as_u64().and_then(|token| u32::try_from(token).ok());
        token.ok_or_else(|| {
            Problem::invalid_input(format!("{at}[{index}]"), "A token must be a whole number from 0 on.")
        })
    };
    list.iter().enumerate().map(token).collect()
}

fn malformed() -> Problem {
    Problem::invalid_input(
        "input",
        "`input` must be a text, or a list of texts or of tokens that is not empty.",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(input: Value) -> (Code, String) {
        let problem = parse(Some(&input), 100).unwrap_err();
        (problem.code, problem.param.unwrap())
    }

    #[test]
    fn texts_and_tokens_come_alone_or_in_lists() {
        let check = |input: Value| parse(Some(&input), 100).unwrap();
        assert_eq!(check(json!("a")), EmbeddingInput::Texts(vec!["a".into()]));
        assert_eq!(check(json!(["a", "b"])), EmbeddingInput::Texts(vec!["a".into(), "b".into()]));
        assert_eq!(check(json!([1, 2])), EmbeddingInput::Tokens(vec![vec![1, 2]]));
        assert_eq!(check(json!([[1], [2, 3]])), EmbeddingInput::Tokens(vec![vec![1], vec![2, 3]]));
    }

    #[test]
    fn anything_else_is_named() {
        let at = |param: &str| (Code::InvalidInput, param.to_owned());
        for input in [json!(7), json!({}), json!([]), json!(""), json!(true), Value::Null] {
            assert_eq!(refusal(input.clone()), at("input"), "{input}");
        }
        for (input, param) in [
            (json!(["a", 1]), "input[1]"),
            (json!(["a", ""]), "input[1]"),
            (json!([1, "a"]), "input[1]"),
            (json!([1, -1]), "input[1]"),
            (json!([1, 1.5]), "input[1]"),
            (json!([4_294_967_296_u64]), "input[0]"),
            (json!([[1], 2]), "input[1]"),
            (json!([[1], []]), "input[1]"),
            (json!([[1], [1, null]]), "input[1][1]"),
            (json!([{"a": 1}]), "input[0]"),
        ] {
            assert_eq!(refusal(input.clone()), at(param), "{input}");
        }
        assert_eq!(parse(None, 100).unwrap_err().param.as_deref(), Some("input"));
    }

    #[test]
    fn number_and_size_are_bounded() {
        let many = |count: usize| json!(vec!["a"; count]);
        assert!(parse(Some(&many(MOST)), 10_000).is_ok());
        assert_eq!(parse(Some(&many(MOST + 1)), 10_000).unwrap_err().code, Code::TooManyInputs);
        assert_eq!(
            parse(Some(&json!(vec![[1]; MOST + 1])), 1_000_000).unwrap_err().code,
            Code::TooManyInputs
        );
        // One input, cut into many tokens.
        assert!(parse(Some(&json!(vec![1; MOST + 1])), 10_000).is_ok());
        assert!(parse(Some(&json!("x".repeat(100))), 100).is_ok());
        assert_eq!(refusal(json!("x".repeat(101))), (Code::InvalidInput, "input".to_owned()));
        assert_eq!(refusal(json!(["x".repeat(51), "x".repeat(50)])).0, Code::InvalidInput);
        assert_eq!(refusal(json!(vec![1; 26])).0, Code::InvalidInput);
    }
}
