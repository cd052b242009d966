use std::rc::Rc;

use protocol::ScopeSet;

use super::*;
use crate::ambiguity::Ambiguity;
use crate::restriction::{Resource, Violation};
use crate::verdict::Principal;

/// All ambiguities. A new one does not compile here until it is given a place in the list.
fn ambiguities() -> Vec<Ambiguity> {
    let place = |ambiguity: &Ambiguity| match ambiguity {
        Ambiguity::Headers => 0,
        Ambiguity::Method => 1,
        Ambiguity::MethodOverride => 2,
        Ambiguity::Path => 3,
        Ambiguity::PathOverride => 4,
        Ambiguity::Override => 5,
        Ambiguity::EmptySegment => 6,
        Ambiguity::DotSegment => 7,
        Ambiguity::PathCharacter => 8,
        Ambiguity::PathEncoding => 9,
        Ambiguity::Authority => 10,
        Ambiguity::Credential => 11,
    };
    let listed = vec![
        Ambiguity::Headers,
        Ambiguity::Method,
        Ambiguity::MethodOverride,
        Ambiguity::Path,
        Ambiguity::PathOverride,
        Ambiguity::Override,
        Ambiguity::EmptySegment,
        Ambiguity::DotSegment,
        Ambiguity::PathCharacter,
        Ambiguity::PathEncoding,
        Ambiguity::Authority,
        Ambiguity::Credential,
    ];
    listed.iter().enumerate().for_each(|(at, ambiguity)| assert_eq!(place(ambiguity), at));
    listed
}

/// All denials, with each ambiguity. A new one does not compile here until it is given a place in the list.
fn denials() -> Vec<Denial> {
    let place = |denial: &Denial| match denial {
        Denial::Missing => 0,
        Denial::Invalid => 1,
        Denial::Forbidden { .. } => 2,
        Denial::Restricted { violation: Violation::Other(..), .. } => 3,
        Denial::Restricted { violation: Violation::Unknown(_), .. } => 4,
        Denial::Unavailable => 5,
        Denial::Overloaded => 6,
        Denial::Ambiguous(_) => 7,
    };
    let key = Rc::new(Principal::new("u".into(), "k".into(), ScopeSet::default(), Default::default()));
    let restricted = |violation| Denial::Restricted { violation, key: Rc::clone(&key) };
    let mut listed = vec![
        Denial::Missing,
        Denial::Invalid,
        Denial::Forbidden { required: "insight:read".parse().unwrap(), key: Rc::clone(&key) },
        restricted(Violation::Other(Resource::Project, "7\"\u{e9}".into())),
        restricted(Violation::Unknown(Resource::Organization)),
        Denial::Unavailable,
        Denial::Overloaded,
    ];
    listed.iter().enumerate().for_each(|(at, denial)| assert_eq!(place(denial), at));
    listed.extend(ambiguities().into_iter().map(Denial::Ambiguous));
    listed
}

/// All answers as they are sent, but for the reason, which is beside the status.
fn answers(bodies: ErrorBodies) -> String {
    let answer = |denial| {
        let reply = Reply::to(&denial, "api", bodies);
        let headers: Vec<_> =
            reply.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let body = String::from_utf8(reply.body).unwrap();
        format!("{} ({})\n{}\n{body}\n", reply.status, reply.reason, headers.concat())
    };
    denials().into_iter().map(answer).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_whole_table_with_documented_bodies() {
    insta::assert_snapshot!("documented", answers(ErrorBodies::Documented));
}

#[test]
fn the_whole_table_with_posthog_bodies() {
    insta::assert_snapshot!("posthog", answers(ErrorBodies::Posthog));
}
