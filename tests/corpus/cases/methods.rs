//! Method tricks: unusual methods, CONNECT, and requests whose method a server could take from another field.

use crate::runner::{Http1, Http2};

pub(crate) const HTTP1: [Http1; 38] = [
    Http1 { name: "method get", bytes: "get {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n" },
    Http1 { name: "method Get", bytes: "Get {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n" },
    Http1 { name: "method GeT", bytes: "GeT {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n" },
    Http1 {
        name: "method POST",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 { name: "method PUT", bytes: "PUT {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n" },
    Http1 {
        name: "method PATCH",
        bytes: "PATCH {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method DELETE",
        bytes: "DELETE {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method HEAD",
        bytes: "HEAD {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method OPTIONS",
        bytes: "OPTIONS {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method TRACE",
        bytes: "TRACE {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method TRACK",
        bytes: "TRACK {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method DEBUG",
        bytes: "DEBUG {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method PROPFIND",
        bytes: "PROPFIND {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 { name: "method FOO", bytes: "FOO {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n" },
    Http1 {
        name: "method GETX",
        bytes: "GETX {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method BASELINE-CONTROL",
        bytes: "BASELINE-CONTROL {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method M-SEARCH",
        bytes: "M-SEARCH {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method QUERY",
        bytes: "QUERY {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method COPY",
        bytes: "COPY {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method PURGE",
        bytes: "PURGE {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method G\\x00ET",
        bytes: "G\0ET {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method G\u{c9}T",
        bytes: "G\u{c9}T {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method GET,",
        bytes: "GET, {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method GET/",
        bytes: "GET/ {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method _GET",
        bytes: "_GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 {
        name: "method AAAAAAAAAAAAAAAAAAAA",
        bytes: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n",
    },
    Http1 { name: "CONNECT to a host", bytes: "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n{auth}\r\n" },
    Http1 { name: "CONNECT to a path", bytes: "CONNECT {path} HTTP/1.1\r\nHost: a\r\n{auth}\r\n" },
    Http1 {
        name: "CONNECT followed by a request",
        bytes: "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n{auth}\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Http1 { name: "OPTIONS *", bytes: "OPTIONS * HTTP/1.1\r\nHost: a\r\n{auth}\r\n" },
    Http1 { name: "GET *", bytes: "GET * HTTP/1.1\r\nHost: a\r\n{auth}\r\n" },
    Http1 { name: "HTTP/2's preface", bytes: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
    Http1 { name: "HTTP/2's preface as HTTP/1.1", bytes: "PRI * HTTP/1.1\r\nHost: a\r\n\r\nSM\r\n\r\n" },
    Http1 {
        name: "preflight with a key",
        bytes: "OPTIONS {path} HTTP/1.1\r\nHost: a\r\nOrigin: https://b\r\nAccess-Control-Request-Method: DELETE\r\n{auth}\r\n",
    },
    Http1 {
        name: "preflight by another method",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\nOrigin: https://b\r\nAccess-Control-Request-Method: DELETE\r\n{auth}\r\n",
    },
    Http1 { name: "no method", bytes: " {path} HTTP/1.1\r\nHost: a\r\n{auth}\r\n" },
    Http1 { name: "method with a tab", bytes: "GET\t{path} HTTP/1.1\r\nHost: a\r\n{auth}\r\n" },
    Http1 {
        name: "method override in a form",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 13\r\n\r\n_method=DELETE",
    },
];

pub(crate) const HTTP2: [Http2; 16] = [
    Http2 {
        name: ":method get",
        headers: &[
            (":method", "get"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method POST",
        headers: &[
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method DELETE",
        headers: &[
            (":method", "DELETE"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method CONNECT",
        headers: &[
            (":method", "CONNECT"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method ",
        headers: &[
            (":method", ""),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method GET ",
        headers: &[
            (":method", "GET "),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method with a whole request",
        headers: &[
            (":method", "GET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method GET\\t",
        headers: &[
            (":method", "GET\t"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method G\\x00ET",
        headers: &[
            (":method", "G\0ET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method with a header line",
        headers: &[
            (":method", "GET\r\nX-Auth-User-Id: root"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method \u{c9}",
        headers: &[
            (":method", "\u{c9}"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method PRI",
        headers: &[
            (":method", "PRI"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method TRACE",
        headers: &[
            (":method", "TRACE"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method HEAD",
        headers: &[
            (":method", "HEAD"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method OPTIONS",
        headers: &[
            (":method", "OPTIONS"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: ":method FOO",
        headers: &[
            (":method", "FOO"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: None,
        trailers: &[],
    },
];
