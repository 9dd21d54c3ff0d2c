//! The frames that are stored of a run, for whoever shows it as it stands.

use domain::Problem;
use domain::frames::Frame;
use store::runs::RunRecord;
use store::{ProjectStore, SmithSeal};

/// How many commits are read from the database at once.
const BLOCKS: usize = 64;

/// Hands over each frame up to where the run's record stands, with its seq. Those that are damaged are left out.
pub(crate) async fn each_frame(
    project: &ProjectStore,
    record: &RunRecord,
    seal: &SmithSeal,
    mut take: impl FnMut(u64, &Frame),
) -> Result<(), Problem> {
    let end = record.next_seq;
    let mut next = 0;
    while next < end {
        let blocks = project.readable_frames(record.id, seal, next, BLOCKS).await?;
        if blocks.is_empty() {
            break;
        }
        for block in blocks {
            for (seq, frame) in (block.from..).zip(&block.frames) {
                if (next..end).contains(&seq) {
                    take(seq, frame);
                }
            }
            next = next.max(block.next);
        }
    }
    Ok(())
}
