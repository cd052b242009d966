//! Starts the program and talks to it.

pub(crate) mod database;
pub(crate) mod scrape;
pub(crate) mod scripted_edge;
pub(crate) mod storage;
pub(crate) mod webhook_receiver;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use protocol::{KeyDigest, Verdict, VerifyRequest, VerifyResponse};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::storage::{Storage, Template};

pub(crate) const TOKEN: &str = "edge-token-of-the-tests";
pub(crate) const PREVIOUS_TOKEN: &str = "previous-edge-token-of-the-tests";
pub(crate) const PASSWORD: &str = "demo-password";
pub(crate) const DEMO: &str = "demo@example.com";
pub(crate) const OTHER: &str = "other@example.com";
pub(crate) const ADMIN: &str = "admin@example.com";

const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--edge-listen", "127.0.0.1:0"];

/// A database, the program's way to it, and a folder.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) dir: Arc<TempDir>,
    pub(crate) storage: Arc<Storage>,
}

impl Site {
    pub(crate) fn empty() -> Self {
        Self::on(Storage::new)
    }

    /// A site with the two users [`DEMO`] and [`OTHER`].
    ///
    /// Hashing a password takes long, on purpose, so this is done once and the database copied.
    pub(crate) fn with_users() -> Self {
        let (template, _) = prepared();
        Self::on(|folder| Storage::copy_of(template, folder))
    }

    /// A site on a database that the test looks after.
    pub(crate) fn at(url: &str) -> Self {
        Self::on(|_| Storage::At(url.to_owned()))
    }

    fn on(storage: impl FnOnce(&Path) -> Storage) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let storage = storage(dir.path());
        Site { dir: Arc::new(dir), storage: Arc::new(storage) }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_key-service"));
        command.args(args).env_clear().env("DATABASE_URL", self.storage.url()).current_dir(self.dir.path());
        command
    }

    /// Runs a command to its end, with `input` as its standard input.
    pub(crate) fn run(&self, args: &[&str], input: &str) -> Output {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that needs no input may have ended by now.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Runs a command that has to succeed, and returns its standard output.
    pub(crate) fn ok(&self, args: &[&str], input: &str) -> String {
        let output = self.run(args, input);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that has to fail, and returns the one line that it says.
    pub(crate) fn fails(&self, args: &[&str], input: &str) -> String {
        let output = self.run(args, input);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args, "")).unwrap()
    }

    pub(crate) fn serve(self) -> Service {
        self.serve_with(|command| command)
    }

    pub(crate) fn serve_with(self, set: impl FnOnce(&mut Command) -> &mut Command) -> Service {
        let command = self.command(&SERVE);
        self.spawn(command, set)
    }

    /// Serves, started by a line of shell that finds the program and its arguments in `"$0" "$@"`.
    pub(crate) fn serve_through(self, line: &str) -> Service {
        let program = self.command(&SERVE);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).arg(program.get_program()).args(program.get_args());
        command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.dir.path());
        self.spawn(command, |command| command)
    }

    fn spawn(self, mut command: Command, set: impl FnOnce(&mut Command) -> &mut Command) -> Service {
        let log = self.dir.path().join("log");
        command.env("EDGE_TOKEN", TOKEN).env("EDGE_TOKEN_PREVIOUS", PREVIOUS_TOKEN);
        let printed = fs::File::create(self.dir.path().join("printed")).unwrap();
        set(&mut command).stdin(Stdio::null()).stdout(printed).stderr(fs::File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();

        let deadline = Instant::now() + Duration::from_secs(20);
        let line = loop {
            let text = fs::read_to_string(&log).unwrap();
            let line = text.lines().find(|line| line.contains(r#""listening""#));
            if let Some(line) = line {
                break serde_json::from_str::<Value>(line).unwrap();
            }
            assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline, "{text}");
            std::thread::sleep(Duration::from_millis(5));
        };
        let address = |name: &str| format!("http://{}", line[name].as_str().unwrap());
        Service { public: address("public"), edge: address("edge"), log, site: self, child }
    }
}

/// A running service. Dropped, it is killed.
pub(crate) struct Service {
    pub(crate) site: Site,
    pub(crate) public: String,
    pub(crate) edge: String,
    pub(crate) log: PathBuf,
    child: Child,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that is not logged in.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::new()
}

impl Service {
    /// A service on [`Site::with_users`], and the two users' browsers, logged in.
    pub(crate) async fn with_users() -> (Self, Browser, Browser) {
        Self::with_users_and(|command| command).await
    }

    pub(crate) async fn with_users_and(
        set: impl FnOnce(&mut Command) -> &mut Command,
    ) -> (Self, Browser, Browser) {
        // The making of the template blocks, on a runtime of its own.
        let site = tokio::task::spawn_blocking(Site::with_users).await.unwrap();
        let service = site.serve_with(set);
        let [demo, other] = service.browsers();
        (service, demo, other)
    }

    /// The two users' browsers, logged in.
    pub(crate) fn browsers(&self) -> [Browser; 2] {
        let (_, sessions) = prepared();
        sessions.each_ref().map(|cookie| Browser { base: self.public.clone(), cookie: cookie.clone() })
    }

    /// The browser of an admin, made and logged in now.
    pub(crate) async fn admin(&self) -> Browser {
        let add = ["user", "add", ADMIN, "--password-stdin", "--admin", "--permissions", "*"];
        self.site.ok(&add, PASSWORD);
        let cookie = session_cookie(&self.log_in(ADMIN, PASSWORD).await).unwrap();
        Browser { base: self.public.clone(), cookie }
    }

    /// The id of the user with that address.
    pub(crate) fn user_id(&self, email: &str) -> String {
        let users = self.site.json(&["user", "list", "--json"]);
        let user = users.as_array().unwrap().iter().find(|user| user["email"] == email).unwrap();
        text(user, "id").to_owned()
    }

    /// Automation with a management token for the users of these ids, or for all.
    pub(crate) async fn automation(&self, admin: &Browser, user_ids: Option<&[&str]>) -> Automation {
        self.automation_that_can(&["read", "revoke", "create"], admin, user_ids).await
    }

    pub(crate) async fn automation_that_can(
        &self,
        can: &[&str],
        admin: &Browser,
        user_ids: Option<&[&str]>,
    ) -> Automation {
        let body = serde_json::json!({"label": "terraform", "user_ids": user_ids, "can": can});
        let (status, token) = admin.post("/api/management_tokens/", body).await;
        assert_eq!(status, 201, "{token}");
        Automation {
            base: self.public.clone(),
            id: text(&token, "id").to_owned(),
            token: text(&token, "value").to_owned(),
        }
    }

    /// Kills the process and starts another on what it left behind.
    pub(crate) fn restart(mut self, set: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        self.signal("-KILL");
        self.wait();
        self.site.clone().serve_with(set)
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end, and returns the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal("-TERM");
        self.wait()
    }

    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The path of the one-time link that the start printed.
    pub(crate) fn first_link(&self) -> String {
        let printed = fs::read_to_string(self.site.dir.path().join("printed")).unwrap();
        let (_, secret) = printed.trim().split_once("/link/").unwrap();
        format!("/link/{secret}")
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Response {
        let body = serde_json::json!({"email": email, "password": password});
        client().post(format!("{}/api/login/", self.public)).json(&body).send().await.unwrap()
    }

    pub(crate) fn ask(&self, token: &str, digests: Vec<KeyDigest>) -> RequestBuilder {
        let question = VerifyRequest { edge: "e".into(), digests };
        client().post(format!("{}/edge/v1/verify", self.edge)).bearer_auth(token).json(&question)
    }

    pub(crate) async fn verify(&self, values: &[&str]) -> VerifyResponse {
        let digests = values.iter().map(|value| KeyDigest::of_value(value)).collect();
        let response = self.ask(TOKEN, digests).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
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

/// A database with the two users, and the ids of a session of each.
fn prepared() -> &'static (Template, [String; 2]) {
    static PREPARED: OnceLock<(Template, [String; 2])> = OnceLock::new();
    PREPARED.get_or_init(prepare)
}

fn prepare() -> (Template, [String; 2]) {
    let site = Site::empty();
    site.ok(&["user", "add", DEMO, "--password-stdin"], PASSWORD);
    let permissions = ["--permissions", "insight:read,cohort:write"];
    site.ok(&[&["user", "add", OTHER, "--password-stdin"], &permissions[..]].concat(), PASSWORD);
    let mut service = site.clone().serve();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sessions = [DEMO, OTHER].map(|email| {
        let response = runtime.block_on(service.log_in(email, PASSWORD));
        session_cookie(&response).unwrap()
    });
    // Its end writes SQLite's log back into the database file.
    assert_eq!(service.stop(), Some(0));
    drop(service);
    (Arc::into_inner(site.storage).unwrap().into_template(), sessions)
}

/// The value of the session cookie that an answer sets.
pub(crate) fn session_cookie(response: &Response) -> Option<String> {
    let cookie = response.headers().get("set-cookie")?.to_str().unwrap();
    let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
    assert_eq!(name, if cookie.contains("; Secure") { "__Host-session" } else { "session" });
    Some(value.to_owned())
}

/// A browser with a session.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) base: String,
    pub(crate) cookie: String,
}

impl Browser {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        client().request(method, url).header("cookie", format!("session={}", self.cookie))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        read(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> (StatusCode, Value) {
        read(self.request(Method::PATCH, path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (StatusCode, Value) {
        read(self.request(Method::DELETE, path)).await
    }

    /// Makes a key, and returns it.
    pub(crate) async fn new_key(&self, label: &str, scopes: &[&str]) -> Value {
        let body = serde_json::json!({"label": label, "scopes": scopes});
        let (status, key) = self.post("/api/personal_api_keys/", body).await;
        assert_eq!(status, 201, "{key}");
        key
    }
}

/// A program with a management token.
#[derive(Clone)]
pub(crate) struct Automation {
    pub(crate) base: String,
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Automation {
    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let request = client().request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        read(if body.is_null() { request } else { request.json(&body) }).await
    }
}

/// Sends a request and reads the JSON of its answer.
pub(crate) async fn read(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    assert_eq!(response.headers()["content-type"], "application/json");
    (status, response.json().await.unwrap())
}

/// A text field of a JSON object.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap()
}
