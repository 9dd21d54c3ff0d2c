//! Typed ids: `<prefix>_<22 characters of base58>` over the 16 bytes of a UUIDv7.
//!
//! Text order is time order, because the alphabet is in ASCII order and the body has a fixed width.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::clock::Timestamp;

const BODY_LENGTH: usize = 22;

/// The text is not an id of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct InvalidId;

/// What all typed ids have in common.
pub trait Id: Copy + Eq + Ord + fmt::Display + FromStr<Err = InvalidId> {
    const PREFIX: &'static str;

    fn from_uuid(uuid: Uuid) -> Self;
    fn uuid(self) -> Uuid;

    /// Makes an id from a moment and ten random bytes.
    fn at(moment: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(moment.as_millis()).unwrap_or(0);
        Self::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    fn as_bytes(self) -> [u8; 16] {
        self.uuid().into_bytes()
    }

    fn from_bytes(bytes: [u8; 16]) -> Self {
        Self::from_uuid(Uuid::from_bytes(bytes))
    }

    /// Returns the 22 characters behind the prefix.
    fn body(self) -> String {
        encode_body(self.uuid())
    }
}

fn encode_body(uuid: Uuid) -> String {
    // bs58 writes one `1` per leading zero byte; the fixed width is ours to keep.
    let number = u128::from_be_bytes(uuid.into_bytes());
    let significant: Vec<u8> = number.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    let digits = bs58::encode(significant).into_string();
    format!("{digits:1>BODY_LENGTH$}")
}

fn decode_body(body: &str) -> Result<Uuid, InvalidId> {
    if body.len() != BODY_LENGTH {
        return Err(InvalidId);
    }
    let digits = body.trim_start_matches('1');
    let bytes = bs58::decode(digits).into_vec().map_err(|_| InvalidId)?;
    let start = 16_usize.checked_sub(bytes.len()).ok_or(InvalidId)?;
    let mut all = [0_u8; 16];
    all.get_mut(start..).ok_or(InvalidId)?.copy_from_slice(&bytes);
    Ok(Uuid::from_bytes(all))
}

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl Id for $name {
            const PREFIX: &'static str = $prefix;

            fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!($prefix, "_{}"), encode_body(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        /// Accepts the full id and the bare body, as path parameters do.
        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let body = text.strip_prefix(concat!($prefix, "_")).unwrap_or(text);
                decode_body(body).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    OrganizationId = "org";
    ProjectId = "proj";
    AgentId = "agt";
    SmithId = "smt";
    RunId = "run";
    TokenId = "tok";
    FileId = "file";
    ApprovalId = "apr";
    CustomerId = "cus";
    ConversationId = "cnv";
    RequestId = "req";
    McpServerId = "srv";
    /// Places a tool of a project's own in its list. It is shown nowhere else: tools go by their names.
    ProjectToolId = "tool";
    /// A message among the items of a thread.
    MessageId = "msg";
    /// A tool call among the items of a thread.
    CallId = "fc";
    /// A thread whose name the server made; callers may use any text instead.
    MintedThreadId = "thr";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_has_its_prefix_and_22_characters() {
        let id = RunId::from_bytes([0; 16]);
        assert_eq!(id.to_string(), format!("run_{}", "1".repeat(22)));
        let highest = RunId::from_bytes([255; 16]);
        assert_eq!(highest.body().len(), 22);
    }

    #[test]
    fn a_text_that_is_no_id_is_refused() {
        let too_large = "z".repeat(22);
        for text in [
            "",
            "run_",
            "run_abc",
            "smt_1111111111111111111111",
            too_large.as_str(),
            "run_0OIl111111111111111111",
        ] {
            assert_eq!(text.parse::<RunId>(), Err(InvalidId), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_id_survives_its_text_with_and_without_prefix(bytes: [u8; 16]) {
            let id = SmithId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<SmithId>(), Ok(id));
            prop_assert_eq!(id.body().parse::<SmithId>(), Ok(id));
        }

        #[test]
        fn text_order_is_byte_order(left: [u8; 16], right: [u8; 16]) {
            let (a, b) = (RunId::from_bytes(left), RunId::from_bytes(right));
            prop_assert_eq!(a.to_string().cmp(&b.to_string()), left.cmp(&right));
        }

        #[test]
        fn parsing_never_panics(text: String) {
            let _ = text.parse::<RunId>();
        }
    }
}
