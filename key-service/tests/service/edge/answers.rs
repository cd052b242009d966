//! An answer of each route of the edge listener.

use insta::assert_snapshot;
use protocol::KeyDigest;
use serde_json::json;

use crate::support::scripted_edge::Edge;
use crate::support::transcript::Transcript;
use crate::support::{TOKEN, TestApp, client, key_path, text};

#[tokio::test]
async fn of_the_edge_api() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("CI", &["insight:read"]).await;
    let mut transcript = Transcript::of(&app);
    let digests = vec![KeyDigest::of_value(text(&key, "value")), KeyDigest::of_value("phx_of_nobody")];
    transcript.send(app.ask(TOKEN, digests)).await;

    let mut edge = Edge::new(&app, "0123456789abcdef");
    transcript.send(edge.asks(0)).await;
    edge.sync(0).await;
    assert_eq!(demo.patch(&key_path(&key), json!({"label": "Build"})).await.0, 200);
    transcript.send(edge.asks(0)).await;
    assert_snapshot!("edge_api", transcript);
}

#[tokio::test]
async fn of_health_and_readiness() {
    let app = TestApp::start().await;
    let mut transcript = Transcript::of(&app);
    for path in ["/healthz", "/readyz"] {
        transcript.send(client().get(format!("{}{path}", app.edge))).await;
    }
    assert_snapshot!("health_and_readiness", transcript);
}
