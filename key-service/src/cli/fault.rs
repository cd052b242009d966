//! The text of a failed command's error, which names the argument at fault.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::error::CliError;
use crate::accounts::management_tokens::TokenError;
use crate::keys::KeyError;
use crate::validation::FieldError;

/// A line for each problem. Where the error names a field of the API, it names the argument that is this field instead.
pub(super) fn in_words(error: &CliError, command: &Command, matches: &ArgMatches) -> String {
    let text = error.to_string();
    let named = match error {
        CliError::Invalid(errors) => {
            let line = |error: &FieldError| {
                of_argument(&error.field, &error.violation.detail, command, matches)
                    .unwrap_or_else(|| error.to_string())
            };
            return errors.iter().map(line).collect::<Vec<_>>().join("\n");
        }
        CliError::Key(KeyError::NotFound) | CliError::ManagementToken(TokenError::NotFound) => {
            Some(("id", text.as_str()))
        }
        CliError::Key(KeyError::ValueTaken | KeyError::ValueRevoked) => Some(("value", text.as_str())),
        CliError::Account(_) | CliError::Key(_) | CliError::ManagementToken(_) => text.split_once(": "),
        _ => None,
    };
    let line = named.and_then(|(field, detail)| of_argument(field, detail, command, matches));
    line.unwrap_or(text)
}

/// The problem of the argument that is a field of the API.
fn of_argument(field: &str, detail: &str, command: &Command, matches: &ArgMatches) -> Option<String> {
    let (command, matches) = carried_out(command, matches);
    let argument = argument(field, command, matches)?;
    let name = match argument.get_long() {
        Some(long) => format!("--{long}"),
        None => format!("<{}>", field.to_uppercase()),
    };
    let id = matches.try_get_one::<String>("id").ok().flatten().filter(|_| field == "id");
    let id = id.map(|id| format!(": {id}")).unwrap_or_default();
    Some(format!("{name}: {detail}{id}"))
}

/// The innermost subcommand that ran, and its arguments.
fn carried_out<'a>(mut command: &'a Command, mut matches: &'a ArgMatches) -> (&'a Command, &'a ArgMatches) {
    while let Some((name, of_it)) = matches.subcommand()
        && let Some(subcommand) = command.find_subcommand(name)
    {
        (command, matches) = (subcommand, of_it);
    }
    (command, matches)
}

/// The argument with the name of the field, or a given one that takes such a value, as `--user EMAIL` and `--value-stdin`
/// do.
fn argument<'a>(field: &str, command: &'a Command, matches: &ArgMatches) -> Option<&'a Arg> {
    let (placeholder, from_stdin) = (field.to_uppercase(), format!("{field}_stdin"));
    let takes_it = |argument: &&Arg| {
        let placeholders = argument.get_value_names().unwrap_or_default();
        argument.get_id() == from_stdin.as_str() || placeholders.iter().any(|name| *name == placeholder)
    };
    let is_given =
        |argument: &&Arg| matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine);
    let by_name = command.get_arguments().find(|argument| argument.get_id() == field);
    by_name.or_else(|| command.get_arguments().filter(takes_it).find(is_given))
}
