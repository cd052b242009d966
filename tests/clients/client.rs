//! PostHog's clients, each in a process that runs one command at a time.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use test_stack::paths;

use crate::upstream::PROJECT;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    Node,
}

pub(crate) const LANGUAGES: [Language; 2] = [Language::Python, Language::Node];

/// A client. Its process stops when this is dropped.
pub(crate) struct Client {
    process: Child,
    answers: BufReader<ChildStdout>,
}

/// What a command returned, and the errors that the client reported meanwhile.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) result: Value,
    pub(crate) errors: Vec<String>,
}

impl Outcome {
    /// The result of a command without errors.
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.errors, Vec::<String>::new(), "{}", self.result);
        self.result
    }

    /// Checks that the client reported an error with this text and returned nothing.
    #[track_caller]
    pub(crate) fn require_error(self, text: &str) {
        assert!(self.errors.iter().any(|error| error.contains(text)), "not {text}: {self:?}");
        assert_eq!(self.result, Value::Null);
    }
}

impl Client {
    /// Starts the process of a client that sends its requests to `host`.
    pub(crate) fn start(language: Language, host: &str) -> Self {
        let folder = paths::clients();
        let tool = |variable| paths::tool(variable).unwrap_or_else(|error| panic!("{error:#}"));
        let mut command = match language {
            Language::Python => {
                let mut command = Command::new(tool(paths::CLIENTS_PYTHON_VARIABLE));
                command.arg(folder.join("posthog_python.py"));
                command
            }
            Language::Node => {
                let mut command = Command::new("node");
                command.arg(folder.join("posthog_node.js"));
                command.env("NODE_PATH", tool(paths::CLIENTS_NODE_VARIABLE));
                command
            }
        };
        command.arg(host).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(Path::new("/"));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Client { process, answers }
    }

    /// Begins anew with a client for the project, without a secret key.
    pub(crate) fn open(&mut self, capture_mode: &str) {
        self.run("open", &json!({"project": PROJECT, "capture_mode": capture_mode})).ok();
    }

    /// Begins anew with a client that has a secret key.
    pub(crate) fn open_with(&mut self, secret: &str) {
        self.run("open", &json!({"project": PROJECT, "secret": secret})).ok();
    }

    /// Begins anew with a client that loads the definitions of flags and evaluates flags itself.
    pub(crate) fn open_local(&mut self, secret: &str) -> Outcome {
        self.run("open", &json!({"project": PROJECT, "secret": secret, "local": true}))
    }

    /// Runs a command with arguments.
    pub(crate) fn run(&mut self, name: &str, arguments: &Value) -> Outcome {
        let mut command = arguments.clone();
        command["do"] = name.into();
        writeln!(self.process.stdin.as_mut().unwrap(), "{command}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        let answer: Value =
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
        let errors = answer["errors"].as_array().unwrap();
        let errors = errors.iter().map(|error| error.as_str().unwrap().to_owned()).collect();
        Outcome { result: answer["result"].clone(), errors }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
