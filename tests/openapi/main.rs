//! The two APIs of the key service against their OpenAPI documents: tried by Schemathesis, read by openapi-spec-validator, and used
//! by clients that openapi-python-client generates.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation should stop the test"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_stack::paths;
use test_stack::{Options, Stack};

const EMAIL: &str = "grace@example.com";
const PASSWORD: &str = "correct horse battery";

/// Answers are of a documented status, type and shape, and never a failure of the server.
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// The operations that a management token may not do.
const IN_PERSON: &str = "^/api/(management_tokens|users/@me|login)/";

#[test]
#[ignore = "needs Schemathesis: cargo xtask test"]
fn the_api_answers_as_its_document_says() {
    // The run makes more changes than the default limit allows.
    let key_service_env = vec![("CHANGES_PER_MINUTE".to_owned(), "1000000".to_owned())];
    let options = Options { envoys: 0, seeded: false, key_service_env, ..Options::default() };
    let stack = Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let service = stack.key_service();
    let args = ["user", "add", EMAIL, "--password-stdin", "--admin"];
    service.run(&args, PASSWORD).unwrap_or_else(|error| panic!("{error:#}"));

    let session = sign_in(&service.url("/api/login/"));

    let document = service.url("/api/openapi.json");
    // Without the phase that follows links from answer to answer: an admin would get to disabling the admin, which
    // ends the session. So would logging out, which is left out of both runs.
    run(
        &document,
        &["--header", &session, "--include-path-regex", IN_PERSON, "--phases", "coverage,fuzzing"],
    );
    // Every request was authenticated.
    assert_eq!(get(&service.url("/api/users/@me/"), &session)["email"], EMAIL);

    // Created only now, because the run above revokes all tokens.
    let token = make_token(&service.url("/api/management_tokens/"), &session);
    run(
        &document,
        &["--header", &token, "--exclude-path-regex", IN_PERSON, "--exclude-path", "/api/logout/"],
    );
    assert!(get(&service.url("/api/users/"), &token)["count"].as_u64().unwrap() > 1);
}

#[test]
#[ignore = "needs Schemathesis: cargo xtask test"]
fn the_edge_api_answers_as_its_document_says() {
    let options = Options { envoys: 0, seeded: false, ..Options::default() };
    let stack = Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let service = stack.key_service();
    let document = paths::workspace().join("docs/edge-api.yaml");
    let token = format!("Authorization: Bearer {}", service.edge_token());
    run(&document.to_string_lossy(), &["--url", &service.edge_url(""), "--header", &token]);
}

#[test]
#[ignore = "needs the tools of tests/openapi/requirements.txt: cargo xtask test"]
fn the_documents_are_valid_and_generated_clients_make_use_and_delete_a_key() {
    let options = Options { envoys: 0, seeded: false, ..Options::default() };
    let stack = Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let service = stack.key_service();
    let command = |args: &[&str], input: &str| {
        service.run(args, input).unwrap_or_else(|error| panic!("{error:#}")).trim().to_owned()
    };
    command(&["user", "add", EMAIL, "--password-stdin"], PASSWORD);
    let users: Value = serde_json::from_str(&command(&["user", "list", "--json"], "")).unwrap();
    let token = command(&["token", "create", "--label", "CI", "--can", "read,revoke,create"], "");

    let folder = TempDir::new().unwrap();
    let document = ureq::get(service.url("/api/openapi.json")).call().unwrap().body_mut().read_to_string();
    fs::write(folder.path().join("service.json"), document.unwrap()).unwrap();
    fs::copy(paths::workspace().join("docs/edge-api.yaml"), folder.path().join("edge.yaml")).unwrap();
    // The generator would otherwise format its output with a program that need not be on the path.
    fs::write(folder.path().join("settings.yaml"), "post_hooks: []\n").unwrap();
    for (document, client) in [("service.json", "service_client"), ("edge.yaml", "edge_client")] {
        python(folder.path(), &["-m", "openapi_spec_validator", document], &[]);
        // It warns of operations that it leaves out.
        let generate =
            ["-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning", "--config"];
        let names = ["settings.yaml", "--path", document, "--output-path", client];
        python(folder.path(), &[&generate[..], &names].concat(), &[]);
    }
    let script = paths::workspace().join("tests/openapi/use_clients.py");
    let (service_url, edge_url) = (service.url(""), service.edge_url(""));
    let env = [
        ("PYTHONPATH", "."),
        ("SERVICE_URL", &service_url),
        ("MANAGEMENT_TOKEN", &token),
        ("EDGE_URL", &edge_url),
        ("EDGE_TOKEN", service.edge_token()),
        ("USER_ID", users[0]["id"].as_str().unwrap()),
    ];
    python(folder.path(), &[&script.to_string_lossy()], &env);
}

/// Runs the Python of the tools in a folder, which must succeed.
fn python(folder: &Path, args: &[&str], env: &[(&str, &str)]) {
    let python = paths::tool(paths::SCHEMATHESIS_VARIABLE).unwrap_or_else(|error| panic!("{error:#}"));
    let mut command = Command::new(python);
    command.current_dir(folder).args(args).envs(env.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{args:?}\n{stdout}\n{stderr}");
}

/// Runs Schemathesis with every choice that it makes fixed.
fn run(document: &str, selection: &[&str]) {
    let python = paths::tool(paths::SCHEMATHESIS_VARIABLE).unwrap_or_else(|error| panic!("{error:#}"));
    let folder = TempDir::new().unwrap();
    let mut schemathesis = Command::new(python);
    // A folder of its own, because the tool reads settings from the current folder and writes its findings there.
    schemathesis.current_dir(folder.path()).args(["-m", "schemathesis.cli", "--no-color", "run", document]);
    schemathesis.args(["--checks", CHECKS, "--generation-deterministic", "--max-examples", "25"]);
    schemathesis
        .args(["--request-timeout", "30", "--continue-on-failure", "--warnings", "off"])
        .args(selection);
    let output = schemathesis.output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{report}");
}

/// Returns the header that carries the session.
fn sign_in(url: &str) -> String {
    let credentials = json!({"email": EMAIL, "password": PASSWORD}).to_string();
    let response = ureq::post(url).content_type("application/json").send(credentials).unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    format!("Cookie: {}", cookie.split(';').next().unwrap())
}

/// Returns the header that carries a token for all users.
fn make_token(url: &str, session: &str) -> String {
    let new =
        json!({"label": "Schemathesis", "user_ids": null, "can": ["read", "revoke", "create"]}).to_string();
    let (name, value) = session.split_once(": ").unwrap();
    let request = ureq::post(url).header(name, value).content_type("application/json");
    let token: Value =
        serde_json::from_str(&request.send(new).unwrap().body_mut().read_to_string().unwrap()).unwrap();
    format!("Authorization: Bearer {}", token["value"].as_str().unwrap())
}

/// The JSON answer to a request with this header.
fn get(url: &str, header: &str) -> Value {
    let (name, value) = header.split_once(": ").unwrap();
    let body = ureq::get(url).header(name, value).call().unwrap().body_mut().read_to_string().unwrap();
    serde_json::from_str(&body).unwrap()
}
