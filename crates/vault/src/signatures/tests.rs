use std::sync::Arc;

use domain::Clock as _;
use http::HeaderMap;
use standardwebhooks::Webhook;

use super::*;
use crate::SystemClock;

/// The bytes from 0 to 31.
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const BODY: &[u8] = b"{\"tool\":\"pay\",\"args\":{\"amount\":12.5}}";

fn secret() -> SigningSecret {
    SigningSecret::parse(SECRET).unwrap()
}

fn headers(signatures: &Signatures) -> HeaderMap {
    signatures
        .headers()
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

#[test]
fn a_known_request_has_known_signatures() {
    // Computed with Python's `hmac`.
    let signed =
        Signatures::sign(&[secret()], "run_1::call_1", Timestamp::from_micros(1_777_636_800_999_999), BODY);
    assert_eq!(
        signed.headers(),
        [
            (
                "x-ic-signature",
                "t=1777636800,v1=2085c1d9055d412cbc714e3aa8a1ad0ab917cf6bcecddfa8c2269a0a662e6070"
            ),
            ("webhook-id", "run_1::call_1"),
            ("webhook-timestamp", "1777636800"),
            ("webhook-signature", "v1,hcjGTxRE1jYoIuOgIjYto4FccpikTK3q2PL3idgbm1E="),
        ]
    );
}

#[test]
fn an_independent_library_accepts_what_was_signed_and_nothing_else() {
    let signed = Signatures::sign(&[secret()], "run_1::call_1", SystemClock.now(), BODY);
    let receiver = Webhook::new(SECRET).unwrap();
    receiver.verify(BODY, &headers(&signed)).unwrap();
    assert!(receiver.verify(b"{\"tool\":\"pay\",\"args\":{\"amount\":99}}", &headers(&signed)).is_err());
    for changed in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut headers = headers(&signed);
        let value = format!("{}1", headers[changed].to_str().unwrap());
        headers.insert(changed, value.parse().unwrap());
        assert!(receiver.verify(BODY, &headers).is_err(), "{changed}");
    }
}

#[test]
fn while_a_secret_is_replaced_both_sign_the_new_one_first() {
    let ids = Ids::new(Arc::new(SystemClock));
    let (new, old, now) = (SigningSecret::generate(&ids), secret(), SystemClock.now());
    let signed = Signatures::sign(&[new.clone(), old.clone()], "evt_1", now, BODY);
    for secret in [&new, &old] {
        Webhook::new(secret.expose()).unwrap().verify(BODY, &headers(&signed)).unwrap();
    }
    let alone = |secret: SigningSecret| Signatures::sign(&[secret], "evt_1", now, BODY);
    let [new, old] = [alone(new), alone(old)];
    assert_eq!(signed.standard, format!("{} {}", new.standard, old.standard));
    let (_, old) = old.own.split_once(',').unwrap();
    assert_eq!(signed.own, format!("{},{old}", new.own));
}

#[test]
fn a_secret_has_its_form_and_is_not_shown() {
    let ids = Ids::new(Arc::new(SystemClock));
    let made = SigningSecret::generate(&ids);
    assert_eq!(SigningSecret::parse(made.expose()), Ok(made.clone()));
    assert_ne!(made, SigningSecret::generate(&ids));
    assert_eq!(made.expose().len(), 50);
    assert_eq!(format!("{made:?}"), "SigningSecret(…)");
    for wrong in ["", "whsec_", "whsec_AAEC", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "whsec_?"] {
        assert_eq!(SigningSecret::parse(wrong), Err(InvalidSigningSecret), "{wrong}");
    }
}
