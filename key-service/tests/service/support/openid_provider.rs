//! An OpenID provider that signs what a test says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreEdDsaPrivateSigningKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKeyId, PrivateSigningKey};
use reqwest::Response;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use super::{Site, TestApp};

/// A running provider.
pub(crate) struct OpenIdProvider {
    pub(crate) issuer: String,
    key: CoreEdDsaPrivateSigningKey,
    /// The ID token that the token endpoint answers.
    token: Arc<Mutex<String>>,
}

impl OpenIdProvider {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
        let id = JsonWebKeyId::new("one".to_owned());
        let key = CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(id)).unwrap();
        let document = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/auth"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["EdDSA"],
        });
        let keys = json!({"keys": [key.as_verification_key()]});
        let token = Arc::new(Mutex::new(String::new()));
        let sent = token.clone();
        let answer = move || async move {
            let token = sent.lock().unwrap().clone();
            Json(json!({"access_token": "x", "token_type": "Bearer", "id_token": token}))
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(move || async move { Json(document) }))
            .route("/jwks", get(move || async move { Json(keys) }))
            .route("/token", post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        OpenIdProvider { issuer, key, token }
    }

    /// The provider's entry in the file, with these fields besides the required ones.
    pub(crate) fn entry(&self, name: &str, more: &Value) -> Value {
        let mut entry = json!({
            "name": name, "title": format!("Provider {name}"), "issuer": self.issuer, "client_id": "keys",
            "client_secret_file": "secret", "email_domains": ["example.com"],
        });
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    }

    /// Signs in with the provider of that name, as the browser of a person with a subject, an address and more claims.
    pub(crate) async fn sign_in(
        &self,
        app: &TestApp,
        name: &str,
        (subject, email): (&str, &str),
        more: &Value,
    ) -> Response {
        let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        let path = format!("{}/sign-in/openid/{name}", app.public);
        let begun = client.get(&path).send().await.unwrap();
        assert_eq!(begun.status(), 303);
        let cookie = begun.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let address = begun.headers()["location"].to_str().unwrap();
        let query = address.split_once('?').unwrap().1.as_bytes();
        let sent: HashMap<_, _> = form_urlencoded::parse(query).into_owned().collect();
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": self.issuer, "aud": "keys", "iat": now_s, "exp": now_s + 60, "nonce": sent["nonce"],
            "sub": subject, "email": email, "email_verified": true,
        });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(json!({"alg": "EdDSA", "kid": "one"})), part(claims));
        let signature = self.key.sign(&CoreJwsSigningAlgorithm::EdDsa, signed.as_bytes()).unwrap();
        *self.token.lock().unwrap() = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        let callback = format!("{path}/callback?code=x&state={}", sent["state"]);
        client.get(callback).header("cookie", cookie).send().await.unwrap()
    }
}

impl TestApp {
    /// A service with the prepared users and with these providers.
    pub(crate) async fn with_providers(entries: &[Value], flags: &[&str]) -> Self {
        let site = tokio::task::spawn_blocking(Site::with_sessions).await.unwrap();
        let file = site.dir.path().join("providers.json");
        std::fs::write(&file, json!(entries).to_string()).unwrap();
        std::fs::write(site.dir.path().join("secret"), "the secret of the client\n").unwrap();
        let file = format!("--openid-providers={}", file.display());
        Self::on(site, &[&[&*file, "--public-url=http://127.0.0.1:8080"], flags].concat()).await
    }
}
