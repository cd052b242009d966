//! `key-service user`: link-identity, unlink.

use super::find;
use crate::accounts::{AccountError, openid};
use crate::audit::Actor;
use crate::cli::error::CliError;
use crate::cli::terminal::print_message;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Link an account at an OpenID provider to a user, and end the user's sessions
    LinkIdentity {
        /// The user's email address
        email: String,
        /// The provider's issuer, exactly as the file of the providers has it
        #[arg(long, value_name = "URL")]
        issuer: String,
        /// The provider's name for the account: the claim `sub` of its ID tokens
        #[arg(long)]
        subject: String,
    },
    /// Unlink an account at an OpenID provider from a user, and end the user's sessions; the account cannot sign in until it is
    /// linked again
    Unlink {
        /// The user's email address
        email: String,
        /// The provider's issuer; required if the user has accounts at several providers
        #[arg(long, value_name = "URL")]
        issuer: Option<String>,
    },
}

pub(super) async fn run(command: Command, by: &Actor, database_url: &str) -> Result<(), CliError> {
    match command {
        Command::LinkIdentity { email, issuer, subject } => {
            let (store, user) = find(&email, database_url).await?;
            openid::link(&store, by, &user.id, &issuer, &subject).await?;
            Ok(print_message(&format!(
                "linked {subject} of {issuer} to {} and ended the user's sessions",
                user.email
            ))?)
        }
        Command::Unlink { email, issuer } => {
            let (store, user) = find(&email, database_url).await?;
            let mut of_user = openid::of_user(&store, &user.id).await?;
            of_user.retain(|identity| issuer.as_ref().is_none_or(|issuer| *issuer == identity.issuer));
            let [identity] = &of_user[..] else {
                return Err(match of_user.len() {
                    0 => AccountError::NoSuchIdentity.into(),
                    _ => CliError::SeveralIdentities(
                        of_user.into_iter().map(|identity| identity.issuer).collect::<Vec<_>>().join(", "),
                    ),
                });
            };
            let identity = openid::unlink(&store, by, &user.id, &identity.id).await?;
            Ok(print_message(&format!(
                "unlinked {} of {} from {} and ended the user's sessions",
                identity.subject, identity.issuer, user.email
            ))?)
        }
    }
}
