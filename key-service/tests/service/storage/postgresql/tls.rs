//! Encrypted connections.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use test_stack::postgres::{NON_DURABLE, Postgres};

use crate::server::startup::{assert_one_line, refused};
use crate::storage::postgresql::server::role;
use crate::support::Site;

/// An authority's certificate, and what it signs with.
fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.self_signed(&key).unwrap().pem(), Issuer::new(params, key))
}

/// A server with TLS, whose certificate for `localhost` the authority has signed.
fn server(authority: &Issuer<'static, KeyPair>) -> Postgres {
    let postgres = Postgres::start(&NON_DURABLE).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    postgres.write("server.crt", &params.signed_by(&key, authority).unwrap().pem()).unwrap();
    postgres.write("server.key", &key.serialize_pem()).unwrap();
    let databases = postgres.databases();
    databases.query("postgres", "ALTER SYSTEM SET ssl = on").unwrap();
    databases.query("postgres", "SELECT pg_reload_conf()").unwrap();
    postgres
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn a_connection_is_as_safe_as_the_url_asks_for() {
    let [(authority, signer), (another, _)] = ["ours", "another"].map(authority);
    let postgres = server(&signer);
    let role = role(&postgres);
    let files = Site::empty();
    let [trusted, other] = [("ca.pem", authority), ("other.pem", another)].map(|(name, pem)| {
        let path = files.dir.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path.display().to_string()
    });
    let url = |host: &str, options: &str| role.url(&postgres, host) + "?" + options;
    let verified = |host: &str, root: &str| url(host, &format!("sslmode=verify-full&sslrootcert={root}"));
    let add = |url: &str| {
        Site::at(url).ok(&["user", "add", "a@example.com", "--without-password", "--if-absent"], "")
    };
    let refuses = |url: &str| {
        let error = refused(&Site::at(url), &[], |command| command);
        assert_one_line(&error, &["--database-url (DATABASE_URL)"]);
        assert!(!error.contains("hunter"), "{error}");
        error.to_lowercase()
    };

    for options in ["sslmode=disable", "sslmode=prefer", "sslmode=require"] {
        add(&url("127.0.0.1", options));
    }
    add(&verified("localhost", &trusted));
    for (host, root, why) in [
        ("localhost", &other, "invalid peer certificate: unknownissuer"),
        ("127.0.0.1", &trusted, "certificate not valid for name"),
    ] {
        let error = refuses(&verified(host, root));
        assert!(error.contains(why), "{error}");
    }
    let error = refuses(&verified("localhost", "/nowhere.pem"));
    assert!(error.contains("sslrootcert: cannot read /nowhere.pem: no such file"), "{error}");

    // What connected without a word about it was encrypted only where it had to be.
    postgres.databases().query("postgres", "ALTER SYSTEM SET ssl = off").unwrap();
    postgres.databases().query("postgres", "SELECT pg_reload_conf()").unwrap();
    add(&url("127.0.0.1", "sslmode=prefer"));
    assert!(refuses(&url("127.0.0.1", "sslmode=require")).contains("tls"));
}
