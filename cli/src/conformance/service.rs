//! The service under test.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use edge_key_auth::answer::{VerifyAnswer, read_sync, read_verify};
use edge_key_auth::verdict::Verdict;
use protocol::{Feature, KeyDigest, SYNC_PATH, SyncRequest, SyncResponse, VERIFY_PATH, VerifyRequest};

use super::commands::Keys;

/// No answer takes longer: the longest sync that the checks send is held for 5 s.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The edge id in verifies.
const EDGE: &str = "conformance";

/// One check: what the service has to do, and the function that tries it.
pub(super) type Check = (&'static str, fn(&Service, &dyn Keys) -> Result<()>);

/// The service under test.
pub(super) struct Service {
    agent: ureq::Agent,
    url: String,
    token: String,
}

impl Service {
    pub(super) fn new(url: &str, token: String) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
        Service { agent: config.build().into(), url: url.trim_end_matches('/').to_owned(), token }
    }

    /// Sends a body, and returns status and body of the answer.
    pub(super) fn post(&self, path: &str, token: Option<&str>, body: &str) -> Result<(u16, Vec<u8>)> {
        let request = self.agent.post(format!("{}{path}", self.url)).content_type("application/json");
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let mut response = request.send(body).with_context(|| format!("POST {path}"))?;
        Ok((response.status().as_u16(), response.body_mut().read_to_vec()?))
    }

    /// As [`Service::post`], with the right token.
    pub(super) fn post_with_token(&self, path: &str, body: &str) -> Result<(u16, Vec<u8>)> {
        self.post(path, Some(&self.token), body)
    }

    /// The verdicts on these digests.
    pub(super) fn verify(&self, digests: &[KeyDigest]) -> Result<VerifyAnswer> {
        self.verify_for(digests, vec![Feature::Restrictions])
    }

    /// The verdicts on these digests for an edge that understands these features.
    pub(super) fn verify_for(
        &self,
        digests: &[KeyDigest],
        understands: Vec<Feature>,
    ) -> Result<VerifyAnswer> {
        let request = VerifyRequest { edge: EDGE.to_owned(), digests: digests.to_vec(), understands };
        let (status, body) = self.post_with_token(VERIFY_PATH, &serde_json::to_string(&request)?)?;
        read_verify(Some(status), &body, digests.len()).map_err(|error| unread(&error, &body))
    }

    /// Whether the service says that a key is active.
    pub(super) fn is_active(&self, digest: KeyDigest) -> Result<bool> {
        let answer = self.verify(&[digest])?;
        Ok(answer.verdicts.iter().all(|answer| answer.verdict != Verdict::Inactive))
    }

    /// The answer to a sync, and how long it took.
    pub(super) fn sync(&self, request: &SyncRequest) -> Result<(SyncResponse, Duration)> {
        let sent = Instant::now();
        let (status, body) = self.post_with_token(SYNC_PATH, &serde_json::to_string(request)?)?;
        let answer = read_sync(Some(status), &body).map_err(|error| unread(&error, &body))?;
        Ok((answer, sent.elapsed()))
    }

    /// Refuses another status than these for a body, with a token or without.
    pub(super) fn expect_status(
        &self,
        path: &str,
        token: Option<&str>,
        body: &str,
        expected: &[u16],
    ) -> Result<()> {
        let (status, _) = self.post(path, token, body)?;
        if !expected.contains(&status) {
            bail!("POST {path} got status {status} instead of {expected:?}");
        }
        Ok(())
    }

    /// The right token.
    pub(super) fn token(&self) -> &str {
        &self.token
    }
}

/// An answer that the filter cannot read. It contains no key's value.
fn unread(error: &dyn std::error::Error, body: &[u8]) -> anyhow::Error {
    let body = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
    anyhow!("the filter does not accept the answer: {error}; the body was {body:?}")
}
