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
    answers_of(&mut Replies::new("api".to_owned(), bodies))
}

fn answers_of(replies: &mut Replies) -> String {
    let answer = |denial| {
        let Reply { status, reason, content, .. } = replies.to(&denial);
        let headers: Vec<_> =
            content.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let pairs: Vec<_> = content.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        assert_eq!(content.header_block, serialise(&pairs));
        let body = String::from_utf8(content.body.clone()).unwrap();
        format!("{status} ({reason})\n{}\n{body}\n", headers.concat())
    };
    denials().into_iter().map(answer).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_response_is_the_same_each_time_and_names_the_scope_of_its_own_request() {
    let mut replies = Replies::new("api".to_owned(), ErrorBodies::Documented);
    let key = Rc::new(Principal::new("u".into(), "k".into(), Default::default(), Default::default()));
    let mut scopes_named = || {
        ["insight:read", "insight:write", "*", "cohort:read"].map(|scope| {
            let denial = Denial::Forbidden { required: scope.parse().unwrap(), key: Rc::clone(&key) };
            let content = replies.to(&denial).content;
            content.headers.iter().any(|(_, value)| value.ends_with(&format!("scope=\"{scope}\"")))
        })
    };
    assert_eq!((scopes_named(), scopes_named()), ([true; 4], [true; 4]));
    let first = answers_of(&mut replies);
    assert_eq!(answers_of(&mut replies), first);
}

#[test]
fn the_whole_table_with_documented_bodies() {
    insta::assert_snapshot!("documented", answers(ErrorBodies::Documented));
}

#[test]
fn the_whole_table_with_posthog_bodies() {
    insta::assert_snapshot!("posthog", answers(ErrorBodies::Posthog));
}
