use proptest::prelude::*;

use super::*;
use crate::ids::Id as _;

const ACTIVE: u32 = 1;
const NEXT: u32 = 2;

fn active() -> Live {
    Live::default().published(ACTIVE)
}

fn percent(percent: u32) -> Percent {
    Percent::new(percent).unwrap()
}

fn live(rollout_version: Option<u32>, rollout_percent: u32) -> Live {
    Live { active_version: Some(ACTIVE), rollout_version, rollout_percent }
}

#[test]
fn the_first_version_goes_live_by_itself_and_later_ones_do_not() {
    let first = Live::default().published(1);
    assert_eq!(first.active_version, Some(1));
    assert_eq!(first.published(2), first);
}

#[test]
fn a_rollout_is_begun_widened_withdrawn_and_completed() {
    let begun = active().rolled_out(NEXT, percent(10));
    assert_eq!(begun, live(Some(NEXT), 10));
    assert_eq!(begun.rolled_out(NEXT, percent(99)), live(Some(NEXT), 99));
    assert_eq!(begun.rolled_out(NEXT, percent(0)), live(None, 0));
    assert_eq!(begun.rolled_out(ACTIVE, percent(0)), live(None, 0));
    let completed = begun.rolled_out(NEXT, Percent::ALL);
    assert_eq!(completed, Live { active_version: Some(NEXT), ..Live::default() });
    assert_eq!(completed.rolled_out(ACTIVE, Percent::ALL), active(), "rolled back");
}

#[test]
fn more_than_all_smiths_are_refused() {
    assert_eq!(Percent::new(100), Ok(Percent::ALL));
    let refusal = Percent::new(101).unwrap_err();
    assert_eq!((refusal.code, refusal.param.as_deref()), (Code::InvalidPercent, Some("percent")));
}

#[test]
fn a_rollout_reaches_about_the_share_that_was_asked_for() {
    const SMITHS: u32 = 20_000;
    let agent = AgentId::from_bytes([9; 16]);
    let smith = |number: u32| {
        let mut bytes = [7; 16];
        bytes[12..].copy_from_slice(&number.to_be_bytes());
        SmithId::from_bytes(bytes)
    };
    for share in [1, 10, 25, 50, 75, 99] {
        let live = active().rolled_out(NEXT, percent(share));
        let reached =
            (0..SMITHS).filter(|number| live.version_for(agent, smith(*number), None) == Some(NEXT));
        let (reached, share) = (reached.count() as f64, f64::from(share) / 100.0);
        let (mean, deviation) =
            (f64::from(SMITHS) * share, (f64::from(SMITHS) * share * (1.0 - share)).sqrt());
        assert!((reached - mean).abs() < 5.0 * deviation, "{reached} of {mean} at {share}");
    }
}

#[test]
fn the_bucket_of_a_smith_is_that_of_the_contract() {
    let (agent, smith) = (AgentId::from_bytes([1; 16]), SmithId::from_bytes([2; 16]));
    let digest = Sha256::digest(format!("{agent}:{smith}"));
    let head = u32::from_be_bytes(digest[..4].try_into().unwrap());
    assert_eq!(bucket(agent, smith), head % 100);
    assert_eq!(format!("{agent}:{smith}").len(), 26 + 1 + 26, "the prefixes belong to it");
}

proptest! {
    #[test]
    fn a_smith_once_reached_by_a_rollout_stays_reached(agent: [u8; 16], smith: [u8; 16], low in 0_u32..100, more in 0_u32..100) {
        let (agent, smith) = (AgentId::from_bytes(agent), SmithId::from_bytes(smith));
        let high = (low + more).min(100);
        let begun = active().rolled_out(NEXT, percent(low));
        let widened = begun.rolled_out(NEXT, percent(high));
        if begun.version_for(agent, smith, None) == Some(NEXT) {
            prop_assert_eq!(widened.version_for(agent, smith, None), Some(NEXT));
        }
        prop_assert_eq!(begun.rolled_out(NEXT, Percent::ALL).version_for(agent, smith, None), Some(NEXT));
        prop_assert_eq!(begun.rolled_out(NEXT, percent(0)).version_for(agent, smith, None), Some(ACTIVE));
        prop_assert_eq!(begun.version_for(agent, smith, Some(7)), Some(7));
    }

    #[test]
    fn a_rollout_that_is_repeated_changes_nothing_and_nobody_loses_its_version(
        steps in prop::collection::vec((1_u32..6, 0_u32..=100), 1..20), smith: [u8; 16]
    ) {
        let (agent, smith) = (AgentId::from_bytes([3; 16]), SmithId::from_bytes(smith));
        let mut live = active();
        for (version, share) in steps {
            let next = live.rolled_out(version, percent(share));
            prop_assert_eq!(next.rolled_out(version, percent(share)), next);
            prop_assert_eq!(next.rollout_version.is_some(), (1..100).contains(&next.rollout_percent));
            if share < 100 {
                prop_assert_eq!(next.active_version, live.active_version);
            }
            prop_assert!(next.version_for(agent, smith, None).is_some());
            live = next;
        }
    }
}
