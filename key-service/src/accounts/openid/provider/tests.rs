//! A provider of the tests, which signs what a test says.

use std::collections::HashMap;
use std::sync::{Mutex as SyncMutex, MutexGuard};

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::CoreEdDsaPrivateSigningKey;
use openidconnect::{JsonWebKeyId, PrivateSigningKey};
use serde_json::json;

use super::super::settings::tests::provider_with;
use super::*;
use crate::time::Timestamp;

const REDIRECT: &str = "https://keys.example.com/sign-in/openid/sso/callback";

/// What the provider answers.
struct Script {
    is_down: bool,
    metadata: Value,
    key: CoreEdDsaPrivateSigningKey,
    /// The keys that it publishes.
    published: Value,
    header: Value,
    claims: Value,
    /// What the last exchange sent.
    exchanged: HashMap<String, String>,
    /// The number of requests for the discovery document.
    discoveries: u32,
}

/// A running provider, and the service's view of it.
struct Scene {
    script: Arc<SyncMutex<Script>>,
    issuer: String,
    provider: Provider,
}

fn new_key(id: Option<&str>) -> CoreEdDsaPrivateSigningKey {
    let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    let id = id.map(|id| JsonWebKeyId::new(id.to_owned()));
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, id).unwrap()
}

fn published(key: &CoreEdDsaPrivateSigningKey) -> Value {
    json!({"keys": [key.as_verification_key()]})
}

impl Scene {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = new_key(Some("one"));
        let script = Arc::new(SyncMutex::new(Script {
            is_down: false,
            metadata: json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/auth"),
                "token_endpoint": format!("{issuer}/token"),
                "jwks_uri": format!("{issuer}/jwks"),
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["EdDSA"],
            }),
            published: published(&key),
            key,
            header: json!({"alg": "EdDSA", "kid": "one"}),
            claims: json!({}),
            exchanged: HashMap::new(),
            discoveries: 0,
        }));
        let (document, keys, token) = (script.clone(), script.clone(), script.clone());
        let document = move || async move {
            let mut script = document.lock().unwrap();
            script.discoveries += 1;
            if script.is_down { Err("down") } else { Ok(Json(script.metadata.clone())) }
        };
        let keys = move || async move { Json(keys.lock().unwrap().published.clone()) };
        let token = move |sent: String| async move {
            let mut script = token.lock().unwrap();
            script.exchanged = form_urlencoded::parse(sent.as_bytes()).into_owned().collect();
            let id_token = script.id_token();
            Json(json!({"access_token": "x", "token_type": "Bearer", "id_token": id_token}))
        };
        let refuses = async || (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"})));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(document))
            .route("/jwks", get(keys))
            .route("/down", post(async || StatusCode::SERVICE_UNAVAILABLE))
            .route("/refuses", post(refuses))
            .route("/token", post(token));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let provider = Provider::new(provider_with(&json!({ "issuer": issuer }))).unwrap();
        Scene { script, issuer, provider }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Begins a sign-in, whose token has valid claims.
    async fn begin(&self) -> PendingSignIn {
        let redirect = RedirectUrl::new(REDIRECT.to_owned()).unwrap();
        let (_, pending) = self.provider.begin(redirect, "/account").await.unwrap();
        let now_s = Timestamp::now().unix_ms() / 1_000;
        self.script().claims = json!({
            "iss": self.issuer, "aud": "keys", "sub": "7", "iat": now_s, "exp": now_s + 60,
            "nonce": pending.nonce, "email": "demo@example.com", "email_verified": true, "groups": ["dev"],
        });
        pending
    }

    async fn finish(&self, pending: &PendingSignIn, issuer: Option<&str>) -> Result<Claims, ProviderError> {
        let redirect = RedirectUrl::new(REDIRECT.to_owned()).unwrap();
        let answer = AuthorizationResponse { code: "a code".to_owned(), issuer: issuer.map(str::to_owned) };
        self.provider.finish(redirect, pending, answer).await
    }

    /// Makes what was fetched, and the last failure, older.
    async fn pass(&self, time: Duration) {
        let mut discovered = self.provider.discovered.lock().await;
        discovered.metadata.as_mut().into_iter().for_each(|(at, _)| *at -= time);
        discovered.failure.as_mut().into_iter().for_each(|(at, _)| *at -= time);
    }
}

impl Script {
    fn id_token(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&self.header), part(&self.claims));
        let signature = match self.header["alg"].as_str().unwrap() {
            "none" => Vec::new(),
            "HS256" => {
                use hmac::{Hmac, KeyInit, Mac};
                let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"hidden").unwrap();
                mac.update(signed.as_bytes());
                mac.finalize().into_bytes().to_vec()
            }
            _ => self.key.sign(&CoreJwsSigningAlgorithm::EdDsa, signed.as_bytes()).unwrap(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[tokio::test]
async fn a_sign_in_asks_for_a_code_and_ends_with_the_claims() {
    let scene = Scene::start().await;
    let redirect = RedirectUrl::new(REDIRECT.to_owned()).unwrap();
    let (url, pending) = scene.provider.begin(redirect, "/account").await.unwrap();
    let (address, query) = url.split_once('?').unwrap();
    assert_eq!(address, format!("{}/auth", scene.issuer));
    let sent: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let verifier = PkceCodeVerifier::new(pending.verifier.clone());
    let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "keys"),
        ("redirect_uri", REDIRECT),
        ("scope", "openid email"),
        ("state", pending.state.as_str()),
        ("nonce", pending.nonce.as_str()),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(sent[name], value, "{name}");
    }

    let pending = scene.begin().await;
    let claims = scene.finish(&pending, None).await.unwrap();
    assert_eq!((claims.subject.as_str(), claims.email.as_deref()), ("7", Some("demo@example.com")));
    assert_eq!((claims.email_verified, &claims.others["groups"]), (Some(true), &json!(["dev"])));
    let script = scene.script();
    assert_eq!(
        (&*script.exchanged["code"], &script.exchanged["code_verifier"]),
        ("a code", &pending.verifier)
    );
    assert_eq!(script.discoveries, 1, "the document is kept");
}

#[tokio::test]
async fn a_token_that_is_not_for_this_sign_in_is_refused() {
    let scene = Scene::start().await;
    let now_s = Timestamp::now().unix_ms() / 1_000;
    for (name, value) in [
        ("nonce", json!("another")),
        ("nonce", Value::Null),
        ("aud", json!("another")),
        ("aud", json!(["keys", "another"])),
        ("iss", json!("https://another.example.com")),
        ("exp", json!(now_s - 1)),
    ] {
        let pending = scene.begin().await;
        scene.script().claims[name] = value.clone();
        let refused = scene.finish(&pending, None).await;
        assert!(matches!(refused, Err(ProviderError::IdToken(_))), "{name} {value}: {refused:?}");
    }
    // Anyone can sign with no key, and everyone who knows the client's secret with that.
    for alg in ["none", "HS256"] {
        let pending = scene.begin().await;
        scene.script().header = json!({"alg": alg});
        let refused = scene.finish(&pending, None).await;
        let is_of_algorithm = matches!(
            refused,
            Err(ProviderError::IdToken(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::DisallowedAlg(_) | SignatureVerificationError::NoSignature
            )))
        );
        assert!(is_of_algorithm, "{alg}: {refused:?}");
    }
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_refused() {
    let scene = Scene::start().await;
    let pending = scene.begin().await;
    assert!(scene.finish(&pending, Some(&scene.issuer)).await.is_ok());
    let refused = scene.finish(&pending, Some("https://another.example.com")).await;
    assert!(matches!(refused, Err(ProviderError::OtherIssuer)), "{refused:?}");
    scene.script().metadata["authorization_response_iss_parameter_supported"] = true.into();
    scene.pass(MAX_AGE).await;
    let refused = scene.finish(&pending, None).await;
    assert!(matches!(refused, Err(ProviderError::OtherIssuer)), "{refused:?}");
}

#[tokio::test]
async fn a_new_key_of_the_provider_is_fetched_when_no_known_one_fits_a_token() {
    let scene = Scene::start().await;
    for id in [Some("two"), None, None] {
        let pending = scene.begin().await;
        let key = new_key(id);
        {
            let mut script = scene.script();
            script.published = published(&key);
            script.key = key;
            script.header = json!({"alg": "EdDSA"});
            if let Some(id) = id {
                script.header["kid"] = id.into();
            }
        }
        let refused = scene.finish(&pending, None).await;
        assert!(matches!(refused, Err(ProviderError::IdToken(_))), "fetched a moment ago: {refused:?}");
        scene.pass(MAX_AGE_FOR_OTHER_KEY).await;
        assert!(scene.finish(&pending, None).await.is_ok(), "{id:?}");
    }
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_is_an_outage() {
    let scene = Scene::start().await;
    for endpoint in ["http://127.0.0.1:9/token".to_owned(), format!("{}/down", scene.issuer)] {
        scene.script().metadata["token_endpoint"] = endpoint.as_str().into();
        scene.pass(MAX_AGE).await;
        let pending = scene.begin().await;
        let error = scene.finish(&pending, None).await.unwrap_err();
        assert!(matches!(error, ProviderError::TokenEndpoint(_)) && error.is_outage(), "{endpoint}: {error}");
    }
    // An answer that refuses the code is none.
    scene.script().metadata["token_endpoint"] = format!("{}/refuses", scene.issuer).into();
    scene.pass(MAX_AGE).await;
    let pending = scene.begin().await;
    let error = scene.finish(&pending, None).await.unwrap_err();
    assert!(matches!(error, ProviderError::Exchange(_)) && !error.is_outage(), "{error}");
}

#[tokio::test]
async fn a_truth_value_may_be_a_text() {
    let scene = Scene::start().await;
    for (sent, is_verified) in [(json!("true"), true), (json!("false"), false)] {
        let pending = scene.begin().await;
        scene.script().claims["email_verified"] = sent;
        assert_eq!(scene.finish(&pending, None).await.unwrap().email_verified, Some(is_verified));
    }
}

#[tokio::test]
async fn a_provider_that_is_down_is_not_asked_again_at_once_and_its_keys_are_kept() {
    let scene = Scene::start().await;
    scene.script().is_down = true;
    let redirect = || RedirectUrl::new(REDIRECT.to_owned()).unwrap();
    for _ in 0..2 {
        let error = scene.provider.begin(redirect(), "").await.err().unwrap();
        assert!(matches!(error, ProviderError::Discovery(_)) && error.is_outage(), "{error}");
    }
    assert_eq!(scene.script().discoveries, 1);
    scene.script().is_down = false;
    scene.pass(RETRY_AFTER).await;
    let pending = scene.begin().await;
    scene.script().is_down = true;
    scene.pass(MAX_AGE).await;
    assert!(scene.finish(&pending, None).await.is_ok());
    assert_eq!(scene.script().discoveries, 3);
}

#[tokio::test]
async fn no_secret_travels_to_an_address_without_tls() {
    let scene = Scene::start().await;
    let redirect = RedirectUrl::new(REDIRECT.to_owned()).unwrap();
    scene.script().metadata["authorization_endpoint"] = "http://sso.example.com/auth".into();
    let error = scene.provider.begin(redirect, "").await.err().unwrap();
    assert!(matches!(error, ProviderError::Insecure(_)), "{error}");
    scene.script().metadata["authorization_endpoint"] = format!("{}/auth", scene.issuer).into();
    scene.script().metadata["token_endpoint"] = "http://sso.example.com/token".into();
    scene.pass(MAX_AGE).await;
    let pending = scene.begin().await;
    let error = scene.finish(&pending, None).await.unwrap_err();
    assert!(
        matches!(error, ProviderError::TokenEndpoint(_)) && error.to_string().contains("https"),
        "{error}"
    );
}
