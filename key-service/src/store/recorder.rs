//! Records leases in groups: while one group is written, the next gathers.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::AnyPool;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::leases;
use super::write::Turns;
use crate::leases::{Acknowledgement, Registration};

/// How many uses of keys one group carries, give or take one registration's.
const MAX_USES: usize = 4_000;

/// How many groups of acknowledgements are kept for who has not taken them yet.
const HEARD_GROUPS: usize = 64;

struct Entry {
    registration: Registration,
    done: oneshot::Sender<Outcome>,
}

/// One failure is everybody's in the group.
type Outcome = Result<(), Arc<sqlx::Error>>;

/// Hands registrations to the one task that writes them.
#[derive(Debug)]
pub(super) struct Recorder {
    queue: mpsc::Sender<Entry>,
    heard: broadcast::Sender<Arc<[Acknowledgement]>>,
}

impl Recorder {
    /// Starts the task. It ends with the recorder.
    pub(super) fn start(pool: AnyPool, turns: Turns) -> Self {
        let (queue, entries) = mpsc::channel(leases::MAX_ROWS);
        let heard = broadcast::Sender::new(HEARD_GROUPS);
        tokio::spawn(write_groups(pool, turns, entries, heard.clone()));
        Recorder { queue, heard }
    }

    /// Returns when the registration is committed.
    pub(super) async fn record(&self, registration: Registration) -> sqlx::Result<()> {
        let (done, outcome) = oneshot::channel();
        let sent = self.queue.send(Entry { registration, done }).await;
        match (sent, outcome.await) {
            (Ok(()), Ok(Ok(()))) => Ok(()),
            (Ok(()), Ok(Err(error))) => Err(sqlx::Error::Io(std::io::Error::other(error))),
            _ => Err(sqlx::Error::PoolClosed),
        }
    }

    /// What edges acknowledge from now on, in groups.
    pub(super) fn acknowledgements(&self) -> broadcast::Receiver<Arc<[Acknowledgement]>> {
        self.heard.subscribe()
    }
}

async fn write_groups(
    pool: AnyPool,
    turns: Turns,
    mut entries: mpsc::Receiver<Entry>,
    heard: broadcast::Sender<Arc<[Acknowledgement]>>,
) {
    while let Some(first) = entries.recv().await {
        // Whoever comes while the turn is awaited still belongs to this group.
        let turn = turns.take().await;
        let mut group = Group::default();
        group.add(first);
        while !group.is_full()
            && let Ok(entry) = entries.try_recv()
        {
            group.add(entry);
        }
        // What an edge has applied is true whether or not that can be written.
        if heard.receiver_count() > 0 {
            // They may have gone meanwhile.
            let _ = heard.send(group.acknowledgements());
        }
        let outcome = group.write(&pool).await.map_err(Arc::new);
        turn.note(outcome.is_ok());
        drop(turn);
        for done in group.waiting {
            // Who asked may have gone.
            let _ = done.send(outcome.clone());
        }
    }
}

#[derive(Default)]
struct Group {
    registrations: Vec<Registration>,
    /// The latest use of each key, in milliseconds since 1970-01-01 UTC.
    used: BTreeMap<String, i64>,
    waiting: Vec<oneshot::Sender<Outcome>>,
}

impl Group {
    fn add(&mut self, Entry { mut registration, done }: Entry) {
        for (key_id, at_s) in std::mem::take(&mut registration.used) {
            let at_ms = i64::try_from(at_s).unwrap_or(i64::MAX).saturating_mul(1000);
            let latest = self.used.entry(key_id).or_insert(at_ms);
            *latest = at_ms.max(*latest);
        }
        self.registrations.push(registration);
        self.waiting.push(done);
    }

    fn is_full(&self) -> bool {
        self.registrations.len() >= leases::MAX_ROWS || self.used.len() >= MAX_USES
    }

    fn acknowledgements(&self) -> Arc<[Acknowledgement]> {
        let position = |registration: &Registration| registration.acknowledged.clone();
        let registrations = self.registrations.iter();
        registrations
            .filter_map(|entry| {
                Some(Acknowledgement { edge: entry.edge.clone(), position: position(entry)? })
            })
            .collect()
    }

    async fn write(&self, pool: &AnyPool) -> sqlx::Result<()> {
        let mut connection = pool.acquire().await?;
        // Each statement is a transaction: the uses need not be told together with the leases.
        leases::write_uses(&mut connection, &self.used).await?;
        leases::record(&mut connection, &self.registrations).await
    }
}
