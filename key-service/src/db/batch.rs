//! Many small questions of one kind, asked of the database in groups: while one group is in flight, the next gathers.
//!
//! At ten thousand edges they come by the thousand a second, and each alone would cost a statement, or a commit.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{AnyConnection, AnyPool};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant as Deadline, sleep, timeout_at};

use crate::telemetry::METRICS;

/// A reading, or a record, that takes longer has failed.
const AT_MOST: Duration = Duration::from_secs(5);

/// From so many questions in a group on there are more to come: the next one gathers for a while before it is asked, since
/// a group costs much the same however large it is.
const MANY: usize = 8;

/// For how long it gathers.
const GATHERS_FOR: Duration = Duration::from_millis(5);

/// A kind of question.
pub(crate) trait Topic: fmt::Debug + Send + Sync + 'static {
    /// What one asks.
    type Question: Send + Sync + 'static;
    /// What that one is told.
    type Answer: Send + 'static;
    /// What the metrics call it.
    const NAME: &'static str;
    /// How many questions one group has at most.
    const MOST: usize;
    /// Whoever has no answer by then gets an error, counted from when its group was complete.
    const AT_MOST: Duration = AT_MOST;

    /// Asks the database, and returns an answer to each question, in their order. It may be asked again if that failed,
    /// whatever it had done by then.
    fn ask(
        &self,
        connection: &mut AnyConnection,
        questions: &[Self::Question],
    ) -> impl Future<Output = sqlx::Result<Vec<Self::Answer>>> + Send;
}

/// One failure is everybody's in the group.
type Outcome<T> = Result<<T as Topic>::Answer, Arc<sqlx::Error>>;

struct Asked<T: Topic> {
    question: T::Question,
    answer: oneshot::Sender<Outcome<T>>,
}

/// Hands questions to the one task that asks them.
#[derive(Debug)]
pub(crate) struct Groups<T: Topic> {
    queue: mpsc::UnboundedSender<Asked<T>>,
}

impl<T: Topic> Groups<T> {
    /// Starts the task, which has one connection of the pool at a time. It ends with what this returns.
    pub(crate) fn start(topic: T, pool: AnyPool) -> Self {
        // As long as there are requests that wait: who asks has one question.
        let (queue, asked) = mpsc::unbounded_channel();
        tokio::spawn(ask_in_groups(topic, pool, asked));
        Groups { queue }
    }

    /// Asks, and returns the answer. It comes from statements that begin after this call: a group is complete before it
    /// is asked, and whoever comes later belongs to the next. So sharing a read never tells anybody what was before.
    pub(crate) async fn ask(&self, question: T::Question) -> sqlx::Result<T::Answer> {
        let (answer, outcome) = oneshot::channel();
        let sent = self.queue.send(Asked { question, answer });
        match (sent, outcome.await) {
            (Ok(()), Ok(outcome)) => outcome.map_err(|error| sqlx::Error::Io(std::io::Error::other(error))),
            _ => Err(sqlx::Error::PoolClosed),
        }
    }
}

async fn ask_in_groups<T: Topic>(topic: T, pool: AnyPool, mut asked: mpsc::UnboundedReceiver<Asked<T>>) {
    let mut group = Vec::new();
    while asked.recv_many(&mut group, T::MOST).await > 0 {
        // Some have given up meanwhile, all the more where there is too much to do.
        group.retain(|asked| !asked.answer.is_closed());
        if group.is_empty() {
            continue;
        }
        let are_many = group.len() >= MANY;
        let (questions, answers): (Vec<_>, Vec<_>) =
            group.drain(..).map(|asked| (asked.question, asked.answer)).unzip();
        let begun = Instant::now();
        let outcome = ask(&topic, &pool, &questions).await;
        METRICS.asked_in_group(T::NAME, questions.len(), begun.elapsed());
        // Who asked may have gone, here and below.
        match outcome {
            Ok(told) => answers.into_iter().zip(told).for_each(|(answer, told)| drop(answer.send(Ok(told)))),
            Err(error) => {
                let error = Arc::new(error);
                answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone()))));
            }
        }
        if are_many && asked.len() < T::MOST {
            sleep(GATHERS_FOR).await;
        }
    }
}

/// Asks once more on a new connection if time is left: the first one may have been broken since it was last used.
async fn ask<T: Topic>(topic: &T, pool: &AnyPool, questions: &[T::Question]) -> sqlx::Result<Vec<T::Answer>> {
    let deadline = Deadline::now() + T::AT_MOST;
    match attempt(topic, pool, questions, deadline).await {
        Err(error) if Deadline::now() < deadline && !matches!(error, sqlx::Error::PoolClosed) => {
            tracing::debug!(%error, topic = T::NAME, "the database is asked once more");
            attempt(topic, pool, questions, deadline).await
        }
        outcome => outcome,
    }
}

async fn attempt<T: Topic>(
    topic: &T,
    pool: &AnyPool,
    questions: &[T::Question],
    deadline: Deadline,
) -> sqlx::Result<Vec<T::Answer>> {
    let late = |_| sqlx::Error::PoolTimedOut;
    let mut connection = timeout_at(deadline, pool.acquire()).await.map_err(late)??;
    let outcome = timeout_at(deadline, topic.ask(&mut connection, questions)).await.map_err(late).flatten();
    if outcome.is_err() {
        // What is still under way on it is unknown; and saying goodbye could take for ever.
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

    /// Answers with what was asked, as soon as it may; and remembers the groups.
    #[derive(Clone, Debug)]
    struct Echo(Arc<State>);

    #[derive(Debug)]
    struct State {
        begun: Notify,
        may_answer: Semaphore,
        failures: AtomicUsize,
        groups: Mutex<Vec<Vec<u32>>>,
    }

    impl Echo {
        fn new() -> Self {
            Echo(Arc::new(State {
                begun: Notify::new(),
                may_answer: Semaphore::new(0),
                failures: AtomicUsize::new(0),
                groups: Mutex::default(),
            }))
        }

        fn groups(&self) -> Vec<Vec<u32>> {
            self.0.groups.lock().unwrap().clone()
        }
    }

    impl Topic for Echo {
        type Question = u32;
        type Answer = u32;
        const NAME: &'static str = "echo";
        const MOST: usize = 3;

        async fn ask(&self, connection: &mut AnyConnection, questions: &[u32]) -> sqlx::Result<Vec<u32>> {
            self.0.groups.lock().unwrap().push(questions.to_vec());
            self.0.begun.notify_one();
            self.0.may_answer.acquire().await.unwrap().forget();
            let left =
                self.0.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if left.is_ok() {
                return Err(sqlx::Error::WorkerCrashed);
            }
            // Something of this connection's own: a new one has none.
            sqlx::query("CREATE TEMPORARY TABLE IF NOT EXISTS mine (n BIGINT)")
                .execute(&mut *connection)
                .await?;
            sqlx::query("INSERT INTO mine VALUES (1)").execute(&mut *connection).await?;
            Ok(questions.to_vec())
        }
    }

    fn start(echo: &Echo) -> (Arc<Groups<Echo>>, AnyPool) {
        sqlx::any::install_default_drivers();
        let pool = AnyPoolOptions::new().max_connections(1).connect_lazy("sqlite::memory:").unwrap();
        (Arc::new(Groups::start(echo.clone(), pool.clone())), pool)
    }

    fn ask(groups: &Arc<Groups<Echo>>, question: u32) -> tokio::task::JoinHandle<sqlx::Result<u32>> {
        let groups = Arc::clone(groups);
        tokio::spawn(async move { groups.ask(question).await })
    }

    #[tokio::test]
    async fn whoever_asks_while_a_group_is_in_flight_belongs_to_the_next() {
        let echo = Echo::new();
        let (groups, _) = start(&echo);
        let first = ask(&groups, 0);
        echo.0.begun.notified().await;
        let others: Vec<_> = (1..=4).map(|question| ask(&groups, question)).collect();
        tokio::task::yield_now().await;
        echo.0.may_answer.add_permits(1);
        assert_eq!(first.await.unwrap().unwrap(), 0);
        echo.0.begun.notified().await;
        assert!(others.iter().all(|other| !other.is_finished()), "theirs has only begun");
        echo.0.may_answer.add_permits(2);
        for (question, other) in (1..).zip(others) {
            assert_eq!(other.await.unwrap().unwrap(), question);
        }
        assert_eq!(echo.groups(), [vec![0], vec![1, 2, 3], vec![4]]);
    }

    #[tokio::test]
    async fn a_group_whose_connection_breaks_is_asked_once_more_on_a_new_one() {
        let echo = Echo::new();
        let (groups, pool) = start(&echo);
        echo.0.may_answer.add_permits(10);
        assert_eq!(groups.ask(1).await.unwrap(), 1);
        echo.0.failures.store(1, Ordering::SeqCst);
        assert_eq!(groups.ask(2).await.unwrap(), 2);
        let written: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM mine").fetch_one(&pool).await.unwrap();
        assert_eq!(written, 1, "the first connection is gone");
        echo.0.failures.store(2, Ordering::SeqCst);
        assert!(groups.ask(3).await.is_err(), "once is enough");
        assert_eq!(echo.groups(), [[1], [2], [2], [3], [3]]);
        assert_eq!(groups.ask(4).await.unwrap(), 4, "the next group has nothing to do with it");
    }

    #[tokio::test]
    async fn who_waits_too_long_gets_an_error_and_the_next_group_another_connection() {
        let echo = Echo::new();
        let (groups, _) = start(&echo);
        let begun = Instant::now();
        let outcome = groups.ask(1).await;
        assert!(outcome.is_err() && begun.elapsed() >= AT_MOST, "{outcome:?} after {:?}", begun.elapsed());
        echo.0.may_answer.add_permits(1);
        assert_eq!(groups.ask(2).await.unwrap(), 2);
        assert_eq!(echo.groups(), [[1], [2]], "nobody is left who waits for it");
    }

    #[tokio::test]
    async fn nobody_is_asked_for_who_has_gone() {
        let echo = Echo::new();
        let (groups, _) = start(&echo);
        let first = ask(&groups, 0);
        echo.0.begun.notified().await;
        let (gone, stays) = (ask(&groups, 1), ask(&groups, 2));
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.is_err());
        echo.0.may_answer.add_permits(2);
        assert_eq!((first.await.unwrap().unwrap(), stays.await.unwrap().unwrap()), (0, 2));
        assert_eq!(echo.groups(), [[0], [2]]);
    }
}
