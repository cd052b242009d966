//! Whose keys a caller may see or change, and what it has to be for that.

use super::user::User;

/// What a user has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Any user.
    Member,
    /// An admin.
    Admin,
}

/// Whose keys somebody may see or change.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// The user's with that id.
    User(&'a str),
    /// Those of the users with these ids.
    Users(&'a [String]),
    /// Those of every user who is no admin.
    Members,
    /// Everybody's: an operator's right.
    Anyone,
}

impl Owner<'_> {
    /// What a user has to be to have such a reach.
    pub(crate) fn role(self) -> Role {
        if matches!(self, Owner::Anyone) { Role::Admin } else { Role::Member }
    }

    /// Whether a user's keys are among them.
    pub(crate) fn reaches(self, user: &User) -> bool {
        match self {
            Owner::User(id) => user.id == id,
            Owner::Users(ids) => ids.contains(&user.id),
            Owner::Members => !user.is_admin,
            Owner::Anyone => true,
        }
    }
}
