//! Reads verdicts in batches. A digest that several requests send is looked up once.

use std::collections::{BTreeSet, HashMap};

use protocol::{KeyDigest, VerifyResponse};
use sqlx::AnyConnection;

use crate::db::batch::BatchOp;
use crate::revocation::verdicts;

/// What keys are worth.
#[derive(Debug)]
pub(in crate::revocation) struct Verdicts;

/// How many digests are looked up together, unless one question alone has more.
const DIGESTS_AT_ONCE: usize = 64;

impl BatchOp for Verdicts {
    type Input = Vec<KeyDigest>;
    type Output = VerifyResponse;
    const NAME: &'static str = "verdicts";
    const MAX_INPUTS: usize = 1_000;

    async fn run(
        &self,
        connection: &mut AnyConnection,
        inputs: &[Vec<KeyDigest>],
    ) -> sqlx::Result<Vec<VerifyResponse>> {
        let mut told = Vec::with_capacity(inputs.len());
        let mut left = inputs;
        while !left.is_empty() {
            let (together, digests) = fitting(left);
            let VerifyResponse { epoch, revision, verdicts } =
                verdicts::read(&mut *connection, &digests).await?;
            let verdicts: HashMap<_, _> = digests.iter().zip(verdicts).collect();
            // All of an answer is of one snapshot.
            told.extend(left[..together].iter().map(|input| VerifyResponse {
                verdicts: input.iter().filter_map(|digest| verdicts.get(digest).cloned()).collect(),
                epoch: epoch.clone(),
                revision,
            }));
            left = &left[together..];
        }
        Ok(told)
    }
}

/// How many of the first questions are looked up together, one at least, and the digests that they are about.
fn fitting(inputs: &[Vec<KeyDigest>]) -> (usize, Vec<KeyDigest>) {
    let mut digests = BTreeSet::new();
    let together = inputs.iter().take_while(|input| {
        let fits = digests.is_empty() || digests.len() + input.len() <= DIGESTS_AT_ONCE;
        if fits {
            digests.extend(input.iter().copied());
        }
        fits
    });
    (together.count(), digests.into_iter().collect())
}
