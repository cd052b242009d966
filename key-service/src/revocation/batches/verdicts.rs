//! Reads verdicts in groups: what several ask about is looked up once.

use std::collections::{BTreeSet, HashMap};

use protocol::{KeyDigest, VerifyResponse};
use sqlx::AnyConnection;

use crate::db::batch::Topic;
use crate::revocation::verdicts;

/// What keys are worth.
#[derive(Debug)]
pub(in crate::revocation) struct Verdicts;

/// How many digests are looked up together, unless one question alone has more.
const DIGESTS_AT_ONCE: usize = 64;

impl Topic for Verdicts {
    type Question = Vec<KeyDigest>;
    type Answer = VerifyResponse;
    const NAME: &'static str = "verdicts";
    const MOST: usize = 1_000;

    async fn ask(
        &self,
        connection: &mut AnyConnection,
        questions: &[Vec<KeyDigest>],
    ) -> sqlx::Result<Vec<VerifyResponse>> {
        let mut told = Vec::with_capacity(questions.len());
        let mut left = questions;
        while !left.is_empty() {
            let (together, digests) = fitting(left);
            let VerifyResponse { log, revision, verdicts } =
                verdicts::read(&mut *connection, &digests).await?;
            let verdicts: HashMap<_, _> = digests.iter().zip(verdicts).collect();
            // All of an answer is of one snapshot.
            told.extend(left[..together].iter().map(|question| VerifyResponse {
                verdicts: question.iter().filter_map(|digest| verdicts.get(digest).cloned()).collect(),
                log: log.clone(),
                revision,
            }));
            left = &left[together..];
        }
        Ok(told)
    }
}

/// How many of the first questions are looked up together, one at least, and the digests that they are about.
fn fitting(questions: &[Vec<KeyDigest>]) -> (usize, Vec<KeyDigest>) {
    let mut digests = BTreeSet::new();
    let together = questions.iter().take_while(|question| {
        let fits = digests.is_empty() || digests.len() + question.len() <= DIGESTS_AT_ONCE;
        if fits {
            digests.extend(question.iter().copied());
        }
        fits
    });
    (together.count(), digests.into_iter().collect())
}
