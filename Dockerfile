# The images of docker-compose.yml. Each is a target: envoy, key-service, echo.
# The file uses no BuildKit feature, so every engine can build it. No container runs as root.

FROM rust:1.95-bookworm AS builder
WORKDIR /build
COPY . .
# The same build as on a developer's machine. --release, because xtask is also the echo upstream.
RUN cargo run --locked --release --package xtask -- build

FROM debian:bookworm-slim AS runtime
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin edge
COPY --chown=10001 demo/http-ok.sh demo/seed.sh /usr/local/lib/edge-key-auth/

FROM runtime AS key-service
COPY --from=builder /build/target/release/key-service /usr/local/bin/key-service
# The certificate authorities for a webhook with https.
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# A new named volume takes this folder's owner.
RUN mkdir /data && chown 10001 /data
USER 10001
WORKDIR /data
ENTRYPOINT ["key-service"]
CMD ["serve"]

FROM runtime AS echo
COPY --from=builder /build/target/release/xtask /usr/local/bin/xtask
USER 10001
ENTRYPOINT ["xtask", "echo", "--listen", "0.0.0.0:8082"]

FROM envoyproxy/envoy:v1.40.0 AS envoy
COPY --chown=101 demo/http-ok.sh /usr/local/lib/edge-key-auth/
COPY --from=builder --chown=101 /build/target/edge_key_auth.wasm /etc/envoy/edge_key_auth.wasm
COPY --chown=101 envoy/envoy.yaml /etc/envoy/envoy.yaml
# The image's own user. The image's entrypoint only switches from root to this user, so it is not needed.
USER 101
ENTRYPOINT ["envoy"]
CMD ["--config-path", "/etc/envoy/envoy.yaml", "--concurrency", "2", "--disable-hot-restart"]
