//! Passwords, stored as Argon2id hashes and verified without blocking the server.

use std::sync::Arc;

use argon2::password_hash::phc;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use deserr::Deserr;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use zxcvbn::{Score, zxcvbn};

use crate::validation::Violation;

/// The fewest characters of a new password.
pub const MIN_PASSWORD_CHARS: usize = 8;

/// The most bytes of a new password.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Hashes and verifies passwords, at most one per processor at the same time. Each takes 19 MiB.
#[derive(Clone, Debug)]
pub struct Passwords {
    slots: Arc<Semaphore>,
}

/// A password could be neither hashed nor verified.
#[derive(Debug, thiserror::Error)]
#[error("hashing a password failed: {0}")]
pub struct PasswordError(String);

impl Default for Passwords {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Passwords { slots: Arc::new(Semaphore::new(processors)) }
    }
}

/// A password as a client sent it. It is never printed or stored.
#[derive(Clone, Debug, Deserr, ToSchema)]
#[deserr(try_from(String) = Password::try_from -> Violation)]
#[schema(value_type = String, min_length = 1)]
pub struct Password(
    /// Its `Debug` prints no secret.
    SecretString,
);

impl TryFrom<String> for Password {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        if text.is_empty() { Err(Violation::blank()) } else { Ok(Password(text.into())) }
    }
}

/// A new password: at least 8 characters, at most 1024 bytes, and not easy to guess.
#[derive(Clone, Debug, Deserr, ToSchema)]
#[deserr(try_from(String) = NewPassword::try_from -> Violation)]
#[schema(value_type = String, min_length = 8, max_length = 1024)]
pub struct NewPassword(Password);

impl TryFrom<String> for NewPassword {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        if text.chars().count() < MIN_PASSWORD_CHARS || text.len() > MAX_PASSWORD_BYTES {
            return Err(Violation::input(format!(
                "A password must have at least {MIN_PASSWORD_CHARS} characters and at most {MAX_PASSWORD_BYTES} bytes."
            )));
        }
        Ok(NewPassword(Password(text.into())))
    }
}

/// The Argon2id hash of a password as a PHC string; empty if the user has no password. It is not printed and cannot be
/// serialised.
#[derive(Clone, Debug)]
pub struct PasswordHash(SecretString);

impl From<String> for PasswordHash {
    fn from(phc: String) -> Self {
        PasswordHash(phc.into())
    }
}

impl Default for PasswordHash {
    /// The hash of a user without a password: the empty string.
    fn default() -> Self {
        String::new().into()
    }
}

impl PasswordHash {
    /// Whether there is a password.
    pub fn is_set(&self) -> bool {
        !self.reveal().is_empty()
    }

    /// Whether both hashes are equal, which means the same password and salt. The comparison takes constant time.
    pub fn is(&self, other: &PasswordHash) -> bool {
        self.reveal().as_bytes().ct_eq(other.reveal().as_bytes()).into()
    }

    /// The PHC string, for the database.
    pub(super) fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl NewPassword {
    /// Whether the repeated password is the same.
    pub fn is(&self, repeated: &str) -> bool {
        self.0.0.expose_secret() == repeated
    }

    /// Refuses a password that is so common that the sign-in limits allow an attacker to guess it. `email` is the user's
    /// address; a password made of its parts is refused too.
    ///
    /// # Errors
    /// The password is easy to guess.
    pub fn check_for(&self, email: &str) -> Result<(), Violation> {
        let NewPassword(Password(password)) = self;
        let parts = email.split(|c: char| !c.is_alphanumeric()).filter(|part| part.chars().count() > 2);
        let personal: Vec<_> = [email].into_iter().chain(email.split('@')).chain(parts).collect();
        if zxcvbn(password.expose_secret(), &personal).score() < Score::Two {
            return Err(Violation::input(
                "This password is easy to guess. Choose a longer one, such as several words.",
            ));
        }
        Ok(())
    }
}

impl Passwords {
    /// The hash of a password with a new salt.
    ///
    /// # Errors
    /// The system has no randomness or no memory.
    pub async fn hash(&self, NewPassword(password): NewPassword) -> Result<PasswordHash, PasswordError> {
        self.run(move || hash(&password)).await
    }

    /// Whether `password` matches the hash `stored`. If `stored` is `None`, does the same work and returns `false`, so that
    /// the response time does not reveal whether an account exists.
    ///
    /// # Errors
    /// The stored text is not a hash, or the system has no memory.
    pub async fn verify(
        &self,
        password: Password,
        stored: Option<PasswordHash>,
    ) -> Result<bool, PasswordError> {
        self.run(move || match stored {
            Some(stored) => verify(&password, &stored),
            None => hash(&password).map(|_| false),
        })
        .await
    }

    /// Runs `work` in a slot. The blocking task owns the slot, so a client that disconnects does not free it early.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(failed)?;
        let work = move || {
            let _slot = slot;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(failed)?
    }
}

fn hash(Password(password): &Password) -> Result<PasswordHash, PasswordError> {
    let hash = Argon2::default().hash_password(password.expose_secret().as_bytes()).map_err(failed)?;
    Ok(hash.to_string().into())
}

fn verify(Password(password): &Password, stored: &PasswordHash) -> Result<bool, PasswordError> {
    let stored = phc::PasswordHash::new(stored.reveal()).map_err(failed)?;
    match Argon2::default().verify_password(password.expose_secret().as_bytes(), &stored) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: impl std::fmt::Display) -> PasswordError {
    PasswordError(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches_its_hash() {
        let passwords = Passwords::default();
        let sent = |text: &str| Password::try_from(text.to_owned()).unwrap();
        let new = NewPassword::try_from("correct horse".to_owned()).unwrap();
        let stored = passwords.hash(new).await.unwrap();
        assert!(stored.reveal().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(passwords.verify(sent("correct horse"), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify(sent("correct house"), Some(stored)).await.unwrap());
        assert!(!passwords.verify(sent("correct horse"), None).await.unwrap());
    }

    fn check_new_password(text: &str, email: &str) -> Result<(), Violation> {
        NewPassword::try_from(text.to_owned())?.check_for(email)
    }

    #[test]
    fn a_password_and_its_hash_are_not_printed() {
        let sent = Password::try_from("correct horse".to_owned()).unwrap();
        let new = NewPassword::try_from("correct horse".to_owned()).unwrap();
        let stored = PasswordHash::from("correct horse".to_owned());
        assert!(!format!("{sent:?} {new:?} {stored:?}").contains("correct"));
    }

    const EMAIL: &str = "ada.lovelace@analytical.example.com";

    #[test]
    fn a_new_password_that_is_too_short_or_too_long_is_refused() {
        assert!(check_new_password("1234567", EMAIL).is_err());
        assert!(check_new_password("xkqvbnzt", EMAIL).is_ok());
        let longest = "over the hills and far away".repeat(40)[..MAX_PASSWORD_BYTES].to_owned();
        assert!(check_new_password(&longest, EMAIL).is_ok());
        assert!(check_new_password(&(longest + "x"), EMAIL).is_err());
    }

    #[test]
    fn a_common_new_password_is_refused() {
        for common in ["12345678", "Password1", "P@ssw0rd!", "qwertyuiop", "letmein1", "aaaaaaaaaaaaaaaaaaaa"]
        {
            let detail = check_new_password(common, EMAIL).unwrap_err().detail;
            assert!(detail.contains("easy to guess"), "{common}: {detail}");
        }
        for own in ["demo-password", "correct horse", "moonlight over water"] {
            assert!(check_new_password(own, EMAIL).is_ok(), "{own}");
        }
    }

    #[test]
    fn a_new_password_made_of_the_users_address_is_refused() {
        for personal in [
            EMAIL,
            "Ada.Lovelace@Analytical.Example.com",
            "ada.lovelace",
            "lovelace1",
            "Lovelace!",
            "analytical.example.com",
            "ecalevol",
        ] {
            let refused = check_new_password(personal, EMAIL);
            assert!(refused.is_err_and(|invalid| invalid.detail.contains("easy to guess")), "{personal}");
        }
        assert!(check_new_password("lovelace wrote programs", EMAIL).is_ok());
        assert!(check_new_password("demo-password", "demo@example.com").is_ok(), "the demo's");
    }
}
