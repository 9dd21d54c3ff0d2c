//! Presets of MCP servers that are known to the public: the catalog.

use std::sync::LazyLock;

use serde::Deserialize;

use super::{ApprovalRule, McpAuth};

/// The presets as they are written down, in the order of their slugs.
const WRITTEN: &str = include_str!("presets.json");

/// A test reads the same text, so that it is never empty in a program that was tested.
static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| serde_json::from_str(WRITTEN).unwrap_or_default());

/// What is known of a server.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    pub slug: String,
    pub display_name: String,
    pub description: String,
    pub mcp_url: String,
    pub auth: McpAuth,
    /// What a connection has to be allowed to do.
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default)]
    pub default_allowlist: Option<Vec<String>>,
    #[serde(default)]
    pub default_approval_policy: Vec<ApprovalRule>,
    #[serde(default)]
    pub logo_url: Option<String>,
    #[serde(default)]
    pub docs_url: Option<String>,
}

/// Lists the presets by their slugs.
pub fn all() -> &'static [Preset] {
    &PRESETS
}

pub fn find(slug: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.slug == slug)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::{AuthKind, is_name};

    fn is_https(url: &str) -> bool {
        let host = url.strip_prefix("https://").unwrap_or_default().split('/').next().unwrap_or_default();
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        host.contains('.') && host.bytes().all(is_plain) && !url.contains(['?', '#', ' '])
    }

    #[test]
    fn the_presets_can_be_read_and_are_enough_to_choose_from() {
        let presets: Vec<Preset> = serde_json::from_str(WRITTEN).unwrap();
        assert_eq!(presets, all());
        assert!(presets.len() >= 12, "{}", presets.len());
        let mut slugs: Vec<&str> = presets.iter().map(|preset| preset.slug.as_str()).collect();
        let as_written = slugs.clone();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs, as_written, "slugs are unique and in their order");
    }

    #[test]
    fn a_preset_leads_to_a_public_address_and_says_how_it_is_called() {
        for preset in all() {
            let slug = &preset.slug;
            assert!(is_name(slug) && find(slug) == Some(preset), "{slug}");
            assert!(is_https(&preset.mcp_url), "{slug}: {}", preset.mcp_url);
            assert!(!preset.display_name.is_empty() && preset.description.ends_with('.'), "{slug}");
            for url in [&preset.logo_url, &preset.docs_url].into_iter().flatten() {
                assert!(is_https(url), "{slug}: {url}");
            }
            assert_eq!(preset.auth.provider.is_some(), preset.auth.kind == AuthKind::Oauth, "{slug}");
        }
        for kind in [AuthKind::None, AuthKind::Bearer, AuthKind::Oauth] {
            assert!(all().iter().any(|preset| preset.auth.kind == kind), "{kind:?}");
        }
    }

    #[test]
    fn what_can_change_something_asks_first() {
        for preset in all() {
            let rules = serde_json::to_value(&preset.default_approval_policy).unwrap();
            let read = ApprovalRule::parse_all(&rules, "default_approval_policy").unwrap();
            assert_eq!(read, preset.default_approval_policy, "{}", preset.slug);
            let is_open = preset.auth.kind == AuthKind::None;
            assert_eq!(read.is_empty(), is_open, "{}: public documentation needs no consent", preset.slug);
            for harmless in ["list_issues", "get_page", "search", "notion-search", "getJiraIssue", "fetch"] {
                assert!(!read.iter().any(|rule| rule.matches(harmless)), "{}: {harmless}", preset.slug);
            }
        }
        let asks = |slug: &str, tool: &str| {
            find(slug).unwrap().default_approval_policy.iter().any(|rule| rule.matches(tool))
        };
        assert!(asks("github", "delete_file") && asks("github", "merge_pull_request"));
        assert!(asks("stripe", "create_refund") && asks("supabase", "execute_sql"));
        // Most of its tools are called through another one.
        assert!(asks("atlassian", "createJiraIssue") && asks("atlassian", "executeTool"));
        assert!(asks("notion", "notion-update-page"));
    }
}
