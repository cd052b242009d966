//! `--help`.

use insta::assert_snapshot;

use crate::support::Site;

/// The names of the commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let names =
        list.lines().take_while(|line| !line.is_empty()).map(|line| line.split_whitespace().next().unwrap());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn of_every_command() {
    let site = Site::empty();
    let mut left = vec![Vec::<String>::new()];
    while let Some(command) = left.pop() {
        let args: Vec<_> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let help = site.ok(&args, "");
        for name in commands(&help) {
            left.push([&command[..], &[name]].concat());
        }
        let name = if command.is_empty() { "key-service".to_owned() } else { command.join("-") };
        assert_snapshot!(name, help);
    }
}
