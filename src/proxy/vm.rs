//! What the root context and the requests of one configuration share in one VM: the edge, and the host's side of it.

use std::cell::{Cell, RefCell};

use protocol::{KeyDigest, VERIFY_PATH, VerifyRequest};

use super::host::{self, Clock, Turn};
use crate::answer::{self, NoAnswer};
use crate::config::{Config, IdentityHeaders, KeyService, Problem};
use crate::decision::Grant;
use crate::flow::{Edge, Step};
use crate::lookup::{CallId, StreamId};
use crate::request::{Ambiguity, RequestHead};

/// One configuration in one VM.
pub(super) struct Vm {
    /// The name this edge goes by.
    id: String,
    /// The edge token, as an `Authorization` value.
    authorization: String,
    key_service: KeyService,
    identity_headers: IdentityHeaders,
    clock: Clock,
    turn: Turn,
    turn_is_coming: Cell<bool>,
    /// Whether the last callout was answered: an outage has many callouts, and only changes are worth a log line.
    service_answers: Cell<bool>,
    edge: RefCell<Edge>,
}

impl Vm {
    /// Takes up a configuration, as JSON.
    pub(super) fn configure(json: &[u8]) -> Result<Self, Vec<Problem>> {
        let Config { key_service, policy, cache, lookups } = Config::read(json)?;
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
        let id =
            host::random_id().map_err(|error| problem("configuration", format!("no randomness: {error}")))?;
        let turn = Turn::register(&id)
            .map_err(|status| problem("configuration", format!("the host registers no queue: {status:?}")))?;
        Ok(Vm {
            id,
            authorization: format!("Bearer {token}"),
            key_service,
            identity_headers: policy.identity_headers.clone(),
            clock: Clock::start(),
            turn,
            turn_is_coming: Cell::new(false),
            service_answers: Cell::new(true),
            edge: RefCell::new(Edge::new(policy, cache, lookups)),
        })
    }

    /// The headers that only this filter may set.
    pub(super) fn identity_headers(&self) -> &[Box<str>] {
        &self.identity_headers.0
    }

    /// A request arrives; if it must wait, the root context is called to ask.
    pub(super) fn arrive(&self, head: Result<&RequestHead<'_>, Ambiguity>, stream: StreamId) -> Step {
        let mut edge = self.edge.borrow_mut();
        let step = edge.arrive(head, stream, self.clock.now());
        match &step {
            Step::Wait(digest) if !self.turn_is_coming.replace(true) => {
                if let Err(status) = self.turn.request() {
                    log::error!("the host takes nothing into the queue: {status:?}");
                    self.turn_is_coming.set(false);
                    return edge.give_up(digest, stream);
                }
            }
            _ => {}
        }
        step
    }

    /// A request that waited has ended.
    pub(super) fn leave(&self, digest: &KeyDigest, stream: StreamId) {
        self.edge.borrow_mut().leave(digest, stream);
    }

    /// The turn has come: sends everything that requests wait for, in as few callouts as hold it.
    pub(super) fn take_turn(&self) {
        self.turn.take();
        self.turn_is_coming.set(false);
        // Whoever cannot be asked for is answered last: that leaves another context than the root one current.
        let mut steps = Vec::new();
        loop {
            let question = self.edge.borrow_mut().next_question();
            let Some(digests) = question else { break };
            steps.extend(self.ask(digests));
        }
        self.carry_out(steps);
    }

    /// Sends a question; what is to be done with those who wait for it if it cannot be sent.
    fn ask(&self, digests: Vec<KeyDigest>) -> Vec<(StreamId, Step)> {
        let asked_at = self.clock.now();
        let request = VerifyRequest { edge: self.id.clone(), digests };
        let call = serde_json::to_vec(&request).ok().and_then(|body| {
            let sent = host::post(&self.key_service, &self.authorization, VERIFY_PATH, &body);
            sent.inspect_err(|status| log::debug!("callout not sent: {status:?}")).ok()
        });
        match call {
            Some(id) => {
                self.edge.borrow_mut().asked(id, request.digests, asked_at);
                Vec::new()
            }
            None => {
                self.note(Err(NoAnswer::NotSent));
                self.edge.borrow_mut().not_asked(&request.digests)
            }
        }
    }

    /// A callout has ended.
    pub(super) fn answered(&self, id: CallId, status: Option<u16>, body: &[u8]) {
        let read = |asked| answer::read(status, body, asked);
        let (steps, outcome) = self.edge.borrow_mut().answered(id, read);
        self.note(outcome);
        self.carry_out(steps);
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
    fn carry_out(&self, steps: Vec<(StreamId, Step)>) {
        for (stream, step) in steps {
            if !host::switch_to(stream) {
                continue;
            }
            match step {
                Step::ForwardPublic => host::resume(),
                Step::Forward(grant) => {
                    self.set_identity(&grant);
                    host::resume();
                }
                Step::Reply(reply) => host::send(&reply),
                Step::Wait(_) => {}
            }
        }
    }

    /// Makes the current request carry the identity that a grant proves, and hides the key if so configured.
    pub(super) fn set_identity(&self, grant: &Grant) {
        let holder = grant.holder();
        let values = [&holder.user_id, &holder.key_id, &holder.scopes_text];
        for (name, value) in self.identity_headers.0.iter().zip(values) {
            host::set_header(name, value);
        }
        if self.edge.borrow().policy().hide_credentials {
            host::remove_header("authorization");
        }
    }
}
