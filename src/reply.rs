//! Turns denials into HTTP responses.

use std::borrow::Cow;
use std::rc::Rc;

use protocol::Scope;
use serde::Serialize;

use crate::decision::Denial;
use crate::headers::serialise;
use crate::verdict::Principal;

/// The shape of error bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorBodies {
    /// `{"detail":"…"}` alone, as documented.
    Documented,
    /// PostHog's fields `type`, `code` and `attr` beside `detail`, which says more of restricted keys.
    Posthog,
}

/// A response that the filter sends itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u32,
    /// The reason for access logs (`%RESPONSE_CODE_DETAILS%`).
    pub reason: &'static str,
    /// For access logs: the valid key that may not make the request.
    pub key: Option<Rc<Principal>>,
    /// Headers and body.
    pub content: Rc<Content>,
}

/// Headers and body of a response.
#[derive(Debug, PartialEq, Eq)]
pub struct Content {
    /// Header names and values.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The headers as one block, as the host takes them.
    pub header_block: Vec<u8>,
    /// The JSON body.
    pub body: Vec<u8>,
}

/// The responses to denied requests. Each content is made once, except those that quote the request.
#[derive(Debug)]
pub struct Replies {
    realm: String,
    bodies: ErrorBodies,
    missing: Rc<Content>,
    invalid: Rc<Content>,
    unavailable: Rc<Content>,
    /// One for each scope that a request has lacked; the route table has few.
    forbidden: Vec<(Scope, Rc<Content>)>,
}

impl Replies {
    /// Prepares responses with this realm and these bodies.
    pub fn new(realm: String, bodies: ErrorBodies) -> Self {
        let of = |denial| Rc::new(Content::of(&denial, &realm, bodies));
        let [missing, invalid, unavailable] = [Denial::Missing, Denial::Invalid, Denial::Unavailable].map(of);
        Replies { realm, bodies, missing, invalid, unavailable, forbidden: Vec::new() }
    }

    /// The response to a denied request.
    pub fn to(&mut self, denial: &Denial) -> Reply {
        let status = match denial {
            Denial::Ambiguous(_) => 400,
            Denial::Missing | Denial::Invalid => 401,
            Denial::Forbidden { .. } | Denial::Restricted { .. } => 403,
            Denial::Unavailable | Denial::Overloaded => 503,
        };
        let content = match denial {
            Denial::Missing => Rc::clone(&self.missing),
            Denial::Invalid => Rc::clone(&self.invalid),
            Denial::Unavailable | Denial::Overloaded => Rc::clone(&self.unavailable),
            Denial::Forbidden { required, .. } => self.forbidden(required, denial),
            Denial::Ambiguous(_) | Denial::Restricted { .. } => {
                Rc::new(Content::of(denial, &self.realm, self.bodies))
            }
        };
        Reply { status, reason: denial.reason(), key: denial.key().map(Rc::clone), content }
    }

    fn forbidden(&mut self, required: &Scope, denial: &Denial) -> Rc<Content> {
        if let Some((_, content)) = self.forbidden.iter().find(|(scope, _)| scope == required) {
            return Rc::clone(content);
        }
        let content = Rc::new(Content::of(denial, &self.realm, self.bodies));
        self.forbidden.push((required.clone(), Rc::clone(&content)));
        content
    }
}

/// The fields of a body, in their order.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    code: &'a str,
    detail: &'a str,
    attr: Option<&'a str>,
}

/// The documented body.
#[derive(Serialize)]
struct Detail<'a> {
    detail: &'a str,
}

const NOT_AUTHENTICATED: &str = "Authentication credentials were not provided.";
const NOT_PERMITTED: &str = "You do not have permission to perform this action.";
const UNAVAILABLE: &str = "The API key could not be checked right now. Please try again.";

impl Content {
    fn of(denial: &Denial, realm: &str, bodies: ErrorBodies) -> Self {
        let detail = match denial {
            Denial::Ambiguous(ambiguity) => Cow::Owned(ambiguity.to_string()),
            Denial::Missing | Denial::Invalid => Cow::Borrowed(NOT_AUTHENTICATED),
            Denial::Restricted { violation, .. } if bodies == ErrorBodies::Posthog => {
                Cow::Owned(violation.to_string())
            }
            Denial::Forbidden { .. } | Denial::Restricted { .. } => Cow::Borrowed(NOT_PERMITTED),
            Denial::Unavailable | Denial::Overloaded => Cow::Borrowed(UNAVAILABLE),
        };
        // PostHog's type and code.
        let (kind, code) = match denial {
            Denial::Ambiguous(_) => ("invalid_request", "parse_error"),
            Denial::Missing => ("authentication_error", "not_authenticated"),
            Denial::Invalid => ("authentication_error", "authentication_failed"),
            Denial::Forbidden { .. } | Denial::Restricted { .. } => {
                ("authentication_error", "permission_denied")
            }
            Denial::Unavailable | Denial::Overloaded => ("server_error", "service_unavailable"),
        };
        // The next request may be allowed, so no cache may keep the response.
        let mut headers = Vec::with_capacity(3);
        headers.push(("content-type", Cow::Borrowed("application/json")));
        headers.push(("cache-control", Cow::Borrowed("no-store")));
        // RFC 6750 section 3: no error code if the request has no credentials.
        let challenge =
            |error: String| ("www-authenticate", Cow::Owned(format!("Bearer realm=\"{realm}\"{error}")));
        match denial {
            Denial::Missing => headers.push(challenge(String::new())),
            Denial::Invalid => headers.push(challenge(", error=\"invalid_token\"".to_owned())),
            Denial::Forbidden { required, .. } => {
                headers.push(challenge(format!(", error=\"insufficient_scope\", scope=\"{required}\"")));
            }
            // No scope would help.
            Denial::Restricted { .. } => headers.push(challenge(", error=\"insufficient_scope\"".to_owned())),
            Denial::Unavailable | Denial::Overloaded => headers.push(("retry-after", Cow::Borrowed("1"))),
            Denial::Ambiguous(_) => {}
        }
        let body = match bodies {
            ErrorBodies::Documented => serde_json::to_vec(&Detail { detail: &detail }),
            ErrorBodies::Posthog => serde_json::to_vec(&Body { kind, code, detail: &detail, attr: None }),
        };
        // Serialising strings cannot fail.
        let pairs: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        Content { header_block: serialise(&pairs), headers, body: body.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests;
