//! The command line: a file a command, and here what holds for several.

mod audit;
mod bad_arguments;
mod edges;
mod export;
mod help;
mod import;
mod key;
mod leaked;
mod output;
mod scan;
mod tables;
mod token;
mod user;

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{DEMO, OTHER, Site};

/// Makes a key, and returns what the command prints.
fn new_key(site: &Site, user: &str, label: &str, more: &[&str]) -> Value {
    let create = ["key", "create", "--user", user, "--label", label, "--scopes", "insight:read", "--json"];
    site.json(&[&create, more].concat())
}

/// What makes a database, and nothing in it.
pub(crate) const IMPORT_NOTHING: [&str; 2] = ["import", "-"];

pub(crate) const NOTHING: &str = "email,label,secure_value,scopes\n";

#[test]
fn a_command_that_only_reads_makes_no_database() {
    let site = Site::empty();
    let commands: [&[&str]; 5] = [
        &["user", "list"],
        &["key", "list"],
        &["export"],
        &["backup", "b.db"],
        &["import", "-", "--dry-run"],
    ];
    for command in commands {
        let stderr = site.fails(command, NOTHING);
        assert!(
            stderr.contains("there is no database") && site.storage.is_untouched(),
            "{command:?}: {stderr}"
        );
    }
}

#[test]
fn help_names_the_scopes_that_there_are() {
    let site = Site::empty();
    for command in
        [&["key", "create"][..], &["key", "update"], &["user", "add"], &["user", "permissions"], &["import"]]
    {
        let help = site.ok(&[command, &["--help"]].concat(), "");
        assert!(help.contains("`key-service scopes` lists the objects"), "{command:?}: {help}");
    }
    assert!(site.ok(&["scopes"], "").contains("session_recording"));
}

#[test]
fn processes_that_start_together_on_a_new_database_take_turns() {
    let site = Site::empty();
    let children: Vec<_> = (0..8)
        .map(|_| {
            let mut command = site.command(&IMPORT_NOTHING);
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(NOTHING.as_bytes()).unwrap();
            child
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_command_with_invalid_input_creates_no_database() {
    let site = Site::empty();
    for (args, input) in [
        (&["import", "missing.csv"][..], ""),
        (&["import", "-"], "email,label,scopes\n"),
        (&["import", "."], ""),
        (&["user", "add", "nobody", "--without-password"], ""),
        (&["user", "add", DEMO, "--password-stdin"], "short"),
    ] {
        site.fails(args, input);
        assert!(site.storage.is_untouched(), "{args:?}");
    }
    let creates = |args: &[&str]| {
        let output = site.run(args, "email,label,secure_value,scopes\n");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        stderr.contains("so this command creates it; --database-url (DATABASE_URL) names another one")
    };
    assert!(creates(&["user", "add", DEMO, "--without-password", "--if-absent"]));
    assert!(!site.storage.is_untouched());
    assert!(!creates(&["user", "add", OTHER, "--without-password"]));
}
