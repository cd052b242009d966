//! Shared by the tests: a running service, its clients, and a separate database for each test.

mod app;
mod browser;
pub(crate) mod database;
pub(crate) mod openid_provider;
mod prepared;
mod process;
pub(crate) mod scrape;
pub(crate) mod scripted_edge;
mod site;
pub(crate) mod storage;
pub(crate) mod transcript;
pub(crate) mod webhook_receiver;

pub(crate) use app::TestApp;
pub(crate) use browser::{Automation, Browser, client, key_path, read, session_cookie, text};
pub(crate) use process::Process;
pub(crate) use site::Site;

pub(crate) const TOKEN: &str = "edge-token-of-the-tests";
pub(crate) const PREVIOUS_TOKEN: &str = "previous-edge-token-of-the-tests";

/// The password of every prepared user.
pub(crate) const PASSWORD: &str = "demo-password";
/// A user with all permissions.
pub(crate) const DEMO: &str = "demo@example.com";
/// A user who may read insights, and read and write cohorts.
pub(crate) const OTHER: &str = "other@example.com";
pub(crate) const ADMIN: &str = "admin@example.com";

pub(crate) const KEYS: &str = "/api/personal_api_keys/";

/// Arguments that make the service listen on free ports.
pub(crate) const ANY_PORTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--edge-listen", "127.0.0.1:0"];
