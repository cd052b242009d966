//! What the root context and the requests of one configuration share in one VM: the filter's state, and the host's side of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use protocol::{KeyDigest, SYNC_PATH, SyncResponse, VERIFY_PATH, VerifyRequest};
use serde::Serialize;

use super::host::{self, Meters, Wakeup};
use super::requests::{self, Progress};
use crate::ambiguity::Ambiguity;
use crate::answer::{self, NoAnswer};
use crate::config::{Config, IdentityHeaders, KeyService, Problem};
use crate::decision::Grant;
use crate::filter::{Filter, Outcome, Outcomes, Step};
use crate::header_policy::HeaderPolicy;
use crate::lookup::{CalloutId, StreamId};
use crate::request::RequestHead;
use crate::verdict::Principal;

/// The header that carries a key.
const AUTHORIZATION: &str = "authorization";

/// How often metrics are exported, in milliseconds.
const EXPORT_EVERY_MS: u64 = 1_000;

/// One configuration in one VM.
pub(super) struct Vm {
    /// The edge token, as an `Authorization` value.
    authorization: String,
    key_service: KeyService,
    identity_headers: IdentityHeaders,
    header_policy: HeaderPolicy,
    meters: Meters,
    wakeup: Wakeup,
    wakeup_is_pending: Cell<bool>,
    /// The latest sync callout, until it ends. The id of a sync that was given up is not kept.
    sync: Cell<Option<CalloutId>>,
    /// The period of the host's ticks, in milliseconds.
    tick_ms: Cell<u64>,
    /// When metrics were last exported, by the monotonic clock.
    exported_at: Cell<u64>,
    /// Whether the last callout was answered. Only a change is logged, because an outage has many callouts.
    service_answers: Cell<bool>,
    filter: RefCell<Filter>,
}

impl Vm {
    /// Reads a configuration and the edge token, and starts the filter.
    pub(super) fn configure(json: &[u8]) -> Result<Self, Vec<Problem>> {
        let Config { key_service, policy, cache, lookups, warnings } = Config::read(json)?;
        warnings.iter().for_each(|warning| log::warn!("configuration: {warning}"));
        let problem = |path: &str, message: String| vec![Problem { path: path.to_owned(), message }];
        let token = host::environment(&key_service.token_env);
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let variable = &key_service.token_env;
            let message = format!(
                "the environment variable {variable} holds no token: set it, and name it in \
                 vm_config.environment_variables"
            );
            return Err(problem("key_service.token_env", message));
        }
        let no_randomness = |error| problem("configuration", format!("no randomness: {error}"));
        let id = host::random_id().map_err(no_randomness)?;
        let seed = host::random_number().map_err(no_randomness)?;
        let secret = host::random_bytes().map_err(no_randomness)?;
        let wakeup = Wakeup::register(&id)
            .map_err(|status| problem("configuration", format!("the host registers no queue: {status:?}")))?;
        let vm = Vm {
            authorization: format!("Bearer {token}"),
            key_service,
            identity_headers: policy.identity_headers.clone(),
            header_policy: policy.header_policy.clone(),
            meters: Meters::define(),
            wakeup,
            wakeup_is_pending: Cell::new(false),
            sync: Cell::new(None),
            tick_ms: Cell::new(0),
            exported_at: Cell::new(host::now().monotonic),
            service_answers: Cell::new(true),
            filter: RefCell::new(Filter::new(id, host::node(), seed, secret, policy, cache, lookups)),
        };
        vm.schedule();
        Ok(vm)
    }

    /// The configured header policy.
    pub(super) fn header_policy(&self) -> &HeaderPolicy {
        &self.header_policy
    }

    /// A request arrives. If it has to wait, this wakes the root context, which sends the lookup.
    pub(super) fn arrive(&self, head: Result<&RequestHead<'_>, Ambiguity>, stream: StreamId) -> Step {
        let mut filter = self.filter.borrow_mut();
        let step = filter.arrive(head, host::source_address, stream, host::now);
        match &step {
            Step::Hold(digest) if !self.wakeup_is_pending.replace(true) => {
                if let Err(status) = self.wakeup.request() {
                    log::error!("cannot wake the root context: the host refused the queue entry: {status:?}");
                    self.wakeup_is_pending.set(false);
                    return Step::Decided(filter.give_up(digest, stream));
                }
            }
            _ => {}
        }
        step
    }

    /// The client of a held request has gone.
    pub(super) fn leave(&self, digest: &KeyDigest, stream: StreamId) {
        self.filter.borrow_mut().leave(digest, stream);
    }

    /// The root context was woken by a request that waits.
    pub(super) fn wake(&self) {
        self.wakeup.take();
        self.wakeup_is_pending.set(false);
        self.proceed(Vec::new());
    }

    /// The timer has expired.
    pub(super) fn tick(&self) {
        self.proceed(Vec::new());
    }

    /// A callout has ended.
    pub(super) fn callout_ended(&self, id: CalloutId, status: Option<u16>, body: &[u8]) {
        if self.sync.get() == Some(id) {
            self.sync.set(None);
            self.end_sync(answer::read_sync(status, body));
            self.proceed(Vec::new());
        } else {
            let read = |asked| answer::read_verify(status, body, asked);
            let ended = self.filter.borrow_mut().lookups_ended(id, read, host::now());
            // A sync that was given up ends here too, as an unknown callout.
            let Some((outcomes, answer)) = ended else { return };
            self.note(answer);
            self.proceed(outcomes);
        }
    }

    fn end_sync(&self, answer: Result<SyncResponse, NoAnswer>) {
        let outcome = self.filter.borrow_mut().sync_ended(answer, host::now());
        if let Some(outcome) = outcome {
            self.note(outcome);
        }
    }

    /// Sends all callouts that are due, then carries out the outcomes of held requests. The order matters: an outcome
    /// makes its request's context current, and callouts must be sent from the root context.
    fn proceed(&self, mut outcomes: Outcomes) {
        loop {
            let request = self.filter.borrow_mut().next_lookups();
            let Some(request) = request else { break };
            outcomes.extend(self.send_lookups(request));
        }
        let now = host::now();
        outcomes.extend(self.filter.borrow_mut().refused(now));
        outcomes.extend(self.filter.borrow_mut().undecided(now));
        let sync = self.filter.borrow_mut().next_sync(now);
        if let Some(request) = sync {
            match self.post(SYNC_PATH, &request, request.wait_ms) {
                Ok(id) => self.sync.set(Some(id)),
                Err(no_answer) => self.end_sync(Err(no_answer)),
            }
        }
        self.schedule();
        self.carry_out(outcomes);
    }

    /// Sends lookups in one callout; returns the outcomes of their requests if it cannot be sent.
    fn send_lookups(&self, request: VerifyRequest) -> Outcomes {
        let sent_at = host::now();
        match self.post(VERIFY_PATH, &request, 0) {
            Ok(id) => {
                self.filter.borrow_mut().lookups_sent(id, request.digests, sent_at);
                Vec::new()
            }
            Err(no_answer) => {
                self.note(Err(no_answer));
                self.filter.borrow_mut().lookups_failed(&request.digests, sent_at)
            }
        }
    }

    /// Posts to the key service, which may hold the request for `wait_ms`.
    fn post(&self, path: &str, request: &impl Serialize, wait_ms: u64) -> Result<CalloutId, NoAnswer> {
        let body = serde_json::to_vec(request).map_err(|_| NoAnswer::NotSent)?;
        let timeout_ms = u64::from(self.key_service.timeout_ms).saturating_add(wait_ms);
        let sent = host::post(&self.key_service, &self.authorization, path, &body, timeout_ms);
        sent.map_err(|status| {
            log::debug!("callout not sent: {status:?}");
            NoAnswer::NotSent
        })
    }

    /// Exports the metrics if it is time, and sets the timer to when something is due.
    fn schedule(&self) {
        let now = host::now();
        let mut filter = self.filter.borrow_mut();
        // A tick may come a little early.
        if now.monotonic.saturating_sub(self.exported_at.get()) >= EXPORT_EVERY_MS / 2 {
            self.exported_at.set(now.monotonic);
            self.meters.export(filter.metrics(now));
        }
        let due_ms = filter.sync_due_in_ms(now).into_iter().chain(filter.undecided_in_ms(now)).min();
        let tick_ms = due_ms.unwrap_or(EXPORT_EVERY_MS).clamp(1, EXPORT_EVERY_MS);
        if self.tick_ms.replace(tick_ms) != tick_ms {
            host::tick_every(tick_ms);
        }
    }

    fn note(&self, outcome: Result<(), NoAnswer>) {
        let cluster = &self.key_service.cluster;
        match (self.service_answers.replace(outcome.is_ok()), outcome) {
            (true, Err(why)) => {
                log::warn!("cluster {cluster}: {why}; keys that are not cached cannot be checked")
            }
            (false, Ok(())) => log::info!("cluster {cluster}: the key service answers again"),
            _ => {}
        }
    }

    /// Carries out the outcomes of held requests.
    fn carry_out(&self, outcomes: Outcomes) {
        for (stream, outcome) in outcomes {
            if host::switch_to(stream) {
                let progress = self.apply(outcome, host::set_header);
                requests::set_progress(stream, progress);
                if progress == Progress::Open {
                    host::resume();
                }
            }
        }
    }

    /// Carries out the outcome of the current request. `write` writes a header.
    pub(super) fn apply(&self, outcome: Outcome, write: fn(&str, &str)) -> Progress {
        match outcome {
            Outcome::ForwardPublic { hides_key } => {
                if hides_key {
                    host::remove_header(AUTHORIZATION);
                }
                Progress::Open
            }
            Outcome::LeaveToUpstream(_) => {
                host::set_filter_state(host::REASON, host::LEFT_TO_UPSTREAM);
                Progress::Open
            }
            Outcome::Forward(grant) => {
                self.set_identity(&grant, write);
                Progress::Open
            }
            Outcome::ForwardShadowed(shadowed) => {
                host::set_filter_state(host::REASON, shadowed.reason());
                log_key(shadowed.key());
                Progress::Open
            }
            Outcome::Reply(reply) => {
                log_key(reply.key.as_ref());
                host::send(&reply);
                Progress::Replied
            }
        }
    }

    /// Adds the identity of a grant to the current request, and removes the key if configured.
    fn set_identity(&self, grant: &Grant, write: fn(&str, &str)) {
        for (name, value) in self.identity_headers.of(grant) {
            write(name, value);
        }
        if self.filter.borrow().policy().hide_credentials {
            host::remove_header(AUTHORIZATION);
        }
    }
}

/// Names the valid key of a request that is not granted, for access logs.
fn log_key(key: Option<&Rc<Principal>>) {
    if let Some(key) = key {
        host::set_filter_state(host::KEY_ID, &key.key_id);
    }
}
