//! What the command line manages beside the making of users and keys.

use serde_json::{Value, json};

use crate::support::scripted_edge::Edge;
use crate::support::{DEMO, OTHER, Service, Site, client, text};

fn new_key(site: &Site, user: &str, label: &str, more: &[&str]) -> Value {
    let create = ["key", "create", "--user", user, "--label", label, "--scopes", "insight:read", "--json"];
    site.json(&[&create, more].concat())
}

fn labels(site: &Site, filter: &[&str]) -> Vec<String> {
    let keys = site.json(&[&["key", "list", "--json"], filter].concat());
    keys.as_array().unwrap().iter().map(|key| text(key, "label").to_owned()).collect()
}

#[tokio::test]
async fn a_changed_key_is_worth_the_new_scopes_when_the_command_returns() {
    let (service, ..) = Service::with_users().await;
    let key = new_key(&service.site, DEMO, "before", &[]);
    let id = text(&key, "id");
    let update = |more: &[&str]| service.site.json(&[&["key", "update", id, "--json"], more].concat());
    let changed =
        update(&["--label", "after", "--scopes", "cohort:write", "--expires-at", "2100-01-01T00:00:00Z"]);
    assert_eq!(service.scopes(text(&key, "value")).await.as_deref(), Some("cohort:write"));
    let fields = ["label", "expires_at"].map(|field| text(&changed, field));
    assert_eq!(fields, ["after", "2100-01-01T00:00:00Z"]);
    assert!(changed["revocation"]["revision"].is_u64());
    assert!(update(&["--label", "again"])["revocation"].is_null(), "a label concerns no edge");
    assert!(update(&["--no-expiry"])["expires_at"].is_null());

    let past = ["key", "update", id, "--expires-at", "2020-01-01T00:00:00Z"];
    assert!(service.site.fails(&past, "").contains(" --expires-at: This time has passed"));
    for usage in [&["key", "update", id][..], &["key", "update", id, "--expires-at", "tomorrow"]] {
        assert_eq!(service.site.run(usage, "").status.code(), Some(2), "{usage:?}");
    }
    assert!(
        service.site.fails(&["key", "update", "nobody", "--label", "x"], "").contains("there is no such key")
    );
}

#[test]
fn keys_are_made_with_an_expiry_and_found_by_what_they_are() {
    let site = Site::with_users();
    new_key(&site, DEMO, "nightly build", &["--expires-at", "2100-01-01T00:00:00Z"]);
    new_key(&site, OTHER, "Dashboard", &[]);
    assert_eq!(labels(&site, &[]), ["Dashboard", "nightly build"]);
    assert_eq!(labels(&site, &["--search", "NIGHTLY"]), ["nightly build"]);
    assert_eq!(labels(&site, &["--search", "other@"]), ["Dashboard"]);
    assert_eq!(labels(&site, &["--user", DEMO]), ["nightly build"]);
    assert_eq!(labels(&site, &["--scope", "cohort:read"]), Vec::<String>::new());
    assert_eq!(labels(&site, &["--state", "never_used"]).len(), 2);
    assert_eq!(labels(&site, &["--state", "old"]).len(), 0);
    site.ok(&["user", "disable", OTHER], "");
    assert_eq!(labels(&site, &["--state", "disabled"]), ["Dashboard"]);
    let table = site.ok(&["key", "list", "--search", "build"], "");
    assert!(table.contains("2100-01-01T00:00:00Z") && !table.contains("Dashboard"), "{table}");
    assert_eq!(site.run(&["key", "list", "--state", "odd"], "").status.code(), Some(2));
}

#[test]
fn more_keys_than_a_page_are_all_listed() {
    let site = Site::with_users();
    let lines: Vec<_> = (0..1_001)
        .map(|n| {
            let digest = protocol::KeyDigest::of_value(&format!("phx_{n}")).to_hex();
            format!("user-{}@example.com,key {n},sha256${digest},*\n", n / 10)
        })
        .collect();
    let file = format!("email,label,secure_value,scopes\n{}", lines.concat());
    site.ok(&["import", "-", "--create-users"], &file);
    let mut found = labels(&site, &[]);
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 1_001);
    assert_eq!(site.json(&["user", "list", "--json"]).as_array().unwrap().len(), 103);
    let imported = site.json(&["audit", "--action", "key.imported", "--all", "--json"]);
    assert_eq!(imported.as_array().unwrap().len(), 1_001);
}

#[test]
fn a_user_without_a_password_gets_a_link() {
    let site = Site::with_users();
    site.ok(&["user", "add", "new@example.com", "--without-password"], "");
    let table = site.ok(&["user", "list", "--search", "new@"], "");
    assert!(table.contains("no password yet") && !table.contains(DEMO), "{table}");
    site.ok(&["user", "disable", OTHER], "");
    let states = site.ok(&["user", "list"], "");
    assert!(states.contains("disabled") && states.contains("active"), "{states}");

    let url = site.ok(&["user", "link", "new@example.com", "--public-url", "https://keys.example.com"], "");
    let secret = url.trim().strip_prefix("https://keys.example.com/link/").unwrap();
    assert!(
        secret.len() > 40
            && !site.storage.content().windows(secret.len()).any(|part| part == secret.as_bytes())
    );
    let link = site.json(&["user", "link", "new@example.com", "--json"]);
    assert!(link["url"].is_null() && text(&link, "path").starts_with("/link/"), "no address is made up");
    let output = site.run(&["user", "link", "new@example.com"], "");
    assert!(output.stdout.starts_with(b"/link/"));
    assert!(String::from_utf8(output.stderr).unwrap().contains("PUBLIC_URL"));
    assert_eq!(link["expires_in_s"], 259_200);
    assert!(site.fails(&["user", "link", "nobody@example.com"], "").contains("there is no user"));
}

#[tokio::test]
async fn a_management_token_works_until_it_is_revoked() {
    let (service, ..) = Service::with_users().await;
    let site = &service.site;
    let value = site.ok(&["token", "create", "--label", "terraform"], "");
    let limited = site.json(&["token", "create", "--label", "ci", "--user", DEMO, "--json"]);
    assert_eq!(limited["user_ids"].as_array().unwrap().len(), 1);
    let users = async |value: &str| {
        let request = client().get(format!("{}/api/users/", service.public)).bearer_auth(value);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(users(value.trim()).await, 200);
    assert_eq!(users(text(&limited, "value")).await, 403);

    let table = site.ok(&["token", "list"], "");
    assert!(table.contains(DEMO), "{table}");
    assert!(table.contains("terraform") && !table.contains(value.trim()), "{table}");
    let tokens = site.json(&["token", "list", "--json"]);
    let terraform = tokens.as_array().unwrap().iter().find(|token| token["label"] == "terraform").unwrap();
    let revoked = site.json(&["token", "revoke", text(terraform, "id"), "--json"]);
    assert_eq!(revoked["label"], "terraform");
    assert_eq!(users(value.trim()).await, 401);
    assert!(
        site.fails(&["token", "revoke", text(terraform, "id")], "").contains("no such management token: ")
    );
    assert!(site.fails(&["token", "create", "--label", " "], "").contains("label:"));
}

#[test]
fn the_audit_log_tells_who_did_what() {
    let site = Site::with_users();
    let key = new_key(&site, DEMO, "a\u{1b}[2J", &[]);
    new_key(&site, OTHER, "another", &[]);
    site.ok(&["key", "revoke", text(&key, "id")], "");
    let actions = |filter: &[&str]| {
        let entries = site.json(&[&["audit", "--json"], filter].concat());
        let entries = entries.as_array().unwrap().iter();
        entries.map(|entry| text(entry, "action").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(actions(&["--subject", text(&key, "id")]), ["key.deleted", "key.created"]);
    assert_eq!(actions(&["--action", "key.", "--user", OTHER]), ["key.created"]);
    assert_eq!(actions(&["--action", "key.", "--limit", "1"]), ["key.deleted"]);
    assert_eq!(actions(&["--action", "key.", "--limit", "1", "--offset", "1"]), ["key.created"]);
    assert_eq!(actions(&["--action", "key.", "--since", "2020-01-01T00:00:00Z", "--all"]).len(), 3);
    assert_eq!(actions(&["--since", "2100-01-01T00:00:00Z"]), Vec::<String>::new());
    for usage in [&["audit", "--since", "yesterday"][..], &["audit", "--all", "--limit", "5"]] {
        assert_eq!(site.run(usage, "").status.code(), Some(2), "{usage:?}");
    }
    for (name, value) in [("action", "bogus"), ("limit", "-1"), ("offset", "-1")] {
        let output = site.run(&["audit", &format!("--{name}"), value], "");
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("'{value}' for '--{name}")), "{said}");
    }
    let table = site.ok(&["audit"], "");
    assert!(table.contains("command_line") && table.contains(DEMO) && !table.contains('\u{1b}'), "{table}");
}

#[tokio::test]
async fn the_edges_that_hold_a_lease_are_shown_without_their_whole_ids() {
    let (service, ..) = Service::with_users().await;
    assert_eq!(service.site.json(&["edges", "--json"])["edges"], json!([]));
    Edge::subscribed(&service, "0123456789abcdef").await;
    let table = service.site.ok(&["edges"], "");
    assert!(table.contains("01234567…") && !table.contains("012345678"), "{table}");
    assert_eq!(service.site.json(&["edges", "--json"])["edges"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn leaked_values_are_ended_and_not_repeated() {
    let service = Service::with_users().await.0;
    let (site, key) = (&service.site, new_key(&service.site, DEMO, "leaked", &[]));
    let value = text(&key, "value");
    let leaked = ["key", "leaked", "--source", "a public gist"];
    let output = site.run(&leaked, &format!("\n{value}\nphx_never_a_key\n"));
    assert!(output.status.success());
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(said.contains("1 of 2 values worked until now") && said.contains(text(&key, "id")), "{said}");
    assert!(!said.contains(value) && !said.contains("never_a_key"), "{said}");
    assert_eq!(service.scopes(value).await, None);

    let again: Value = serde_json::from_str(&site.ok(&[&leaked, &["--json"][..]].concat(), value)).unwrap();
    assert_eq!(again["results"][0]["live"], false);
    assert!(again["revocations"][0]["revision"].is_u64(), "{again}");
}

#[tokio::test]
async fn what_was_ended_before_a_failure_is_told() {
    let service = Service::with_users().await.0;
    let site = &service.site;
    let [ended, stuck] = ["ended", "stuck"].map(|label| new_key(site, DEMO, label, &[]));
    let refuse = "CREATE TABLE holds (key_id TEXT REFERENCES api_keys (id));
        INSERT INTO holds SELECT id FROM api_keys WHERE label = 'stuck';";
    service.alter_tables(refuse).await;
    let others: String = (0..100).map(|n| format!("phx_never_a_key_{n}\n")).collect();
    let values = format!("{}\n{others}{}\n", text(&ended, "value"), text(&stuck, "value"));

    let output = site.run(&["key", "leaked", "--source", "a gist", "--json"], &values);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let why = said.to_lowercase().contains("foreign key constraint");
    assert!(said.contains("1 of 100 values worked until now") && why, "{said}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["results"][0]["key_id"], ended["id"]);
    assert_eq!((told["results"].as_array().unwrap().len(), &told["results"][0]["live"]), (100, &json!(true)));
    assert_eq!(service.scopes(text(&ended, "value")).await, None);
    assert!(service.scopes(text(&stuck, "value")).await.is_some());
}

#[test]
fn a_roll_says_how_long_the_old_value_works() {
    let site = Site::with_users();
    let key = new_key(&site, DEMO, "rolled", &[]);
    let roll = |grace_s: &str| {
        let output = site.run(&["key", "roll", text(&key, "id"), "--grace-s", grace_s], "");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = roll("60");
    assert!(code == Some(0) && said.contains("the old value works for 60 seconds more"), "{said}");
    assert!(!roll("0").1.contains("old value"));
    let (code, said) = roll("-1");
    assert!(code == Some(1) && said.contains("--grace-s: Ensure this value is 0 to"), "{said}");
}

#[test]
fn lines_that_cannot_be_leaked_keys_are_named_and_the_others_are_reported() {
    let site = Site::with_users();
    let key = new_key(&site, DEMO, "nightly build", &[]);
    let value = text(&key, "value");
    let report = ["key", "leaked", "--source", "a paste"];
    assert!(site.fails(&report, "\n\n").contains("standard input: there is no value"));
    assert!(site.fails(&["key", "leaked", "--source", " "], value).contains("--source: This field"));

    let output = site.run(&report, &format!("hunter2\n\n{value}\nekm_1\n"));
    assert_eq!(output.status.code(), Some(3));
    let (table, said) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(said.contains("line 1: ") && said.contains("line 4: ") && !said.contains("hunter2"), "{said}");
    assert!(said.contains("1 of 1 value worked until now"), "{said}");
    assert!(table.contains("yes") && table.contains(DEMO) && table.contains("nightly build"), "{table}");

    let json = site.run(&[&report[..], &["--json"]].concat(), &format!("{value}\nhunter2"));
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["refused_lines"], &json["results"][0]["live"]), (&json!([2]), &json!(false)));
}

#[test]
fn permissions_that_are_left_empty_are_an_error_and_none_takes_all_away() {
    let site = Site::with_users();
    let permissions = || {
        let users = site.json(&["user", "list", "--search", DEMO, "--json"]);
        users[0]["permissions"].clone()
    };
    for empty in ["", " , "] {
        let said = site.fails(&["user", "permissions", DEMO, empty], "");
        assert!(said.contains("<PERMISSIONS>: This field may not be blank"), "{said}");
        let add = ["user", "add", "x@example.com", "--without-password", "--permissions", empty];
        assert!(site.fails(&add, "").contains("--permissions: This field may not be blank"));
    }
    assert_eq!(permissions(), json!(["*"]));
    site.ok(&["user", "permissions", DEMO, "none"], "");
    assert_eq!(permissions(), json!([]));
    assert!(
        site.fails(&["user", "permissions", DEMO, "none,insight:read"], "").contains("Invalid scope: none")
    );
}
