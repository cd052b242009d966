//! The OpenID providers of the service: a JSON file of the operator.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use deserr::Deserr;
use openidconnect::{ClientId, ClientSecret, IssuerUrl};
use protocol::{Scope, ScopeSet};

use super::http::is_safe;
use crate::catalogue::Catalogue;
use crate::entries;
use crate::label::Label;
use crate::validation::{FieldErrors, NonEmpty, Violation};

/// The most providers. The sign-in page has a button for each.
const MAX_PROVIDERS: usize = 10;

/// The most characters of a provider's name.
const MAX_NAME_CHARS: usize = 32;

/// In `email_domains`: every domain.
const ANY_DOMAIN: &str = "*";

/// How the service uses a provider.
#[derive(Clone, Debug)]
pub(crate) struct ProviderSettings {
    /// Its name in addresses, in the audit log and in the log.
    pub(crate) name: String,
    /// Its name for people.
    pub(crate) title: String,
    /// The issuer of its ID tokens, and where its discovery document is.
    pub(crate) issuer: IssuerUrl,
    pub(super) client_id: ClientId,
    /// Its `Debug` prints no secret.
    pub(super) client_secret: ClientSecret,
    /// The OAuth scopes to ask for besides `openid` and `email`.
    pub(super) scopes: Vec<String>,
    pub(super) email_domains: EmailDomains,
    /// Whether an address counts as the user's even if the provider has not verified it.
    pub(super) trusts_unverified_email: bool,
    /// Whether an existing user with the same address becomes the provider's user.
    pub(super) links_by_email: bool,
    /// Whether someone without an account gets one.
    pub(super) creates_users: bool,
    /// The permissions of every user of the provider.
    pub(super) permissions: ScopeSet,
    pub(super) groups: Groups,
}

/// The domains whose addresses the provider vouches for.
#[derive(Clone, Debug)]
pub(super) enum EmailDomains {
    Any,
    These(Vec<String>),
}

impl EmailDomains {
    /// Whether an address, in its stored form, is in one of the domains.
    pub(super) fn include(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
        match self {
            EmailDomains::Any => true,
            EmailDomains::These(domains) => domains.iter().any(|known| known == domain),
        }
    }
}

/// What the groups of a user decide.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    /// The claim that names the user's groups.
    pub(super) claim: String,
    /// The permissions of each group. If `None`, groups leave permissions as they are.
    pub(super) permissions: Option<BTreeMap<String, ScopeSet>>,
    /// The groups of admins. If `None`, groups leave roles as they are.
    pub(super) admins: Option<Vec<String>>,
}

impl Groups {
    /// Whether they decide permissions or the role.
    pub(super) fn decide_rights(&self) -> bool {
        self.permissions.is_some() || self.admins.is_some()
    }
}

/// Why a file cannot be used: each problem, with the path of its entry or field.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub(crate) struct InvalidProviders(pub(crate) Vec<String>);

/// An entry of the file.
#[derive(Deserr)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
struct ProviderFields {
    #[deserr(try_from(String) = valid_name -> Violation)]
    name: String,
    title: Label,
    #[deserr(try_from(String) = valid_issuer -> Violation)]
    issuer: IssuerUrl,
    client_id: NonEmpty,
    #[deserr(default)]
    client_secret_file: Option<String>,
    #[deserr(default)]
    client_secret_variable: Option<String>,
    #[deserr(default)]
    scopes: Vec<NonEmpty>,
    #[deserr(try_from(Vec<String>) = valid_domains -> Violation)]
    email_domains: EmailDomains,
    #[deserr(default)]
    trust_unverified_email: bool,
    #[deserr(default)]
    link_by_email: bool,
    #[deserr(default = true)]
    create_users: bool,
    #[deserr(default)]
    permissions: Vec<String>,
    #[deserr(default)]
    groups_claim: Option<NonEmpty>,
    #[deserr(default)]
    group_permissions: Option<BTreeMap<String, Vec<String>>>,
    #[deserr(default)]
    admin_groups: Option<Vec<NonEmpty>>,
}

fn valid_name(name: String) -> Result<String, Violation> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(Violation::input("Write lower-case letters, digits and -."));
    }
    if name.len() > MAX_NAME_CHARS {
        return Err(Violation::too_long(MAX_NAME_CHARS));
    }
    Ok(name)
}

fn valid_issuer(text: String) -> Result<IssuerUrl, Violation> {
    let issuer = IssuerUrl::new(text).map_err(|error| Violation::input(format!("Not a URL: {error}.")))?;
    let url = issuer.url();
    if !is_safe(url.as_str()) {
        return Err(Violation::input("Must be https://. Only a loopback address may be http://."));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(Violation::input("Must have neither a query, a fragment nor a user."));
    }
    Ok(issuer)
}

fn valid_domains(domains: Vec<String>) -> Result<EmailDomains, Violation> {
    let domains: Vec<_> = domains.into_iter().map(|domain| domain.to_lowercase()).collect();
    let is_domain = |domain: &String| !domain.is_empty() && !domain.contains(['@', '*', ' ']);
    match &domains[..] {
        [] => Err(Violation::empty()),
        [any] if any == ANY_DOMAIN => Ok(EmailDomains::Any),
        _ if domains.iter().all(is_domain) => Ok(EmailDomains::These(domains)),
        _ => Err(Violation::input("Write domains such as example.com, or only \"*\".")),
    }
}

/// Reads the file of the providers.
///
/// # Errors
/// The file cannot be read, or everything that is wrong with it.
pub(crate) fn read(
    path: &Path,
    catalogue: Option<&Catalogue>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<ProviderSettings>, InvalidProviders> {
    let text = entries::read(path).map_err(|error| InvalidProviders(vec![error.to_string()]))?;
    parse(&text, path.parent().unwrap_or(Path::new("")), catalogue, variable)
}

/// Reads the content of a file in a folder. Without a catalogue, the objects of permissions are not checked.
fn parse(
    text: &[u8],
    folder: &Path,
    catalogue: Option<&Catalogue>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<ProviderSettings>, InvalidProviders> {
    let list =
        entries::parse(text, MAX_PROVIDERS, "providers").map_err(|error| InvalidProviders(vec![error]))?;
    let (mut providers, mut problems) = (Vec::<ProviderSettings>::new(), entries::repeated_fields(text));
    for (place, value) in list.into_iter().enumerate() {
        let Some(entry) = entries::entry::<ProviderFields>(place, value, &mut problems) else { continue };
        let mut wrong = FieldErrors::default();
        // Users are found by issuer and subject, so each issuer has one provider.
        let is_new = |taken: bool| match taken {
            true => Err(Violation::input("An earlier provider has it already.")),
            false => Ok(()),
        };
        wrong.check("name", is_new(providers.iter().any(|provider| provider.name == entry.name)));
        wrong.check("issuer", is_new(providers.iter().any(|provider| provider.issuer == entry.issuer)));
        let provider = provider(entry, folder, catalogue, &variable, &mut wrong);
        problems.extend(wrong.iter().map(|error| entries::problem(place, error)));
        providers.extend(provider);
    }
    if problems.is_empty() { Ok(providers) } else { Err(InvalidProviders(problems)) }
}

/// The settings of an entry, or notes what is wrong with them.
fn provider(
    entry: ProviderFields,
    folder: &Path,
    catalogue: Option<&Catalogue>,
    variable: impl Fn(&str) -> Option<String>,
    wrong: &mut FieldErrors,
) -> Option<ProviderSettings> {
    let client_secret = match (entry.client_secret_file, entry.client_secret_variable) {
        (Some(file), None) => wrong.check("client_secret_file", secret_of_file(&folder.join(file))),
        (None, Some(name)) => wrong.check("client_secret_variable", secret_of_variable(&name, variable)),
        _ => {
            let detail = "Set either client_secret_file or client_secret_variable.";
            wrong.check("client_secret_file", Err(Violation::input(detail)))
        }
    };
    let scopes_of = |texts: &[String]| scopes(texts, catalogue);
    let permissions = wrong.check("permissions", scopes_of(&entry.permissions));
    let of_groups = entry.group_permissions.map(|of_groups| {
        let read = |(group, texts): (String, Vec<String>)| match scopes_of(&texts) {
            Ok(scopes) => Ok((group, scopes)),
            Err(violation) => Err(Violation::input(format!("{group:?}: {violation}"))),
        };
        of_groups.into_iter().map(read).collect::<Result<_, _>>()
    });
    let of_groups = wrong.check("group_permissions", of_groups.transpose());
    let uses_groups = of_groups != Some(None) || entry.admin_groups.is_some();
    if uses_groups != entry.groups_claim.is_some() {
        let detail = "Set it together with group_permissions, admin_groups, or both.";
        wrong.check::<()>("groups_claim", Err(Violation::input(detail)));
    }
    if entry.link_by_email && matches!(entry.email_domains, EmailDomains::Any) {
        let detail = "Name the email_domains: a provider cannot vouch for the addresses of every domain.";
        wrong.check::<()>("link_by_email", Err(Violation::input(detail)));
    }
    Some(ProviderSettings {
        name: entry.name,
        title: entry.title.into(),
        issuer: entry.issuer,
        client_id: ClientId::new(entry.client_id.as_ref().to_owned()),
        client_secret: client_secret?,
        scopes: entry.scopes.iter().map(|scope| scope.as_ref().to_owned()).collect(),
        email_domains: entry.email_domains,
        trusts_unverified_email: entry.trust_unverified_email,
        links_by_email: entry.link_by_email,
        creates_users: entry.create_users,
        permissions: permissions?,
        groups: Groups {
            claim: entry.groups_claim.map(|claim| claim.as_ref().to_owned()).unwrap_or_default(),
            permissions: of_groups?,
            admins: entry
                .admin_groups
                .map(|groups| groups.iter().map(|group| group.as_ref().to_owned()).collect()),
        },
    })
}

fn scopes(texts: &[String], catalogue: Option<&Catalogue>) -> Result<ScopeSet, Violation> {
    let scopes = ScopeSet::parse(texts.iter().map(String::as_str))
        .map_err(|invalid| Violation::input(invalid.to_string()))?;
    let is_unknown = |scope: &&Scope| catalogue.is_some_and(|catalogue| !catalogue.has(scope));
    if let Some(scope) = scopes.iter().find(is_unknown) {
        return Err(Violation::input(format!("{scope} is not in the scope catalogue.")));
    }
    Ok(scopes)
}

/// The secret in a file, without the white space around it.
fn secret_of_file(path: &PathBuf) -> Result<ClientSecret, Violation> {
    let cannot = |reason: &dyn fmt::Display| Violation::input(format!("{}: {reason}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| cannot(&error))?;
    secret(&text).ok_or_else(|| cannot(&"the file is empty"))
}

fn secret_of_variable(
    name: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<ClientSecret, Violation> {
    let text = variable(name).unwrap_or_default();
    secret(&text).ok_or_else(|| Violation::input(format!("The environment variable {name} is not set.")))
}

fn secret(text: &str) -> Option<ClientSecret> {
    let text = text.trim();
    (!text.is_empty()).then(|| ClientSecret::new(text.to_owned()))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(file: &Value) -> Result<Vec<ProviderSettings>, InvalidProviders> {
        let variable = |name: &str| (name == "SECRET").then(|| "hidden".to_owned());
        let catalogue = Catalogue::posthog().unwrap();
        parse(file.to_string().as_bytes(), Path::new("/nowhere"), Some(&catalogue), variable)
    }

    fn minimal() -> Value {
        json!({
            "name": "sso", "title": "Example SSO", "issuer": "https://sso.example.com", "client_id": "keys",
            "client_secret_variable": "SECRET", "email_domains": ["example.com"],
        })
    }

    /// A provider with some settings besides the required ones.
    pub(crate) fn provider_with(more: &Value) -> ProviderSettings {
        let mut entry = minimal();
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parsed(&json!([entry])).unwrap().remove(0)
    }

    #[test]
    fn a_provider_vouches_for_its_domains_and_links_nobody_unless_told_to() {
        let provider = provider_with(&json!({}));
        assert!(provider.creates_users && !provider.links_by_email && !provider.trusts_unverified_email);
        assert!(provider.email_domains.include("demo@example.com"));
        for other in ["demo@example.org", "demo@sub.example.com", "demo@example.com@example.org"] {
            assert!(!provider.email_domains.include(other), "{other}");
        }
        assert!(provider_with(&json!({"email_domains": ["*"]})).email_domains.include("demo@example.org"));
        assert!(!format!("{provider:?}").contains("hidden"));
    }

    #[test]
    fn every_problem_is_named_with_its_path() {
        let with = |more: Value| {
            let mut entry = minimal();
            entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            entry
        };
        let file = json!([
            minimal(),
            with(json!({"title": "Again"})),
            {"name": "Bad Name", "title": "", "issuer": "http://sso.example.com", "client_id": "",
                "email_domains": []},
            with(json!({"name": "two", "issuer": "http://127.0.0.1:9", "client_secret_file": "secret",
                "permissions": ["order:read"], "group_permissions": {"dev": ["insight:all"]}})),
            with(json!({"name": "three", "issuer": "https://three.example.com",
                "client_secret_variable": "NO_SECRET", "groups_claim": "groups", "redirect_uri": "x"})),
            with(json!({"name": "four", "issuer": "https://four.example.com",
                "client_secret_variable": "NO_SECRET", "groups_claim": "groups",
                "email_domains": ["*"], "link_by_email": true})),
            "five",
        ]);
        let InvalidProviders(problems) = parsed(&file).unwrap_err();
        let paths: Vec<_> = problems.iter().map(|line| line.split(": ").next().unwrap()).collect();
        let expected = [
            "[1].name",
            "[1].issuer",
            "[2].name",
            "[2].title",
            "[2].issuer",
            "[2].client_id",
            "[2].email_domains",
            "[3].client_secret_file",
            "[3].permissions",
            "[3].group_permissions",
            "[3].groups_claim",
            "[4].redirect_uri",
            "[5].client_secret_variable",
            "[5].groups_claim",
            "[5].link_by_email",
            "[6]",
        ];
        assert_eq!(paths, expected, "{problems:#?}");
        assert!(!problems.concat().contains("hidden"));
    }
}
