//! `cargo xtask demo`: runs the whole stack on this machine until Ctrl-C.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use test_stack::envoy::program;
use test_stack::ports::Addresses;
use test_stack::process::interrupt;
use test_stack::{Stack, paths};

use crate::build;

/// The key that `demo/seed.sh` creates with every scope: the one in the public documentation.
const KEY: &str = "phx_1234567890abcdef";

/// The key that `demo/seed.sh` creates with only the scope `insight:read`.
const INSIGHTS_KEY: &str = "phx_demo_insights_only";

/// The options of the demo.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Envoy to use; `None` to find or install one.
    pub envoy: Option<PathBuf>,
    /// Whether to keep the accounts and keys of the last run.
    pub keep: bool,
    /// Added to each port.
    pub port_offset: u16,
}

/// Runs the demo until it is interrupted.
///
/// # Errors
/// A tool is missing, a port is in use, a part does not start, or a part exits.
pub fn run(options: &Options) -> Result<()> {
    let addresses = Addresses::demo(options.port_offset);
    addresses.require_free()?; // before the builds, which take minutes
    let envoy = program::find(options.envoy.as_deref())?;
    build::all()?;
    let folder = state_folder(options)?;

    interrupt::catch()?;
    println!("==> starting the key service and Envoy");
    match serve(&addresses, &folder, &envoy) {
        // An error after the interrupt is a consequence of it.
        _ if interrupt::requested() => {
            println!("\n==> stopped");
            Ok(())
        }
        outcome => outcome,
    }
}

/// The folder of the database, the logs and the rendered configuration; emptied unless `keep` is set.
fn state_folder(options: &Options) -> Result<PathBuf> {
    let name = match options.port_offset {
        0 => "demo".to_owned(),
        offset => format!("demo-{offset}"),
    };
    let folder = paths::target().join(name);
    if folder.exists() && !options.keep {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

fn serve(addresses: &Addresses, folder: &std::path::Path, envoy: &std::path::Path) -> Result<()> {
    let stack = Stack::start(envoy, folder, addresses, &test_stack::Options::default())?;
    check_first_request(&stack)?;
    println!("{}", ready_message(&stack, folder));
    while !interrupt::requested() {
        if let Some(exited) = stack.find_exited()? {
            bail!("{exited}");
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Sends the README's request through Envoy and checks the headers that the upstream received.
fn check_first_request(stack: &Stack) -> Result<()> {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let request = agent.get(stack.url("/api/projects/")).header("authorization", format!("Bearer {KEY}"));
    let mut response = request.call().context("Envoy does not answer the first request")?;
    let body = response.body_mut().read_to_string()?;
    if response.status() != 200 {
        bail!("the first request must return 200, and returned {}: {body}", response.status());
    }
    let received: Value =
        serde_json::from_str(&body).context("the response is not from the echo upstream")?;
    let headers = received["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
    for identity in ["x-auth-user-id", "x-auth-key-id", "x-auth-scopes"] {
        if !headers.iter().any(|header| header[0] == identity) {
            bail!("the upstream did not receive {identity}: {received}");
        }
    }
    Ok(())
}

fn ready_message(stack: &Stack, folder: &std::path::Path) -> String {
    let projects = stack.url("/api/projects/");
    let capture = stack.url("/capture/");
    let service = stack.key_service().url("");
    let admin = stack.envoys()[0].admin_url("/");
    let folder = folder.display();
    format!(
        r#"
edge-key-auth is ready. The upstream answers every request with the request as JSON:

  curl -X GET '{projects}' -H 'Authorization: Bearer {KEY}'    # 200
  curl -X GET '{projects}'    # 401
  curl -X GET '{projects}' -H 'Authorization: Bearer {INSIGHTS_KEY}'    # 403
  curl -X POST '{capture}' -d '{{"event":"a public route"}}'    # 200, a public route

  curl -c {folder}/cookies -H 'content-type: application/json' {service}/api/login/ \
    -d '{{"email":"demo@example.com","password":"demo-password"}}'
  curl -b {folder}/cookies {service}/api/personal_api_keys/

  hey -z 10s -c 50 -H 'Authorization: Bearer {KEY}' {projects}

  the page     {service}/  (demo@example.com, demo-password)
  Envoy admin  {admin}
  logs         {folder}/envoy.log, {folder}/key-service.log

Ctrl-C stops it."#
    )
}
