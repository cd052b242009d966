//! What is about a PostgreSQL server: how it is reached, and what becomes of the service when it does not do as it should.
//! These start servers of their own, whatever `POSTGRES_URL` says.

mod connecting;
mod outage;
mod scene;
mod server;
mod standby;
mod tls;
