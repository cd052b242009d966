//! The link that the first start prints.

use std::process::Stdio;

use serde_json::Value;

use crate::api::links::works;
use crate::support::{DEMO, Process, Site, TOKEN, text};
use crate::ui::Tab;

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
    let stored = site.storage.content();
    assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()));
    assert_eq!(printed(&Site::with_users()), "");
}

#[tokio::test]
async fn of_replicas_that_start_at_once_one_prints_a_link_that_works() {
    let site = Site::empty();
    let starts = [(); 3].map(|()| {
        let site = Site::at(&site.storage.url());
        tokio::task::spawn_blocking(|| Process::on(site))
    });
    let mut services = Vec::new();
    for start in starts {
        services.push(start.await.unwrap());
    }
    for app in &services {
        let mut working = 0;
        for printed in &services {
            working += usize::from(works(app, &printed.first_link()).await);
        }
        assert_eq!(working, 1);
    }
}

#[tokio::test]
async fn the_first_admins_link_lives_an_hour_and_a_command_replaces_it() {
    let app = Process::on(Site::empty());
    let first = app.first_link();
    assert!(works(&app, &first).await);
    app.alter("UPDATE one_time_links SET expires_at = expires_at - 3540000").await;
    assert!(works(&app, &first).await, "after 59 minutes");
    app.alter("UPDATE one_time_links SET expires_at = expires_at - 60000").await;
    assert!(!works(&app, &first).await, "after an hour");

    let second = app.site.json(&["user", "first-link", "--json"]);
    assert_eq!((second["expires_in_s"].as_u64(), &second["url"]), (Some(3600), &Value::Null));
    assert!(works(&app, text(&second, "path")).await);
    let third = app.site.ok(&["user", "first-link", "--public-url", "https://keys.example.com"], "");
    assert!(!works(&app, text(&second, "path")).await, "the newer one replaces it");
    let third = third.trim().strip_prefix("https://keys.example.com").unwrap();
    assert!(works(&app, third).await);
    let made = app.site.json(&["audit", "--action", "link.created", "--json"]);
    let by: Vec<_> = made.as_array().unwrap().iter().map(|entry| text(entry, "actor_kind")).collect();
    assert_eq!(by, ["command_line", "command_line", "service"]);

    let added = app.site.run(&["user", "add", DEMO, "--without-password"], "");
    let hint = String::from_utf8(added.stderr).unwrap();
    assert!(hint.contains(&format!("there is no admin yet; `key-service user admin {DEMO}`")), "{hint}");
    assert!(works(&app, third).await, "there is a user, but no admin");
    let first_link = app.site.ok(&["user", "first-link"], "");
    assert!(works(&app, first_link.trim()).await);
    assert_eq!(
        printed(&Site::at(&app.site.storage.url())),
        "",
        "a start writes no secret to the log for a used database"
    );
    let new = [("password", "correct horse battery"), ("repeated_password", "correct horse battery")];
    let taken = Tab::of_nobody(&app).post(first_link.trim(), &[&[("email", DEMO)], &new[..]].concat()).await;
    assert!(taken.status == 400 && taken.has("A user with this address already exists."), "{}", taken.html);
    app.site.ok(&["user", "admin", DEMO], "");
    assert!(!works(&app, first_link.trim()).await, "there is an admin");
    assert!(app.site.fails(&["user", "first-link"], "").contains("an admin already exists"));
}
