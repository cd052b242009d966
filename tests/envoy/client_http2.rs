//! An HTTP/2 client without TLS, for tests of HTTP/2 bodies and trailers.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::Bytes;
use http::HeaderMap;
use tokio::net::TcpStream;
use tokio::runtime::Builder;

use crate::client::{PATIENCE, Response};

pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
    pub(crate) trailers: &'a [(&'a str, &'a str)],
}

/// One request on a connection of its own.
pub(crate) fn send(address: SocketAddr, request: &Request<'_>) -> Response {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let exchange = tokio::time::timeout(PATIENCE, exchange(address, request)).await;
        exchange.unwrap_or_else(|_| panic!("no answer within {PATIENCE:?}"))
    })
}

async fn exchange(address: SocketAddr, request: &Request<'_>) -> Response {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut head = http::Request::builder()
        .method(request.method)
        .uri(format!("http://api.example.com{}", request.path));
    for (name, value) in request.headers {
        head = head.header(*name, *value);
    }
    let (body, trailers) = (request.body, request.trailers);
    let ends = body.is_empty() && trailers.is_empty();
    let (response, mut upload) = client.send_request(head.body(()).unwrap(), ends).unwrap();
    if !body.is_empty() {
        upload.send_data(Bytes::copy_from_slice(body), trailers.is_empty()).unwrap();
    }
    if !trailers.is_empty() {
        let pair = |(name, value): &(&str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        upload.send_trailers(trailers.iter().map(pair).collect::<HeaderMap>()).unwrap();
    }
    let (head, mut incoming) = response.await.unwrap().into_parts();
    let mut body = Vec::new();
    while let Some(piece) = poll_fn(|context| incoming.poll_data(context)).await {
        let piece = piece.unwrap();
        incoming.flow_control().release_capacity(piece.len()).unwrap();
        body.extend(piece);
    }
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    Response { status: head.status.as_u16(), headers, body }
}
