//! Upgrades: after one, requests on the connection bypass filters.

use crate::runner::{Http1, Http2};

pub(crate) const HTTP1: [Http1; 17] = [
    Http1 {
        name: "h2c",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
    },
    Http1 {
        name: "h2c without Connection",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    },
    Http1 {
        name: "h2c, Connection names only Upgrade",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    },
    Http1 {
        name: "h2c with a request behind",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Http1 {
        name: "h2c in capitals",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: upgrade\r\nUpgrade: H2C\r\n\r\n",
    },
    Http1 {
        name: "h2c in a list",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
    },
    Http1 {
        name: "WebSocket",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    },
    Http1 {
        name: "WebSocket with a request behind",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Http1 {
        name: "WebSocket of a version that is refused",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Http1 {
        name: "WebSocket with a length",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 48\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Http1 {
        name: "WebSocket with chunks",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Http1 {
        name: "TLS",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Http1 {
        name: "unknown protocol with a request behind",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade\r\nUpgrade: x\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Http1 {
        name: "empty Upgrade",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade\r\nUpgrade: \r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Http1 {
        name: "Upgrade that carries identity away",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade, x-auth-user-id, authorization\r\nUpgrade: x\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Http1 {
        name: "POST that upgrades",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 48\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Http1 {
        name: "HTTP/2's preface behind an upgrade",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    },
];

pub(crate) const HTTP2: [Http2; 4] = [
    Http2 {
        name: "upgrade header",
        headers: &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: "http2-settings header",
        headers: &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
            ("http2-settings", "AAMAAABk"),
        ],
        body: None,
        trailers: &[],
    },
    Http2 {
        name: "extended CONNECT with a body",
        headers: &[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ],
        body: Some("GET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
        trailers: &[],
    },
    Http2 {
        name: "CONNECT with a body",
        headers: &[(":method", "CONNECT"), (":authority", "a:80"), ("authorization", "{auth}")],
        body: Some("GET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
        trailers: &[],
    },
];
