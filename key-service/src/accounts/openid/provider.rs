//! A provider: its discovery document and keys, the beginning of a sign-in, and the verified claims at its end.
//!
//! The service starts without the provider. It fetches document and keys at the first sign-in, and again from time to time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClaimName, CoreClaimType,
    CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim, CoreGrantType, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm,
    CoreResponseMode, CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreSubjectIdentifierType, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AdditionalProviderMetadata, AuthType, AuthorizationCode, ClaimsVerificationError,
    Client, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenFields,
    Nonce, PkceCodeChallenge, PkceCodeVerifier, ProviderMetadata, RedirectUrl, RequestTokenError, Scope,
    SignatureVerificationError, StandardErrorResponse, StandardTokenResponse, TokenResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::claims::Claims;
use super::http::{self, is_safe};
use super::pending::PendingSignIn;
use super::settings::ProviderSettings;
use crate::outbound::{self, HttpClient, chain};
use crate::random::RandomError;
use crate::time::monotonic_now;

/// After this time, document and keys are fetched again.
const MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// If no key fits the signature of a token, document and keys are fetched again, unless they are younger.
const MAX_AGE_FOR_OTHER_KEY: Duration = Duration::from_secs(10);

/// After a failure, the provider is not asked for document and keys for this time.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The algorithms for the signature of ID tokens. Those with a shared secret are missing, because everyone with the secret could
/// sign.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::EdDsa,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
];

/// The claims of a token that OpenID Connect does not define.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct OtherClaims(Map<String, Value>);

impl AdditionalClaims for OtherClaims {}

/// The fields of the discovery document that OpenID Connect does not define.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct OtherMetadata {
    /// Whether answers always name the issuer (RFC 9207).
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for OtherMetadata {}

type Metadata = ProviderMetadata<
    OtherMetadata,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

type Tokens = StandardTokenResponse<
    IdTokenFields<
        OtherClaims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type OpenIdClient = Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Why a sign-in with a provider failed. The texts are for the log, and contain no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// Document or keys could not be fetched.
    #[error("cannot read its discovery document or its keys: {0}")]
    Discovery(String),
    /// The document names an address to which nothing secret may travel.
    #[error("its discovery document names {0}, which is neither https:// nor a loopback address")]
    Insecure(String),
    /// The document has no token endpoint.
    #[error("its discovery document names no token endpoint")]
    NoTokenEndpoint,
    /// The answer is another provider's.
    #[error("the answer does not name its issuer")]
    OtherIssuer,
    /// The token endpoint does not answer.
    #[error("its token endpoint does not answer: {0}")]
    TokenEndpoint(String),
    /// The code was not exchanged for tokens.
    #[error("it did not accept the authorization code: {0}")]
    Exchange(String),
    /// There is no ID token.
    #[error("it sent no ID token")]
    NoIdToken,
    /// The ID token is not valid for this sign-in.
    #[error("its ID token is invalid: {0}")]
    IdToken(#[from] ClaimsVerificationError),
    /// The system provided no random numbers.
    #[error("cannot get random numbers from the system: {0}")]
    Randomness(#[from] RandomError),
}

impl ProviderError {
    /// Whether the provider may work again later, in contrast to an answer that is refused.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::Discovery(_)
            | Self::Insecure(_)
            | Self::NoTokenEndpoint
            | Self::TokenEndpoint(_)
            | Self::Randomness(_) => true,
            Self::OtherIssuer | Self::Exchange(_) | Self::NoIdToken | Self::IdToken(_) => false,
        }
    }
}

/// The answer with which a provider sends the browser back.
pub(crate) struct AuthorizationResponse {
    /// The authorization code.
    pub(crate) code: String,
    /// The issuer, if the answer names one.
    pub(crate) issuer: Option<String>,
}

/// A provider.
#[derive(Debug)]
pub(crate) struct Provider {
    /// Its settings.
    pub(crate) settings: ProviderSettings,
    client: HttpClient,
    discovered: Mutex<Discovered>,
}

/// What was fetched from the provider last, and the last failure since.
#[derive(Debug, Default)]
struct Discovered {
    metadata: Option<(Instant, Arc<Metadata>)>,
    failure: Option<(Instant, String)>,
}

impl Provider {
    fn new(settings: ProviderSettings) -> std::io::Result<Self> {
        let client = outbound::client(settings.issuer.url().scheme() == "https")?;
        Ok(Provider { settings, client, discovered: Mutex::default() })
    }

    /// Begins a sign-in that returns to `redirect`, and then leads to `next`. Returns the provider's address for the browser.
    ///
    /// # Errors
    /// The provider does not answer, or cannot be used.
    pub(crate) async fn begin(
        &self,
        redirect: RedirectUrl,
        next: &str,
    ) -> Result<(String, PendingSignIn), ProviderError> {
        let metadata = self.metadata(MAX_AGE).await?;
        let authorization = metadata.authorization_endpoint().as_str();
        if !is_safe(authorization) {
            return Err(ProviderError::Insecure(authorization.to_owned()));
        }
        let pending = PendingSignIn::new(&self.settings.name, next)?;
        let verifier = PkceCodeVerifier::new(pending.verifier.clone());
        let (state, nonce) = (pending.state.clone(), pending.nonce.clone());
        let scopes = self.settings.scopes.iter().map(String::as_str).chain(["email"]);
        let (url, ..) = self
            .openid_client(&metadata, redirect)
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                || CsrfToken::new(state),
                || Nonce::new(nonce),
            )
            .add_scopes(scopes.map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .url();
        Ok((url.into(), pending))
    }

    /// Ends a sign-in: exchanges the code for an ID token, and verifies it.
    ///
    /// # Errors
    /// The answer is not for this sign-in, or the provider did not send a valid token.
    pub(crate) async fn finish(
        &self,
        redirect: RedirectUrl,
        pending: &PendingSignIn,
        answer: AuthorizationResponse,
    ) -> Result<Claims, ProviderError> {
        let mut metadata = self.metadata(MAX_AGE).await?;
        let must_name_issuer = metadata.additional_metadata().authorization_response_iss_parameter_supported;
        let issuer = self.settings.issuer.as_str();
        if answer.issuer.map_or(must_name_issuer, |named| named != issuer) {
            return Err(ProviderError::OtherIssuer);
        }
        let send = |request| http::send(self.client.clone(), request);
        let tokens = self
            .openid_client(&metadata, redirect.clone())
            .exchange_code(AuthorizationCode::new(answer.code))
            .map_err(|_| ProviderError::NoTokenEndpoint)?
            .set_pkce_verifier(PkceCodeVerifier::new(pending.verifier.clone()))
            .request_async(&send)
            .await
            .map_err(|error| match error {
                RequestTokenError::Request(error) => ProviderError::TokenEndpoint(chain(&error)),
                error => ProviderError::Exchange(chain(&error)),
            })?;
        let token = tokens.id_token().ok_or(ProviderError::NoIdToken)?;
        let nonce = Nonce::new(pending.nonce.clone());
        let mut is_fresh = false;
        let claims = loop {
            let client = self.openid_client(&metadata, redirect.clone());
            let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
            match token.claims(&verifier, &nonce) {
                Ok(claims) => break claims,
                // After a rotation, a key without an id seems to be the old one, and the signature is wrong.
                Err(ClaimsVerificationError::SignatureVerification(
                    SignatureVerificationError::NoMatchingKey | SignatureVerificationError::CryptoError(_),
                )) if !is_fresh => {
                    is_fresh = true;
                    metadata = self.metadata(MAX_AGE_FOR_OTHER_KEY).await?;
                }
                Err(error) => return Err(error.into()),
            }
        };
        Ok(Claims {
            subject: claims.subject().to_string(),
            email: claims.email().map(|email| email.to_string()),
            email_verified: claims.email_verified(),
            others: claims.additional_claims().0.clone(),
        })
    }

    fn openid_client(&self, metadata: &Metadata, redirect: RedirectUrl) -> OpenIdClient {
        let secret = self.settings.client_secret.clone();
        let methods = metadata.token_endpoint_auth_methods_supported();
        // Without a list, the document means client_secret_basic.
        let knows_basic =
            methods.is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let auth = if knows_basic { AuthType::BasicAuth } else { AuthType::RequestBody };
        Client::from_provider_metadata(metadata.clone(), self.settings.client_id.clone(), Some(secret))
            .set_auth_type(auth)
            .set_redirect_uri(redirect)
    }

    /// Document and keys, not older than `max_age` unless the provider does not answer.
    async fn metadata(&self, max_age: Duration) -> Result<Arc<Metadata>, ProviderError> {
        let mut discovered = self.discovered.lock().await;
        let now = monotonic_now();
        let is_recent = |at: Instant, age: Duration| now.saturating_duration_since(at) < age;
        let old = discovered.metadata.clone();
        if let Some((at, metadata)) = &old
            && is_recent(*at, max_age)
        {
            return Ok(metadata.clone());
        }
        let error = match &discovered.failure {
            Some((at, error)) if is_recent(*at, RETRY_AFTER) => error.clone(),
            _ => {
                let send = |request| http::send(self.client.clone(), request);
                match Metadata::discover_async(self.settings.issuer.clone(), &send).await {
                    Ok(metadata) => {
                        let metadata = Arc::new(metadata);
                        *discovered =
                            Discovered { metadata: Some((monotonic_now(), metadata.clone())), failure: None };
                        return Ok(metadata);
                    }
                    Err(error) => {
                        let error = chain(&error);
                        discovered.failure = Some((monotonic_now(), error.clone()));
                        error
                    }
                }
            }
        };
        let Some((_, metadata)) = old else { return Err(ProviderError::Discovery(error)) };
        tracing::warn!(
            provider = self.settings.name,
            error,
            "cannot fetch the keys of the OpenID provider again"
        );
        Ok(metadata)
    }
}

/// The providers of the service, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Providers(Vec<Provider>);

impl Providers {
    /// # Errors
    /// The system's certificate authorities cannot be read.
    pub(crate) fn new(settings: Vec<ProviderSettings>) -> std::io::Result<Self> {
        Ok(Providers(settings.into_iter().map(Provider::new).collect::<Result<_, _>>()?))
    }

    /// Each provider.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.0.iter()
    }

    /// The provider with this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Provider> {
        self.iter().find(|provider| provider.settings.name == name)
    }

    /// The name for people of the provider with an issuer. An issuer that no provider has any more is its own name.
    pub(crate) fn title_of(&self, issuer: &str) -> String {
        let of_issuer = |provider: &&Provider| provider.settings.issuer.as_str() == issuer;
        self.iter()
            .find(of_issuer)
            .map_or_else(|| issuer.to_owned(), |provider| provider.settings.title.clone())
    }

    /// Whether there is no provider.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
