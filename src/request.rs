//! Reads the parts of a request that access depends on, and refuses a request that two servers could read differently.
//!
//! A gateway and the service behind it see the same bytes and may still read another path, host or key: one decodes
//! `%2e%2e`, the other does not; one takes the first of two `Authorization` headers, the other the last. Such a
//! difference would bypass the route rules, so the request is refused before they are applied.

use std::borrow::Cow;

use protocol::KEY_PREFIX;

use crate::ambiguity::Ambiguity;
use crate::credential;
use crate::header_policy::{HeaderPolicy, Treatment};
use crate::headers::HeaderPairs;

/// An encoded slash, in any letter case.
const ENCODED_SLASH: &[u8] = b"%2F";

/// The parts of a request that access depends on, borrowed from the header bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// The method, as sent.
    pub method: &'a [u8],
    /// The path without the query; it is checked and still percent-encoded.
    pub path: &'a [u8],
    /// The query, as sent; empty without one.
    pub query: &'a [u8],
    /// Whether a segment has an encoded slash. The pieces of such a segment are checked like segments.
    pub has_encoded_slash: bool,
    /// The token of the `Authorization` header, if its scheme is `Bearer`.
    pub bearer_token: Option<&'a [u8]>,
    /// Whether this is a CORS preflight: `OPTIONS` with `Origin` and `Access-Control-Request-Method`.
    pub is_preflight: bool,
}

impl RequestHead<'_> {
    /// Whether the query has a field of one of these names.
    pub fn has_query_field(&self, names: &[Box<str>]) -> bool {
        let fields = self.query.split(|&byte| byte == b'&');
        let mut found =
            fields.map(|field| decoded(field.split(|&byte| byte == b'=').next().unwrap_or_default()));
        found.any(|name| names.iter().any(|wanted| wanted.as_bytes() == &*name))
    }

    /// Whether the bearer token has the prefix of a personal API key.
    pub fn presents_key(&self) -> bool {
        self.bearer_token.is_some_and(|token| token.starts_with(KEY_PREFIX.as_bytes()))
    }
}

/// The result of reading a request's headers.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    /// The names of the headers to remove before the request is forwarded or answered.
    pub removed: Vec<&'a str>,
    /// The head, or why the request is refused.
    pub head: Result<RequestHead<'a>, Ambiguity>,
}

impl<'a> Reading<'a> {
    /// Reads all headers, even of a request that is refused: access logs must not show the headers to remove either.
    ///
    /// [`Ambiguity::Headers`] goes before any other ambiguity: not all headers to remove may be known then.
    pub fn of(headers: HeaderPairs<'a>, policy: &HeaderPolicy) -> Self {
        let mut fields = HeadFields::default();
        let mut refused = None;
        for pair in headers {
            let taken = pair.map_err(|_| Ambiguity::Headers).and_then(|pair| fields.take(pair, policy));
            if let Err(ambiguity) = taken {
                match ambiguity {
                    Ambiguity::Headers => refused = Some(ambiguity),
                    _ => drop(refused.get_or_insert(ambiguity)),
                }
            }
        }
        let removed = std::mem::take(&mut fields.removed);
        Reading { removed, head: refused.map_or_else(|| fields.head(), Err) }
    }
}

/// The names of the trailers to remove. Some servers merge trailers into the headers, so a trailer must not carry
/// a header that only the filter may set, or that is removed or refused.
///
/// # Errors
/// [`Ambiguity::Headers`] if the trailers are malformed.
pub fn trailers_to_remove<'a>(
    trailers: HeaderPairs<'a>,
    policy: &HeaderPolicy,
) -> Result<Vec<&'a str>, Ambiguity> {
    let mut names = Vec::new();
    for pair in trailers {
        let (name, _) = pair.map_err(|_| Ambiguity::Headers)?;
        if policy.removes_trailer(name) {
            names.push(std::str::from_utf8(name).map_err(|_| Ambiguity::Headers)?);
        }
    }
    Ok(names)
}

/// The fields of a head that were read so far.
#[derive(Default)]
struct HeadFields<'a> {
    method: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    has_origin: bool,
    has_requested_method: bool,
    removed: Vec<&'a str>,
}

impl<'a> HeadFields<'a> {
    fn take(&mut self, (name, value): (&'a [u8], &'a [u8]), policy: &HeaderPolicy) -> Result<(), Ambiguity> {
        match name {
            b":method" => once(&mut self.method, value, Ambiguity::Method),
            b":path" => once(&mut self.path, value, Ambiguity::Path),
            b":authority" => once(&mut self.authority, value, Ambiguity::Authority),
            b"host" => once(&mut self.host, value, Ambiguity::Authority),
            b"authorization" => once(&mut self.authorization, value, Ambiguity::Credential),
            // Envoy before 1.37 accepts "+3" from HTTP/2 and forwards it; servers disagree on where such a body ends.
            b"content-length" if value.is_empty() || !value.iter().all(u8::is_ascii_digit) => {
                Err(Ambiguity::Headers)
            }
            b"origin" => {
                self.has_origin = true;
                Ok(())
            }
            b"access-control-request-method" => {
                self.has_requested_method = true;
                Ok(())
            }
            _ => match policy.treatment(name) {
                None => Ok(()),
                Some(Treatment::Refuse(ambiguity)) => Err(ambiguity),
                Some(Treatment::Remove) => {
                    self.removed.push(std::str::from_utf8(name).map_err(|_| Ambiguity::Headers)?);
                    Ok(())
                }
            },
        }
    }

    fn head(self) -> Result<RequestHead<'a>, Ambiguity> {
        let method = self.method.filter(|method| !method.is_empty()).ok_or(Ambiguity::Method)?;
        let (path, query) = split_query(self.path.ok_or(Ambiguity::Path)?);
        let has_encoded_slash = check_path(path)?;
        check_authority(self.authority, self.host)?;
        let bearer_token = match self.authorization {
            Some(value) => credential::bearer_token(value)?,
            None => None,
        };
        let is_preflight = method == b"OPTIONS" && self.has_origin && self.has_requested_method;
        Ok(RequestHead { method, path, query, has_encoded_slash, bearer_token, is_preflight })
    }
}

fn once<'a>(slot: &mut Option<&'a [u8]>, value: &'a [u8], repeated: Ambiguity) -> Result<(), Ambiguity> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(repeated),
    }
}

/// The path and the query of a `:path` header.
fn split_query(target: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = target.splitn(2, |&byte| byte == b'?');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// Whether it has an encoded slash.
fn check_path(path: &[u8]) -> Result<bool, Ambiguity> {
    let rest = path.strip_prefix(b"/").ok_or(Ambiguity::Path)?;
    let rest = rest.strip_suffix(b"/").unwrap_or(rest);
    if path == b"/" || is_plain(rest) {
        return Ok(false);
    }
    let mut has_encoded_slash = false;
    for segment in rest.split(|&byte| byte == b'/') {
        has_encoded_slash |= check_segment(segment)?;
    }
    if has_encoded_slash {
        check_pieces(rest)?;
    }
    Ok(has_encoded_slash)
}

/// Bytes that need no other check than their segment.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        plain[byte] = !matches!(byte as u8, b'%' | b'\\' | b';' | b'#');
        byte += 1;
    }
    plain
};

/// Whether all segments pass [`check_segment`] and none has an escape. Most paths are decided here, in one pass.
fn is_plain(path: &[u8]) -> bool {
    let (mut length, mut dots) = (0_usize, 0_usize);
    let is_name = |length: usize, dots: usize| length > 2 || dots < length;
    for &byte in path {
        match byte {
            b'/' if is_name(length, dots) => (length, dots) = (0, 0),
            b'/' => return false,
            _ if !PLAIN[usize::from(byte)] => return false,
            _ => {
                length += 1;
                dots += usize::from(byte == b'.');
            }
        }
    }
    is_name(length, dots)
}

/// Whether it has an encoded slash.
fn check_segment(segment: &[u8]) -> Result<bool, Ambiguity> {
    match segment {
        b"" => return Err(Ambiguity::EmptySegment),
        b"." | b".." => return Err(Ambiguity::DotSegment),
        _ => {}
    }
    let (mut has_escape, mut has_encoded_slash) = (false, false);
    let mut bytes = segment.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'%' => {
                has_escape = true;
                let escape = hex_pair(bytes.next(), bytes.next()).ok_or(Ambiguity::PathEncoding)?;
                if escape == b'/' {
                    has_encoded_slash = true;
                    continue;
                }
                let starts_another =
                    escape == b'%' && hex_pair(bytes.clone().next(), bytes.clone().nth(1)).is_some();
                if must_not_be_escaped(escape) || starts_another {
                    return Err(Ambiguity::PathEncoding);
                }
            }
            b'\\' | b';' | b'#' | b' ' | 0x7f.. | ..0x20 => return Err(Ambiguity::PathCharacter),
            _ => {}
        }
    }
    // Servers read invalid UTF-8, such as an overlong "." or "/", in different ways. Without an escape, all bytes are ASCII.
    if has_escape && std::str::from_utf8(&decoded(segment)).is_err() {
        return Err(Ambiguity::PathEncoding);
    }
    Ok(has_encoded_slash)
}

/// Checks the pieces between encoded slashes like segments.
#[cold]
#[inline(never)]
fn check_pieces(path: &[u8]) -> Result<(), Ambiguity> {
    let mut pieces = path.split(|&byte| byte == b'/').flat_map(pieces);
    match pieces.all(|piece| check_segment(piece).is_ok()) {
        true => Ok(()),
        false => Err(Ambiguity::PathEncoding),
    }
}

/// The pieces of a path between encoded slashes.
pub(crate) fn pieces(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = text.windows(ENCODED_SLASH.len()).position(|part| part.eq_ignore_ascii_case(ENCODED_SLASH));
        rest = at.and_then(|at| text.get(at + ENCODED_SLASH.len()..));
        Some(at.and_then(|at| text.get(..at)).unwrap_or(text))
    })
}

/// A path segment, percent-decoded as the upstream decodes it.
pub(crate) fn decoded(segment: &[u8]) -> Cow<'_, [u8]> {
    if !segment.contains(&b'%') {
        return Cow::Borrowed(segment);
    }
    let mut out = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, hex_pair(after.first(), after.get(1))) {
            (b'%', Some(escaped)) => {
                out.push(escaped);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    Cow::Owned(out)
}

/// The byte of two hexadecimal digits.
fn hex_pair(high: Option<&u8>, low: Option<&u8>) -> Option<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

/// Whether an escape of this byte can change the path for a server that decodes before it routes. Unreserved
/// characters need no escape (RFC 3986 section 2.3), separators change the structure, and control characters can end
/// strings.
fn must_not_be_escaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/\\;?#".contains(&byte) || byte.is_ascii_control()
}

/// Requires one `host[:port]`; a `Host` header beside `:authority` must be equal to it.
fn check_authority(authority: Option<&[u8]>, host: Option<&[u8]>) -> Result<(), Ambiguity> {
    let named = authority.or(host).ok_or(Ambiguity::Authority)?;
    let same = host.is_none_or(|host| host == named);
    let (name, port) = match named.iter().rposition(|&byte| byte == b':') {
        // The colons within brackets belong to an IPv6 address.
        Some(at) if named.last() != Some(&b']') => (&named[..at], &named[at + 1..]),
        _ => (named, &b""[..]),
    };
    let is_plain = match name.strip_prefix(b"[").map(|rest| rest.strip_suffix(b"]")) {
        Some(address) => address.is_some_and(is_ipv6),
        None => !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(b)),
    };
    match same && is_plain && port.iter().all(u8::is_ascii_digit) {
        true => Ok(()),
        false => Err(Ambiguity::Authority),
    }
}

fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests;
