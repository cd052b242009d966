//! Reads verdicts in batches. A digest that several requests send is looked up once.

use std::collections::{BTreeSet, HashMap};

use protocol::{KeyDigest, VerifyResponse};
use sqlx::AnyConnection;

use crate::db;
use crate::db::batch::BatchOp;
use crate::revocation::verdicts;

/// Reads the verdicts of digests.
#[derive(Debug)]
pub(in crate::revocation) struct Verdicts;

/// The most digests in one statement, unless a single request has more.
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
    ) -> db::Result<Vec<VerifyResponse>> {
        let mut outputs = Vec::with_capacity(inputs.len());
        let mut left = inputs;
        while !left.is_empty() {
            let (together, digests) = fitting(left);
            let VerifyResponse { epoch, revision, verdicts } =
                verdicts::read(&mut *connection, &digests).await?;
            let verdicts: HashMap<_, _> = digests.iter().zip(verdicts).collect();
            // All verdicts of one answer come from one snapshot.
            outputs.extend(left[..together].iter().map(|input| VerifyResponse {
                verdicts: input.iter().filter_map(|digest| verdicts.get(digest).cloned()).collect(),
                epoch: epoch.clone(),
                revision,
            }));
            left = &left[together..];
        }
        Ok(outputs)
    }
}

/// The number of inputs that one statement serves, at least one, and their digests.
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
