//! One-time links.

use std::process::Stdio;

use crate::support::{Site, TOKEN};

/// What a start prints on standard output.
fn printed(site: &Site) -> String {
    let mut command = site.command(&["serve", "--listen", "127.0.0.1:0", "--edge-listen", "127.0.0.1:0"]);
    command.env("EDGE_TOKEN", TOKEN).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening") {
        assert!(std::io::BufRead::read_line(&mut log, &mut line).unwrap() > 0, "{line}");
    }
    child.kill().unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn the_first_start_prints_a_link_for_the_first_admin_until_there_is_a_user() {
    let site = Site::empty();
    let first = printed(&site);
    let link = first.lines().find(|line| line.contains("/link/")).unwrap().trim().to_owned();
    assert!(link.starts_with("http://127.0.0.1:"), "{link}");
    let again = printed(&site);
    assert!(again.contains("/link/") && !again.contains(&link), "a new one each time");
    let secret = link.rsplit('/').next().unwrap();
    let stored = site.stored();
    assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()));
    assert_eq!(printed(&Site::with_users()), "");
}
