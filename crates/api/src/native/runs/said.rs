//! What a run that is under way has said until now.

use domain::Problem;
use domain::frames::Frame;
use store::runs::RunRecord;
use store::{ProjectStore, SmithSeal};

use crate::stored::each_frame;

/// Reads the text of a run up to where its record stands: its deltas, without those of attempts that were cut.
pub(super) async fn so_far(
    project: &ProjectStore,
    record: &RunRecord,
    seal: &SmithSeal,
) -> Result<String, Problem> {
    let mut said = Said::default();
    each_frame(project, record, seal, |seq, frame| said.take(seq, frame)).await?;
    Ok(said.text)
}

#[derive(Default)]
struct Said {
    text: String,
    /// The seq of each delta, with where its text begins.
    deltas: Vec<(u64, usize)>,
}

impl Said {
    fn take(&mut self, seq: u64, frame: &Frame) {
        match frame {
            Frame::Delta { delta } => {
                self.deltas.push((seq, self.text.len()));
                self.text.push_str(delta);
            }
            Frame::Resumed { discard_after, .. } => {
                let valid = self.deltas.partition_point(|(seq, _)| seq <= discard_after);
                if let Some((_, start)) = self.deltas.get(valid) {
                    self.text.truncate(*start);
                }
                self.deltas.truncate(valid);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_attempt_said_that_was_cut_does_not_count() {
        let mut said = Said::default();
        let delta = |text: &str| Frame::Delta { delta: text.to_owned() };
        let resumed = |discard_after| Frame::Resumed { attempt: 2, discard_after };
        let frames = [delta("a"), delta("ü"), resumed(0), delta("b"), delta("c"), resumed(4), delta("d")];
        for (seq, frame) in (0..).zip(&frames) {
            said.take(seq, frame);
        }
        assert_eq!(said.text, "abcd");
        said.take(7, &resumed(3));
        assert_eq!(said.text, "ab");
    }
}
