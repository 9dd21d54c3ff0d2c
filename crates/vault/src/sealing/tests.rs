use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::SystemClock;

const HERE: Context<'_> = Context { table: "runs", column: "body", row: b"1" };

fn ids() -> Ids {
    Ids::new(Arc::new(SystemClock))
}

fn elsewhere() -> [Context<'static>; 5] {
    [
        Context { table: "run", ..HERE },
        Context { column: "bod", ..HERE },
        Context { row: b"2", ..HERE },
        Context { row: b"", ..HERE },
        // The same characters, cut differently.
        Context { table: "runsb", column: "ody", row: b"1" },
    ]
}

#[test]
fn a_ciphertext_that_was_moved_does_not_open() {
    let (data, master) = (DataKey::generate(&ids()), MasterKey::generate(&ids()));
    let sealed = data.seal(&ids(), b"text", HERE);
    let secret = master.seal(&ids(), b"text", HERE);
    let wrapped = master.wrap(&data, HERE, &ids());
    assert_eq!(data.open(&sealed, HERE).unwrap(), b"text");
    assert_eq!(master.open(&secret, HERE).unwrap(), b"text");
    for place in elsewhere() {
        assert_eq!(data.open(&sealed, place), Err(SealError), "{place:?}");
        assert_eq!(master.open(&secret, place), Err(SealError), "{place:?}");
        assert!(master.unwrap_key(&wrapped, place).is_err(), "{place:?}");
    }
}

#[test]
fn another_key_does_not_open() {
    let sealed = DataKey::generate(&ids()).seal(&ids(), b"text", HERE);
    assert_eq!(DataKey::generate(&ids()).open(&sealed, HERE), Err(SealError));
    let (mine, other) = (MasterKey::generate(&ids()), MasterKey::generate(&ids()));
    let wrapped = mine.wrap(&DataKey::generate(&ids()), HERE, &ids());
    let secret = mine.seal(&ids(), &[7; KEY], HERE);
    assert!(other.unwrap_key(&wrapped, HERE).is_err());
    assert!(other.open(&secret, HERE).is_err());
    assert_ne!(mine.fingerprint(), other.fingerprint());
}

#[test]
fn wrapping_and_secrets_have_keys_of_their_own() {
    let master = MasterKey::generate(&ids());
    let wrapped = master.wrap(&DataKey::generate(&ids()), HERE, &ids());
    let secret = master.seal(&ids(), &[7; KEY], HERE);
    assert!(master.open(&wrapped, HERE).is_err());
    assert!(master.unwrap_key(&secret, HERE).is_err());
    assert!(DataKey(master.root).open(&secret, HERE).is_err());
}

#[test]
fn a_wrapped_key_still_opens_what_it_sealed() {
    let (data, master) = (DataKey::generate(&ids()), MasterKey::generate(&ids()));
    let sealed = data.seal(&ids(), b"text", HERE);
    let again = MasterKey::parse(&master.to_text()).unwrap();
    let unwrapped = again.unwrap_key(&master.wrap(&data, HERE, &ids()), HERE).unwrap();
    assert_eq!(unwrapped.open(&sealed, HERE).unwrap(), b"text");
}

#[test]
fn a_wrapped_key_of_another_length_is_refused() {
    let master = MasterKey::generate(&ids());
    for length in [0, KEY - 1, KEY + 1] {
        let wrapped = seal(&master.wrapping, &ids(), &vec![7; length], HERE);
        assert!(master.unwrap_key(&wrapped, HERE).is_err());
    }
}

#[test]
fn the_same_text_is_never_sealed_to_the_same_bytes() {
    let key = DataKey::generate(&ids());
    assert_ne!(key.seal(&ids(), b"text", HERE), key.seal(&ids(), b"text", HERE));
}

#[test]
fn a_cut_or_lengthened_ciphertext_does_not_open() {
    let key = DataKey::generate(&ids());
    let mut sealed = key.seal(&ids(), b"text", HERE);
    for length in 0..sealed.len() {
        assert_eq!(key.open(&sealed[..length], HERE), Err(SealError), "{length}");
    }
    sealed.push(0);
    assert_eq!(key.open(&sealed, HERE), Err(SealError));
}

/// The expected bytes come from an implementation of RFC 8439 and of the XChaCha draft that shares no code with this one.
#[test]
fn what_was_stored_with_the_first_format_stays_readable() {
    let read = |text: &str| hex::decode(text).unwrap();
    let sealed = read(
        "01000102030405060708090a0b0c0d0e0f1011121314151617\
         c372dbf1da7a34d705bee4269491bd43f5b228ce10260cd09d572af8c5e9",
    );
    assert_eq!(DataKey([7; KEY]).open(&sealed, HERE).unwrap(), b"kept for years");

    let master = MasterKey::from_bytes([7; KEY]);
    let secret = read(
        "01000102030405060708090a0b0c0d0e0f1011121314151617\
         4c07557a26987a6c7d459d4e73db3a5a02a11e1be67ba008e83516ccdfb4",
    );
    assert_eq!(master.open(&secret, HERE).unwrap(), b"kept for years");

    let wrapped = read(
        "01000102030405060708090a0b0c0d0e0f1011121314151617\
         6a1e71a938db31e80a339ccb47633c95c14d0839ff9d4863fdb50d9766084fbc72fe12c69632cd6314ede8fbffbb86ba",
    );
    assert_eq!(master.unwrap_key(&wrapped, HERE).unwrap().0, [7; KEY]);
    assert_eq!(master.fingerprint(), "cf18dedb480b51ba");
}

#[test]
fn a_master_key_is_read_in_both_spellings() {
    let key = MasterKey::from_bytes([0xab; KEY]);
    for text in
        [key.to_text().to_string(), "ab".repeat(KEY), "AB".repeat(KEY), format!(" {}\n", *key.to_text())]
    {
        assert_eq!(MasterKey::parse(&text).unwrap().root, key.root);
    }
}

#[test]
fn a_text_that_is_no_master_key_is_refused_without_repeating_it() {
    let canary = "canary".repeat(11);
    let long = STANDARD.encode([7; KEY + 1]);
    let short = STANDARD.encode([7; KEY - 1]);
    for text in ["", "canary", &canary, &canary[..KEY * 2], &long, &short, "ключ"] {
        let error = MasterKey::parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}

#[test]
fn no_key_shows_itself() {
    let shown = format!("{:?} {:#?}", MasterKey::from_bytes([7; KEY]), DataKey([7; KEY]));
    assert_eq!(shown, "MasterKey(…) DataKey(…)");
    let shown = format!("{:?} {SealError} {SealError:?}", DataKey(*b"canary-canary-canary-canary-cana"));
    assert!(!shown.contains("canary") && !shown.contains("99"), "{shown}");
    let master = MasterKey::from_bytes(*b"canary-canary-canary-canary-cana");
    assert!(!hex::encode(b"canary-canary-canary-canary-cana").contains(&master.fingerprint()));
}

#[test]
fn every_key_is_wiped_when_it_is_dropped() {
    fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<MasterKey>();
    wiped::<DataKey>();
    // This one holds only while the cipher is built with its feature `zeroize`.
    wiped::<XChaCha20Poly1305>();
}

proptest! {
    #[test]
    fn what_was_sealed_opens_and_a_flipped_bit_shows(plain: Vec<u8>, position: prop::sample::Index, bit in 0_u8..8) {
        let key = DataKey::generate(&ids());
        let mut sealed = key.seal(&ids(), &plain, HERE);
        prop_assert_eq!(sealed[0], VERSION);
        prop_assert_eq!(key.open(&sealed, HERE).unwrap(), plain);
        let position = position.index(sealed.len());
        sealed[position] ^= 1 << bit;
        prop_assert_eq!(key.open(&sealed, HERE), Err(SealError));
    }

    #[test]
    fn opening_never_panics(sealed: Vec<u8>) {
        prop_assert!(DataKey([1; KEY]).open(&sealed, HERE).is_err());
        prop_assert!(MasterKey::from_bytes([1; KEY]).unwrap_key(&sealed, HERE).is_err());
    }

    #[test]
    fn reading_a_master_key_never_panics(text: String) {
        let _ = MasterKey::parse(&text);
    }
}
