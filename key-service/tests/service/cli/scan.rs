//! `key scan`.

use std::fs;
use std::process::Output;

use protocol::ApiKey;

use crate::support::Site;

fn key(seed: u8) -> String {
    ApiKey::from_entropy([seed; 32]).reveal().to_owned()
}

fn scan(site: &Site, args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = site.run(&[&["key", "scan"], args].concat(), input);
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn keys_in_files_are_reported_by_place_and_mask_and_never_by_value() {
    let (site, key) = (Site::empty(), key(1));
    fs::write(site.dir.path().join("ci.log"), format!("ok\ntoken: {key}\n")).unwrap();
    fs::write(site.dir.path().join("clean"), "phx_1234567890abcdef").unwrap();
    let mask = format!("phx_...{}", &key[key.len() - 4..]);

    let (code, out, stderr) = scan(&site, &["ci.log", "clean"], "");
    assert_eq!((code, out.as_str()), (Some(3), format!("ci.log:2:8: {mask}\n").as_str()));
    assert!(stderr.contains("found 1 key in 2 files") && !stderr.contains(&key), "{stderr}");

    let (code, out, _) = scan(&site, &["--json", "-"], &format!("{key} {key}"));
    assert_eq!((code, out.lines().count()), (Some(3), 2));
    let found: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    let digest = protocol::KeyDigest::of_value(&key).to_hex();
    let expected = serde_json::json!(
        {"file": "-", "line": 1, "column": 1, "mask_value": mask, "digest": digest});
    assert_eq!(found, expected);

    assert_eq!(scan(&site, &["clean"], "").0, Some(0));
    assert_eq!(scan(&site, &[], "nothing").0, Some(0), "standard input");
    assert!(site.storage.is_untouched(), "no database is needed");
}

#[test]
fn a_folder_is_scanned_with_all_that_is_in_it() {
    let site = Site::empty();
    let deep = site.dir.path().join("project/.git/logs");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("HEAD"), key(1)).unwrap();
    fs::write(site.dir.path().join("project/a"), protocol::secret_from_entropy("ekm_", [2; 32])).unwrap();
    fs::write(site.dir.path().join("outside"), key(3)).unwrap();
    std::os::unix::fs::symlink("../outside", site.dir.path().join("project/link")).unwrap();
    std::os::unix::fs::symlink("..", site.dir.path().join("project/loop")).unwrap();
    let (code, out, stderr) = scan(&site, &["project"], "");
    let names: Vec<_> = out.lines().map(|line| line.split("...").next().unwrap()).collect();
    assert_eq!((code, names), (Some(3), vec!["project/.git/logs/HEAD:1:1: phx_", "project/a:1:1: ekm_"]));
    assert!(stderr.contains("found 2 keys in 2 files"), "{stderr}");
}

#[test]
fn an_unreadable_file_is_named_and_the_others_are_scanned() {
    let site = Site::empty();
    fs::write(site.dir.path().join("last"), key(2)).unwrap();
    let (code, out, stderr) = scan(&site, &["missing", "last"], "");
    assert_eq!(code, Some(1));
    assert!(out.starts_with("last:1:1: phx_..."), "{out}");
    for words in ["missing: No such file", "1 of the files could not be read"] {
        assert!(stderr.contains(words), "{stderr}");
    }
}
