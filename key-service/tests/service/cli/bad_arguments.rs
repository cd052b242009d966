//! Commands check their arguments before they open the database.

use crate::support::Site;

/// No server listens on this port.
const UNREACHABLE: &str = "postgres://nobody@127.0.0.1:1/none";

#[test]
fn invalid_arguments_are_named_without_a_database() {
    let site = Site::at(UNREACHABLE);
    let long = "x".repeat(41);
    let past = "2020-01-01T00:00:00Z";
    let create =
        ["key", "create", "--user", "demo", "--label", &long, "--scopes", "insight", "--expires-at", past];
    let adopt = ["key", "create", "--user", "a@b", "--label", "ci", "--scopes", "*", "--value-stdin"];
    let update = ["key", "update", "id", "--label", &long, "--scopes", "insight", "--expires-at", past];
    let token = ["token", "create", "--label", &long, "--user", "demo", "--expires-at", past];
    let cases: [(&[&str], &str, &[&str]); 11] = [
        (&create, "", &["--user: ", "--label: ", "--scopes: ", "--expires-at: "]),
        (&adopt, "short", &["--value-stdin: "]),
        (&update, "", &["--label: ", "--scopes: ", "--expires-at: "]),
        (&["key", "roll", "id", "--grace-s", "-1"], "", &["--grace-s: "]),
        (&["key", "leaked", "--source", ""], "phx_1234567890abcdef", &["--source: "]),
        (&token, "", &["--label: ", "--user: ", "--expires-at: "]),
        (&["user", "add", "demo", "--permissions", "insight"], "", &["--permissions: ", "<EMAIL>: "]),
        (&["user", "passwd", "demo", "--password-stdin"], "", &["<EMAIL>: "]),
        (&["user", "disable", "demo"], "", &["<EMAIL>: "]),
        (&["user", "link", "demo"], "", &["<EMAIL>: "]),
        (&["user", "permissions", "a@b", "insight"], "", &["<PERMISSIONS>: "]),
    ];
    for (args, input, expected) in cases {
        let output = site.run(args, input);
        let printed = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{args:?}: {printed}");
        for (line, argument) in lines.iter().zip(expected) {
            assert!(line.starts_with(&format!("key-service: {argument}")), "{args:?}: {line}");
        }
    }
    let valid = site.fails(&["key", "create", "--user", "a@b", "--label", "ci", "--scopes", "*"], "");
    assert!(valid.contains("database"), "{valid}");
}
