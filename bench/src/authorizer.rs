//! The server that `ext_authz` asks. It looks the key up in a table, as the fastest service would.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::thread;

use anyhow::Result;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::{keys, usage};

thread_local! {
    /// The only known key.
    static KEY: String = keys::value(0);
}

/// Starts it in a thread on this processor, which ends with this process. Returns its address.
///
/// # Errors
/// No port or no thread is available.
pub(crate) fn start(processor: usize) -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("authorizer".to_owned()).spawn(move || {
        let served = usage::pin_thread(None, processor).and_then(|()| Ok(runtime.block_on(serve(listener))?));
        if let Err(error) = served {
            eprintln!("error: the server of ext_authz failed: {error:#}");
        }
    })?;
    Ok(address)
}

async fn serve(listener: std::net::TcpListener) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let io = TokioIo::new(stream);
            // Envoy closes the connection when it ends.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service_fn(answer)).await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let credentials = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let key = credentials.and_then(|text| text.strip_prefix("Bearer "));
    let is_known = KEY.with(|known| key == Some(known));
    let mut response = Response::new(String::new());
    if is_known {
        for (name, value) in [("x-auth-user-id", "7"), ("x-auth-key-id", "9"), ("x-auth-scopes", "*")] {
            response.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
        }
    } else {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    Ok(response)
}
