//! The list of tables that hold something of a smith.

use domain::ids::{AgentId, ApprovalId, ConversationId, CustomerId, FileId, Id, RunId, SmithId, TokenId};
use serde_json::{Map, Value};

use super::{Attachment, Belonging, Column, Erase, Export, Found, Lines, Shown};

/// Under this name the receipt of an erasure lists what its smith had used, without the smith.
pub(crate) const ANONYMOUS_USAGE: &str = "anonymous_usage";

/// Every table with rows of smiths. An export shows them in this order.
///
/// To add one: say how its rows are found, by which columns they are named, how each column is shown, and what becomes of
/// them. Whoever writes such rows has the table refer to `smiths` or `runs` with a foreign key, or takes the smith with
/// `Dialect::holding_smith`, so that nothing is written behind an erasure's back.
pub(crate) const BELONGINGS: &[Belonging] = &[
    Belonging {
        table: "smiths",
        found: Found::BySmith("id"),
        key: &[],
        export: Export::Lines(Lines {
            file: "smith.jsonl",
            columns: &[
                id::<SmithId>("id"),
                id::<AgentId>("agent_id"),
                text("external_id"),
                id::<CustomerId>("customer_id"),
                number("pin"),
                sealed("profile", &["id"]),
                number("version"),
                time("created_at"),
                time("updated_at"),
                time("archived_at"),
            ],
            hidden: &["project_id", "data_key", "erased_at"],
            attachment: None,
        }),
        erase: Erase::DeleteLast,
    },
    Belonging {
        table: "smith_revisions",
        found: Found::BySmith("smith_id"),
        key: &["number"],
        export: Export::Lines(Lines {
            file: "revisions.jsonl",
            columns: &[
                number("number"),
                sealed("body", &["smith_id", "number"]),
                json("actor"),
                time("created_at"),
            ],
            hidden: &["smith_id"],
            attachment: None,
        }),
        erase: Erase::Delete,
    },
    Belonging {
        table: "runs",
        found: Found::BySmith("smith_id"),
        key: &["id"],
        export: Export::Lines(Lines {
            file: "runs.jsonl",
            columns: &[
                id::<RunId>("id"),
                id::<AgentId>("agent_id"),
                number("agent_version"),
                text("thread_id"),
                number("turn"),
                text("status"),
                text("channel"),
                text("model"),
                text("stop_reason"),
                text("error_code"),
                number("input_tokens"),
                number("output_tokens"),
                number("cache_read_tokens"),
                number("cache_write_tokens"),
                number("reasoning_tokens"),
                json("actor"),
                time("created_at"),
                time("updated_at"),
            ],
            hidden: &["project_id", "smith_id", "owner", "fence", "crashes", "next_seq"],
            attachment: None,
        }),
        erase: Erase::DeleteLast,
    },
    Belonging {
        table: "run_requests",
        found: Found::ByRun("run_id"),
        key: &[],
        export: Export::Lines(Lines {
            file: "run_requests.jsonl",
            columns: &[
                id::<RunId>("run_id"),
                column("request", Shown::SealedPart(&["run_id"], without_credentials)),
                sealed("config", &["run_id"]),
            ],
            hidden: &[],
            attachment: None,
        }),
        erase: Erase::Delete,
    },
    Belonging {
        table: "run_results",
        found: Found::ByRun("run_id"),
        key: &[],
        export: Export::Lines(Lines {
            file: "run_results.jsonl",
            columns: &[id::<RunId>("run_id"), sealed("body", &["run_id"])],
            hidden: &[],
            attachment: None,
        }),
        erase: Erase::Delete,
    },
    Belonging {
        table: "run_frames",
        found: Found::ByRun("run_id"),
        key: &["seq_from"],
        export: Export::Lines(Lines {
            file: "run_frames.jsonl",
            columns: &[
                id::<RunId>("run_id"),
                number("seq_from"),
                number("seq_to"),
                sealed("body", &["run_id", "seq_from"]),
                time("created_at"),
            ],
            hidden: &[],
            attachment: None,
        }),
        erase: Erase::Delete,
    },
    Belonging {
        table: "run_journal",
        found: Found::ByRun("run_id"),
        key: &["position"],
        export: Export::Lines(Lines {
            file: "run_journal.jsonl",
            columns: &[
                id::<RunId>("run_id"),
                number("position"),
                text("kind"),
                number("next_seq"),
                sealed("body", &["run_id", "position"]),
                time("created_at"),
            ],
            hidden: &[],
            attachment: None,
        }),
        erase: Erase::Delete,
    },
    Belonging {
        table: "approvals",
        found: Found::ByRun("run_id"),
        key: &["id"],
        export: Export::Lines(Lines {
            file: "approvals.jsonl",
            columns: &[
                id::<ApprovalId>("id"),
                id::<RunId>("run_id"),
                text("status"),
                text("resolution"),
                sealed("request", &["id"]),
                sealed("decision", &["id"]),
                time("expires_at"),
                time("created_at"),
                time("resolved_at"),
            ],
            hidden: &["project_id", "smith_id"],
            attachment: None,
        }),
        erase: Erase::Delete,
    },
    Belonging {
        table: "conversations",
        found: Found::BySmith("smith_id"),
        key: &["id"],
        export: Export::Lines(Lines {
            file: "conversations.jsonl",
            columns: &[
                id::<ConversationId>("id"),
                sealed("title", &["id"]),
                sealed("metadata", &["id"]),
                time("created_at"),
                time("updated_at"),
            ],
            hidden: &["project_id", "smith_id", "version"],
            attachment: None,
        }),
        erase: Erase::Delete,
    },
    Belonging {
        table: "files",
        found: Found::BySmith("smith_id"),
        key: &["id"],
        export: Export::Lines(Lines {
            file: "files.jsonl",
            columns: &[
                id::<FileId>("id"),
                number("size"),
                sealed("description", &["id"]),
                time("created_at"),
            ],
            hidden: &["project_id", "smith_id"],
            attachment: Some(Attachment { column: "content", sealed: &["id"], path: file_path }),
        }),
        erase: Erase::Delete,
    },
    Belonging {
        table: "tokens",
        found: Found::BySmith("smith_id"),
        key: &["id"],
        export: Export::Lines(Lines {
            file: "tokens.jsonl",
            columns: &[
                id::<TokenId>("id"),
                text("name"),
                sealed("sealed_name", &["id"]),
                text("scopes"),
                time("created_at"),
                time("expires_at"),
                time("revoked_at"),
            ],
            hidden: &["kind", "organization_id", "project_id", "smith_id", "hash"],
            attachment: None,
        }),
        erase: Erase::Delete,
    },
    Belonging {
        table: "model_keys",
        found: Found::BySmith("owner_id"),
        key: &["provider"],
        export: Export::Lines(Lines {
            file: "model_keys.jsonl",
            columns: &[text("provider"), text("base_url"), time("updated_at")],
            hidden: &["project_id", "owner_id", "sealed_key"],
            attachment: None,
        }),
        erase: Erase::Delete,
    },
    Belonging {
        table: "idempotency_keys",
        found: Found::BySmith("smith_id"),
        key: &["scope"],
        export: Export::LeftOut(
            "Copies of answers whose content is in the other files; each is kept for a day.",
        ),
        erase: Erase::Delete,
    },
    Belonging {
        table: "erasures",
        found: Found::BySmith("smith_id"),
        key: &[],
        export: Export::LeftOut("Made when a smith is erased; there is nothing to export from then on."),
        erase: Erase::Keep("receipt"),
    },
];

const fn column(name: &'static str, shown: Shown) -> Column {
    Column { name, shown }
}

const fn id<I: Id>(name: &'static str) -> Column {
    column(name, Shown::Id(written::<I>))
}

const fn time(name: &'static str) -> Column {
    column(name, Shown::Time)
}

const fn text(name: &'static str) -> Column {
    column(name, Shown::Text)
}

const fn number(name: &'static str) -> Column {
    column(name, Shown::Number)
}

const fn json(name: &'static str) -> Column {
    column(name, Shown::Json)
}

const fn sealed(name: &'static str, row: &'static [&'static str]) -> Column {
    column(name, Shown::Sealed(row))
}

/// Takes out of a run's request with what its author calls other servers: that is not the person's.
fn without_credentials(request: &mut Value) {
    let servers = request.pointer_mut("/overlay/servers").and_then(Value::as_array_mut);
    for server in servers.into_iter().flatten().filter_map(Value::as_object_mut) {
        server.retain(|field, _| field == "label");
    }
}

fn written<I: Id>(bytes: [u8; 16]) -> String {
    I::from_bytes(bytes).to_string()
}

/// The most characters of an ending that is taken over into the archive.
const LONGEST_ENDING: usize = 10;

/// Names a file by its id, with the ending of its own name: what a person typed is no path on another's disk.
fn file_path(line: &Map<String, Value>) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let id = text(line.get("id"));
    let name = text(line.get("description").and_then(|description| description.get("filename")));
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let is_plain =
        |ending: &String| !ending.is_empty() && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match ending.filter(|ending| ending.len() <= LONGEST_ENDING && is_plain(ending)) {
        Some(ending) => format!("files/{id}.{ending}"),
        None => format!("files/{id}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_is_named_by_its_id_whatever_its_own_name_is() {
        for (name, path) in [
            ("report.PDF", "files/file_1.pdf"),
            ("../../etc/passwd", "files/file_1"),
            ("a.b/../c", "files/file_1"),
            ("no ending", "files/file_1"),
            ("long.abcdefghijk", "files/file_1"),
            ("x.tar.gz", "files/file_1.gz"),
            ("x.", "files/file_1"),
        ] {
            let line = json!({"id": "file_1", "description": {"filename": name}});
            assert_eq!(file_path(line.as_object().unwrap()), path, "{name}");
        }
    }
}
