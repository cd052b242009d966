//! The arguments of `edge-key-auth check` and `edge-key-auth explain`, their files and their output.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use edge_key_auth_cli::catalogue::Catalogue;
use edge_key_auth_cli::check::{self, Report, check};
use edge_key_auth_cli::document::{Document, Format};
use edge_key_auth_cli::explain::{Key, Request, explain};
use edge_key_auth_cli::finding::Severity;
use edge_key_auth_cli::settings::{Accepted, Settings};
use protocol::{InvalidResourceId, ResourceId, Restrictions, ScopeSet};
use serde_json::{Value, json};

/// Check the filter's settings, or a configuration of the Envoy that runs it
#[derive(Args)]
#[command(after_help = "\
Prints each problem with its line and path, and the rules as they match.

Exit code 0: no errors. 1: there are errors. 2: a file cannot be read, or is neither YAML nor JSON.")]
pub(crate) struct CheckArgs {
    /// The files; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The key service's scope catalogue: point out scopes that it lacks
    #[arg(long, value_name = "FILE", env = "SCOPE_CATALOGUE", hide_env_values = true)]
    scope_catalogue: Option<PathBuf>,
    /// Exit with 1 if there are hints too
    #[arg(long)]
    strict: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Explain what the filter does with a request: its rule, the scope that it needs, and the answer
#[derive(Args)]
#[command(after_help = "\
The filter itself decides, without a key service: you say what the key can do.

Exit code 0: the request is forwarded. 1: it is refused. 2: the configuration or an argument is invalid.")]
pub(crate) struct ExplainArgs {
    /// The method, such as GET
    method: String,
    /// The path, such as /api/projects/1/insights/5
    path: String,
    /// The filter's settings or an Envoy configuration; - for standard input. Default: the default route table
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The request has a valid key with these scopes, separated by commas or spaces
    #[arg(long, value_name = "SCOPES", value_parser = scopes, group = "key")]
    key_scopes: Option<ScopeSet>,
    /// The key is restricted to these projects: their ids, separated by commas or spaces; "" for none
    #[arg(long, value_name = "IDS", value_parser = ids, requires = "key_scopes")]
    key_projects: Option<Ids>,
    /// The key is restricted to these organizations
    #[arg(long, value_name = "IDS", value_parser = ids, requires = "key_scopes")]
    key_organizations: Option<Ids>,
    /// The request has a key that does not exist, or that is deleted or expired
    #[arg(long, group = "key")]
    invalid_key: bool,
    /// The request has no key; this is the default
    #[arg(long, group = "key")]
    no_key: bool,
    /// A header of the request; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The host of the request
    #[arg(long, default_value = "example.com")]
    host: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Checks files.
pub(crate) fn run_check(args: &CheckArgs) -> Result<ExitCode> {
    let catalogue = args.scope_catalogue.as_ref().map(read_catalogue).transpose()?;
    let files = args.files.iter().map(read).collect::<Result<Vec<_>>>()?;
    let reports = check(&files, catalogue.as_ref());
    let count = |severity| reports.iter().map(|report| report.count(severity)).sum::<usize>();
    let (errors, hints) = (count(Severity::Error), count(Severity::Hint));
    let files: Vec<Value> = reports.iter().map(Report::to_json).collect();
    match args.json {
        true => print(&pretty(&json!({ "errors": errors, "hints": hints, "files": files }))),
        false => reports.iter().for_each(|report| print(&report.to_text())),
    }
    Ok(exit_code(errors == 0 && (hints == 0 || !args.strict)))
}

/// Explains a request.
pub(crate) fn run_explain(args: ExplainArgs) -> Result<ExitCode> {
    let accepted = match &args.config {
        None => settings_of("the default settings", &Settings::defaults())?,
        Some(file) => {
            let (name, document) = read(file)?;
            match &check::settings_in(&document)[..] {
                [settings] => settings_of(&name, settings)?,
                [] => bail!("{name}: configures no edge-key-auth filter"),
                several => {
                    let paths: Vec<_> = several.iter().map(|settings| settings.path.as_str()).collect();
                    let paths = paths.join("\n");
                    bail!("{name}: configures several filters; save one as a file:\n{paths}");
                }
            }
        }
    };
    let restrictions = Restrictions {
        projects: args.key_projects.map(|Ids(ids)| ids),
        organizations: args.key_organizations.map(|Ids(ids)| ids),
    };
    let key = match (args.key_scopes, args.invalid_key, args.no_key) {
        (Some(scopes), ..) => Key::Valid(scopes, restrictions),
        (_, true, _) => Key::Invalid,
        (.., true) => Key::None,
        _ => Key::Unknown,
    };
    let ExplainArgs { method, path, host, headers, json, .. } = args;
    let request = Request { method, path, host, headers, key };
    let explanation = explain(accepted, &request)?;
    print(&if json { pretty(&explanation.to_json()) } else { explanation.to_text() });
    Ok(exit_code(explanation.is_forwarded()))
}

fn exit_code(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn settings_of(name: &str, settings: &Settings) -> Result<Accepted> {
    settings.read().map_err(|problems| {
        let lines: Vec<_> =
            problems.iter().map(|found| format!("{name}: {}: {}", found.path, found.message)).collect();
        anyhow!(lines.join("\n"))
    })
}

/// The name and the value of a file.
fn read(file: &PathBuf) -> Result<(String, Document)> {
    let name = file.display().to_string();
    let text = match name.as_str() {
        "-" => {
            let mut text = String::new();
            io::stdin().lock().read_to_string(&mut text).map(|_| text)
        }
        _ => std::fs::read_to_string(file),
    };
    let text = text.with_context(|| format!("cannot read {name}"))?;
    let document = Document::read(&text, Format::of_name(&name));
    let document = document.map_err(|error| anyhow!("{name}:{}: {}", error.line, error.message))?;
    Ok((name, document))
}

fn read_catalogue(file: &PathBuf) -> Result<Catalogue> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    Catalogue::parse(&text).with_context(|| name.to_string())
}

fn scopes(text: &str) -> Result<ScopeSet, String> {
    let scopes = text.split([',', ' ']).filter(|scope| !scope.is_empty());
    ScopeSet::parse(scopes).map_err(|error| error.to_string())
}

/// Ids of projects or organizations.
#[derive(Clone, Debug)]
pub(crate) struct Ids(Vec<ResourceId>);

fn ids(text: &str) -> Result<Ids, String> {
    let ids = text.split([',', ' ']).filter(|id| !id.is_empty()).map(str::parse).collect::<Result<_, _>>();
    ids.map(Ids).map_err(|error: InvalidResourceId| error.to_string())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    let name = name.trim();
    if name.is_empty() || !name.is_ascii() || value.contains(['\r', '\n', '\0']) {
        return Err("write NAME: VALUE".to_owned());
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// JSON for the terminal. Its own escapes leave characters above U+001F that steer a terminal.
fn pretty(value: &Value) -> String {
    let mut shown = String::new();
    for c in serde_json::to_string_pretty(value).unwrap_or_default().chars() {
        match c > '\u{1f}' && steers(c) {
            true => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => shown.push(c),
        }
    }
    shown + "\n"
}

/// Prints lines. If standard output cannot be written, only the exit code is left.
fn print(text: &str) {
    let lines: Vec<_> = text.lines().map(harmless).collect();
    let _ = writeln!(io::stdout().lock(), "{}", lines.join("\n"));
}

/// Whether a terminal would interpret a character instead of showing it, or change the reading direction.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text from a file, with the characters escaped that could steer a terminal.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_a_file_does_not_steer_a_terminal() {
        assert_eq!(harmless("é\u{1b}[2J\u{9b}\u{202e}"), r"é\u{1b}[2J\u{9b}\u{202e}");
        let value = json!("é\u{1b}\u{9b}\u{7f}\u{202e}");
        let shown = pretty(&value);
        assert!(!shown.trim_end().chars().any(steers), "{shown:?}");
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }
}
