//! A service in this process, and the requests of tests.

use std::thread::JoinHandle;

use clap::{Args, FromArgMatches};
use key_service::revocation::Store;
use key_service::server::Server;
use key_service::settings::{Flags, Settings};
use protocol::{Feature, KeyDigest, Verdict, VerifyRequest, VerifyResponse};
use reqwest::{RequestBuilder, Response};
use tokio::sync::oneshot;

use super::prepared::{SIGNED_IN, prepared};
use super::{ADMIN, ANY_PORTS, Browser, DEMO, OTHER, PREVIOUS_TOKEN, Site, TOKEN, client, session_cookie};

/// A running service, and a database of its own.
///
/// It runs in this process, on threads of its own, so that a test may block. A service in a [`Process`](super::Process) is
/// talked to in the same way.
pub(crate) struct TestApp {
    pub(crate) public: String,
    pub(crate) edge: String,
    // Ends before the site, whose database it uses.
    running: Option<Running>,
    pub(crate) site: Site,
}

/// The thread of a service. Dropped, it ends.
struct Running {
    store: Store,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the service has failed the test by now.
            let _ = thread.join();
        }
    }
}

impl TestApp {
    /// A service with the users [`DEMO`], [`OTHER`] and [`ADMIN`], who are signed in.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with these flags of `serve`.
    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        // Making the database blocks, on a runtime of its own.
        let site = tokio::task::spawn_blocking(Site::with_sessions).await.unwrap();
        Self::on(site, flags).await
    }

    /// A service without users.
    pub(crate) async fn empty() -> Self {
        Self::on(Site::empty(), &[]).await
    }

    /// A service on the database of a site, with these flags of `serve`.
    pub(crate) async fn on(site: Site, flags: &[&str]) -> Self {
        let url = site.storage.url();
        let settings = settings(flags, &url);
        let (tell, started) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::bind(&settings).await.unwrap();
                let store = Store::open(&url).await.unwrap();
                tell.send((server.addresses().unwrap(), store.clone())).unwrap();
                tokio::select! {
                    ended = server.run(store, settings, std::future::pending::<()>) => ended.unwrap(),
                    _ = ended => {}
                }
            });
            runtime.shutdown_background();
        });
        let ((public, edge), store) = started.await.unwrap();
        let running = Running { store, end: Some(end), thread: Some(thread) };
        let app = Self::reached_at(site, format!("http://{public}"), format!("http://{edge}"));
        // The listeners take connections before the service runs; an answer comes when it does.
        assert_eq!(client().get(format!("{}/healthz", app.edge)).send().await.unwrap().status(), 200);
        TestApp { running: Some(running), ..app }
    }

    /// A service that another process runs.
    pub(super) fn reached_at(site: Site, public: String, edge: String) -> Self {
        TestApp { public, edge, running: None, site }
    }

    /// Closes every connection of the service to the database, for good.
    pub(crate) async fn close_database(&self) {
        self.running.as_ref().unwrap().store.close().await;
    }

    /// The browser of [`DEMO`].
    pub(crate) fn demo(&self) -> Browser {
        self.signed_in(DEMO)
    }

    /// The browser of [`OTHER`].
    pub(crate) fn other(&self) -> Browser {
        self.signed_in(OTHER)
    }

    /// The browser of [`ADMIN`].
    pub(crate) fn admin(&self) -> Browser {
        self.signed_in(ADMIN)
    }

    /// The browser of one of the users who are signed in from the start.
    fn signed_in(&self, email: &str) -> Browser {
        let at = SIGNED_IN.iter().position(|user| *user == email).unwrap();
        self.browser(&prepared().cookies[at])
    }

    /// A browser with that session cookie.
    pub(crate) fn browser(&self, cookie: &str) -> Browser {
        Browser { base: self.public.clone(), cookie: cookie.to_owned() }
    }

    /// The id of one of these users.
    pub(crate) fn user_id(&self, email: &str) -> String {
        let at = SIGNED_IN.iter().position(|user| *user == email).unwrap();
        prepared().ids[at].clone()
    }

    /// The path of one of these users.
    pub(crate) fn user_path(&self, email: &str) -> String {
        format!("/api/users/{}/", self.user_id(email))
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Response {
        let body = serde_json::json!({"email": email, "password": password});
        client().post(format!("{}/api/login/", self.public)).json(&body).send().await.unwrap()
    }

    /// Logs in, which has to succeed, and returns the browser.
    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Browser {
        let response = self.log_in(email, password).await;
        assert_eq!(response.status(), 200);
        self.browser(&session_cookie(&response).unwrap())
    }

    pub(crate) fn ask(&self, token: &str, digests: Vec<KeyDigest>) -> RequestBuilder {
        self.ask_as(token, digests, &[Feature::Restrictions])
    }

    /// The same, by an edge that understands these features.
    pub(crate) fn ask_as(
        &self,
        token: &str,
        digests: Vec<KeyDigest>,
        understands: &[Feature],
    ) -> RequestBuilder {
        let question = VerifyRequest { edge: "e".into(), digests, understands: understands.to_vec() };
        client().post(format!("{}/edge/v1/verify", self.edge)).bearer_auth(token).json(&question)
    }

    pub(crate) async fn verify(&self, values: &[&str]) -> VerifyResponse {
        let digests = values.iter().map(|value| KeyDigest::of_value(value)).collect();
        let response = self.ask(TOKEN, digests).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    /// The restrictions that a value has at the edge, if it works.
    pub(crate) async fn restrictions(&self, value: &str) -> Option<String> {
        match self.verify(&[value]).await.verdicts.as_slice() {
            [Verdict::Active(active)] => Some(active.restrictions.to_string()),
            [Verdict::Inactive] => None,
            other => panic!("{other:?}"),
        }
    }

    /// The scopes that a value has at the edge, if it works.
    pub(crate) async fn scopes(&self, value: &str) -> Option<String> {
        match self.verify(&[value]).await.verdicts.as_slice() {
            [Verdict::Active(active)] => Some(active.scopes.to_string()),
            [Verdict::Inactive] => None,
            other => panic!("{other:?}"),
        }
    }
}

/// The settings that `serve` would have with these flags, and with the edge tokens in the environment.
fn settings(flags: &[&str], url: &str) -> Settings {
    let command = Flags::augment_args(clap::Command::new("serve").no_binary_name(true));
    let matches = command.try_get_matches_from([&ANY_PORTS[..], flags].concat()).unwrap();
    let variable = |name: &str| match name {
        "EDGE_TOKEN" => Some(TOKEN.to_owned()),
        "EDGE_TOKEN_PREVIOUS" => Some(PREVIOUS_TOKEN.to_owned()),
        _ => None,
    };
    Settings::new(Flags::from_arg_matches(&matches).unwrap(), url, variable).unwrap()
}
