//! The edges that hold a lease.

use serde_json::{Value, json};

use crate::support::scripted_edge::Edge;
use crate::support::{TOKEN, TestApp, client, key_path, read};
use crate::ui::Tab;

#[tokio::test]
async fn the_edges_that_hold_a_lease_are_shown_without_their_whole_ids() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let lagging = Edge::subscribed(&app, "11111111-of-an-edge").await;
    let key = demo.create_key("one", &["*"]).await;
    let deleting = tokio::spawn({
        let demo = demo.clone();
        async move { demo.delete(&key_path(&key)).await }
    });
    let edges = loop {
        let (_, edges) = admin.get("/api/edges/").await;
        if edges["revision"].as_u64() > Some(0) {
            break edges;
        }
    };
    let shown = &edges["edges"][0];
    assert_eq!(shown["edge"], "11111111…");
    let unknown = ["node", "cluster", "version"].map(|name| shown[name].clone());
    assert_eq!(unknown, [Value::Null, Value::Null, Value::Null], "an older filter does not say: {edges}");
    assert!(shown["acknowledged"].as_u64() < edges["revision"].as_u64(), "{edges}");
    let left = shown["lease_ends_in_ms"].as_u64().unwrap();
    assert!((1..=7_000).contains(&left), "{edges}");
    drop(lagging);
    assert_eq!(deleting.await.unwrap().0, 200);
}

#[tokio::test]
async fn the_envoy_of_an_edge_is_shown_in_visible_characters() {
    let app = TestApp::start().await;
    for version in ["1.36.4", "1.40.0"] {
        let node =
            json!({"id": "router~10.0.0.7\u{0}\u{202e}", "cluster": "<b>shop</b>", "version": version});
        let sync = json!({"edge": "e", "epoch": null, "cursor": null, "wait_ms": 0, "node": node});
        let request = client().post(format!("{}/edge/v1/sync", app.edge)).bearer_auth(TOKEN).json(&sync);
        assert_eq!(read(request).await.0, 200);
        let (_, edges) = app.admin().get("/api/edges/").await;
        let shown = &edges["edges"][0];
        assert_eq!(shown["node"], "router~10.0.0.7????", "{edges}");
        assert_eq!(
            (&shown["cluster"], &shown["version"]),
            (&json!("<b>shop</b>"), &json!(version)),
            "{edges}"
        );
    }
    let table = app.site.ok(&["edges"], "");
    assert!(table.contains("router~10.0.0.7????  <b>shop</b>  1.40.0"), "{table}");
    let page = Tab::of(&app.admin()).get("/admin/edges").await;
    assert!(page.has("router~10.0.0.7????") && page.has("1.40.0"), "{}", page.html);
    assert!(page.has("&#60;b&#62;shop"), "{}", page.html);
}
