//! The servers behind Envoy.

use std::net::SocketAddr;
use std::path::PathBuf;

use tempfile::TempDir;
use test_stack::paths;
use test_stack::ports;
use test_stack::process::Process;

pub(crate) struct Server {
    pub(crate) name: &'static str,
    program: PathBuf,
    /// `{port}` and `{upstreams}`, the folder of the programs, are filled in.
    args: &'static [&'static str],
    env: Vec<(String, String)>,
}

/// A server that runs until this is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

const FLASK: &[&str] = &[
    "-m",
    "gunicorn",
    "--bind",
    "127.0.0.1:{port}",
    "--threads",
    "4",
    "--chdir",
    "{upstreams}",
    "flask_app:app",
];
const DJANGO: &[&str] = &[
    "-m",
    "gunicorn",
    "--bind",
    "127.0.0.1:{port}",
    "--threads",
    "4",
    "--chdir",
    "{upstreams}",
    "django_app:app",
];
const STARLETTE: &[&str] = &[
    "-m",
    "uvicorn",
    "--port",
    "{port}",
    "--app-dir",
    "{upstreams}",
    "--no-access-log",
    "starlette_app:app",
];
const EXPRESS: &[&str] = &["{upstreams}/express_app.js", "{port}"];
const FASTIFY: &[&str] = &["{upstreams}/fastify_app.js", "{port}"];

impl Server {
    pub(crate) fn all() -> Vec<Server> {
        let python =
            paths::tool(paths::UPSTREAMS_PYTHON_VARIABLE).unwrap_or_else(|error| panic!("{error:#}"));
        let modules = paths::tool(paths::UPSTREAMS_NODE_VARIABLE).unwrap_or_else(|error| panic!("{error:#}"));
        let python = |name, args| {
            let env = vec![("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned())];
            Server { name, program: python.clone(), args, env }
        };
        let node = |name, args| {
            let env = vec![("NODE_PATH".to_owned(), modules.display().to_string())];
            Server { name, program: "node".into(), args, env }
        };
        vec![
            python("gunicorn with Flask", FLASK),
            python("gunicorn with Django", DJANGO),
            python("uvicorn with Starlette", STARLETTE),
            node("Express", EXPRESS),
            node("Fastify", FASTIFY),
        ]
    }

    pub(crate) fn start(&self) -> Running {
        let address = ports::free().unwrap();
        let folder = TempDir::with_prefix("edge-key-auth-").unwrap();
        let fill = |text: &&str| {
            text.replace("{port}", &address.port().to_string())
                .replace("{upstreams}", &paths::upstreams().display().to_string())
        };
        let args: Vec<String> = self.args.iter().map(fill).collect();
        let log = folder.path().join("upstream.log");
        let probe = format!("http://{address}/decide/");
        let process = Process::new(self.name, &self.program, args, &self.env, log, probe);
        process.start().unwrap_or_else(|error| panic!("{error:#}"));
        Running { address, _process: process, _folder: folder }
    }
}
