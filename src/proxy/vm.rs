//! What the root context and the requests of one configuration share in one VM: the filter's state, and the host's side of it.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use protocol::{KeyDigest, SYNC_PATH, SyncResponse, VERIFY_PATH, VerifyRequest};
use proxy_wasm::types::Action;
use serde::Serialize;

use super::host::{self, Clock, Meters, Turn};
use crate::ambiguity::Ambiguity;
use crate::answer::{self, NoAnswer};
use crate::config::{Config, IdentityHeaders, KeyService, Problem};
use crate::decision::Grant;
use crate::filter::{Filter, Outcome, Outcomes, Step};
use crate::header_policy::HeaderPolicy;
use crate::lookup::{CallId, StreamId};
use crate::request::RequestHead;

/// The header that carries a key.
const AUTHORIZATION: &str = "authorization";

/// How often the host is told the metrics when nothing else happens, in milliseconds.
const TELL_EVERY_MS: u64 = 1_000;

/// How far a request has come.
pub(super) enum Progress {
    /// Its headers have not been read.
    New,
    /// It is held until a lookup of this digest ends, which then forwards or answers it.
    Held(KeyDigest),
    /// It was forwarded: it is public, or a grant lets it pass.
    Open,
    /// A reply was given to the host, which may have refused it: the request must not pass in either case.
    Replied,
}

impl Progress {
    /// Whether the host may let the request on towards the upstream.
    pub(super) fn action(&self) -> Action {
        match self {
            Progress::Open => Action::Continue,
            Progress::New | Progress::Held(_) | Progress::Replied => Action::Pause,
        }
    }
}

/// One configuration in one VM.
pub(super) struct Vm {
    /// The edge token, as an `Authorization` value.
    authorization: String,
    key_service: KeyService,
    identity_headers: IdentityHeaders,
    header_policy: HeaderPolicy,
    clock: Clock,
    meters: Meters,
    turn: Turn,
    turn_is_coming: Cell<bool>,
    /// The latest sync, until it ends. One that was given up before is not known any more.
    sync: Cell<Option<CallId>>,
    /// The period of the host's ticks, in milliseconds.
    tick_ms: Cell<u64>,
    /// When the host was last told the metrics, by the monotonic clock.
    told_at: Cell<u64>,
    /// Whether the last callout was answered: an outage has many callouts, and only changes are worth a log line.
    service_answers: Cell<bool>,
    filter: RefCell<Filter>,
    /// The requests that were held and then forwarded, until their own contexts take note of it.
    opened: RefCell<HashSet<StreamId>>,
}

impl Vm {
    /// Takes up a configuration, as Envoy passes it.
    pub(super) fn configure(json: &[u8]) -> Result<Self, Vec<Problem>> {
        let Config { key_service, policy, cache, lookups, warnings } = Config::read(json)?;
        warnings.iter().for_each(|warning| log::warn!("configuration: {warning}"));
        let problem = |path: &str, message: String| vec![Problem { path: path.to_owned(), message }];
        let token = std::env::var(&key_service.token_env).unwrap_or_default();
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
        let turn = Turn::register(&id)
            .map_err(|status| problem("configuration", format!("the host registers no queue: {status:?}")))?;
        let vm = Vm {
            authorization: format!("Bearer {token}"),
            key_service,
            identity_headers: policy.identity_headers.clone(),
            header_policy: policy.header_policy.clone(),
            clock: Clock::start(),
            meters: Meters::define(),
            turn,
            turn_is_coming: Cell::new(false),
            sync: Cell::new(None),
            tick_ms: Cell::new(0),
            told_at: Cell::new(0),
            service_answers: Cell::new(true),
            filter: RefCell::new(Filter::new(id, seed, policy, cache, lookups)),
            opened: RefCell::default(),
        };
        vm.schedule();
        Ok(vm)
    }

    /// What is done with the headers that a client must not reach the upstream with.
    pub(super) fn header_policy(&self) -> &HeaderPolicy {
        &self.header_policy
    }

    /// A request arrives; if it must wait, the root context is called to ask.
    pub(super) fn arrive(&self, head: Result<&RequestHead<'_>, Ambiguity>, stream: StreamId) -> Step {
        let mut filter = self.filter.borrow_mut();
        let step = filter.arrive(head, host::source_address, stream, self.clock.now());
        match &step {
            Step::Hold(digest) if !self.turn_is_coming.replace(true) => {
                if let Err(status) = self.turn.request() {
                    log::error!("the host takes nothing into the queue: {status:?}");
                    self.turn_is_coming.set(false);
                    return Step::Decided(filter.give_up(digest, stream));
                }
            }
            _ => {}
        }
        step
    }

    /// A request that was held has ended.
    pub(super) fn leave(&self, digest: &KeyDigest, stream: StreamId) {
        if !self.was_opened(stream) {
            self.filter.borrow_mut().leave(digest, stream);
        }
    }

    /// Whether a request that was held has been forwarded since. Says so once.
    pub(super) fn was_opened(&self, stream: StreamId) -> bool {
        self.opened.borrow_mut().remove(&stream)
    }

    /// The turn that a waiting request asked for has come.
    pub(super) fn take_turn(&self) {
        self.turn.take();
        self.turn_is_coming.set(false);
        self.go_on(Vec::new());
    }

    /// Time has passed.
    pub(super) fn tick(&self) {
        self.go_on(Vec::new());
    }

    /// A callout has ended.
    pub(super) fn call_ended(&self, id: CallId, status: Option<u16>, body: &[u8]) {
        if self.sync.get() == Some(id) {
            self.sync.set(None);
            self.sync_ended(answer::synced(status, body));
            self.go_on(Vec::new());
        } else {
            let read = |asked| answer::verified(status, body, asked);
            let ended = self.filter.borrow_mut().answered(id, read, self.clock.now());
            // A sync that was given up ends here too, once the next one is sent.
            let Some((outcomes, answer)) = ended else { return };
            self.note(answer);
            self.go_on(outcomes);
        }
    }

    fn sync_ended(&self, answer: Result<SyncResponse, NoAnswer>) {
        let outcome = self.filter.borrow_mut().synced(answer, self.clock.now());
        if let Some(outcome) = outcome {
            self.note(outcome);
        }
    }

    /// Sends everything that is to be sent now: what requests wait for, in as few callouts as hold it, and the sync. Then
    /// does what was decided for requests that were held: that leaves another context than the root one current, and
    /// callouts must be sent from the root context.
    fn go_on(&self, mut outcomes: Outcomes) {
        loop {
            let question = self.filter.borrow_mut().next_question();
            let Some(digests) = question else { break };
            outcomes.extend(self.ask(digests));
        }
        let now = self.clock.now();
        outcomes.extend(self.filter.borrow_mut().refused(now));
        let sync = self.filter.borrow_mut().next_sync(now);
        if let Some(request) = sync {
            match self.post(SYNC_PATH, &request, request.wait_ms) {
                Ok(id) => self.sync.set(Some(id)),
                Err(no_answer) => self.sync_ended(Err(no_answer)),
            }
        }
        self.schedule();
        self.carry_out(outcomes);
    }

    /// Sends a question; what is to be done with those who wait for it if it cannot be sent.
    fn ask(&self, digests: Vec<KeyDigest>) -> Outcomes {
        let asked_at = self.clock.now();
        let request = VerifyRequest { edge: self.filter.borrow().id().to_owned(), digests };
        match self.post(VERIFY_PATH, &request, 0) {
            Ok(id) => {
                self.filter.borrow_mut().asked(id, request.digests, asked_at);
                Vec::new()
            }
            Err(no_answer) => {
                self.note(Err(no_answer));
                self.filter.borrow_mut().not_answered(&request.digests, asked_at)
            }
        }
    }

    /// Posts to the key service, which may hold its answer back for `wait_ms`.
    fn post(&self, path: &str, request: &impl Serialize, wait_ms: u64) -> Result<CallId, NoAnswer> {
        let body = serde_json::to_vec(request).map_err(|_| NoAnswer::NotSent)?;
        let timeout_ms = u64::from(self.key_service.timeout_ms).saturating_add(wait_ms);
        let sent = host::post(&self.key_service, &self.authorization, path, &body, timeout_ms);
        sent.map_err(|status| {
            log::debug!("callout not sent: {status:?}");
            NoAnswer::NotSent
        })
    }

    /// Tells the host the metrics if it is time, and has it call again when something is due.
    fn schedule(&self) {
        let now = self.clock.now();
        let mut filter = self.filter.borrow_mut();
        // A tick may come a little early.
        if now.monotonic.saturating_sub(self.told_at.get()) >= TELL_EVERY_MS / 2 {
            self.told_at.set(now.monotonic);
            self.meters.tell(filter.metrics(now));
        }
        let tick_ms = filter.sync_due_in_ms(now).unwrap_or(TELL_EVERY_MS).clamp(1, TELL_EVERY_MS);
        if self.tick_ms.replace(tick_ms) != tick_ms {
            host::tick_every(tick_ms);
        }
    }

    fn note(&self, outcome: Result<(), NoAnswer>) {
        let cluster = &self.key_service.cluster;
        match (self.service_answers.replace(outcome.is_ok()), outcome) {
            (true, Err(why)) => log::warn!("cluster {cluster}: {why}; keys that are not cached get 503"),
            (false, Ok(())) => log::info!("cluster {cluster}: the key service answers again"),
            _ => {}
        }
    }

    /// Does what was decided for requests that were held.
    fn carry_out(&self, outcomes: Outcomes) {
        for (stream, outcome) in outcomes {
            if host::switch_to(stream) && matches!(self.apply(outcome), Progress::Open) {
                self.opened.borrow_mut().insert(stream);
                host::resume();
            }
        }
    }

    /// Makes the current request what its outcome says.
    pub(super) fn apply(&self, outcome: Outcome) -> Progress {
        match outcome {
            Outcome::ForwardPublic { hides_key } => {
                if hides_key {
                    host::remove_header(AUTHORIZATION);
                }
                Progress::Open
            }
            Outcome::Forward(grant) => {
                self.set_identity(&grant);
                Progress::Open
            }
            Outcome::Reply(reply) => {
                host::send(&reply);
                Progress::Replied
            }
        }
    }

    /// Makes the current request carry the identity that a grant proves, and hides the key if so configured.
    fn set_identity(&self, grant: &Grant) {
        let holder = grant.holder();
        let values = [&holder.user_id, &holder.key_id, &holder.scopes_text];
        for (name, value) in self.identity_headers.0.iter().zip(values) {
            host::set_header(name, value);
        }
        host::set_filter_state(host::KEY_ID, &holder.key_id);
        if self.filter.borrow().policy().hide_credentials {
            host::remove_header(AUTHORIZATION);
        }
    }
}
