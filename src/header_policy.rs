//! Request headers that must not reach the upstream from a client: those that only this filter may set, and those
//! that make some servers act on a method or path other than the one that was checked.

use crate::ambiguity::Ambiguity;

/// How a header is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// The header is removed before the request is forwarded or answered.
    Remove,
    /// The request is refused.
    Refuse(Ambiguity),
}

/// A header that overrides the method or path for some servers.
#[derive(Clone, Copy, Debug)]
pub struct Override {
    /// The folded name.
    pub name: &'static str,
    /// What it overrides.
    pub kind: Ambiguity,
    /// Whether the header is removed by default; otherwise the request is refused.
    pub is_removed: bool,
}

/// The headers that are known to override a method or path.
///
/// Proxies in front of Envoy write those that are removed. To refuse them would refuse every request through such a
/// proxy.
pub const OVERRIDES: [Override; 15] = [
    refused("x-http-method-override", Ambiguity::MethodOverride),
    refused("x-http-method", Ambiguity::MethodOverride),
    refused("x-method-override", Ambiguity::MethodOverride),
    refused("x-original-method", Ambiguity::MethodOverride),
    refused("x-original-url", Ambiguity::PathOverride),
    refused("x-original-uri", Ambiguity::PathOverride),
    refused("x-rewrite-url", Ambiguity::PathOverride),
    refused("x-override-url", Ambiguity::PathOverride),
    refused("x-forwarded-uri", Ambiguity::PathOverride),
    refused("script-name", Ambiguity::PathOverride),
    refused("path-info", Ambiguity::PathOverride),
    removed("x-script-name", Ambiguity::PathOverride),
    removed("x-forwarded-prefix", Ambiguity::PathOverride),
    removed("x-forwarded-path", Ambiguity::PathOverride),
    removed("x-envoy-original-path", Ambiguity::PathOverride),
];

/// Fields that a server must not take from trailers (RFC 9110 section 6.5.1): framing, routing, client address,
/// credentials and processing. Some servers merge trailers into the headers.
const HEADERS_ONLY: [&str; 40] = [
    "authorization",
    "cache-control",
    "cf-connecting-ip",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "max-forwards",
    "pragma",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "x-client-ip",
    "x-envoy-external-address",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-real-ip",
];

const fn refused(name: &'static str, kind: Ambiguity) -> Override {
    Override { name, kind, is_removed: false }
}

const fn removed(name: &'static str, kind: Ambiguity) -> Override {
    Override { name, kind, is_removed: true }
}

/// The treatment of headers by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderPolicy {
    /// Folded names, indexed by length: most header names of a request have the length of none of them.
    by_length: Vec<Vec<(Box<[u8]>, Treatment)>>,
    /// Names that pass in this spelling; every other spelling is treated.
    allowed: Vec<Box<str>>,
}

impl HeaderPolicy {
    /// Sets the treatment of `name` and of all its spellings.
    pub fn set(&mut self, name: &str, treatment: Treatment) {
        if self.by_length.len() <= name.len() {
            self.by_length.resize_with(name.len() + 1, Vec::new);
        }
        self.by_length[name.len()].push((folded(name).into_bytes().into(), treatment));
    }

    /// Lets a header pass in this spelling only, in any letter case. A proxy in front overwrites no other spelling.
    pub fn allow(&mut self, name: &str) {
        self.allowed.push(name.into());
    }

    /// The treatment of a header; `None` if it passes.
    pub fn treatment(&self, name: &[u8]) -> Option<Treatment> {
        let is_allowed = || self.allowed.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(name));
        self.listed(name).filter(|_| !is_allowed())
    }

    /// Whether a trailer is removed. Allowed headers do not pass as trailers, because a proxy that overwrites a
    /// header does not overwrite a trailer with its name.
    pub fn removes_trailer(&self, name: &[u8]) -> bool {
        self.listed(name).is_some() || HEADERS_ONLY.iter().any(|field| is_folded_to(name, field.as_bytes()))
    }

    /// The treatment of a name in any spelling, allowed or not.
    pub fn listed(&self, name: &[u8]) -> Option<Treatment> {
        let candidates = self.by_length.get(name.len())?;
        let found = candidates.iter().find(|(folded, _)| is_folded_to(name, folded));
        found.map(|(_, treatment)| *treatment)
    }
}

/// Folds a header name for comparison: lower case, with a hyphen for every byte that is not a letter or digit.
///
/// CGI and PHP map `X-Auth-User-Id`, `X_Auth_User_Id` and `X.Auth.User.Id` to the same `X_AUTH_USER_ID`.
pub fn folded(name: &str) -> String {
    name.bytes().map(|byte| char::from(fold_byte(byte))).collect()
}

fn is_folded_to(name: &[u8], folded: &[u8]) -> bool {
    name.len() == folded.len() && name.iter().zip(folded).all(|(byte, folded)| fold_byte(*byte) == *folded)
}

fn fold_byte(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_name_has_its_treatment() {
        let mut policy = HeaderPolicy::default();
        policy.set("x-auth-user-id", Treatment::Remove);
        policy.set("SCRIPT_NAME", Treatment::Refuse(Ambiguity::PathOverride));
        for name in ["x-auth-user-id", "X_Auth_User_Id", "x.auth.user.id", "x!auth~user|id", "X-AUTH_user.ID"]
        {
            assert_eq!(policy.treatment(name.as_bytes()), Some(Treatment::Remove), "{name}");
        }
        assert_eq!(policy.treatment(b"x\xffauth-user-id"), Some(Treatment::Remove));
        let refused = Some(Treatment::Refuse(Ambiguity::PathOverride));
        assert_eq!(policy.treatment(b"script-name"), refused);
        for name in ["", "x-auth-user-id2", "x-auth-user-i", "x-auth-user0id", "xxauth-user-id", "accept"] {
            assert_eq!(policy.treatment(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn an_allowed_header_passes_in_one_spelling_and_not_as_a_trailer() {
        let mut policy = HeaderPolicy::default();
        policy.set("script-name", Treatment::Refuse(Ambiguity::PathOverride));
        policy.allow("SCRIPT_NAME");
        for name in ["script_name", "SCRIPT_NAME", "Script_Name"] {
            assert_eq!(policy.treatment(name.as_bytes()), None, "{name}");
            assert!(policy.removes_trailer(name.as_bytes()), "{name}");
        }
        for name in ["script-name", "script.name", "Script-Name"] {
            let refused = Some(Treatment::Refuse(Ambiguity::PathOverride));
            assert_eq!(policy.treatment(name.as_bytes()), refused, "{name}");
        }
    }

    #[test]
    fn known_names_are_written_as_they_are_compared() {
        for name in OVERRIDES.iter().map(|known| known.name).chain(HEADERS_ONLY) {
            assert_eq!(folded(name), name);
        }
    }

    #[test]
    fn fields_that_belong_into_headers_alone_do_not_pass_as_trailers() {
        let policy = HeaderPolicy::default();
        for name in [
            "authorization",
            "Cookie",
            "HOST",
            "content_length",
            "Transfer-Encoding",
            "x-forwarded-for",
            "X-Forwarded-Client-Cert",
            "X-Forwarded-Scheme",
            "X-Forwarded-SSL",
            "X-Forwarded-Server",
            "X-Envoy-External-Address",
            "True-Client-IP",
            "CF_Connecting_IP",
            "x.client.ip",
        ] {
            assert!(policy.removes_trailer(name.as_bytes()), "{name}");
            assert_eq!(policy.treatment(name.as_bytes()), None, "{name}");
        }
        for name in ["x-checksum", "digest", "grpc-status", "server-timing", "hosts", "hos", ""] {
            assert!(!policy.removes_trailer(name.as_bytes()), "{name}");
        }
    }
}
