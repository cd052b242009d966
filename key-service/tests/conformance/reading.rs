//! Reads from the store and from the model, in a comparable form.

use key_service::revocation::Store;
use leases::{History, LeaseStore, Leases, Position};
use protocol::{KeyDigest, VerifyResponse};

use crate::model::Model;

/// How long an ended lease is certainly kept, in milliseconds.
const TOLD_AFTER_END_MS: i64 = 60_000;

/// A read.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    Verdicts(Vec<KeyDigest>),
    History(Option<Position>),
    Leases(Position),
}

/// The result of a read, without the order of lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Verdicts(VerifyResponse),
    History(History),
    Leases(Leases),
    Failed,
}

/// Maps the epochs of the store to those of the model.
#[derive(Default)]
pub(crate) struct Readings {
    /// Pairs of the model's epoch and the store's.
    epochs: Vec<(String, String)>,
}

async fn ask<L: LeaseStore>(lease_store: L, question: &Question) -> Reading {
    let reading = match question {
        Question::Verdicts(digests) => lease_store.verdicts(digests).await.map(Reading::Verdicts),
        Question::History(since) => lease_store.history(since.as_ref()).await.map(|mut history| {
            history.changed.iter_mut().for_each(|changed| changed.sort_unstable());
            Reading::History(history)
        }),
        Question::Leases(position) => lease_store.leases(position).await.map(|mut leases| {
            leases.behind.retain(|lease| lease.ends_at_ms > leases.now_ms - TOLD_AFTER_END_MS);
            leases.behind.sort_unstable_by(|one, other| one.edge.cmp(&other.edge));
            Reading::Leases(leases)
        }),
    };
    reading.unwrap_or(Reading::Failed)
}

impl Reading {
    pub(crate) fn of_model(model: &mut Model, question: &Question) -> Self {
        let question = question.clone();
        model.run(|lease_store| async move { ask(lease_store, &question).await })
    }
}

impl Readings {
    /// The store's result of a read with the model's epochs.
    pub(crate) async fn ask_store(&self, database: &Store, question: &Question) -> Reading {
        let question = match question {
            Question::Verdicts(digests) => Question::Verdicts(digests.clone()),
            Question::History(since) => {
                Question::History(since.as_ref().map(|position| self.of_store(position)))
            }
            Question::Leases(position) => Question::Leases(self.of_store(position)),
        };
        ask(database.lease_store(), &question).await
    }

    /// A position with the store's epoch.
    pub(crate) fn of_store(&self, position: &Position) -> Position {
        let epoch = self.epochs.iter().find(|(of_model, _)| *of_model == position.epoch);
        Position {
            epoch: epoch.map_or_else(|| position.epoch.clone(), |(_, of_store)| of_store.clone()),
            ..position.clone()
        }
    }

    /// A result of the store with the model's epochs.
    pub(crate) fn named(&mut self, reading: Reading, current: &str) -> Reading {
        match reading {
            Reading::Verdicts(response) => {
                Reading::Verdicts(VerifyResponse { epoch: self.epoch(response.epoch, current), ..response })
            }
            Reading::History(history) => {
                Reading::History(History { position: self.position(history.position, current), ..history })
            }
            other => other,
        }
    }

    /// A position with the model's epoch. An unknown epoch of the store is the model's current one, unless that one is known.
    pub(crate) fn position(&mut self, position: Position, current: &str) -> Position {
        Position { epoch: self.epoch(position.epoch, current), ..position }
    }

    fn epoch(&mut self, epoch: String, current: &str) -> String {
        if let Some((of_model, _)) = self.epochs.iter().find(|(_, of_store)| *of_store == epoch) {
            return of_model.clone();
        }
        if self.epochs.iter().any(|(of_model, _)| of_model == current) {
            return epoch;
        }
        self.epochs.push((current.to_owned(), epoch));
        current.to_owned()
    }
}
