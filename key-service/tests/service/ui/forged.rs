//! Receipts that the service did not write: a browser chooses their keys.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde_json::{Value, json};

use super::{Receipt, Shown, Tab};
use crate::support::{DEMO, TestApp};

/// The receipt of a change whose edges are awaited.
fn awaited(epoch: &str, revision: u64) -> Value {
    let change = json!({"name": "forged", "mask": null, "notes": [], "back": ["/", "Back"]});
    let wait = json!({"epoch": epoch, "revision": revision, "made_at": 0, "effect": "Refused"});
    json!({"title": "Forged", "place": "Outside", "shows": {"Change": change}, "end": {"Propagated": wait}})
}

/// Opens sealed content on the path of a genuine receipt, with the cookie's name of that receipt.
async fn open(tab: &Tab, genuine: &Receipt, user_id: &str, content: &Value) -> Shown {
    let path = genuine.address.split('?').next().unwrap();
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).unwrap());
    let mut sealed = serde_json::to_vec(content).unwrap();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    key.seal_in_place_append_tag(nonce, Aad::from(format!("{path}\n{user_id}")), &mut sealed).unwrap();
    let address = format!("{path}?sealed={}", URL_SAFE_NO_PAD.encode(sealed));
    let name = genuine.cookie.split('=').next().unwrap();
    let cookie = format!("{name}={}", URL_SAFE_NO_PAD.encode([7; 32]));
    Shown::read(tab.request(Method::GET, &address).header("cookie", cookie).send().await.unwrap()).await
}

#[tokio::test]
async fn a_forged_receipt_awaits_nothing() {
    let app = TestApp::start().await;
    let (nobody, demo) = (Tab::of_nobody(&app), Tab::of(&app.demo()));
    let value = "phx_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let reported = Receipt::of(&nobody.send("/leaked", &[("value", value)]).await).unwrap();
    let text = json!({"Text": "Refused everywhere."});
    let mut said = awaited("x", 1);
    said["end"] = text;
    assert_eq!(open(&nobody, &reported, "", &said).await.status, 200, "the content can be forged");
    let refused = open(&nobody, &reported, "", &awaited("x", 1)).await;
    assert!(refused.status == 404 && !refused.has("Forged"), "{}", refused.html);
    let mut value = said;
    value["shows"] = json!({"NewValue": {
        "noun": "Key", "name": "forged", "value": "x", "advice": "", "command": null, "old_value": null, "back": "/",
    }});
    assert_eq!(open(&nobody, &reported, "", &value).await.status, 404);

    let key = app.demo().create_key("CI", &["*"]).await;
    let edit = super::key_page(&key, "");
    let saved = demo.send(&edit, &[("label", "b"), ("access", "all"), ("expires_at", "keep")]).await;
    let saved = Receipt::of(&saved).unwrap();
    let epoch = app.verify(&["phx_x"]).await.epoch.to_string();
    for (epoch, revision) in [("x", 1), (epoch.as_str(), u64::from(u32::MAX))] {
        let shown = open(&demo, &saved, &app.user_id(DEMO), &awaited(epoch, revision)).await;
        assert!(shown.status == 200 && shown.has("It is no longer known whether"), "{}", shown.html);
    }
}
