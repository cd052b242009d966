//! The echo upstream: it answers every request with the request as JSON, with trailers if there are any.

use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::runtime::{Builder, Runtime};

/// An echo upstream that runs in this process until it is dropped.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    runtime: Option<Runtime>,
}

impl Echo {
    /// Starts it; port 0 takes a free port.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn start(listen: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(listen)
            .with_context(|| format!("the echo upstream cannot listen on {listen}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicU64::new(0));
        let app = Router::new().fallback(answer).with_state(Arc::clone(&requests));
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        runtime.spawn(async { axum::serve(listener, app).await });
        Ok(Echo { address, requests, runtime: Some(runtime) })
    }

    /// The address of its listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests it has received.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // The runtime's own drop panics in an async test.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(State(requests): State<Arc<AtomicU64>>, request: Request) -> Response {
    requests.fetch_add(1, Ordering::Relaxed);
    let (head, mut body) = request.into_parts();
    let mut body_bytes = 0_u64;
    let mut hash = Sha256::new();
    let mut trailers = HeaderMap::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        match frame {
            Ok(frame) => {
                if let Some(data) = frame.data_ref() {
                    body_bytes += data.len() as u64;
                    hash.update(data);
                }
                if let Some(more) = frame.trailers_ref() {
                    trailers.extend(more.clone());
                }
            }
            Err(error) => {
                let error = format!("the body ended early, after {body_bytes} bytes: {error}");
                return reply(StatusCode::BAD_REQUEST, &json!({ "error": error }));
            }
        }
    }
    let pairs = |headers: &HeaderMap| -> Vec<(String, String)> {
        headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
    };
    let mut received = json!({
        "method": head.method.as_str(),
        "path": head.uri.to_string(),
        "headers": pairs(&head.headers),
        "body_bytes": body_bytes,
        "body_sha256": hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    });
    if !trailers.is_empty() {
        received["trailers"] = json!(pairs(&trailers));
    }
    reply(StatusCode::OK, &received)
}

fn reply(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

/// As text; U+FFFD replaces bytes that are not UTF-8.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn exchange(echo: &Echo, request: &[u8]) -> (String, Value) {
        let mut stream = TcpStream::connect(echo.address()).unwrap();
        stream.write_all(request).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), serde_json::from_str(body).unwrap())
    }

    fn echo() -> Echo {
        Echo::start("127.0.0.1:0".parse().unwrap()).unwrap()
    }

    #[test]
    fn the_answer_shows_the_request_as_received() {
        let echo = echo();
        let (head, body) = exchange(
            &echo,
            b"PATCH /a%2Fb/../c//?q=1&q=2 HTTP/1.1\r\nhost: h\r\nx-two: 2\r\nx-one: 1\r\nx-raw: \xff\r\n\
              connection: close\r\ncontent-length: 3\r\n\r\nabc",
        );
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let headers = json!([
            ["host", "h"],
            ["x-two", "2"],
            ["x-one", "1"],
            ["x-raw", "\u{fffd}"],
            ["connection", "close"],
            ["content-length", "3"]
        ]);
        let expected = json!({
            "method": "PATCH", "path": "/a%2Fb/../c//?q=1&q=2", "headers": headers,
            "body_bytes": 3, "body_sha256": abc
        });
        assert_eq!(body, expected);
        assert_eq!(echo.requests(), 1);
    }

    #[test]
    fn every_body_byte_is_counted_and_hashed_whether_sized_or_chunked() {
        let echo = echo();
        let body = vec![b'x'; 5_000_000];
        let hash: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut sized = b"POST /batch/ HTTP/1.1\r\nhost: h\r\nconnection: close\r\n".to_vec();
        let mut chunked = sized.clone();
        sized.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
        sized.extend(&body);
        chunked.extend(b"transfer-encoding: chunked\r\n\r\n");
        for piece in body.chunks(70_001) {
            chunked.extend(format!("{:x}\r\n", piece.len()).bytes());
            chunked.extend(piece);
            chunked.extend(b"\r\n");
        }
        chunked.extend(b"0\r\n\r\n");
        for request in [sized, chunked] {
            let (_, answer) = exchange(&echo, &request);
            assert_eq!(answer["body_bytes"], 5_000_000);
            assert_eq!(answer["body_sha256"], hash.as_str());
        }
    }

    #[test]
    fn an_address_in_use_is_named() {
        let first = echo();
        let error = Echo::start(first.address()).unwrap_err().to_string();
        assert!(error.contains(&first.address().to_string()), "{error}");
    }
}
