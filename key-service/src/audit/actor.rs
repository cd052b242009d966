//! The caller of an operation, and where its request came from.

use std::net::IpAddr;

use protocol::KeyDigest;
use serde::Serialize;
use utoipa::ToSchema;

/// The caller of an operation, and where its request came from.
#[derive(Clone, Debug)]
pub struct Actor {
    /// What kind of actor it is.
    pub kind: ActorKind,
    /// The user's or the management token's id.
    pub id: Option<String>,
    /// The user's address, the token's label, or the name of the command line's user.
    pub name: String,
    /// Where the request came from.
    pub address: Option<IpAddr>,
    /// The id of the request in the service's log.
    pub request_id: Option<String>,
    /// The session that the request came with.
    pub(crate) session: Option<ActorSession>,
}

/// What identifies a session, and the version of its user that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct ActorSession {
    /// The digest under which the session is stored. Signing out removes it.
    pub(crate) id_digest: SessionDigest,
    /// The user's session version. A new password raises it, for example.
    pub(crate) version: i64,
}

/// The digest under which a session is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionDigest(KeyDigest);

impl SessionDigest {
    /// The digest of a session's id.
    pub(crate) fn of_id(id: &str) -> Self {
        SessionDigest(KeyDigest::of_value(id))
    }

    /// The digest as it is stored.
    pub(crate) fn to_hex(self) -> String {
        self.0.to_hex()
    }
}

/// The kinds of actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema, strum::EnumString, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ActorKind {
    /// A user with a session.
    User,
    /// A caller without a session: one with a one-time link or wrong credentials.
    Visitor,
    /// A caller without a session that reports leaked values and holds them.
    LeakReporter,
    /// Automation.
    ManagementToken,
    /// An operator at the command line.
    CommandLine,
    /// The service itself.
    Service,
}

impl ActorKind {
    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Actor {
    /// The operator at the command line, by the name of the system account.
    pub fn command_line(name: String) -> Self {
        Actor { kind: ActorKind::CommandLine, name, ..Actor::service() }
    }

    /// Whether it is automation.
    pub(crate) fn is_token(&self) -> bool {
        self.kind == ActorKind::ManagementToken
    }

    /// The service itself.
    pub fn service() -> Self {
        let kind = ActorKind::Service;
        Actor { kind, id: None, name: String::new(), address: None, request_id: None, session: None }
    }
}
