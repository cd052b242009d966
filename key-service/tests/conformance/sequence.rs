//! One sequence of operations, drawn by a seed, on the store and on the model.

mod draw;
mod maintenance;
mod open_change;

use std::cell::Cell;
use std::fmt::Debug;

use fastrand::Rng;
use key_service::accounts::access::KeyAccess;
use key_service::audit::Actor;
use key_service::keys::{self, MAX_KEYS_PER_USER, NewKey};
use key_service::revocation::SqlLeaseStore;
use key_service::time::Timestamp;
use leases::{AffectedKeys, Change, LeaseConfig, LeaseRenewal, LeaseStore, Position};
use protocol::{KeyDigest, MAX_CHANGED_PER_SYNC, Restrictions, ScopeSet};
use simulation::database::{Key, User, Value};
use simulation::lease_store::SimulatedChange;

use crate::model::{LONGEST_MS, Model};
use crate::reading::{Question, Reading, Readings};
use crate::store::{PROCESSES, TestStore};
use crate::wanted::{Artifacts, Came, Expected, Wanted, check_scopes, refused};

/// The number of operations in a sequence.
const STEPS: u64 = 40;

const EDGES: usize = 4;

/// A difference between the answers of the store and of the model, with all operations before it.
pub(crate) type Difference = String;

type Checked = Result<(), Difference>;

/// A change that has begun and not ended.
struct Held {
    of_store: <SqlLeaseStore as LeaseStore>::Change<'static>,
    of_model: SimulatedChange<()>,
}

pub(crate) struct Sequence<'s> {
    random: Rng,
    store: &'s mut TestStore,
    model: Model,
    users: Vec<String>,
    /// The number of users that were ever added.
    users_added: u32,
    /// All values so far, in the order of their creation.
    digests: Vec<KeyDigest>,
    /// All keys so far.
    keys: Vec<String>,
    /// Positions, with the model's epochs.
    positions: Vec<Position>,
    /// When leases, keys and values end.
    ends_ms: Vec<i64>,
    readings: Readings,
    held: Option<Held>,
    done: Vec<String>,
}

/// Runs a sequence and returns the number of operations.
pub(crate) async fn run(seed: u64, store: &mut TestStore) -> Result<u64, Difference> {
    let users = store.clear().await;
    let model = Model::new(store.revision().await);
    let random = Rng::with_seed(seed);
    let mut sequence = Sequence {
        random,
        store,
        model,
        users_added: users.len() as u32,
        users,
        digests: Vec::new(),
        keys: Vec::new(),
        positions: Vec::new(),
        ends_ms: Vec::new(),
        readings: Readings::default(),
        held: None,
        done: Vec::new(),
    };
    let outcome = sequence.run().await;
    // An open change would block the next sequence.
    sequence.let_go().await;
    let done = sequence.done.join("\n  ");
    outcome.map_err(|difference| format!("seed {seed}:\n  {done}\n{difference}"))?;
    Ok(STEPS)
}

impl Sequence<'_> {
    async fn run(&mut self) -> Checked {
        let users = self.users.iter().map(|id| (id.clone(), User::default())).collect();
        self.model.data(|data| data.users = users);
        self.positions.push(self.model.data(|data| data.position.clone()));
        self.set_clock().await;
        self.compare_all(0).await?;
        for _ in 0..STEPS {
            self.step().await?;
            self.replace_deleted_user().await;
            let process = self.process();
            match self.random.u32(..4) {
                0 => self.compare_all(process).await?,
                _ => self.compare_one(process).await?,
            }
        }
        self.compare_all(0).await
    }

    async fn step(&mut self) -> Checked {
        // On SQLite, no other process writes while a change is open. On PostgreSQL, leases are still recorded.
        let may_record = self.held.is_none() || !self.store.is_sqlite();
        match self.random.u32(..100) {
            0..=19 if may_record => self.record().await,
            20..=34 => {
                self.pass().await;
                Ok(())
            }
            35..=44 => match self.held.is_some() {
                true => self.end_held().await,
                false => self.hold().await,
            },
            45..=54 => self.change_while_held().await,
            55 => self.lose().await,
            56..=57 => self.change_many().await,
            58..=61 => self.lower().await,
            62..=64 => self.prune().await,
            65..=70 => {
                self.let_go().await;
                self.change_while_it_is_read().await
            }
            71..=79 => {
                self.let_go().await;
                self.create().await
            }
            _ => {
                self.let_go().await;
                self.change().await
            }
        }
    }

    /// Adds a user in the place of one that this step has deleted.
    async fn replace_deleted_user(&mut self) {
        let is_deleted = |user: &String| self.model.data(|data| !data.users.contains_key(user));
        let Some(at) = self.users.iter().position(is_deleted) else { return };
        self.users_added += 1;
        let user = self.store.add_user(self.users_added).await;
        self.note(("add user", &user));
        self.model.data(|data| data.users.insert(user.clone(), User::default()));
        self.users[at] = user;
    }

    fn note(&mut self, done: impl Debug) {
        self.done.push(format!("{done:?}"));
    }

    fn process(&mut self) -> usize {
        self.random.usize(..PROCESSES)
    }

    fn now_ms(&self) -> i64 {
        self.model.now_ms()
    }

    async fn set_clock(&mut self) {
        let now_ms = self.now_ms();
        self.store.set_clock(now_ms).await;
    }

    /// Lets time pass: a random span, or exactly until something ends.
    async fn pass(&mut self) {
        let now_ms = self.now_ms();
        let to_come: Vec<i64> =
            self.ends_ms.iter().map(|end_ms| end_ms - now_ms).filter(|ms| *ms > 1).collect();
        let passes = match self.random.choice(&to_come) {
            Some(ms) if self.random.u32(..3) > 0 => ms + self.random.i64(-1..=1),
            _ => self.random.i64(1..3_000),
        };
        self.note(("pass", passes));
        self.model.pass(passes.unsigned_abs());
        self.set_clock().await;
    }

    async fn record(&mut self) -> Checked {
        let process = self.process();
        // A process announces its lease length when a record exceeds the limit, and on PostgreSQL on each new connection.
        let longest_ms = if self.store.is_sqlite() { LONGEST_MS } else { self.store.lasts_ms[process] };
        let longest_ms = if self.random.bool() { longest_ms.min(8_000) } else { longest_ms };
        let renewal = LeaseRenewal {
            edge: format!("edge-{}", self.random.usize(..EDGES)),
            acknowledged: self.some_position(),
            lasts_ms: self.random.u64(1..=longest_ms),
            used: Default::default(),
            node: Default::default(),
        };
        self.note((process, &renewal));
        if renewal.lasts_ms > self.model.data(|data| data.lease_limit_ms) {
            self.store.lasts_ms[process] = renewal.lasts_ms;
        }
        let ends_ms = self.now_ms() + i64::try_from(renewal.lasts_ms).unwrap();
        self.ends_ms.push(ends_ms);
        let acknowledged = renewal.acknowledged.as_ref().map(|position| self.readings.of_store(position));
        let of_store = LeaseRenewal { acknowledged, ..renewal.clone() };
        let found = self
            .store
            .process(process)
            .lease_store()
            .record(of_store)
            .await
            .map_err(|error| error.to_string());
        let expected = self.model.run(|lease_store| async move { lease_store.record(renewal).await });
        same("record", found, expected.map_err(|error| format!("{error:?}")))
    }

    /// Compares all reads.
    async fn compare_all(&mut self, process: usize) -> Checked {
        for question in self.questions() {
            self.compare(process, question).await?;
        }
        Ok(())
    }

    /// Compares one read.
    async fn compare_one(&mut self, process: usize) -> Checked {
        let mut questions = self.questions();
        let at = self.random.usize(..questions.len());
        self.compare(process, questions.swap_remove(at)).await
    }

    async fn compare(&mut self, process: usize, question: Question) -> Checked {
        let reading = self.readings.ask_store(self.store.process(process), &question).await;
        let expected = Reading::of_model(&mut self.model, &question);
        let current = self.model.data(|data| data.position.clone());
        same(&question, self.readings.named(reading, &current.epoch), expected)?;
        if self.positions.last() != Some(&current) {
            self.positions.push(current);
        }
        Ok(())
    }

    /// Creates a key with a generated value, which does not increment the revision.
    async fn create(&mut self) -> Checked {
        let user = self.some_user();
        if self.has_all_keys(&user) {
            return Ok(());
        }
        let (scopes, restrictions) = (self.some_scopes(), self.some_restrictions());
        let expires_at_ms = self.some_end();
        let process = self.process();
        self.note((process, "create", &user, &scopes, &restrictions, expires_at_ms));
        let new = NewKey {
            label: "new".parse().unwrap(),
            scopes: scopes.clone(),
            restrictions: restrictions.clone(),
            expires_at: expires_at_ms.map(Timestamp::from_unix_ms),
        };
        let (database, now) = (self.store.process(process), Timestamp::from_unix_ms(0));
        let created = keys::create(database, &Actor::service(), KeyAccess::Anyone, &user, new, now).await;
        let expected = self.model.data(|data| check_scopes(data, &user, &scopes, &ScopeSet::default()));
        let found = created.as_ref().map(|_| ()).map_err(refused);
        same("create", found, expected)?;
        let Ok((key, value)) = created else { return Ok(()) };
        let values = vec![Value { digest: value.digest(), ends_at_ms: None }];
        let created = Key { user, scopes, restrictions, expires_at_ms, values };
        self.model.data(|data| data.keys.insert(key.id.clone(), created));
        self.digests.push(value.digest());
        self.keys.push(key.id);
        Ok(())
    }

    /// Makes a random change.
    async fn change(&mut self) -> Checked {
        let wanted = self.some_change().await;
        let process = self.process();
        self.note((process, &wanted));
        let made = wanted.make(self.store.process(process)).await;
        self.expect(&wanted, made)
    }

    /// The same, while another process reads. Each read has the whole change or nothing of it.
    async fn change_while_it_is_read(&mut self) -> Checked {
        let wanted = self.some_change().await;
        let process = self.process();
        self.note((process, "is read meanwhile", &wanted));
        let questions = self.questions();
        let before: Vec<_> =
            questions.iter().map(|question| Reading::of_model(&mut self.model, question)).collect();
        let is_made = Cell::new(false);
        let (store, readings) = (&*self.store, &self.readings);
        let make = async {
            let made = wanted.make(store.process(process)).await;
            is_made.set(true);
            made
        };
        let read = async {
            let mut seen = Vec::new();
            while !is_made.get() {
                for (at, question) in questions.iter().enumerate() {
                    seen.push((
                        at,
                        readings.ask_store(store.process(PROCESSES - 1 - process), question).await,
                    ));
                }
            }
            seen
        };
        let (made, seen) = tokio::join!(make, read);
        self.expect(&wanted, made)?;
        let after: Vec<_> =
            questions.iter().map(|question| Reading::of_model(&mut self.model, question)).collect();
        let current = self.model.data(|data| data.position.epoch.clone());
        for (at, reading) in seen {
            let reading = self.readings.named(reading, &current);
            if reading != before[at] {
                same(&questions[at], reading, after[at].clone())?;
            }
        }
        Ok(())
    }

    /// Compares the outcome of a change with the model's expectation, then makes the change in the model.
    fn expect(&mut self, wanted: &Wanted, (came, artifacts): (Came, Artifacts)) -> Checked {
        let now_ms = self.now_ms();
        let expected = match self.model.data(|data| wanted.expected(data, now_ms, &artifacts)) {
            Expected::Made(affected, effect) => {
                Came::At(self.model.change(affected, effect).map_err(|error| format!("{error:?}"))?)
            }
            Expected::AlreadySo => Came::At(self.model.data(|data| data.position.clone())),
            Expected::Refused(why) => Came::Refused(why),
        };
        self.digests.extend(artifacts.digest());
        let ends: Vec<i64> = self.model.data(|data| {
            let all = data.keys.values().flat_map(|key| key.values.iter().map(|value| key.end_of(value)));
            all.flatten().collect()
        });
        self.ends_ms.extend(ends);
        let current = self.model.data(|data| data.position.epoch.clone());
        let came = match came {
            Came::At(position) => Came::At(self.readings.position(position, &current)),
            refused => refused,
        };
        same(wanted, came, expected)
    }

    fn compare_positions(
        &mut self,
        what: &str,
        found: Result<Position, String>,
        expected: Result<Position, String>,
    ) -> Checked {
        let current = self.model.data(|data| data.position.epoch.clone());
        same(what, found.map(|position| self.readings.position(position, &current)), expected)
    }
}

fn sorted(mut digests: Vec<KeyDigest>) -> Vec<KeyDigest> {
    digests.sort_unstable();
    digests
}

fn same<T: PartialEq + Debug>(what: impl Debug, found: T, expected: T) -> Checked {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what:?}\nthe store: {found:?}\nthe model: {expected:?}"))
}
