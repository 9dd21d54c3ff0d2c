use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use domain::ids::Id as _;
use proptest::prelude::*;
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::{BoxedUint, PublicKey};
use serde_json::{Value, json};

use super::*;

fn key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate().unwrap())
}

fn verifier() -> Verifier {
    Verifier::new([key()])
}

fn project() -> Subject {
    Subject::Project(ProjectId::from_bytes([1; 16]))
}

fn subjects() -> [Subject; 3] {
    let smith = Subject::Smith(ProjectId::from_bytes([1; 16]), SmithId::from_bytes([3; 16]));
    [project(), smith, Subject::Organization(OrganizationId::from_bytes([4; 16]))]
}

fn claims(subject: Subject, exp: Option<i64>) -> Claims {
    let jti = TokenId::from_bytes([2; 16]);
    Claims { iss: ISSUER.into(), sub: subject.to_string(), jti, iat: 100, exp, scope: "tenant:*".into() }
}

fn token() -> String {
    key().sign(TokenKind::Tenant, &claims(project(), None)).unwrap()
}

/// Signs any payload under any header, as somebody who holds the key could.
fn forge(header: &Value, payload: &[u8]) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(payload));
    let pair = ring::signature::RsaKeyPair::from_pkcs8(key().pkcs8()).unwrap();
    let mut signature = vec![0; pair.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    pair.sign(&ring::signature::RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
    format!("tha_live_{message}.{}", encode(signature))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn header() -> Value {
    json!({"alg": "RS256", "kid": key().kid()})
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

#[test]
fn a_token_says_what_was_signed() {
    for subject in subjects() {
        let token = key().sign(subject.kind(), &claims(subject, None)).unwrap();
        assert!(token.starts_with(subject.kind().prefix()));
        let verified = verifier().verify(&token, at(i64::MAX)).unwrap();
        assert_eq!(verified, Verified { kind: subject.kind(), subject, claims: claims(subject, None) });
    }
}

#[test]
fn a_token_ends_with_its_last_second() {
    let token = key().sign(TokenKind::Tenant, &claims(project(), Some(200))).unwrap();
    assert!(verifier().verify(&token, Timestamp::from_micros(199_999_999)).is_ok());
    assert_eq!(verifier().verify(&token, at(200)), Err(TokenError::Expired));
}

#[test]
fn an_independent_implementation_accepts_the_signature_with_the_published_key() {
    let jwk = key().jwk();
    let number = |name: &str| BoxedUint::from_be_slice_vartime(&decode(jwk[name].as_str().unwrap()));
    let public = PublicKey::new(number("n"), number("e")).unwrap();
    let token = token();
    let (message, signature) = token.strip_prefix("tha_live_").unwrap().rsplit_once('.').unwrap();
    let digest = Sha256::digest(message.as_bytes());
    public.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, &decode(signature)).unwrap();
    let head: Value = serde_json::from_slice(&decode(message.split_once('.').unwrap().0)).unwrap();
    assert_eq!(head, json!({"alg": "RS256", "typ": "JWT", "kid": jwk["kid"]}));
}

#[test]
fn the_published_key_has_no_private_half() {
    let jwk = key().jwk();
    let names: Vec<_> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["kty", "use", "alg", "kid", "n", "e"]);
    assert_eq!((&jwk["kty"], &jwk["use"], &jwk["alg"]), (&json!("RSA"), &json!("sig"), &json!("RS256")));
    assert_eq!(decode(jwk["n"].as_str().unwrap()).len(), 256);
}

#[test]
fn prefix_and_subject_must_agree() {
    for subject in subjects() {
        for kind in TokenKind::ALL {
            let token = key().sign(*kind, &claims(subject, None)).unwrap();
            let verified = verifier().verify(&token, at(0));
            assert_eq!(verified.is_ok(), *kind == subject.kind(), "{kind:?} {subject:?}");
            assert!(verified.is_ok() || verified == Err(TokenError::Malformed));
        }
    }
    let token = token();
    let body = token.strip_prefix("tha_live_").unwrap();
    for text in [format!("oka_live_{body}"), format!("THA_LIVE_{body}"), format!(" {token}"), body.to_owned()]
    {
        assert_eq!(verifier().verify(&text, at(0)), Err(TokenError::Malformed));
    }
}

#[test]
fn changed_claims_are_refused() {
    let token = token();
    let parts: Vec<&str> = token.split('.').collect();
    let other = Subject::Project(ProjectId::from_bytes([9; 16]));
    let payload = encode(serde_json::to_vec(&claims(other, None)).unwrap());
    let text = [parts[0], &payload, parts[2]].join(".");
    assert_eq!(verifier().verify(&text, at(0)), Err(TokenError::BadSignature));
}

#[test]
fn no_other_algorithm_is_taken_although_the_signature_is_right() {
    let payload = serde_json::to_vec(&claims(project(), None)).unwrap();
    assert!(verifier().verify(&forge(&header(), &payload), at(0)).is_ok());
    for alg in [json!("none"), json!("HS256"), json!("RS512"), json!("rs256"), json!(""), json!(null)] {
        let text = forge(&json!({"alg": alg, "kid": key().kid()}), &payload);
        assert_eq!(verifier().verify(&text, at(0)), Err(TokenError::Malformed), "{alg}");
        let (unsigned, _) = text.rsplit_once('.').unwrap();
        assert_eq!(verifier().verify(&format!("{unsigned}."), at(0)), Err(TokenError::Malformed), "{alg}");
    }
}

#[test]
fn the_public_key_is_no_secret_to_sign_with() {
    let payload = serde_json::to_vec(&claims(project(), None)).unwrap();
    let public = decode(key().jwk()["n"].as_str().unwrap());
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &public);
    for (alg, expected) in [("HS256", TokenError::Malformed), ("RS256", TokenError::BadSignature)] {
        let head = json!({"alg": alg, "kid": key().kid()}).to_string();
        let message = format!("{}.{}", encode(head), encode(&payload));
        let tag = ring::hmac::sign(&secret, message.as_bytes());
        let text = format!("tha_live_{message}.{}", encode(tag));
        assert_eq!(verifier().verify(&text, at(0)), Err(expected));
    }
}

#[test]
fn a_token_of_another_issuer_is_refused() {
    for issuer in ["", "ingram ", "https://ingram.example"] {
        let claims = Claims { iss: issuer.into(), ..claims(project(), None) };
        let token = key().sign(TokenKind::Tenant, &claims).unwrap();
        assert_eq!(verifier().verify(&token, at(0)), Err(TokenError::WrongIssuer));
    }
}

#[test]
fn signed_nonsense_is_malformed() {
    let claims = serde_json::to_string(&claims(project(), None)).unwrap();
    let with = |from: &str, to: &str| claims.replace(from, to);
    let body = ProjectId::from_bytes([1; 16]).body();
    let payloads = [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        with("\"iat\":100", "\"iat\":\"100\""),
        with("\"iat\":100", "\"iat\":100,\"exp\":1e99"),
        with("\"iat\":100", "\"iat\":100,\"iat\":101"),
        with("tok_", "run_"),
        with(&project().to_string(), ""),
        // Without its prefix a project could not be told from an organization.
        with(&project().to_string(), &body),
        "[".repeat(4_000),
    ];
    for payload in payloads {
        let verified = verifier().verify(&forge(&header(), payload.as_bytes()), at(0));
        assert_eq!(verified, Err(TokenError::Malformed), "{payload:.80}");
    }
}

#[test]
fn a_token_over_eight_kibibytes_is_not_looked_at() {
    let long = Claims { scope: "a".repeat(8_192), ..claims(project(), None) };
    let token = key().sign(TokenKind::Tenant, &long).unwrap();
    assert_eq!(verifier().verify(&token, at(0)), Err(TokenError::Malformed));
    let long = Claims { scope: "a".repeat(5_000), ..claims(project(), None) };
    assert!(verifier().verify(&key().sign(TokenKind::Tenant, &long).unwrap(), at(0)).is_ok());
}

#[test]
fn a_key_survives_storage_and_an_unknown_one_is_named_as_such() {
    let again = SigningKey::from_pkcs8(key().pkcs8()).unwrap();
    assert_eq!(again.kid(), key().kid());
    assert_eq!(Verifier::new([&again]).verify(&token(), at(0)).unwrap().subject, project());
    assert_eq!(Verifier::new([]).verify(&token(), at(0)), Err(TokenError::UnknownKey));
}

#[test]
fn a_token_of_another_server_is_refused_even_under_our_key_id() {
    let other = SigningKey::generate().unwrap();
    assert_ne!(other.kid(), key().kid());
    let token = other.sign(TokenKind::Tenant, &claims(project(), None)).unwrap();
    assert_eq!(verifier().verify(&token, at(0)), Err(TokenError::UnknownKey));
    assert!(Verifier::new([key(), &other]).verify(&token, at(0)).is_ok());
    let parts: Vec<&str> = token.split('.').collect();
    let renamed = format!("tha_live_{}.{}.{}", encode(header().to_string()), parts[1], parts[2]);
    assert_eq!(verifier().verify(&renamed, at(0)), Err(TokenError::BadSignature));
}

#[test]
fn a_damaged_key_is_refused() {
    let pkcs8 = key().pkcs8();
    for bytes in [&[], &pkcs8[..pkcs8.len() - 1], &pkcs8[1..]] {
        assert_eq!(SigningKey::from_pkcs8(bytes).unwrap_err(), KeyError);
    }
}

#[test]
fn a_signing_key_shows_only_its_id() {
    assert_eq!(format!("{:?} {:#?}", key(), key()), format!("SigningKey({0}) SigningKey({0})", key().kid()));
}

#[test]
fn no_error_repeats_the_token() {
    let canary = Claims { scope: "canary".into(), exp: Some(1), ..claims(project(), None) };
    let token = key().sign(TokenKind::Tenant, &canary).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let errors = [
        (TokenError::Expired, verifier().verify(&token, at(2))),
        (TokenError::UnknownKey, Verifier::new([]).verify(&token, at(0))),
        (TokenError::BadSignature, verifier().verify(&format!("{message}.{}", encode("canary")), at(0))),
        (TokenError::Malformed, verifier().verify(&format!("canary{token}"), at(0))),
    ];
    for (expected, verified) in errors {
        let error = verified.unwrap_err();
        assert_eq!(error, expected);
        let shown = format!("{error} {error:?}");
        assert!(![&token, signature, "canary", key().kid()].iter().any(|secret| shown.contains(secret)));
    }
}

#[test]
fn a_token_is_known_by_its_sha_256() {
    // The example of FIPS 180-2, appendix B.1.
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(hex::encode(token_hash("abc")), expected);
}

#[test]
fn equal_is_equal_and_nothing_else() {
    assert!(constant_time_eq(b"abc", b"abc"));
    assert!(constant_time_eq(b"", b""));
    for other in [&b"abd"[..], b"bbc", b"ab", b"abcd", b""] {
        assert!(!constant_time_eq(b"abc", other));
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_verifier_panic(text: String, prefix in prop::sample::select(vec!["", "tha_live_", "thp_live_"])) {
        let text = format!("{prefix}{text}");
        prop_assert!(verifier().verify(&text, at(0)).is_err());
    }

    #[test]
    fn no_parts_make_the_verifier_panic(head: Vec<u8>, payload: Vec<u8>, signature: Vec<u8>, known: bool) {
        let head = if known { header().to_string().into_bytes() } else { head };
        let text = format!("tha_live_{}.{}.{}", encode(head), encode(payload), encode(signature));
        prop_assert!(verifier().verify(&text, at(0)).is_err());
    }

    #[test]
    fn no_changed_character_is_accepted(position: prop::sample::Index, other: char) {
        let token = token();
        let position = position.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(position..=position, other.encode_utf8(&mut [0; 4]));
        prop_assume!(changed != token);
        prop_assert!(verifier().verify(&changed, at(0)).is_err());
    }

    #[test]
    fn a_cut_token_is_refused(position: prop::sample::Index) {
        let token = token();
        prop_assert!(verifier().verify(&token[..position.index(token.len())], at(0)).is_err());
    }

    #[test]
    fn a_subject_survives_its_text(first: [u8; 16], second: [u8; 16]) {
        let (project, organization) = (ProjectId::from_bytes(first), OrganizationId::from_bytes(first));
        let smith = Subject::Smith(project, SmithId::from_bytes(second));
        for subject in [Subject::Project(project), smith, Subject::Organization(organization)] {
            prop_assert_eq!(subject.to_string().parse::<Subject>(), Ok(subject));
        }
    }

    #[test]
    fn every_text_that_is_a_subject_is_written_like_it(text in "(proj_|org_|smt_|)[1-3]{21,22}(:(smt_|proj_|)[1-3]{21,22})?") {
        if let Ok(subject) = text.parse::<Subject>() {
            prop_assert_eq!(subject.to_string(), text);
        }
    }
}
