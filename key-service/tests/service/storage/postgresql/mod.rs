//! What is about a PostgreSQL server: how it is reached, and what becomes of the service when it does not do as it should.
//! These start servers of their own, also if `POSTGRES_URL` is set.

mod connecting;
mod outage;
mod posthog;
mod scene;
mod server;
mod standby;
mod tls;
