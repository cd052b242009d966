//! The commands in `docs/configuration.md` print what the page shows.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The output of a shell command in the workspace, with the program on the `PATH`.
fn output(command: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_edge-key-auth"));
    let mut path = program.parent().unwrap().as_os_str().to_owned();
    path.push(":/usr/bin:/bin");
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(test_stack::paths::workspace()).env("PATH", path);
    String::from_utf8(shell.output().unwrap().stdout).unwrap()
}

#[test]
fn the_output_on_the_page_is_real() {
    let file = test_stack::paths::workspace().join("docs/configuration.md");
    let page = fs::read_to_string(&file).unwrap();
    let mut updated = String::new();
    let mut shown = 0;
    for (at, part) in page.split("```").enumerate() {
        if at > 0 {
            updated += "```";
        }
        match part.strip_prefix("console\n") {
            Some(block) if block.contains("edge-key-auth") => {
                let commands: Vec<_> = block.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
                let blocks = commands.iter().map(|command| format!("$ {command}\n{}", output(command)));
                updated += "console\n";
                updated += &blocks.collect::<Vec<_>>().join("\n");
                shown += commands.len();
            }
            _ => updated += part,
        }
    }
    assert!(shown >= 4, "{shown}");
    let real = file.with_file_name("../target/configuration.md");
    if updated != page {
        fs::write(&real, &updated).unwrap();
        panic!("the page is out of date: compare it with {}", real.display());
    }
}
