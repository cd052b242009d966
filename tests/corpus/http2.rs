//! HTTP/2 with hand-made frames: a client that sends what no library would.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::latin1;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

const PATIENCE: Duration = Duration::from_secs(30);

/// One request: fields in the order sent, each as Latin-1.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: Option<&'a str>,
    pub(crate) trailers: &'a [(&'a str, &'a str)],
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Answered,
    Reset,
    ConnectionClosed,
}

/// Sends a request on a connection of its own and waits until its stream has ended.
pub(crate) fn exchange(edge: SocketAddr, request: Request<'_>) -> Ended {
    let mut stream = TcpStream::connect(edge).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    let has_trailers = !request.trailers.is_empty();
    let ends = |last: bool| if last { END_STREAM } else { 0 };
    let last = request.body.is_none() && !has_trailers;
    bytes.extend(frame(HEADERS, END_HEADERS | ends(last), 1, &fields(request.headers)));
    if let Some(body) = request.body {
        bytes.extend(frame(DATA, ends(!has_trailers), 1, &latin1(body)));
    }
    if has_trailers {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(request.trailers)));
    }
    // Envoy may close before it has read everything.
    let _ = stream.write_all(&bytes);
    await_end(&mut stream).unwrap_or(Ended::ConnectionClosed)
}

fn await_end(stream: &mut TcpStream) -> Option<Ended> {
    loop {
        let mut head = [0; 9];
        if let Err(error) = stream.read_exact(&mut head) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "neither answered nor closed");
            return None;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).ok()?;
        let (kind, flags, id) = (head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
        match kind {
            SETTINGS | PING if flags & ACK == 0 => {
                let payload = if kind == PING { &payload[..] } else { &[] };
                stream.write_all(&frame(kind, ACK, 0, payload)).ok()?;
            }
            HEADERS | DATA if id == 1 && flags & END_STREAM != 0 => return Some(Ended::Answered),
            RST_STREAM if id == 1 => return Some(Ended::Reset),
            GOAWAY => return Some(Ended::ConnectionClosed),
            _ => {}
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HPACK: each field literal, without indexing and without Huffman's code (RFC 7541 section 6.2.2).
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let text = latin1(text);
            length(text.len(), &mut block);
            block.extend(text);
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn length(length: usize, block: &mut Vec<u8>) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}
