//! Embeddings of OpenAI: `POST {base}/embeddings`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::call::Credentials;
use crate::trouble::Trouble;
use crate::wire::WireRequest;

/// What is to be embedded.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingRequest {
    /// The model's id as its provider knows it.
    pub model: String,
    pub input: EmbeddingInput,
    /// How long the vectors are to be, for models that can shorten them.
    pub dimensions: Option<u64>,
}

/// Texts, or texts that the caller has cut into tokens. Each entry becomes a vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmbeddingInput {
    Texts(Vec<String>),
    Tokens(Vec<Vec<u32>>),
}

impl EmbeddingInput {
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Tokens(lists) => lists.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Vectors in the order of the input.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    pub vectors: Vec<Vec<f32>>,
    /// The model that the provider says it has used.
    pub model: String,
    pub prompt_tokens: u64,
    pub total_tokens: u64,
}

/// Vectors are asked for in base64, which is a third of their size as numbers.
pub(crate) fn encode(request: &EmbeddingRequest, credentials: &Credentials) -> WireRequest {
    let mut body = Map::new();
    body.insert("model".into(), request.model.clone().into());
    let input = match &request.input {
        EmbeddingInput::Texts(texts) => json!(texts),
        EmbeddingInput::Tokens(lists) => json!(lists),
    };
    body.insert("input".into(), input);
    body.insert("encoding_format".into(), "base64".into());
    if let Some(dimensions) = request.dimensions {
        body.insert("dimensions".into(), dimensions.into());
    }
    WireRequest {
        path: vec!["embeddings".into()],
        query: None,
        headers: vec![(AUTHORIZATION, format!("Bearer {}", credentials.api_key))],
        body: Value::Object(body),
    }
}

/// Reads an answer. Anything but one vector for each input is trouble.
pub(crate) fn decode(request: &EmbeddingRequest, body: &[u8]) -> Result<Embeddings, Trouble> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| Trouble::garbage())?;
    if answer.data.len() != request.input.len() {
        return Err(Trouble::garbage());
    }
    let mut vectors = vec![None; answer.data.len()];
    for (place, Entry { index, embedding: Vector(vector) }) in answer.data.into_iter().enumerate() {
        let slot = vectors.get_mut(index.unwrap_or(place)).ok_or_else(Trouble::garbage)?;
        if slot.replace(vector).is_some() {
            return Err(Trouble::garbage());
        }
    }
    let Usage { prompt_tokens, total_tokens } = answer.usage.unwrap_or_default();
    Ok(Embeddings {
        vectors: vectors.into_iter().collect::<Option<_>>().ok_or_else(Trouble::garbage)?,
        model: answer.model.filter(|model| !model.is_empty()).unwrap_or_else(|| request.model.clone()),
        prompt_tokens,
        total_tokens: total_tokens.max(prompt_tokens),
    })
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Entry>,
    model: Option<String>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Entry {
    index: Option<usize>,
    embedding: Vector,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// A vector, as base64 of little-endian numbers or as a list of numbers: not every server knows the former.
struct Vector(Vec<f32>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Self(vector) = deserializer.deserialize_any(VectorVisitor)?;
        let is_vector = !vector.is_empty() && vector.iter().all(|number| number.is_finite());
        if is_vector { Ok(Self(vector)) } else { Err(de::Error::custom("no vector")) }
    }
}

struct VectorVisitor;

impl<'de> Visitor<'de> for VectorVisitor {
    type Value = Vector;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("base64 or a list of numbers")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vector, E> {
        let bytes = STANDARD.decode(text).map_err(E::custom)?;
        let (numbers, rest) = bytes.as_chunks();
        if !rest.is_empty() {
            return Err(E::custom("half a number"));
        }
        Ok(Vector(numbers.iter().copied().map(f32::from_le_bytes).collect()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vector, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = list.next_element()? {
            numbers.push(number);
        }
        Ok(Vector(numbers))
    }
}

#[cfg(test)]
mod tests {
    use domain::models::Provider;

    use super::*;
    use crate::call::Origin;

    fn request(texts: &[&str]) -> EmbeddingRequest {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        EmbeddingRequest { model: "m".into(), input: EmbeddingInput::Texts(texts), dimensions: None }
    }

    fn vectors(body: &Value) -> Option<Vec<Vec<f32>>> {
        decode(&request(&["a", "b"]), body.to_string().as_bytes()).ok().map(|answer| answer.vectors)
    }

    #[test]
    fn vectors_come_in_either_form_and_are_put_in_order() {
        let base64 = STANDARD.encode([0.5_f32, -2.0].map(f32::to_le_bytes).concat());
        let data = json!([{"index": 1, "embedding": base64}, {"index": 0, "embedding": [1, 0.25]}]);
        assert_eq!(vectors(&json!({ "data": data })), Some(vec![vec![1.0, 0.25], vec![0.5, -2.0]]));
        let data = json!([{"embedding": [1]}, {"embedding": [2]}]);
        assert_eq!(vectors(&json!({ "data": data })), Some(vec![vec![1.0], vec![2.0]]));
    }

    #[test]
    fn anything_but_one_vector_for_each_input_is_trouble() {
        for data in [
            json!([{"index": 0, "embedding": [1]}]),
            json!([{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]),
            json!([{"index": 0, "embedding": [1]}, {"index": 2, "embedding": [1]}]),
            json!([{"index": 0, "embedding": [1]}, {"index": 1, "embedding": []}]),
            json!([{"index": 0, "embedding": [1]}, {"index": 1, "embedding": "AAA"}]),
            json!([{"index": 0, "embedding": [1]}, {"index": 1, "embedding": "AAAA"}]),
            json!([{"index": 0, "embedding": [1]}, {"index": 1, "embedding": "AADAfw=="}]),
            json!([{"index": 0, "embedding": [1]}, {"index": 1, "embedding": ["1"]}]),
            json!({}),
        ] {
            assert_eq!(vectors(&json!({ "data": data })), None, "{data}");
        }
    }

    #[test]
    fn what_the_provider_does_not_say_is_taken_from_the_request() {
        let body = json!({"data": [{"embedding": [1]}], "usage": {"prompt_tokens": 3}}).to_string();
        let answer = decode(&request(&["a"]), body.as_bytes()).unwrap();
        assert_eq!((answer.model.as_str(), answer.prompt_tokens, answer.total_tokens), ("m", 3, 3));
        let body = json!({"data": [{"embedding": [1]}], "model": "other"}).to_string();
        assert_eq!(decode(&request(&["a"]), body.as_bytes()).unwrap().model, "other");
    }

    #[test]
    fn tokens_and_dimensions_are_passed_on() {
        let credentials = Credentials {
            provider: Provider::Openai,
            api_key: "k".into(),
            base_url: None,
            origin: Origin::Operator,
        };
        let input = EmbeddingInput::Tokens(vec![vec![1, 2], vec![3]]);
        let request = EmbeddingRequest { model: "m".into(), input, dimensions: Some(256) };
        let expected =
            json!({"model": "m", "input": [[1, 2], [3]], "encoding_format": "base64", "dimensions": 256});
        assert_eq!(encode(&request, &credentials).body, expected);
    }
}
