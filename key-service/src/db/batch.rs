//! Batches of many small operations of one kind: while the database runs one batch, the next one fills.
//!
//! Ten thousand edges send thousands of operations a second. Alone, each operation would cost a statement or a commit.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AnyConnection, AnyPool};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{Error, Result};
use crate::telemetry::METRICS;
use crate::time::monotonic_now;

/// A batch that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(5);

/// After a batch of this many operations, the next one fills for [`GATHERING`] before it runs: a batch costs much the same
/// whatever its size.
const BUSY_FROM: usize = 8;

/// How long a batch fills when the database is busy.
const GATHERING: Duration = Duration::from_millis(5);

/// A kind of operation.
pub(crate) trait BatchOp: fmt::Debug + Send + Sync + 'static {
    /// The input of one operation.
    type Input: Send + Sync + 'static;
    /// The output of one operation.
    type Output: Send + 'static;
    /// Its name in the metrics.
    const NAME: &'static str;
    /// The most operations of one batch.
    const MAX_INPUTS: usize;
    /// An operation without an output after this time fails. It counts from when the batch was complete.
    const TIMEOUT: Duration = TIMEOUT;

    /// Runs a batch, and returns an output for each input, in their order. If it fails, it may run again, whatever it has
    /// done until then.
    fn run(
        &self,
        connection: &mut AnyConnection,
        inputs: &[Self::Input],
    ) -> impl Future<Output = Result<Vec<Self::Output>>> + Send;
}

/// If a batch fails, each of its operations fails.
type OpResult<T> = Result<<T as BatchOp>::Output, Arc<Error>>;

struct Pending<T: BatchOp> {
    input: T::Input,
    answer: oneshot::Sender<OpResult<T>>,
}

/// Hands operations to the one task that runs them.
#[derive(Debug)]
pub(crate) struct Batcher<T: BatchOp> {
    queue: mpsc::UnboundedSender<Pending<T>>,
}

impl<T: BatchOp> Batcher<T> {
    /// Starts the task, which takes one connection of the pool at a time. The task ends when the batcher is dropped.
    pub(crate) fn start(op: T, pool: AnyPool) -> Self {
        // Bounded by the requests that wait: each has one operation.
        let (queue, pending) = mpsc::unbounded_channel();
        tokio::spawn(run_batches(op, pool, pending));
        Batcher { queue }
    }

    /// Runs an operation in the next batch, and returns its output. The output comes from statements that begin after this
    /// call, since a batch is complete before it runs. So a shared read is never older than the call: rule `BatchAfterMembers`.
    pub(crate) async fn run(&self, input: T::Input) -> Result<T::Output> {
        let (answer, outcome) = oneshot::channel();
        let sent = self.queue.send(Pending { input, answer });
        match (sent, outcome.await) {
            (Ok(()), Ok(outcome)) => outcome.map_err(Error::Batch),
            _ => Err(Error::Closed),
        }
    }
}

async fn run_batches<T: BatchOp>(op: T, pool: AnyPool, mut pending: mpsc::UnboundedReceiver<Pending<T>>) {
    let mut batch = Vec::new();
    while pending.recv_many(&mut batch, T::MAX_INPUTS).await > 0 {
        // Callers may have given up, especially under overload.
        batch.retain(|pending| !pending.answer.is_closed());
        if batch.is_empty() {
            continue;
        }
        let is_busy = batch.len() >= BUSY_FROM;
        let (inputs, answers): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|pending| (pending.input, pending.answer)).unzip();
        let begun = monotonic_now();
        let outcome = run_with_retry(&op, &pool, &inputs).await;
        METRICS.ran_batch(T::NAME, inputs.len(), monotonic_now() - begun);
        // The caller may have given up, here and below.
        match outcome {
            Ok(outputs) => {
                answers.into_iter().zip(outputs).for_each(|(answer, outputs)| drop(answer.send(Ok(outputs))))
            }
            Err(error) => {
                let error = Arc::new(error);
                answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone()))));
            }
        }
        if is_busy && pending.len() < T::MAX_INPUTS {
            sleep(GATHERING).await;
        }
    }
}

/// Runs a failed batch once more on a new connection if time is left: the first connection may have been broken.
async fn run_with_retry<T: BatchOp>(op: &T, pool: &AnyPool, inputs: &[T::Input]) -> Result<Vec<T::Output>> {
    let deadline = Instant::from_std(monotonic_now()) + T::TIMEOUT;
    match attempt(op, pool, inputs, deadline).await {
        Err(error) if Instant::from_std(monotonic_now()) < deadline && !matches!(error, Error::Closed) => {
            tracing::debug!(%error, operation = T::NAME, "a batch failed and runs once more");
            attempt(op, pool, inputs, deadline).await
        }
        outcome => outcome,
    }
}

async fn attempt<T: BatchOp>(
    op: &T,
    pool: &AnyPool,
    inputs: &[T::Input],
    deadline: Instant,
) -> Result<Vec<T::Output>> {
    let late = |_| Error::TimedOut;
    let mut connection = timeout_at(deadline, pool.acquire()).await.map_err(late)??;
    let outcome = timeout_at(deadline, op.run(&mut connection, inputs)).await.map_err(late).flatten();
    if outcome.is_err() {
        // The state of the connection is unknown, and a proper close may never finish.
        drop(connection.detach());
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sqlx::any::AnyPoolOptions;
    use tokio::sync::{Notify, Semaphore};

    use super::*;

    /// Returns its input as soon as it may, and remembers the batches.
    #[derive(Clone, Debug)]
    struct Echo(Arc<State>);

    #[derive(Debug)]
    struct State {
        begun: Notify,
        may_answer: Semaphore,
        failures: AtomicUsize,
        batches: Mutex<Vec<Vec<u32>>>,
    }

    impl Echo {
        fn new() -> Self {
            Echo(Arc::new(State {
                begun: Notify::new(),
                may_answer: Semaphore::new(0),
                failures: AtomicUsize::new(0),
                batches: Mutex::default(),
            }))
        }

        fn batches(&self) -> Vec<Vec<u32>> {
            self.0.batches.lock().unwrap().clone()
        }
    }

    impl BatchOp for Echo {
        type Input = u32;
        type Output = u32;
        const NAME: &'static str = "echo";
        const MAX_INPUTS: usize = 3;
        const TIMEOUT: Duration = Duration::from_secs(1);

        async fn run(&self, connection: &mut AnyConnection, inputs: &[u32]) -> Result<Vec<u32>> {
            self.0.batches.lock().unwrap().push(inputs.to_vec());
            self.0.begun.notify_one();
            self.0.may_answer.acquire().await.unwrap().forget();
            let left =
                self.0.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if left.is_ok() {
                return Err(Error::TimedOut);
            }
            // A temporary table belongs to this connection; a new connection has none.
            sqlx::query("CREATE TEMPORARY TABLE IF NOT EXISTS mine (n BIGINT)")
                .execute(&mut *connection)
                .await?;
            sqlx::query("INSERT INTO mine VALUES (1)").execute(&mut *connection).await?;
            Ok(inputs.to_vec())
        }
    }

    fn start(echo: &Echo) -> (Arc<Batcher<Echo>>, AnyPool) {
        sqlx::any::install_default_drivers();
        let pool = AnyPoolOptions::new().max_connections(1).connect_lazy("sqlite::memory:").unwrap();
        (Arc::new(Batcher::start(echo.clone(), pool.clone())), pool)
    }

    fn run(batches: &Arc<Batcher<Echo>>, input: u32) -> tokio::task::JoinHandle<Result<u32>> {
        let batches = Arc::clone(batches);
        tokio::spawn(async move { batches.run(input).await })
    }

    #[tokio::test]
    async fn an_operation_that_comes_while_a_batch_runs_belongs_to_the_next() {
        let echo = Echo::new();
        let (batches, _) = start(&echo);
        let first = run(&batches, 0);
        echo.0.begun.notified().await;
        let others: Vec<_> = (1..=4).map(|input| run(&batches, input)).collect();
        tokio::task::yield_now().await;
        echo.0.may_answer.add_permits(1);
        assert_eq!(first.await.unwrap().unwrap(), 0);
        echo.0.begun.notified().await;
        assert!(others.iter().all(|other| !other.is_finished()), "their batch has only begun");
        echo.0.may_answer.add_permits(2);
        for (input, other) in (1..).zip(others) {
            assert_eq!(other.await.unwrap().unwrap(), input);
        }
        assert_eq!(echo.batches(), [vec![0], vec![1, 2, 3], vec![4]]);
    }

    #[tokio::test]
    async fn a_batch_whose_connection_breaks_runs_once_more_on_a_new_one() {
        let echo = Echo::new();
        let (batches, pool) = start(&echo);
        echo.0.may_answer.add_permits(10);
        assert_eq!(batches.run(1).await.unwrap(), 1);
        echo.0.failures.store(1, Ordering::SeqCst);
        assert_eq!(batches.run(2).await.unwrap(), 2);
        let written: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM mine").fetch_one(&pool).await.unwrap();
        assert_eq!(written, 1, "the first connection is gone");
        echo.0.failures.store(2, Ordering::SeqCst);
        assert!(batches.run(3).await.is_err(), "once is enough");
        assert_eq!(echo.batches(), [[1], [2], [2], [3], [3]]);
        assert_eq!(batches.run(4).await.unwrap(), 4, "the next batch is unaffected");
    }

    #[tokio::test]
    async fn an_operation_that_takes_too_long_fails_and_the_next_batch_gets_another_connection() {
        let echo = Echo::new();
        let (batches, _) = start(&echo);
        let begun = monotonic_now();
        let outcome = batches.run(1).await;
        let took = monotonic_now() - begun;
        assert!(outcome.is_err() && took >= Echo::TIMEOUT, "{outcome:?} after {took:?}");
        echo.0.may_answer.add_permits(1);
        assert_eq!(batches.run(2).await.unwrap(), 2);
        assert_eq!(echo.batches(), [[1], [2]], "no caller is left that waits for it");
    }

    #[tokio::test]
    async fn an_operation_whose_caller_has_gone_does_not_run() {
        let echo = Echo::new();
        let (batches, _) = start(&echo);
        let first = run(&batches, 0);
        echo.0.begun.notified().await;
        let (gone, stays) = (run(&batches, 1), run(&batches, 2));
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.is_err());
        echo.0.may_answer.add_permits(2);
        assert_eq!((first.await.unwrap().unwrap(), stays.await.unwrap().unwrap()), (0, 2));
        assert_eq!(echo.batches(), [[0], [2]]);
    }
}
