//! The text of each page.

use insta::assert_snapshot;

use super::{ADMIN_PAGES, OWN_PAGES, Tab, key_page};
use crate::support::scripted_edge::Edge;
use crate::support::transcript::without_ids;
use crate::support::{OTHER, TestApp, text};

/// Elements that are part of a word, and those that stand between words.
const IN_WORDS: [&str; 7] = ["a", "abbr", "code", "em", "strong", "time", "small"];
const BETWEEN_WORDS: [&str; 4] = ["bdi", "input", "label", "span"];

/// The text of a page's main element: a line for each block, and `[time]` for each time.
fn text_of(html: &str) -> String {
    let (_, main) = html.split_once("<main").unwrap();
    let (main, _) = main.split_once("</main>").unwrap();
    let mut text = String::new();
    let mut is_time = false;
    for part in main.split('<').skip(1) {
        let (tag, after) = part.split_once('>').unwrap();
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap();
        text += match name {
            _ if IN_WORDS.contains(&name) => "",
            _ if BETWEEN_WORDS.contains(&name) => " ",
            _ => "\n",
        };
        let words = after.replace('\n', " ");
        if name == "time" {
            is_time = !tag.starts_with('/');
            text += if is_time { "[time]" } else { &words };
        } else if !is_time {
            text += &words;
        }
    }
    for (escaped, is) in
        [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&nbsp;", " "), ("&#38;", "&")]
    {
        text = text.replace(escaped, is);
    }
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    // The page shows the end of a lease in seconds, which differ from run to run.
    let lines = lines.map(|line| match line.strip_prefix("in ") {
        Some(rest) if rest.ends_with(" s") => "in [time]".to_owned(),
        _ => line,
    });
    without_ids(&lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n"))
}

#[tokio::test]
async fn of_every_page() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("CI", &["insight:read", "cohort:write"]).await;
    app.admin().create_token(None).await;
    Edge::subscribed(&app, "0123456789abcdef").await;
    // The log of this test alone, and no time in its details.
    app.alter("DELETE FROM audit_log WHERE action NOT LIKE 'key.%' AND action NOT LIKE 'token.%'").await;
    let (nobody, own, admin) = (Tab::of_nobody(&app), Tab::of(&demo), Tab::of(&app.admin()));
    for path in ["/sign-in", "/leaked", "/nowhere", "/link/wrong"] {
        snapshot(path, &nobody.get(path).await.html);
    }
    snapshot("sign_in_again", &nobody.get("/sign-in?reason=session_ended").await.html);
    for path in OWN_PAGES {
        snapshot(path, &own.get(path).await.html);
    }
    for (name, page) in [("key", ""), ("key_roll", "/roll"), ("key_delete", "/delete")] {
        snapshot(name, &own.get(&key_page(&key, page)).await.html);
    }
    snapshot("forbidden", &own.get(ADMIN_PAGES[0]).await.html);
    for path in ADMIN_PAGES {
        snapshot(path, &admin.get(path).await.html);
    }
    snapshot("admin_user", &admin.get(&format!("/admin/users/{}", app.user_id(OTHER))).await.html);
    for verb in ["disable", "make_admin"] {
        let page = format!("/admin/users/{}/confirm/{verb}", app.user_id(OTHER));
        snapshot(&format!("admin_user_{verb}"), &admin.get(&page).await.html);
    }
    let delete = format!("/admin/users/{}/delete", app.user_id(OTHER));
    snapshot("admin_user_delete", &admin.get(&delete).await.html);
    let delete = format!("/admin/keys/{}/delete", text(&key, "id"));
    snapshot("admin_key_delete", &admin.get(&delete).await.html);
}

fn snapshot(name: &str, html: &str) {
    let name = name.trim_start_matches('/').replace(['/', '-'], "_");
    assert_snapshot!(name, text_of(html));
}
