//! The checks of verify.

use anyhow::{Result, bail, ensure};
use edge_key_auth::answer::KeyAnswer;
use edge_key_auth::verdict::Verdict;
use protocol::{KeyDigest, MAX_DIGESTS_PER_VERIFY, VERIFY_PATH};
use serde_json::json;

use super::commands::Keys;
use super::edge::ID;
use super::service::{Check, Service};

pub(super) const CHECKS: [Check; 9] = [
    ("a request without the token is refused", refuses_no_token),
    ("a request with a wrong token is refused", refuses_a_wrong_token),
    ("an unknown key is inactive", unknown_is_inactive),
    ("a new key is active", new_is_active),
    ("the verdicts are in the order of the request", keeps_the_order),
    ("256 keys are verified at once", verifies_256),
    ("unknown fields are ignored", ignores_unknown_fields),
    ("a malformed request is refused with a status of 400 to 499", refuses_malformed),
    ("a verify after the delete has returned says inactive, ten times in a row", deleted_is_inactive),
];

/// The digest of a value that the service has never seen.
fn unknown(n: usize) -> KeyDigest {
    KeyDigest::of_value(&format!("phx_unknown_to_the_service_{n}"))
}

fn verify_body(digests: &[KeyDigest]) -> serde_json::Value {
    json!({"edge": ID, "digests": digests})
}

fn refuses_no_token(service: &Service, _: &dyn Keys) -> Result<()> {
    service.expect_status(VERIFY_PATH, None, &verify_body(&[unknown(0)]).to_string(), &[401, 403])
}

fn refuses_a_wrong_token(service: &Service, _: &dyn Keys) -> Result<()> {
    let body = verify_body(&[unknown(0)]).to_string();
    let longer = format!("{}x", service.token());
    let shorter = service.token().get(1..).unwrap_or_default();
    [&longer, shorter]
        .iter()
        .try_for_each(|token| service.expect_status(VERIFY_PATH, Some(token), &body, &[401, 403]))
}

fn unknown_is_inactive(service: &Service, _: &dyn Keys) -> Result<()> {
    ensure!(!service.is_active(unknown(1))?, "the key is active");
    Ok(())
}

fn new_is_active(service: &Service, keys: &dyn Keys) -> Result<()> {
    let key = keys.create()?;
    let answer = service.verify(&[key.digest()])?;
    let [KeyAnswer { verdict: Verdict::Active(_), .. }] = answer.verdicts[..] else {
        bail!("the key is inactive");
    };
    keys.delete(&key)?;
    Ok(())
}

fn keeps_the_order(service: &Service, keys: &dyn Keys) -> Result<()> {
    let key = keys.create()?;
    let digests = [unknown(2), key.digest(), unknown(3), key.digest()];
    let answer = service.verify(&digests)?;
    let active: Vec<_> = answer.verdicts.iter().map(|answer| answer.verdict != Verdict::Inactive).collect();
    ensure!(active == [false, true, false, true], "active: {active:?} instead of [false, true, false, true]");
    keys.delete(&key)?;
    Ok(())
}

fn verifies_256(service: &Service, _: &dyn Keys) -> Result<()> {
    let digests: Vec<_> = (0..MAX_DIGESTS_PER_VERIFY).map(|n| unknown(100 + n)).collect();
    service.verify(&digests)?;
    Ok(())
}

fn ignores_unknown_fields(service: &Service, _: &dyn Keys) -> Result<()> {
    let mut body = verify_body(&[unknown(4)]);
    body["a_field_of_a_later_version"] = json!(["x"]);
    service.expect_status(VERIFY_PATH, Some(service.token()), &body.to_string(), &[200])
}

fn refuses_malformed(service: &Service, _: &dyn Keys) -> Result<()> {
    let malformed =
        ["", "{", "[]", "7", r#"{"edge":"conformance"}"#, r#"{"edge":"conformance","digests":["x"]}"#];
    for body in malformed {
        let (status, _) = service.post_with_token(VERIFY_PATH, body)?;
        ensure!((400..500).contains(&status), "the body {body:?} got status {status}");
    }
    Ok(())
}

fn deleted_is_inactive(service: &Service, keys: &dyn Keys) -> Result<()> {
    for round in 1..=10 {
        let key = keys.create()?;
        ensure!(service.is_active(key.digest())?, "round {round}: the new key is inactive");
        keys.delete(&key)?;
        ensure!(!service.is_active(key.digest())?, "round {round}: the deleted key is active");
    }
    Ok(())
}
