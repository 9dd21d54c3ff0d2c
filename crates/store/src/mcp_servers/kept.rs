//! Lists of tools that were read, kept at hand as they are after parsing.

use std::sync::Arc;

use domain::ids::McpServerId;
use domain::tools::Manifest;
use moka::sync::Cache;

/// How many bytes of lists are kept, counted as the JSON that they are stored as. Parsed, a list takes several times as much.
const BYTES: u64 = 8 * 1024 * 1024;

#[derive(Clone)]
struct Kept {
    version: u64,
    bytes: u32,
    manifest: Arc<Manifest>,
}

/// The lists of servers, each with its version. Whoever asks has read the version a moment ago, so nothing old is served.
pub(crate) struct Manifests(Cache<McpServerId, Kept>);

impl Default for Manifests {
    fn default() -> Self {
        Self::with_bytes(BYTES)
    }
}

impl Manifests {
    fn with_bytes(bytes: u64) -> Self {
        Self(Cache::builder().max_capacity(bytes).weigher(|_, kept: &Kept| kept.bytes).build())
    }

    /// Returns the list of a server in this version, if it is at hand.
    pub(super) fn get(&self, server: McpServerId, version: u64) -> Option<Arc<Manifest>> {
        self.0.get(&server).filter(|kept| kept.version == version).map(|kept| kept.manifest)
    }

    /// Keeps a list whose JSON has so many bytes, in the place of another version.
    pub(super) fn keep(&self, server: McpServerId, version: u64, bytes: usize, manifest: Arc<Manifest>) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.0.insert(server, Kept { version, bytes, manifest });
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::Id as _;

    use super::*;

    fn id(number: u8) -> McpServerId {
        McpServerId::from_bytes([number; 16])
    }

    fn manifest(protocol: &str) -> Arc<Manifest> {
        Arc::new(Manifest { protocol: protocol.to_owned(), ..Manifest::default() })
    }

    #[test]
    fn a_list_is_found_in_its_version_alone() {
        let kept = Manifests::default();
        kept.keep(id(1), 2, 100, manifest("new"));
        assert_eq!(kept.get(id(1), 2), Some(manifest("new")));
        for other in [1, 3] {
            assert_eq!(kept.get(id(1), other), None);
        }
        assert_eq!(kept.get(id(2), 2), None);
        kept.keep(id(1), 3, 100, manifest("newer"));
        assert_eq!((kept.get(id(1), 2), kept.get(id(1), 3)), (None, Some(manifest("newer"))));
    }

    #[test]
    fn no_more_bytes_are_kept_than_there_is_room_for() {
        let kept = Manifests::with_bytes(1_000);
        for number in 0..50 {
            kept.keep(id(number), 1, 100, manifest("x"));
        }
        kept.keep(id(99), 1, 1_001, manifest("larger than the room"));
        kept.0.run_pending_tasks();
        assert!((1..=1_000).contains(&kept.0.weighted_size()), "{}", kept.0.weighted_size());
        assert_eq!(kept.get(id(99), 1), None);
    }
}
