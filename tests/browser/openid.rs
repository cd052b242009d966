//! Signing in with an OpenID provider.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_stack::ports::Addresses;
use test_stack::process::Process;
use test_stack::{Options, paths, ports};

use crate::driver::WIDE;
use crate::site::Site;

const BUTTON: &str = "Sign in with Example SSO";
const CALLBACK: &str = "/sign-in/openid/sso/callback";
const SECRET: &str = "the secret of the client";

/// A site whose visitor has an account at a provider.
struct Setup {
    site: Site,
    issuer: String,
    _provider: Process,
    _folder: TempDir,
}

impl Setup {
    fn start() -> Self {
        let folder = TempDir::with_prefix("edge-key-auth-openid-").unwrap();
        let (addresses, at) = (Addresses::free(0).unwrap(), ports::free().unwrap());
        let (public_url, issuer) = (format!("http://{}", addresses.public), format!("http://{at}"));
        let modules = paths::tool(paths::OPENID_NODE_VARIABLE).unwrap_or_else(|error| panic!("{error:#}"));
        let env = [
            ("OPENID_NODE_MODULES".to_owned(), modules.display().to_string()),
            ("CLIENT_SECRET".to_owned(), SECRET.to_owned()),
        ];
        let script = paths::openid().join("provider.mjs").display().to_string();
        let provider = Process::new(
            "openid",
            &paths::on_path("node").unwrap(),
            [script, at.port().to_string(), format!("{public_url}{CALLBACK}")],
            &env,
            folder.path().join("openid.log"),
            format!("{issuer}/.well-known/openid-configuration"),
        );
        provider.start().unwrap_or_else(|error| panic!("{error:#}"));

        let file = folder.path().join("providers.json");
        let providers = json!([{
            "name": "sso", "title": "Example SSO", "issuer": issuer, "client_id": "key-service",
            "client_secret_file": "secret", "email_domains": ["example.com"], "scopes": ["groups"],
            "groups_claim": "groups", "group_permissions": {"developers": ["insight:read"]},
        }]);
        fs::write(&file, providers.to_string()).unwrap();
        fs::write(folder.path().join("secret"), SECRET).unwrap();
        let key_service_env = vec![
            ("PUBLIC_URL".to_owned(), public_url),
            ("OPENID_PROVIDERS".to_owned(), file.display().to_string()),
        ];
        let options =
            Options { addresses: Some(addresses), envoys: 0, key_service_env, ..Options::default() };
        let site = Site::start_with(WIDE, options);
        Setup { site, issuer, _provider: provider, _folder: folder }
    }

    /// Makes the visitor's account at the provider have these claims.
    fn set_claims(&self, more: &Value) {
        let mut claims = json!({"sub": "7", "email": "ada@example.com", "email_verified": true});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ureq::put(format!("{}/person", self.issuer)).send(claims.to_string()).unwrap();
    }

    /// Signs in from the page of the account, and returns the text of the page that this leads to.
    #[track_caller]
    fn sign_in(&self, leads_to: &str) -> String {
        let site = &self.site;
        site.visit("/account");
        site.click(BUTTON);
        site.until("the page after the sign-in", || {
            let url = site.try_run(site.driver.current_url()).ok()?;
            let text = site.try_run(site.driver.execute("return document.body.innerText", Vec::new()));
            let text = text.ok()?.json().as_str()?.to_owned();
            (url.path() == leads_to && !text.contains("You are signed in")).then_some(text)
        })
    }
}

#[test]
#[ignore = "needs a browser and an OpenID provider: cargo xtask test"]
fn a_user_of_a_provider_signs_in_with_the_permissions_of_its_groups() {
    let setup = Setup::start();
    let site = &setup.site;
    setup.set_claims(&json!({"groups": ["developers"]}));
    site.visit("/sign-in");
    site.look("sign-in-with-provider");
    let account = setup.sign_in("/account");
    assert!(account.contains("ada@example.com") && account.contains("insight:read"), "{account}");
    site.visit("/account/keys");
    assert_eq!(site.path(), "/account/keys");

    site.follow("Sign out");
    setup.set_claims(&json!({"groups": []}));
    let account = setup.sign_in("/account");
    assert!(account.contains("None. Your keys do not work anywhere."), "{account}");

    site.follow("Sign out");
    setup.set_claims(&json!({"email_verified": false}));
    let refused = setup.sign_in(CALLBACK);
    assert!(refused.contains("Your email address is not verified at the provider."), "{refused}");
    site.look("refused-by-provider");
    site.visit("/account");
    assert_eq!(site.path(), "/sign-in");

    setup.set_claims(&json!({}));
    an_answer_with_another_state_or_from_another_browser_is_refused(&setup);

    site.add_admin("grace@example.com");
    site.sign_in("grace@example.com");
    site.visit("/admin/users");
    site.follow("ada@example.com");
    assert!(site.text().contains("Example SSO"), "{}", site.text());
    site.look("user-of-provider");
}

/// The provider's answer is the one that it gives a browser, but arrives changed.
fn an_answer_with_another_state_or_from_another_browser_is_refused(setup: &Setup) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build();
    let agent = agent.new_agent();
    let begun = agent.get(setup.site.url("/sign-in/openid/sso")).call().unwrap();
    let cookie = begun.headers()["set-cookie"].to_str().unwrap().to_owned();
    for attribute in ["HttpOnly", "SameSite=Lax", "Max-Age=600"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap();
    let address = begun.headers()["location"].to_str().unwrap();

    // A browser would follow the provider's redirects, with its cookies, up to the callback.
    let (mut at, mut cookies) = (address.to_owned(), Vec::new());
    while !at.starts_with(&setup.site.url(CALLBACK)) {
        let answer = agent.get(&at).header("cookie", cookies.join("; ")).call().unwrap();
        let set = answer.headers().get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
        cookies.extend(set.map(|cookie| cookie.split(';').next().unwrap().to_owned()));
        let next = answer.headers()["location"].to_str().unwrap();
        at = if next.starts_with('/') { format!("{}{next}", setup.issuer) } else { next.to_owned() };
    }
    let state = at.split(['?', '&']).find(|pair| pair.starts_with("state=")).unwrap().to_owned();
    let status =
        |url: &str, cookie: &str| agent.get(url).header("cookie", cookie).call().unwrap().status().as_u16();
    assert_eq!(status(&at.replace(&state, "state=forged"), cookie), 400);
    assert_eq!(status(&at, ""), 400);
    // The same answer, unchanged and in the right browser.
    assert_eq!(status(&at, cookie), 200);
}
