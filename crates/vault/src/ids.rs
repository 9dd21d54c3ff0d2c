//! Where ids, random bytes and the time come from.

use std::sync::{Arc, Mutex, PoisonError};

use domain::ids::Id;
use domain::{Clock, Timestamp};
use rand::Rng as _;

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the machine's clock is read")]
    fn now(&self) -> Timestamp {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Mints ids and random bytes. Cheap to clone; clones share one order of ids.
#[derive(Clone)]
pub struct Ids {
    clock: Arc<dyn Clock>,
    last: Arc<Mutex<Last>>,
}

/// What the last id was made of: ids of one millisecond count upwards from a random start.
#[derive(Default)]
struct Last {
    millis: i64,
    counter: u128,
}

/// The bits behind the time in a version 7 UUID that can be chosen freely.
const FREE_BITS: u32 = 74;

impl Ids {
    /// Starts a new order of ids, with the time of this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, last: Arc::default() }
    }

    /// Returns the clock that ids take their time from.
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Reads the clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Makes an id that is greater than all that were made before it here, also when the clock stands still or goes back.
    pub fn mint<I: Id>(&self) -> I {
        let now = self.now().as_millis();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if now > last.millis {
            *last = Last { millis: now, counter: self.start_of_millisecond() };
        } else {
            // A step of random size keeps neighbours from being guessed.
            let step = u128::from(u32::from_be_bytes(self.random())).saturating_add(1);
            last.counter = last.counter.saturating_add(step);
            if last.counter >> FREE_BITS != 0 {
                *last = Last { millis: last.millis.saturating_add(1), counter: self.start_of_millisecond() };
            }
        }
        let (millis, counter) = (last.millis, last.counter);
        drop(last);
        I::at(Timestamp::from_micros(millis.saturating_mul(1_000)), spread(counter))
    }

    /// Draws random bytes that nobody can predict, from a generator that the operating system seeds.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        rand::rng().fill_bytes(&mut bytes);
        bytes
    }

    /// Starts in the lower half of the space, so that a millisecond has room for its ids.
    fn start_of_millisecond(&self) -> u128 {
        let random = u128::from_be_bytes(self.random());
        random >> (128 - FREE_BITS + 1)
    }
}

/// Lays 74 bits into the ten bytes behind the time, around the places of version (4 bits) and variant (2 bits).
fn spread(counter: u128) -> [u8; 10] {
    let high = (counter >> 62) & 0xfff;
    let low = counter & ((1 << 62) - 1);
    let all = (high << 64) | low;
    let mut bytes = [0; 10];
    for (byte, shift) in bytes.iter_mut().zip((0..10).rev()) {
        *byte = u8::try_from((all >> (shift * 8)) & 0xff).unwrap_or(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use domain::ids::RunId;
    use proptest::prelude::*;

    use super::*;

    /// A clock that shows what was set, in milliseconds.
    struct Hand(AtomicI64);

    impl Hand {
        fn at(millis: i64) -> Arc<Self> {
            Arc::new(Self(AtomicI64::new(millis)))
        }
    }

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Ordering::Relaxed) * 1_000)
        }
    }

    fn millis(id: RunId) -> u64 {
        u128::from_be_bytes(id.as_bytes()).checked_shr(80).unwrap().try_into().unwrap()
    }

    #[test]
    fn ids_rise_strictly_even_when_the_clock_stands_still() {
        let ids = Ids::new(Hand::at(1_800_000_000_000));
        let mut last = ids.mint::<RunId>();
        for _ in 0..10_000 {
            let next = ids.mint::<RunId>();
            assert!(next > last);
            assert_eq!(millis(next), 1_800_000_000_000);
            assert_eq!(next.uuid().get_version_num(), 7);
            assert_eq!(next.uuid().get_variant(), uuid::Variant::RFC4122);
            last = next;
        }
    }

    #[test]
    fn ids_rise_when_the_clock_goes_back_and_follow_it_when_it_goes_on() {
        let clock = Hand::at(2_000);
        let ids = Ids::new(clock.clone());
        let first = ids.mint::<RunId>();
        clock.0.store(1_000, Ordering::Relaxed);
        let second = ids.mint::<RunId>();
        assert!(second > first);
        clock.0.store(3_000, Ordering::Relaxed);
        let third = ids.mint::<RunId>();
        assert!(third > second);
        assert_eq!((millis(first), millis(second), millis(third)), (2_000, 2_000, 3_000));
    }

    #[test]
    fn a_full_millisecond_borrows_from_the_next() {
        let ids = Ids::new(Hand::at(2_000));
        *ids.last.lock().unwrap() = Last { millis: 2_000, counter: (1 << FREE_BITS) - 1 };
        let next = ids.mint::<RunId>();
        assert_eq!(millis(next), 2_001);
        assert!(ids.mint::<RunId>() > next);
    }

    #[test]
    fn ids_of_several_threads_rise_in_the_order_in_which_they_were_minted() {
        let ids = Ids::new(Arc::new(SystemClock));
        let minted = Arc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (ids, minted) = (ids.clone(), Arc::clone(&minted));
                std::thread::spawn(move || {
                    for _ in 0..2_000 {
                        let mut minted = minted.lock().unwrap();
                        minted.push(ids.mint::<RunId>());
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(minted.lock().unwrap().is_sorted_by(|left, right| left < right));
    }

    #[test]
    fn ids_that_threads_mint_at_once_are_all_different() {
        let ids = Ids::new(Arc::new(SystemClock));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let ids = ids.clone();
                std::thread::spawn(move || (0..2_000).map(|_| ids.mint::<RunId>()).collect::<Vec<_>>())
            })
            .collect();
        let lists: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(lists.iter().all(|list| list.is_sorted_by(|left, right| left < right)));
        let mut all = lists.concat();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 8_000);
    }

    #[test]
    fn random_bytes_are_not_drawn_twice() {
        let ids = Ids::new(Arc::new(SystemClock));
        assert_ne!(ids.random::<32>(), ids.random::<32>());
    }

    proptest! {
        #[test]
        fn a_higher_counter_makes_a_higher_id(left in 0..1_u128 << FREE_BITS, right in 0..1_u128 << FREE_BITS) {
            let id = |counter| RunId::at(Timestamp::from_seconds(1), spread(counter));
            prop_assert_eq!(id(left).cmp(&id(right)), left.cmp(&right));
        }
    }
}
