//! `key leaked`.

use serde_json::{Value, json};

use super::new_key;
use crate::support::{DEMO, Site, TestApp, text};

#[tokio::test]
async fn leaked_values_are_ended_and_not_repeated() {
    let app = TestApp::start().await;
    let (site, key) = (&app.site, new_key(&app.site, DEMO, "leaked", &[]));
    let value = text(&key, "value");
    let leaked = ["key", "leaked", "--source", "a public gist"];
    let output = site.run(&leaked, &format!("\n{value}\nphx_never_a_key\n"));
    assert!(output.status.success());
    let stderr = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(
        stderr.contains("1 of 2 values worked until now") && stderr.contains(text(&key, "id")),
        "{stderr}"
    );
    assert!(!stderr.contains(value) && !stderr.contains("never_a_key"), "{stderr}");
    assert_eq!(app.scopes(value).await, None);

    let again: Value = serde_json::from_str(&site.ok(&[&leaked, &["--json"][..]].concat(), value)).unwrap();
    assert_eq!(again["results"][0]["live"], false);
    assert!(again["revocations"][0]["revision"].is_u64(), "{again}");
}

#[tokio::test]
async fn keys_that_ended_before_a_failure_are_reported() {
    let app = TestApp::start().await;
    let site = &app.site;
    let [ended, stuck] = ["ended", "stuck"].map(|label| new_key(site, DEMO, label, &[]));
    let refuse = "CREATE TABLE holds (key_id TEXT REFERENCES api_keys (id));
        INSERT INTO holds SELECT id FROM api_keys WHERE label = 'stuck';";
    app.alter_tables(refuse).await;
    let others: String = (0..100).map(|n| format!("phx_never_a_key_{n}\n")).collect();
    let values = format!("{}\n{others}{}\n", text(&ended, "value"), text(&stuck, "value"));

    let output = site.run(&["key", "leaked", "--source", "a gist", "--json"], &values);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let why = stderr.to_lowercase().contains("foreign key constraint");
    assert!(stderr.contains("1 of 100 values worked until now") && why, "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["results"][0]["key_id"], ended["id"]);
    assert_eq!(
        (report["results"].as_array().unwrap().len(), &report["results"][0]["live"]),
        (100, &json!(true))
    );
    assert_eq!(app.scopes(text(&ended, "value")).await, None);
    assert!(app.scopes(text(&stuck, "value")).await.is_some());
}

#[test]
fn lines_that_cannot_be_leaked_keys_are_named_and_the_others_are_reported() {
    let site = Site::with_users();
    let key = new_key(&site, DEMO, "nightly build", &[]);
    let value = text(&key, "value");
    let report = ["key", "leaked", "--source", "a paste"];
    assert!(site.fails(&report, "\n\n").contains("standard input has no value"));
    assert!(site.fails(&["key", "leaked", "--source", " "], value).contains("--source: This field"));

    let output = site.run(&report, &format!("hunter2\n\n{value}\nekm_1\n"));
    assert_eq!(output.status.code(), Some(3));
    let (table, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(
        stderr.contains("line 1: ") && stderr.contains("line 4: ") && !stderr.contains("hunter2"),
        "{stderr}"
    );
    assert!(stderr.contains("1 of 1 value worked until now"), "{stderr}");
    assert!(table.contains("yes") && table.contains(DEMO) && table.contains("nightly build"), "{table}");

    let json = site.run(&[&report[..], &["--json"]].concat(), &format!("{value}\nhunter2"));
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["refused_lines"], &json["results"][0]["live"]), (&json!([2]), &json!(false)));
}
