//! A key's life: created, used, rolled, deleted.

use serde_json::{Value, json};

use crate::account::Account;
use crate::client::get;
use crate::stack;

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_key_works_from_its_creation_to_its_deletion() {
    let stack = stack();
    let edge = stack.envoys()[0].address();
    let account = Account::demo(stack.key_service());
    let (id, value) = account.create_key("CI", &["insight:read"]);
    assert_eq!(value.len(), 54);
    assert_eq!(get(edge, "/api/insights/", &value).status, 200);
    assert_eq!(get(edge, "/api/projects/", &value).status, 403);

    for path in ["/api/personal_api_keys/".to_owned(), format!("/api/personal_api_keys/{id}/")] {
        let shown = account.call("GET", &path, &Value::Null);
        assert_eq!(shown.status, 200);
        assert!(!shown.text().contains(&value[8..46]), "{}", shown.text());
    }

    let rolled = account.call("POST", &format!("/api/personal_api_keys/{id}/roll/"), &json!({}));
    assert_eq!(rolled.status, 200, "{}", rolled.text());
    let rolled = rolled.json()["value"].as_str().unwrap().to_owned();
    assert_ne!(rolled, value);
    assert_eq!(get(edge, "/api/insights/", &rolled).status, 200);
    assert_eq!(get(edge, "/api/insights/", &value).status, 401);

    account.delete_key(&id);
    assert_eq!(get(edge, "/api/insights/", &rolled).status, 401);
}
