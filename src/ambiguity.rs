//! The parts of a request that two servers could read differently. Each gets a 400.

/// The part of a request that two servers could read differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguity {
    /// The header list is malformed.
    #[error("The request headers are malformed.")]
    Headers,
    /// No method, or more than one.
    #[error("The request method is missing or repeated.")]
    Method,
    /// A header that makes some servers act on another method.
    #[error("The request overrides its method.")]
    MethodOverride,
    /// No path, more than one, or one that does not begin with a slash.
    #[error("The request path is missing, repeated or not absolute.")]
    Path,
    /// A header that makes some servers act on another path.
    #[error("The request overrides its path.")]
    PathOverride,
    /// A header that the configuration refuses.
    #[error("The request has a header that overrides its method or path.")]
    Override,
    /// `//`, which some servers merge into one slash.
    #[error("The request path has an empty segment.")]
    EmptySegment,
    /// `.` or `..`, which some servers resolve.
    #[error("The request path has a dot segment.")]
    DotSegment,
    /// A raw `\`, `;`, `#`, space, control character or non-ASCII byte.
    #[error("The request path has a character that must be percent-encoded.")]
    PathCharacter,
    /// A broken escape, or one of a character that needs none or that changes the path's structure.
    #[error("The request path has a percent-encoding that is broken or not needed.")]
    PathEncoding,
    /// No host, more than one, or one that is not a plain `host[:port]`.
    #[error("The request host is missing, repeated or malformed.")]
    Authority,
    /// More than one `Authorization` header, or a bearer token that is more than one word.
    #[error("The Authorization header is repeated or malformed.")]
    Credential,
}
