//! The checks of restricted keys.

use anyhow::{Result, bail, ensure};
use edge_key_auth::answer::KeyAnswer;
use edge_key_auth::verdict::Verdict;
use protocol::Feature;

use super::commands::Keys;
use super::service::{Check, Service};

pub(super) const CHECKS: [Check; 2] = [
    ("to an edge that understands restrictions, a restricted key is active with them", is_restricted),
    ("to an edge that does not understand restrictions, a restricted key is inactive", is_kept_from_others),
];

fn is_restricted(service: &Service, keys: &dyn Keys) -> Result<()> {
    let key = keys.create_restricted()?;
    let answer = service.verify(&[key.digest()])?;
    let [KeyAnswer { verdict: Verdict::Active(principal), .. }] = &answer.verdicts[..] else {
        bail!("the key is inactive");
    };
    ensure!(principal.restricted.is_some(), "the answer has no restrictions");
    keys.delete(&key)?;
    Ok(())
}

fn is_kept_from_others(service: &Service, keys: &dyn Keys) -> Result<()> {
    let key = keys.create_restricted()?;
    for understands in [vec![], vec![Feature::Restrictions], vec![]] {
        let expected = !understands.is_empty();
        let answer = service.verify_for(&[key.digest()], understands)?;
        let is_active = answer.verdicts.iter().all(|answer| answer.verdict != Verdict::Inactive);
        let to = if expected { "an edge with `understands`" } else { "an edge without `understands`" };
        ensure!(
            is_active == expected,
            "to {to}, the key is {}",
            if is_active { "active" } else { "inactive" }
        );
    }
    keys.delete(&key)?;
    Ok(())
}
