//! What commands write where: to a reader that has gone, and scripts for shells.

use std::io;

use crate::support::{DEMO, Site, TestApp};

#[tokio::test]
async fn a_reader_that_has_gone_gets_no_message() {
    let app = TestApp::start().await;
    app.site.ok(&["key", "create", "--user", DEMO, "--label", "CI", "--scopes", "*"], "");
    for args in [&["key", "list"][..], &["key", "list", "--json"], &["export", "-"], &["scopes"]] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = app.site.command(args).stdout(writer).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), message.as_str()), (Some(141), ""), "{args:?}");
    }
}

#[test]
fn completions_name_commands_and_options() {
    let site = Site::empty();
    for shell in ["bash", "zsh", "fish"] {
        let script = site.ok(&["completions", shell], "");
        assert!(["first-link", "expires-at"].iter().all(|name| script.contains(name)), "{script}");
    }
}
