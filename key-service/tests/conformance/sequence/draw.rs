//! Draws the parameters of operations.

use super::*;

impl Sequence<'_> {
    /// A position, mostly a possible cursor of an edge.
    pub(super) fn some_position(&mut self) -> Option<Position> {
        let recent = self.positions.len().saturating_sub(8)..self.positions.len();
        let position = self.positions[self.random.usize(recent)].clone();
        match self.random.u32(..12) {
            0 => None,
            1 => Some(Position { revision: position.revision + 1, ..position }),
            2 => Some(Position { revision: u64::MAX, ..position }),
            3 => Some(Position { epoch: "of nobody".to_owned(), ..position }),
            _ => Some(position),
        }
    }

    pub(super) fn questions(&mut self) -> Vec<Question> {
        let newest = self.digests.len().saturating_sub(12);
        let mut digests = self.digests[newest..].to_vec();
        digests.push(KeyDigest::of_value("phx_of_nobody"));
        let position = self.some_position().unwrap_or_else(|| self.positions[0].clone());
        vec![Question::Verdicts(digests), Question::History(self.some_position()), Question::Leases(position)]
    }

    pub(super) fn some_user(&mut self) -> String {
        self.users[self.random.usize(..self.users.len())].clone()
    }

    pub(super) fn has_all_keys(&self, user: &str) -> bool {
        self.model.data(|data| data.keys.values().filter(|key| key.user == user).count()) >= MAX_KEYS_PER_USER
    }

    pub(super) fn some_scopes(&mut self) -> ScopeSet {
        let choices: [&[&str]; 4] =
            [&["*"], &["insight:read"], &["insight:write", "cohort:read"], &["query:read"]];
        ScopeSet::parse(choices[self.random.usize(..4)].iter().copied()).unwrap()
    }

    pub(super) fn some_restrictions(&mut self) -> Restrictions {
        let projects = [None, None, Some(vec![7.into()]), Some(vec![8.into(), 7.into()])];
        let organizations = [None, None, Some(vec!["acme".parse().unwrap()])];
        Restrictions {
            projects: projects[self.random.usize(..4)].clone(),
            organizations: organizations[self.random.usize(..3)].clone(),
        }
    }

    pub(super) fn some_end(&mut self) -> Option<i64> {
        let end_ms = self.random.bool().then(|| self.now_ms() + self.random.i64(1..20_000));
        self.ends_ms.extend(end_ms);
        end_ms
    }

    /// A random change. If its key is deleted, the store waits for earlier leases, so they end first.
    pub(super) async fn some_change(&mut self) -> Wanted {
        let key = self.random.choice(&self.keys).cloned();
        let user = self.some_user();
        let number = self.random.u32(..30);
        let wanted = match (self.random.u32(..22), key) {
            (0..=4, Some(key)) => Wanted::Roll { key, grace_s: [0, 0, 1, 5, 20][self.random.usize(..5)] },
            (5..=8, Some(key)) => Wanted::Delete { key },
            (9..=10, Some(key)) => {
                Wanted::Update { key, scopes: Some(self.some_scopes()), expires_at_ms: None }
            }
            (11..=12, Some(key)) => {
                Wanted::Update { key, scopes: None, expires_at_ms: Some(self.some_end()) }
            }
            (13..=14, _) => Wanted::SetActive { user, is_active: self.random.u32(..3) > 0 },
            (15, _) => Wanted::SetPermissions { user, permissions: self.some_scopes() },
            (16, _) if number < 10 => Wanted::DeleteUser { user },
            (16, _) => {
                Wanted::Leak { values: (0..3).map(|n| format!("phx_known_{}", (number + n) % 30)).collect() }
            }
            (20..=21, Some(key)) => Wanted::Restrict { key, restrictions: self.some_restrictions() },
            _ if self.has_all_keys(&user) => Wanted::SetActive { user, is_active: true },
            _ => Wanted::TakeOver {
                user,
                value: format!("phx_known_{number}"),
                scopes: self.some_scopes(),
                expires_at_ms: self.some_end(),
            },
        };
        if wanted.key().is_some_and(|key| self.model.data(|data| !data.keys.contains_key(key))) {
            let lost_leases_until_ms = self.model.data(|data| data.lost_leases_until_ms);
            let last_ms =
                self.ends_ms.iter().copied().chain([lost_leases_until_ms]).max().unwrap_or_default();
            let left_ms = u64::try_from(last_ms - self.now_ms() + 1).unwrap_or_default();
            self.model.pass(left_ms);
            self.set_clock().await;
            self.note(("pass", left_ms));
        }
        wanted
    }
}
