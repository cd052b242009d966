//! Reads from a request's header bytes what access depends on, and refuses what two hops could read differently.
//!
//! A gateway and the service behind it see the same bytes and may still understand another path, host or key: one
//! decodes `%2e%2e`, the other does not; one takes the first of two `Authorization` headers, the other the last.
//! Whoever can make them differ walks past every rule, so such a request is refused before any rule is looked at.

use std::borrow::Cow;

use protocol::KEY_PREFIX;

use crate::ambiguity::Ambiguity;
use crate::credential;
use crate::header_policy::{HeaderPolicy, Treatment};
use crate::headers::HeaderPairs;

/// One request's head, as far as access depends on it, borrowed from the header bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// The method, as sent.
    pub method: &'a [u8],
    /// The path before any `?`; checked, still percent-encoded.
    pub path: &'a [u8],
    /// What follows the `Bearer` scheme of the one `Authorization` header.
    pub bearer_token: Option<&'a [u8]>,
    /// Whether this is a CORS preflight: `OPTIONS` with `Origin` and `Access-Control-Request-Method`.
    pub is_preflight: bool,
}

impl RequestHead<'_> {
    /// Whether the bearer token is meant as a personal API key, valid or not.
    pub fn presents_key(&self) -> bool {
        self.bearer_token.is_some_and(|token| token.starts_with(KEY_PREFIX.as_bytes()))
    }
}

/// What was read of a request's headers.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    /// The names of headers to be removed before the request is forwarded or answered.
    pub removed: Vec<&'a str>,
    /// The head, or why the request is refused.
    pub head: Result<RequestHead<'a>, Ambiguity>,
}

impl<'a> Reading<'a> {
    /// Reads a request's headers, all of them in one pass: a header that is to be removed is found in a request that is
    /// refused too.
    pub fn of(headers: HeaderPairs<'a>, policy: &HeaderPolicy) -> Self {
        let mut fields = Fields::default();
        let mut refused = None;
        for pair in headers {
            let taken = pair.map_err(|_| Ambiguity::Headers).and_then(|pair| fields.take(pair, policy));
            if let Err(ambiguity) = taken {
                refused.get_or_insert(ambiguity);
            }
        }
        let removed = std::mem::take(&mut fields.removed);
        Reading { removed, head: refused.map_or_else(|| fields.head(), Err) }
    }
}

/// The names of trailers to be removed: a server that merges trailers into the headers must not find there what this
/// filter alone may set, nor what is removed or refused as a header.
///
/// # Errors
/// [`Ambiguity::Headers`] if the trailers cannot be read.
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

/// The fields that a head is made of, as far as they have been found.
#[derive(Default)]
struct Fields<'a> {
    method: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    has_origin: bool,
    has_requested_method: bool,
    removed: Vec<&'a str>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, (name, value): (&'a [u8], &'a [u8]), policy: &HeaderPolicy) -> Result<(), Ambiguity> {
        match name {
            b":method" => once(&mut self.method, value, Ambiguity::Method),
            b":path" => once(&mut self.path, value, Ambiguity::Path),
            b":authority" => once(&mut self.authority, value, Ambiguity::Authority),
            b"host" => once(&mut self.host, value, Ambiguity::Authority),
            b"authorization" => once(&mut self.authorization, value, Ambiguity::Credential),
            // Envoy before 1.37 takes "+3" from HTTP/2 and sends it on; servers do not agree on where such a body ends.
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
        let path = path_without_query(self.path.ok_or(Ambiguity::Path)?);
        check_path(path)?;
        check_authority(self.authority, self.host)?;
        let bearer_token = match self.authorization {
            Some(value) => credential::bearer_token(value)?,
            None => None,
        };
        let is_preflight = method == b"OPTIONS" && self.has_origin && self.has_requested_method;
        Ok(RequestHead { method, path, bearer_token, is_preflight })
    }
}

fn once<'a>(slot: &mut Option<&'a [u8]>, value: &'a [u8], repeated: Ambiguity) -> Result<(), Ambiguity> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(repeated),
    }
}

fn path_without_query(path: &[u8]) -> &[u8] {
    path.split(|&byte| byte == b'?').next().unwrap_or(path)
}

fn check_path(path: &[u8]) -> Result<(), Ambiguity> {
    let rest = path.strip_prefix(b"/").ok_or(Ambiguity::Path)?;
    let rest = rest.strip_suffix(b"/").unwrap_or(rest);
    if path == b"/" {
        return Ok(());
    }
    rest.split(|&byte| byte == b'/').try_for_each(check_segment)
}

fn check_segment(segment: &[u8]) -> Result<(), Ambiguity> {
    match segment {
        b"" => return Err(Ambiguity::EmptySegment),
        b"." | b".." => return Err(Ambiguity::DotSegment),
        _ => {}
    }
    let mut bytes = segment.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'%' => {
                let escape = hex_pair(bytes.next(), bytes.next()).ok_or(Ambiguity::PathEncoding)?;
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
    // What is not UTF-8, an overlong "." or "/" for one, is read in different ways.
    if std::str::from_utf8(&decoded(segment)).is_err() {
        return Err(Ambiguity::PathEncoding);
    }
    Ok(())
}

/// A path's segment as a server behind will read it.
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

/// The byte that two hexadecimal digits stand for.
fn hex_pair(high: Option<&u8>, low: Option<&u8>) -> Option<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

/// Whether an escape of this byte means another path to a server that decodes it before it routes: unreserved
/// characters need none (RFC 3986 section 2.3), separators change the structure, controls end strings.
fn must_not_be_escaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/\\;?#".contains(&byte) || byte.is_ascii_control()
}

/// `host[:port]`, once; a `Host` beside the authority must say the same.
fn check_authority(authority: Option<&[u8]>, host: Option<&[u8]>) -> Result<(), Ambiguity> {
    let named = authority.or(host).ok_or(Ambiguity::Authority)?;
    let same = host.is_none_or(|host| host == named);
    let (name, port) = match named.iter().rposition(|&byte| byte == b':') {
        // The colons within brackets are an IPv6 address's.
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
