//! `user`.

use serde_json::json;

use crate::support::{DEMO, OTHER, PASSWORD, Site, TestApp, text};

const NOBODY: &str = "nobody@example.com";

#[test]
fn a_user_is_added_once() {
    let site = Site::empty();
    let add =
        ["user", "add", "Demo@example.com", "--password-stdin", "--permissions", "insight:read", "--admin"];
    let id = site.ok(&add, PASSWORD);
    assert!(site.fails(&add, PASSWORD).contains("demo@example.com"));
    let again = site.ok(&[&add[..], &["--if-absent"]].concat(), "another-password");
    assert_eq!(again, id, "the id that is there");
    let users = site.json(&["user", "list", "--json"]);
    assert_eq!(users.as_array().unwrap().len(), 1);
    assert_eq!((text(&users[0], "id"), text(&users[0], "email")), (id.trim(), DEMO));
    assert_eq!(users[0]["permissions"], serde_json::json!(["insight:read"]));
    assert_eq!(users[0]["is_admin"], true);
    let table = site.ok(&["user", "list"], "");
    assert!(table.contains(DEMO) && !table.contains("argon2"), "{table}");
}

#[tokio::test]
async fn a_user_of_an_earlier_release_is_there_whatever_the_address_contains() {
    let app = TestApp::start().await;
    let id = app.user_id(DEMO);
    app.alter(format!("UPDATE users SET email = 'de\u{202e}mo@example.com' WHERE id = '{id}'")).await;
    let add = |email| ["user", "add", email, "--without-password", "--if-absent"];
    assert_eq!(app.site.ok(&add("De\u{202e}mo@example.com"), "").trim(), id);
    let stderr = app.site.fails(&add("de\u{202e}no@example.com"), "");
    assert!(stderr.contains("<EMAIL>: Bidirectional control characters"), "{stderr}");
}

#[test]
fn bad_users_are_refused_with_the_reason() {
    let site = Site::empty();
    let add = |email, more: &[&str], password| {
        site.fails(&[&["user", "add", email, "--password-stdin"], more].concat(), password)
    };
    assert!(add("nobody", &[], PASSWORD).contains("<EMAIL>: Enter a valid email address."));
    assert!(add(DEMO, &[], "short").contains("--password-stdin: A password must have"));
    assert!(
        add(DEMO, &["--permissions", "all"], PASSWORD)
            .contains("--permissions: Invalid scope: all; `key-service scopes` lists")
    );
    assert!(site.storage.is_untouched(), "nothing was created");
    let site = Site::with_users();
    for command in
        [&["user", "disable", NOBODY][..], &["user", "enable", NOBODY], &["key", "list", "--user", NOBODY]]
    {
        assert!(site.fails(command, "").contains("there is no user"), "{command:?}");
    }
    assert!(
        site.fails(&["user", "passwd", NOBODY, "--password-stdin"], PASSWORD).contains("there is no user")
    );
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

#[test]
fn permissions_that_are_left_empty_are_an_error_and_none_takes_all_away() {
    let site = Site::with_users();
    let permissions = || {
        let users = site.json(&["user", "list", "--search", DEMO, "--json"]);
        users[0]["permissions"].clone()
    };
    for empty in ["", " , "] {
        let stderr = site.fails(&["user", "permissions", DEMO, empty], "");
        assert!(stderr.contains("<PERMISSIONS>: This field may not be blank"), "{stderr}");
        let add = ["user", "add", "x@example.com", "--without-password", "--permissions", empty];
        assert!(site.fails(&add, "").contains("--permissions: This field may not be blank"));
    }
    assert_eq!(permissions(), json!(["*"]));
    let none = site.run(&["user", "permissions", DEMO, "none"], "");
    let stderr = String::from_utf8(none.stderr).unwrap();
    assert!(none.status.success() && stderr.contains(&format!("permissions of {DEMO} to none;")), "{stderr}");
    assert_eq!(permissions(), json!([]));
    let table = site.ok(&["user", "list", "--search", DEMO], "");
    let row = table.lines().find(|line| line.contains(DEMO)).unwrap();
    assert_eq!(row.split_whitespace().nth(5), Some("none"), "{table}");
    assert!(
        site.fails(&["user", "permissions", DEMO, "none,insight:read"], "").contains("Invalid scope: none")
    );
}
