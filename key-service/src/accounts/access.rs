//! Whose keys a caller may see or change, and the role that this needs.

use super::user::User;

/// The role that a user needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Any user.
    Member,
    /// An admin.
    Admin,
}

/// Whose keys a caller may see or change.
#[derive(Clone, Copy, Debug)]
pub enum KeyAccess<'a> {
    /// The keys of the user with this id.
    User(&'a str),
    /// The keys of the users with these ids.
    Users(&'a [String]),
    /// The keys of the admin with this id, and of all service accounts.
    AdminAndServices(&'a str),
    /// The keys of every user who is not an admin.
    Members,
    /// Every key, for operators.
    Anyone,
}

impl KeyAccess<'_> {
    /// The role that a user needs for this access.
    pub(crate) fn role(self) -> Role {
        if matches!(self, KeyAccess::Anyone | KeyAccess::AdminAndServices(_)) {
            Role::Admin
        } else {
            Role::Member
        }
    }

    /// Whether it includes the keys of a user.
    pub(crate) fn includes(self, user: &User) -> bool {
        match self {
            KeyAccess::User(id) => user.id == id,
            KeyAccess::Users(ids) => ids.contains(&user.id),
            KeyAccess::AdminAndServices(id) => user.id == id || user.kind.is_service(),
            KeyAccess::Members => !user.is_admin,
            KeyAccess::Anyone => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_service_accounts_need_an_admin_until_the_change_is_made() {
        assert_eq!(KeyAccess::AdminAndServices("u").role(), Role::Admin);
        assert_eq!(KeyAccess::User("u").role(), Role::Member);
    }
}
