//! `edge-key-auth explain`: sends one request through the filter, with a verdict on its key that is given.

use std::rc::Rc;

use edge_key_auth::address::Address;
use edge_key_auth::answer::{KeyAnswer, VerifyAnswer};
use edge_key_auth::clock::Moment;
use edge_key_auth::config::WrittenRule;
use edge_key_auth::filter::{Filter, Outcome, Step};
use edge_key_auth::headers::{HeaderPairs, serialise};
use edge_key_auth::lookup::{CalloutId, StreamId};
use edge_key_auth::reply::Reply;
use edge_key_auth::request::Reading;
use edge_key_auth::route::{Access, Deciding};
use edge_key_auth::verdict::{Principal, Verdict};
use protocol::{ApiKey, Node, Restrictions, ScopeSet};
use serde_json::{Value, json};

use crate::document::join;
use crate::settings::{Accepted, of_table};

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path, and a query.
    pub path: String,
    /// The host.
    pub host: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Its key.
    pub key: Key,
}

/// What is known of the key of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// There is none, unless the headers have one.
    Unknown,
    /// There is no key.
    None,
    /// It is valid, with these scopes and restrictions.
    Valid(ScopeSet, Restrictions),
    /// It is unknown, deleted or expired.
    Invalid,
}

/// Why a request cannot be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The answer depends on the key.
    #[error("the answer depends on the key in the Authorization header: add --key-scopes or --invalid-key")]
    UnknownKey,
    /// `--no-key` contradicts a header.
    #[error("--no-key contradicts the Authorization header")]
    NoKey,
    /// A header list that the filter cannot read.
    #[error("the headers are too long")]
    Headers,
    /// The filter has no answer.
    #[error("the filter gives no answer")]
    NoAnswer,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The method and the path.
    pub request: String,
    /// The path of the settings that have the rules; empty for a file of settings alone, and for a shipped table.
    pub settings: String,
    /// The rule; `None` if the request is refused before a rule is looked for.
    pub rule: Option<RuleFound>,
    /// The scope that the route requires of this method; `None` for a public one.
    pub scope: Option<String>,
    /// Headers of the request that are removed.
    pub removed: Vec<String>,
    /// The answer.
    pub answer: Answer,
}

/// The rule that decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFound {
    /// Its place in the list, in words.
    pub place: String,
    /// Its index.
    pub index: Option<usize>,
    /// Its template.
    pub template: Option<String>,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The upstream gets the request.
    Forwarded {
        /// Headers that are set.
        identity: Vec<(String, String)>,
        /// Whether `Authorization` is removed.
        hides_key: bool,
        /// Why it is forwarded without a grant, in words.
        why: Option<String>,
    },
    /// The filter answers.
    Refused {
        /// The status.
        status: u32,
        /// The reason in access logs.
        reason: String,
        /// The headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
}

/// Explains a request.
///
/// # Errors
/// The request is not complete.
pub fn explain(accepted: Accepted, request: &Request) -> Result<Explanation, ExplainError> {
    let of_table = of_table(accepted.shipped);
    let Accepted { path, config, rules, shipped } = accepted;
    let settings = if shipped.is_some() { String::new() } else { path };
    let block = header_block(request)?;
    let pairs = HeaderPairs::new(&block).map_err(|_| ExplainError::Headers)?;
    let mut filter = Filter::new(
        "explain".to_owned(),
        Node::default(),
        0,
        [0; 16],
        config.policy,
        config.cache,
        config.lookups,
    );
    let Reading { removed, head } = Reading::of(pairs, &filter.policy().header_policy);

    let mut rule = None;
    let mut scope = None;
    let route = head.as_ref().ok().and_then(|head| filter.policy().routes.classify(head).ok());
    if let (Ok(head), Some(route)) = (&head, route) {
        let list: Vec<_> = rules.iter().map(|written| written.rule.clone()).collect();
        let routes = &filter.policy().routes;
        rule = Some(found(routes.deciding(&list, head), &rules, &of_table));
        scope = match route.access {
            Access::Public => None,
            Access::Authenticated(scope) => Some(scope.to_string()),
        };
    }
    let outcome = outcome(&mut filter, head.as_ref().map_err(|ambiguity| *ambiguity), &request.key)?;
    let mut answer = answer(outcome, &filter);
    let is_preflight = head.is_ok_and(|head| head.is_preflight) && filter.policy().forward_preflights;
    if let (true, Answer::Forwarded { why, .. }) = (is_preflight, &mut answer) {
        *why = Some("a CORS preflight, which cors_preflight: forward exempts".to_owned());
    }
    let removed = removed.into_iter().map(str::to_owned).collect();
    Ok(Explanation {
        request: format!("{} {}", request.method, request.path),
        settings,
        rule,
        scope,
        removed,
        answer,
    })
}

/// The headers as Envoy passes them to the filter.
fn header_block(request: &Request) -> Result<Vec<u8>, ExplainError> {
    let mut headers = vec![
        (":method".to_owned(), request.method.clone()),
        (":path".to_owned(), request.path.clone()),
        (":authority".to_owned(), request.host.clone()),
    ];
    headers.extend(request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
    let has_credential = headers.iter().any(|(name, _)| name == "authorization");
    match &request.key {
        Key::None if has_credential => return Err(ExplainError::NoKey),
        Key::Valid(..) | Key::Invalid if !has_credential => {
            let key = ApiKey::from_entropy([0; 32]);
            headers.push(("authorization".to_owned(), format!("Bearer {}", key.reveal())));
        }
        _ => {}
    }
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    Ok(serialise(&headers))
}

fn outcome(
    filter: &mut Filter,
    head: Result<&edge_key_auth::request::RequestHead<'_>, edge_key_auth::ambiguity::Ambiguity>,
    key: &Key,
) -> Result<Outcome, ExplainError> {
    let now = Moment { monotonic: 0, wall: 0 };
    if let Step::Decided(outcome) = filter.arrive(head, || Address::read(b"127.0.0.1:1"), StreamId(1), || now)
    {
        return Ok(outcome);
    }
    let verdict = match key {
        Key::Valid(scopes, restrictions) => {
            let (scopes, restrictions) = (scopes.clone(), restrictions.clone());
            let principal = Principal::new("USER_ID".into(), "KEY_ID".into(), scopes, restrictions);
            Verdict::Active(Rc::new(principal))
        }
        Key::Invalid => Verdict::Inactive,
        Key::Unknown | Key::None => return Err(ExplainError::UnknownKey),
    };
    let verdicts = vec![KeyAnswer { verdict, expires_in_ms: None }];
    let asked = filter.next_lookups().ok_or(ExplainError::NoAnswer)?;
    filter.lookups_sent(CalloutId(1), asked.digests, now);
    let verify = VerifyAnswer { epoch: "explain".to_owned(), revision: 0, verdicts };
    let ended = filter.lookups_ended(CalloutId(1), |_| Ok(verify), now);
    let outcome = ended.and_then(|(outcomes, _)| outcomes.into_iter().next());
    outcome.map(|(_, outcome)| outcome).ok_or(ExplainError::NoAnswer)
}

fn found(deciding: Deciding, rules: &[WrittenRule], of_table: &str) -> RuleFound {
    let template = |at: usize| rules.get(at).map(|written| written.template.clone());
    match deciding {
        Deciding::Rule(at) => {
            RuleFound { place: format!("routes[{at}]{of_table}"), index: Some(at), template: template(at) }
        }
        Deciding::OtherMethods(at) => RuleFound {
            place: format!("no rule, because routes[{at}]{of_table} does not list the method"),
            index: None,
            template: template(at),
        },
        Deciding::Nothing => RuleFound { place: "no rule".to_owned(), index: None, template: None },
    }
}

fn answer(outcome: Outcome, filter: &Filter) -> Answer {
    match outcome {
        Outcome::ForwardPublic { hides_key } => {
            Answer::Forwarded { identity: Vec::new(), hides_key, why: None }
        }
        Outcome::ForwardShadowed(shadowed) => {
            without_identity(format!("shadow mode: enforcing would refuse it: {}", shadowed.reason()))
        }
        Outcome::LeaveToUpstream(_) => without_identity("the upstream judges its token".to_owned()),
        Outcome::Forward(grant) => {
            let headers = filter.policy().identity_headers.of(&grant);
            let identity = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            Answer::Forwarded { identity, hides_key: filter.policy().hide_credentials, why: None }
        }
        Outcome::Reply(Reply { status, reason, content, .. }) => Answer::Refused {
            status,
            reason: reason.to_owned(),
            headers: content
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_string()))
                .collect(),
            body: String::from_utf8_lossy(&content.body).into_owned(),
        },
    }
}

fn without_identity(why: String) -> Answer {
    Answer::Forwarded { identity: Vec::new(), hides_key: false, why: Some(why) }
}

impl Explanation {
    /// Whether the upstream gets the request.
    pub fn is_forwarded(&self) -> bool {
        matches!(self.answer, Answer::Forwarded { .. })
    }

    /// The explanation for people.
    pub fn to_text(&self) -> String {
        let mut lines = vec![format!("request  {}", self.request)];
        match &self.rule {
            None => lines.push("rule     none, because the request is ambiguous".to_owned()),
            Some(rule) => {
                let template = rule.template.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
                lines.push(format!("rule     {}{template}", rule.place));
                if !self.settings.is_empty() {
                    lines.push(format!("         in {}", self.settings));
                }
                lines.push(match &self.scope {
                    None => "access   public".to_owned(),
                    Some(scope) => format!("access   a key with the scope {scope}"),
                });
            }
        }
        if !self.removed.is_empty() {
            lines.push(format!("removed  {}", self.removed.join(", ")));
        }
        match &self.answer {
            Answer::Forwarded { identity, hides_key, why } => {
                let without = if *hides_key { ", without authorization" } else { "" };
                let identity_is = if identity.is_empty() { " without identity" } else { "" };
                lines.push(format!("answer   forwarded{identity_is}{without}"));
                lines.extend(why.iter().map(|why| format!("         {why}")));
                lines.extend(identity.iter().map(|(name, value)| format!("         {name}: {value}")));
            }
            Answer::Refused { status, reason, headers, body } => {
                lines.push(format!("answer   {status} {reason}"));
                lines.extend(headers.iter().map(|(name, value)| format!("         {name}: {value}")));
                lines.push(format!("         {body}"));
            }
        }
        lines.join("\n") + "\n"
    }

    /// The explanation for scripts.
    pub fn to_json(&self) -> Value {
        let map = |pairs: &[(String, String)]| {
            pairs.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<serde_json::Map<_, _>>()
        };
        let rule = self.rule.as_ref();
        let answer = match &self.answer {
            Answer::Forwarded { identity, hides_key, why } => json!({
                "forwarded": true, "identity": map(identity), "authorization_removed": hides_key,
                "why": why,
            }),
            Answer::Refused { status, reason, headers, body } => json!({
                "forwarded": false, "status": status, "reason": reason, "headers": map(headers), "body": body,
            }),
        };
        json!({
            "request": self.request,
            "rule": rule.and_then(|rule| rule.index).map(|at| join(&self.settings, &format!("routes[{at}]"))),
            "path": rule.and_then(|rule| rule.template.clone()),
            "public": rule.is_some() && self.scope.is_none(),
            "scope": self.scope,
            "removed": self.removed,
            "answer": answer,
        })
    }
}
