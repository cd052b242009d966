//! A key service in memory, with at most one fault.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use protocol::{
    ActiveVerdict, ApiKey, Feature, Invalidation, KeyDigest, Restrictions, SYNC_PATH, ScopeSet, SyncRequest,
    SyncResponse, VERIFY_PATH, Verdict, VerifyRequest, VerifyResponse,
};
use tokio::runtime::{Builder, Runtime};

use crate::conformance::commands::{Keys, TestKey};

pub(super) const TOKEN: &str = "a-token-of-the-fake";
const EPOCH: &str = "epoch-of-the-fake";
const HOLD: Duration = Duration::from_millis(1_200);
const LEASE: Duration = Duration::from_millis(4_400);
const MARGIN: Duration = Duration::from_millis(1_000);

/// What the fake does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    AnyToken,
    TokenByPrefix,
    UnknownIsActive,
    NewIsInactive,
    SortedVerdicts,
    UniqueVerdicts,
    AtMost255,
    KnownFieldsOnly,
    MalformedIs500,
    CachedVerdicts,
    NoSync,
    SlowFirst,
    NeverHolds,
    ShortLease,
    IgnoresEpoch,
    RefusesUsage,
    SilentDelete,
    NoWait,
    NoMargin,
    RepeatedDeleteReturns,
    LongWait,
    NoRestrictions,
    IgnoresUnderstands,
    NeverRestricted,
}

#[derive(Default)]
struct Data {
    /// Whether each key works.
    keys: HashMap<KeyDigest, bool>,
    restricted: HashSet<KeyDigest>,
    /// The digest that each revision changed, from revision 1.
    changes: Vec<KeyDigest>,
    leases: BTreeMap<String, Lease>,
}

struct Lease {
    acknowledged: u64,
    end: Instant,
}

struct Shared {
    fault: Option<Fault>,
    data: Mutex<Data>,
    changed: Condvar,
}

pub(super) struct Fake {
    shared: Arc<Shared>,
    address: SocketAddr,
    _runtime: Runtime,
}

impl Fake {
    pub(super) fn start(fault: Option<Fault>) -> Self {
        let shared = Arc::new(Shared { fault, data: Mutex::new(Data::default()), changed: Condvar::new() });
        let app = Router::new()
            .route(VERIFY_PATH, post(verify))
            .route(SYNC_PATH, post(sync))
            .with_state(Arc::clone(&shared));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async { axum::serve(listener, app).await });
        Fake { shared, address, _runtime: runtime }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Keys for Fake {
    fn create(&self) -> Result<TestKey> {
        let mut data = self.shared.data();
        let entropy = [data.keys.len() as u8 + 1; 32];
        let key = ApiKey::from_entropy(entropy);
        data.keys.insert(key.digest(), true);
        Ok(TestKey(key))
    }

    fn create_restricted(&self) -> Result<TestKey> {
        let key = self.create()?;
        self.shared.data().restricted.insert(key.digest());
        Ok(key)
    }

    fn delete(&self, key: &TestKey) -> Result<Duration> {
        let began = Instant::now();
        self.shared.delete(key.digest());
        Ok(began.elapsed())
    }

    fn delete_again(&self, key: &TestKey) -> Result<()> {
        self.shared.delete(key.digest());
        Ok(())
    }
}

impl Shared {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap()
    }

    fn delete(&self, digest: KeyDigest) {
        let mut data = self.data();
        let was_active = data.keys.insert(digest, false);
        if was_active == Some(false) && self.has(Fault::RepeatedDeleteReturns) {
            return;
        }
        if !self.has(Fault::SilentDelete) {
            data.changes.push(digest);
        }
        let revision = data.changes.len() as u64;
        self.changed.notify_all();
        if self.has(Fault::NoWait) || self.has(Fault::SilentDelete) {
            return;
        }
        let lasts = match self.fault {
            Some(Fault::LongWait) => 2 * LEASE + MARGIN,
            Some(Fault::NoMargin) => Duration::ZERO,
            _ => MARGIN,
        };
        let held: Vec<_> =
            data.leases.iter().map(|(edge, lease)| (edge.clone(), lease.end + lasts)).collect();
        for (edge, end) in held {
            while data.leases[&edge].acknowledged < revision && Instant::now() < end {
                let left = end.saturating_duration_since(Instant::now());
                data = self.changed.wait_timeout(data, left).unwrap().0;
            }
        }
    }

    fn verify(&self, request: &VerifyRequest) -> VerifyResponse {
        let data = self.data();
        let is_active = |digest: &KeyDigest| match data.keys.get(digest) {
            None => self.has(Fault::UnknownIsActive),
            Some(_) if self.has(Fault::NewIsInactive) => false,
            Some(works) => *works || self.has(Fault::CachedVerdicts),
        };
        let understands =
            self.has(Fault::IgnoresUnderstands) || request.understands.contains(&Feature::Restrictions);
        let restricts = !self.has(Fault::NoRestrictions);
        let is_active = |digest: &KeyDigest| {
            let is_hidden = match data.restricted.contains(digest) {
                true => !understands || self.has(Fault::NeverRestricted),
                false => false,
            };
            is_active(digest) && !is_hidden
        };
        let mut active: Vec<_> = request.digests.iter().map(|digest| (*digest, is_active(digest))).collect();
        if self.has(Fault::SortedVerdicts) {
            active.sort_by_key(|(_, active)| *active);
        }
        if self.has(Fault::UniqueVerdicts) {
            active.dedup_by_key(|(digest, _)| *digest);
            let mut seen = Vec::new();
            active.retain(|(digest, _)| {
                !seen.contains(digest) && {
                    seen.push(*digest);
                    true
                }
            });
        }
        let restrictions = |digest: &KeyDigest| {
            let projects = Some(vec![7.into()]).filter(|_| restricts && data.restricted.contains(digest));
            Restrictions { projects, organizations: None }
        };
        let verdict = |(digest, is_active)| match is_active {
            false => Verdict::Inactive,
            true => Verdict::Active(ActiveVerdict {
                key_id: "k".to_owned(),
                user_id: "u".to_owned(),
                scopes: ScopeSet::all(),
                restrictions: restrictions(&digest),
                expires_in_ms: None,
            }),
        };
        VerifyResponse {
            epoch: EPOCH.to_owned(),
            revision: data.changes.len() as u64,
            verdicts: active.into_iter().map(verdict).collect(),
        }
    }

    fn sync(&self, request: &SyncRequest) -> SyncResponse {
        let mut data = self.data();
        let is_known = request.epoch.as_deref() == Some(EPOCH) || self.has(Fault::IgnoresEpoch);
        let cursor = request.cursor.filter(|_| is_known && request.epoch.is_some());
        let end = Instant::now() + LEASE;
        data.leases.insert(request.edge.clone(), Lease { acknowledged: cursor.unwrap_or_default(), end });
        self.changed.notify_all();
        let waits = match cursor {
            Some(cursor) => cursor == data.changes.len() as u64 && !self.has(Fault::NeverHolds),
            None => self.has(Fault::SlowFirst),
        };
        let (until, before) =
            (Instant::now() + Duration::from_millis(request.wait_ms).min(HOLD), data.changes.len());
        while waits && data.changes.len() == before && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            data = self.changed.wait_timeout(data, left).unwrap().0;
        }
        let invalidation = match cursor {
            Some(cursor) => Invalidation::Changed(data.changes[cursor as usize..].to_vec()),
            None => Invalidation::Reset,
        };
        let lease = if self.has(Fault::ShortLease) { LEASE / 4 } else { LEASE };
        SyncResponse {
            epoch: EPOCH.to_owned(),
            revision: data.changes.len() as u64,
            lease_ms: lease.as_millis() as u64,
            invalidation,
        }
    }

    /// Whether the request carries the token.
    fn accepts(&self, headers: &HeaderMap) -> bool {
        let Some(credential) = headers.get("authorization").and_then(|value| value.to_str().ok()) else {
            return false;
        };
        let token = credential.strip_prefix("Bearer ").unwrap_or_default();
        token == TOKEN
            || self.has(Fault::AnyToken)
            || (self.has(Fault::TokenByPrefix) && token.starts_with(TOKEN))
    }

    fn malformed(&self) -> StatusCode {
        if self.has(Fault::MalformedIs500) {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::BAD_REQUEST
        }
    }
}

async fn verify(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<String, StatusCode> {
    if !shared.accepts(&headers) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let request: VerifyRequest = serde_json::from_slice(&body).map_err(|_| shared.malformed())?;
    let has_unknown = body.windows(7).any(|part| part == b"a_field");
    let is_too_long = request.digests.len() > 255;
    if has_unknown && shared.has(Fault::KnownFieldsOnly) || is_too_long && shared.has(Fault::AtMost255) {
        return Err(StatusCode::BAD_REQUEST);
    }
    Ok(serde_json::to_string(&shared.verify(&request)).unwrap())
}

async fn sync(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<String, StatusCode> {
    if shared.has(Fault::NoSync) {
        return Err(StatusCode::NOT_FOUND);
    }
    if !shared.accepts(&headers) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let request: SyncRequest = serde_json::from_slice(&body).map_err(|_| shared.malformed())?;
    if shared.has(Fault::RefusesUsage) && !request.used.is_empty() {
        return Err(StatusCode::BAD_REQUEST);
    }
    let answer = tokio::task::spawn_blocking(move || shared.sync(&request)).await.unwrap();
    Ok(serde_json::to_string(&answer).unwrap())
}
