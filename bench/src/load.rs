//! Ways to put load on a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::client::{Client, Exchange, Timing};
use crate::latencies::Latencies;

/// Sent before anything counts, so that connections are open and caches are filled.
const WARM_UP: Duration = Duration::from_secs(1);

/// Requests to take turns with, so that not all of them meet in one place.
pub(crate) type Exchanges = Arc<[Exchange]>;

/// The same, each with who sends it.
type Turns = Arc<[(Client, Exchange)]>;

fn turns(client: &Client, exchanges: &Exchanges) -> Turns {
    exchanges.iter().map(|exchange| (client.clone(), exchange.clone())).collect()
}

/// What came of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// From when a request was due to its first token.
    pub(crate) first: Latencies,
    /// From when a request was due to the end of its answer.
    pub(crate) whole: Latencies,
    /// Requests answered a second.
    pub(crate) rate: f64,
    pub(crate) failed: usize,
}

/// A schedule of requests that do not wait for each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) per_second: f64,
    pub(crate) lasting: Duration,
}

impl Schedule {
    fn count(self) -> usize {
        (self.per_second * self.lasting.as_secs_f64()).round() as usize
    }

    /// Returns when a request is due, from the start of the schedule.
    fn due(self, number: usize) -> Duration {
        Duration::from_secs_f64(number as f64 / self.per_second)
    }
}

/// Sends requests when they are due, whatever became of the ones before.
///
/// The clock of a request starts when it is due, so that a server that stops for a while is charged for all the requests
/// that it kept waiting, and not only for the one that noticed.
pub(crate) async fn open(
    client: &Client,
    exchanges: &Exchanges,
    schedule: Schedule,
) -> anyhow::Result<Outcome> {
    let warm_up = Schedule { lasting: WARM_UP.min(schedule.lasting), ..schedule };
    let turns = turns(client, exchanges);
    pace(Arc::clone(&turns), warm_up).await?;
    pace(turns, schedule).await
}

/// The same with several kinds of requests, one of each in turn: what else happens to the machine happens to all of them.
pub(crate) async fn in_turn(
    kinds: &[(Client, Exchanges)],
    schedule: Schedule,
) -> anyhow::Result<Vec<Outcome>> {
    let longest = kinds.iter().map(|(_, kind)| kind.len()).max().unwrap_or_default();
    let places = (0..longest).flat_map(|place| kinds.iter().map(move |kind| (kind, place)));
    let turns: Turns = places
        .filter_map(|((client, kind), place)| {
            Some((client.clone(), kind.get(place % kind.len().max(1)).cloned()?))
        })
        .collect();
    let warm_up = Schedule { lasting: WARM_UP.min(schedule.lasting), ..schedule };
    pace(Arc::clone(&turns), warm_up).await?;
    let (start, mut requests) = send(turns, schedule).await?;
    let mut tallies: Vec<Tally> = kinds.iter().map(|_| Tally::default()).collect();
    while let Some(request) = requests.join_next().await {
        let (number, due, timing) = request?;
        if let Some(tally) = tallies.get_mut(number % kinds.len().max(1)) {
            tally.count(due, timing);
        }
    }
    tallies.into_iter().map(|tally| tally.outcome(start)).collect()
}

/// The same for loads that are too much for several at once: a second of each in turn. The rates that it tells are of all together.
pub(crate) async fn by_seconds(
    kinds: &[(Client, Exchanges)],
    schedule: Schedule,
) -> anyhow::Result<Vec<Outcome>> {
    let second = Schedule { lasting: WARM_UP.min(schedule.lasting), ..schedule };
    let begun = Instant::now();
    let mut tallies: Vec<Tally> = kinds.iter().map(|_| Tally::default()).collect();
    let mut order: Vec<_> = kinds.iter().zip(&mut tallies).collect();
    // The first round is the warm-up.
    for round in 0..=schedule.lasting.as_secs().max(1) {
        for ((client, exchanges), tally) in &mut order {
            let (_, requests) = send(turns(client, exchanges), second).await?;
            let mut warm_up = Tally::default();
            gather(requests, if round == 0 { &mut warm_up } else { tally }).await?;
        }
        // Nobody comes behind the same one each time.
        order.rotate_left(1);
    }
    tallies.into_iter().map(|tally| tally.outcome(begun)).collect()
}

/// A request that was sent: its number, when it was due, and what came of it.
type Sent = (usize, Instant, anyhow::Result<Timing>);

/// Sends each exchange once, at an even pace, and tells for each in turn when it was due and what came of it.
pub(crate) async fn once(
    client: &Client,
    exchanges: Exchanges,
    per_second: f64,
) -> anyhow::Result<Vec<(Instant, anyhow::Result<Timing>)>> {
    let lasting = Duration::from_secs_f64(exchanges.len() as f64 / per_second);
    let (_, mut requests) = send(turns(client, &exchanges), Schedule { per_second, lasting }).await?;
    let mut sent = Vec::new();
    while let Some(request) = requests.join_next().await {
        sent.push(request?);
    }
    sent.sort_unstable_by_key(|(number, ..)| *number);
    Ok(sent.into_iter().map(|(_, due, timing)| (due, timing)).collect())
}

async fn pace(turns: Turns, schedule: Schedule) -> anyhow::Result<Outcome> {
    let (start, requests) = send(turns, schedule).await?;
    let mut tally = Tally::default();
    gather(requests, &mut tally).await?;
    tally.outcome(start)
}

async fn gather(mut requests: JoinSet<Sent>, tally: &mut Tally) -> anyhow::Result<()> {
    while let Some(request) = requests.join_next().await {
        let (_, due, timing) = request?;
        tally.count(due, timing);
    }
    Ok(())
}

/// Sends requests as the schedule has it, and returns when it began.
async fn send(turns: Turns, schedule: Schedule) -> anyhow::Result<(Instant, JoinSet<Sent>)> {
    let runtime = tokio::runtime::Handle::current();
    // A thread of its own: timers of the runtime are a millisecond coarse.
    let sending = tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        let mut requests = JoinSet::new();
        for (number, (client, exchange)) in turns.iter().cycle().take(schedule.count()).enumerate() {
            let due = start + schedule.due(number);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let (client, exchange) = (client.clone(), exchange.clone());
            requests.spawn_on(async move { (number, due, exchange.perform(&client).await) }, &runtime);
        }
        (start, requests)
    });
    Ok(sending.await?)
}

/// Sends as many requests as the server answers, each connection one after the other.
pub(crate) async fn closed(
    client: &Client,
    exchanges: &Exchanges,
    connections: usize,
    lasting: Duration,
) -> anyhow::Result<Outcome> {
    saturate(client, exchanges, connections, WARM_UP.min(lasting)).await?;
    saturate(client, exchanges, connections, lasting).await
}

async fn saturate(
    client: &Client,
    exchanges: &Exchanges,
    connections: usize,
    lasting: Duration,
) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let turn = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let (client, exchanges, turn) = (client.clone(), Arc::clone(exchanges), Arc::clone(&turn));
        workers.spawn(async move {
            let mut done = Vec::new();
            while start.elapsed() < lasting {
                let number = turn.fetch_add(1, Ordering::Relaxed) % exchanges.len().max(1);
                let Some(exchange) = exchanges.get(number) else { break };
                let due = Instant::now();
                done.push((due, exchange.perform(&client).await));
            }
            done
        });
    }
    let mut tally = Tally::default();
    while let Some(worker) = workers.join_next().await {
        for (due, timing) in worker? {
            tally.count(due, timing);
        }
    }
    tally.outcome(start)
}

/// What has been answered so far.
#[derive(Default)]
struct Tally {
    first: Vec<Duration>,
    whole: Vec<Duration>,
    last_end: Option<Instant>,
    failed: usize,
    failure: Option<anyhow::Error>,
}

impl Tally {
    fn count(&mut self, due: Instant, timing: anyhow::Result<Timing>) {
        match timing {
            Ok(timing) => {
                self.first.push(timing.first.saturating_duration_since(due));
                self.whole.push(timing.end.saturating_duration_since(due));
                self.last_end = self.last_end.max(Some(timing.end));
            }
            Err(error) => {
                self.failed += 1;
                self.failure.get_or_insert(error);
            }
        }
    }

    /// Sums up. It is an error if nothing at all was answered.
    fn outcome(self, start: Instant) -> anyhow::Result<Outcome> {
        let Some(end) = self.last_end else {
            let failure = self.failure.unwrap_or_else(|| anyhow::anyhow!("none was sent"));
            return Err(failure.context("no request was answered"));
        };
        let answered = self.whole.len() as f64;
        Ok(Outcome {
            first: self.first.into_iter().collect(),
            whole: self.whole.into_iter().collect(),
            rate: answered / end.saturating_duration_since(start).as_secs_f64().max(1e-9),
            failed: self.failed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchanges(model: &str) -> Exchanges {
        let body = serde_json::json!({ "model": model, "stream": true, "messages": [] });
        Arc::new([Exchange {
            path: "/v1/chat/completions".to_owned(),
            body: body.to_string().into(),
            first: r#""content":"A""#,
            done: "[DONE]",
        }])
    }

    async fn mock() -> Client {
        let mock = crate::mock::Mock::start().await.unwrap();
        Client::new(mock.address()).unwrap()
    }

    #[test]
    fn requests_are_due_by_the_schedule_alone() {
        let schedule = Schedule { per_second: 200.0, lasting: Duration::from_millis(500) };
        assert_eq!(schedule.count(), 100);
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(100), Duration::from_millis(500));
    }

    #[test]
    fn a_server_that_was_late_is_charged_from_when_the_request_was_due() {
        let start = Instant::now();
        let end = start + Duration::from_millis(30);
        let mut tally = Tally::default();
        for number in 0..3 {
            let due = start + Duration::from_millis(10 * number);
            tally.count(due, Ok(Timing { first: end, end }));
        }
        let outcome = tally.outcome(start).unwrap();
        assert_eq!(outcome.whole.quantile(1.0), Duration::from_millis(30));
        assert_eq!(outcome.whole.p50(), Duration::from_millis(20));
        assert!((outcome.rate - 100.0).abs() < 0.001);
    }

    #[tokio::test]
    async fn an_open_load_sends_what_is_due() {
        let client = mock().await;
        let schedule = Schedule { per_second: 1_000.0, lasting: Duration::from_millis(50) };
        let outcome = open(&client, &exchanges("mock-1"), schedule).await.unwrap();
        assert_eq!((outcome.whole.count(), outcome.failed), (50, 0));
    }

    #[tokio::test]
    async fn kinds_of_requests_take_turns_and_are_told_apart() {
        let client = mock().await;
        let good = exchanges("mock-1");
        let failing: Exchanges =
            good.iter().map(|good| Exchange { done: "no such text", ..good.clone() }).collect();
        let mixed: Exchanges = good.iter().chain(failing.iter()).cloned().collect();
        let schedule = Schedule { per_second: 1_000.0, lasting: Duration::from_millis(60) };
        let kinds = [(client.clone(), good), (client, mixed)];
        let outcomes = in_turn(&kinds, schedule).await.unwrap();
        let [plain, half] = outcomes.as_slice() else { panic!("one for each kind") };
        assert_eq!((plain.whole.count(), plain.failed), (30, 0));
        assert_eq!((half.whole.count(), half.failed), (15, 15));
    }

    #[tokio::test]
    async fn kinds_that_have_their_seconds_are_told_apart_and_the_warm_up_is_not_counted() {
        let client = mock().await;
        let good = exchanges("mock-1");
        let failing: Exchanges =
            good.iter().map(|good| Exchange { done: "no such text", ..good.clone() }).collect();
        let mixed: Exchanges = good.iter().chain(failing.iter()).cloned().collect();
        let schedule = Schedule { per_second: 1_000.0, lasting: Duration::from_millis(60) };
        let outcomes = by_seconds(&[(client.clone(), good), (client, mixed)], schedule).await.unwrap();
        let [plain, half] = outcomes.as_slice() else { panic!("one for each kind") };
        assert_eq!((plain.whole.count(), plain.failed), (60, 0));
        assert_eq!((half.whole.count(), half.failed), (30, 30));
    }

    #[tokio::test]
    async fn what_is_sent_once_is_told_in_order() {
        let client = mock().await;
        let [good] = [exchanges("mock-1").first().unwrap().clone()];
        let bad = Exchange { done: "no such text", ..good.clone() };
        let sent = once(&client, Arc::new([good.clone(), bad, good]), 200.0).await.unwrap();
        assert_eq!(sent.iter().map(|(_, timing)| timing.is_ok()).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(sent[2].0 - sent[0].0, Duration::from_millis(10));
    }

    #[tokio::test]
    async fn a_closed_load_counts_what_is_answered() {
        let client = mock().await;
        let outcome = closed(&client, &exchanges("mock-1"), 2, Duration::from_millis(50)).await.unwrap();
        assert!(outcome.whole.count() >= 2 && outcome.failed == 0);
        assert!(outcome.rate > 0.0);
    }

    #[tokio::test]
    async fn a_load_of_failures_alone_is_an_error() {
        let client = mock().await;
        let error = closed(&client, &exchanges("gpt-5"), 1, Duration::from_millis(5)).await.unwrap_err();
        assert!(format!("{error:#}").contains("404"), "{error:#}");
    }
}
