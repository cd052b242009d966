//! Changes that stay open while others run.

use super::*;

impl Sequence<'_> {
    /// Begins a change while another is open. It must be made after that one.
    pub(super) async fn change_while_held(&mut self) -> Checked {
        if self.held.is_none() {
            self.hold().await?;
        }
        let Some(held) = self.held.take() else { return Ok(()) };
        let wanted = self.some_change().await;
        let process = self.process();
        self.note((process, "waits for the open one", &wanted));
        let store = &*self.store;
        let (made, ended) = tokio::join!(wanted.make(store.process(process)), async {
            tokio::task::yield_now().await;
            held.of_store.commit(&[]).await.map_err(|error| error.to_string())
        });
        let expected = self.model.run(|_| held.of_model.commit(&[]));
        self.compare_positions("commit", ended, expected.map_err(|error| format!("{error:?}")))?;
        self.expect(&wanted, made)
    }

    /// Begins a change and leaves it open.
    pub(super) async fn hold(&mut self) -> Checked {
        let process = self.process();
        self.note((process, "begin"));
        let mut of_store =
            self.store.process(process).lease_store().begin().await.map_err(|error| error.to_string())?;
        let of_model = self.model.begin();
        let user = self.some_user();
        let affected = match self.random.choice(&self.keys) {
            Some(key) if self.random.bool() => AffectedKeys::Key(key.clone()),
            _ => AffectedKeys::User(user),
        };
        let found = of_store.digests(&affected).await.map_err(|error| error.to_string())?;
        let expected = self.model.data(|data| data.digests(&affected));
        self.held = Some(Held { of_store, of_model });
        same(("digests", affected), sorted(found), sorted(expected))
    }

    /// Ends the open change: commits, abandons or drops it.
    pub(super) async fn end_held(&mut self) -> Checked {
        let Some(held) = self.held.take() else { return Ok(()) };
        let changed: Vec<_> = self.digests.iter().copied().filter(|_| self.random.bool()).collect();
        match self.random.u32(..3) {
            0 => {
                self.note("abandon");
                let found = held.of_store.abandon().await.map_err(|error| error.to_string());
                let expected = self.model.run(|_| held.of_model.abandon());
                self.compare_positions("abandon", found, expected.map_err(|error| format!("{error:?}")))
            }
            1 => {
                self.note("drop");
                drop(held);
                Ok(())
            }
            _ => self.commit(held, changed).await,
        }
    }

    pub(super) async fn commit(&mut self, held: Held, changed: Vec<KeyDigest>) -> Checked {
        self.note(("commit", changed.len()));
        let found = held.of_store.commit(&changed).await.map_err(|error| error.to_string());
        let expected = self.model.run(|_| async move { held.of_model.commit(&changed).await });
        self.compare_positions("commit", found, expected.map_err(|error| format!("{error:?}")))
    }

    pub(super) async fn let_go(&mut self) {
        if let Some(held) = self.held.take() {
            self.note("abandon");
            let _ = held.of_store.abandon().await;
            let _ = self.model.run(|_| held.of_model.abandon());
        }
    }

    /// Makes a change of about as many values as fit into one answer.
    pub(super) async fn change_many(&mut self) -> Checked {
        self.let_go().await;
        self.hold().await?;
        let Some(held) = self.held.take() else { return Ok(()) };
        let most = MAX_CHANGED_PER_SYNC;
        let count = [most - 1, most, most + 1, 2 * most + 1][self.random.usize(..4)];
        let changed = (0..count).map(|n| KeyDigest::of_value(&format!("phx_one_of_many_{n}"))).collect();
        self.commit(held, changed).await
    }
}
