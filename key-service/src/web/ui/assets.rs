//! The page's style sheet, script and icon, compiled into the program. Each address contains a hash of the content, so
//! browsers may cache it permanently.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::KeyDigest;

/// The number of hexadecimal digits of the content's SHA-256 in the address.
const HASH_CHARS: usize = 12;

/// A file that pages refer to.
pub(super) struct Asset {
    /// Its path on the site.
    pub(super) address: String,
    content_type: &'static str,
    content: &'static str,
}

impl Asset {
    fn new(name: &str, extension: &str, content_type: &'static str, content: &'static str) -> Self {
        let mut hash = KeyDigest::of_value(content).to_hex();
        hash.truncate(HASH_CHARS);
        Asset { address: format!("/assets/{name}.{hash}.{extension}"), content_type, content }
    }
}

/// All assets.
pub(super) struct Assets {
    /// The one style sheet.
    pub(super) style: Asset,
    /// The one script.
    pub(super) script: Asset,
    /// The icon of the browser's tab.
    pub(super) icon: Asset,
}

/// The assets of this build.
pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new("page", "css", "text/css; charset=utf-8", include_str!("../../../assets/page.css")),
    script: Asset::new(
        "page",
        "js",
        "text/javascript; charset=utf-8",
        include_str!("../../../assets/page.js"),
    ),
    icon: Asset::new("icon", "svg", "image/svg+xml", include_str!("../../../assets/icon.svg")),
});

/// `GET /assets/{file}`.
pub(super) async fn serve(Path(file): Path<String>) -> Response {
    let assets = [&ASSETS.style, &ASSETS.script, &ASSETS.icon];
    let asked = format!("/assets/{file}");
    let Some(asset) = assets.into_iter().find(|asset| asset.address == asked) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, asset.content).into_response()
}
