//! `cargo xtask break-rules`: breaks each rule of the lease protocol and checks that tests fail.
//!
//! All edits of `simulation/rules.toml` are applied to one copy of the sources, each behind the number of its rule. The copy is
//! built once. An environment variable selects the rule that a run breaks. The sources themselves have no such switch.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use test_stack::paths;
use test_stack::process::run_step;

use crate::build;

/// How many seeds the simulation runs at most with a rule broken.
pub const SEEDS: u64 = 7_000;

/// How many seeds the simulation runs first with no rule broken.
const UNBROKEN_SEEDS: &str = "300";

/// The rules and their edits.
const RULES: &str = "simulation/rules.toml";

/// The parts of the workspace that are copied.
const COPIED: [&str; 7] =
    ["Cargo.lock", "Cargo.toml", "clippy.toml", "leases", "protocol", "simulation", "src"];

/// In an edit, the place of the expression that is true if its rule is broken.
const PLACEHOLDER: &str = "BROKEN";

/// The environment variable with the number of the rule to break.
const VARIABLE: &str = "BROKEN_RULE";

/// A module that is added to the copy of `protocol`, for the edits.
const SWITCH: &str = "
/// Which rule is broken, in this copy of the sources only.
pub mod broken_rule {
    use std::sync::LazyLock;

    static BROKEN: LazyLock<Option<usize>> =
        LazyLock::new(|| std::env::var(\"BROKEN_RULE\").ok().and_then(|number| number.parse().ok()));

    /// Whether it is the rule of this number.
    pub fn is(number: usize) -> bool {
        *BROKEN == Some(number)
    }
}
";

/// The edits that break one rule, and the scripted tests that must fail then.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    edits: Vec<Edit>,
    #[serde(default)]
    scripts: Vec<String>,
    /// The first seed to try.
    #[serde(default)]
    from: u64,
}

/// A piece of code and its replacement in the copy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    file: String,
    code: String,
    becomes: String,
}

/// Breaks each of these rules, or every rule if none is named, in up to `seeds` seeds of the simulation.
///
/// # Errors
/// There is no rule of a name; the code of an edit does not occur exactly once; the copy does not build; or a broken rule is
/// not detected.
pub fn run(names: &[String], seeds: u64) -> Result<()> {
    let rules = read()?;
    if let Some(unknown) = names.iter().find(|name| !rules.contains_key(*name)) {
        let known: Vec<&str> = rules.keys().map(String::as_str).collect();
        bail!("{RULES} has no rule {unknown}. It has {}", known.join(", "));
    }
    let copy = paths::target().join("broken-rules");
    write_copy(&copy, &rules)?;
    let built = build(&copy)?;
    built.check().context("with no rule broken")?;
    let chosen: Vec<_> = rules
        .iter()
        .enumerate()
        .filter(|(_, (name, _))| names.is_empty() || names.contains(name))
        .map(|(number, (name, rule))| (number, name.as_str(), rule))
        .collect();
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let undetected: Vec<String> = std::thread::scope(|scope| {
        let worker = || {
            let mut undetected = Vec::new();
            while let Some((number, name, rule)) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                match built.detect(*number, rule, seeds) {
                    Ok(detected) => println!("{name}: {detected}"),
                    Err(error) => undetected.push(format!("{name}: {error:#}")),
                }
            }
            undetected
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|_| vec!["a panic".into()]))
            .collect()
    });
    if undetected.is_empty() {
        println!("==> tests detected all {} broken rules", chosen.len());
        return Ok(());
    }
    bail!("no test detected these broken rules:\n  {}", undetected.join("\n  "))
}

/// The rules, sorted by name.
fn read() -> Result<BTreeMap<String, Rule>> {
    let text = fs::read_to_string(paths::workspace().join(RULES)).context(RULES)?;
    toml::from_str(&text).context(RULES)
}

/// Writes the copy. Unchanged files are not written again, so that cargo builds only what has changed.
fn write_copy(copy: &Path, rules: &BTreeMap<String, Rule>) -> Result<()> {
    let workspace = paths::workspace();
    let mut files = BTreeMap::new();
    for part in COPIED {
        collect(&workspace, Path::new(part), &mut files)?;
    }
    apply(&mut files, rules)?;
    let manifest = files.get_mut(Path::new("Cargo.toml")).context("the workspace has no Cargo.toml")?;
    *manifest = reduced(manifest)?;
    let switch = files.get_mut(Path::new("protocol/src/lib.rs")).context("protocol has no lib.rs")?;
    switch.push_str(SWITCH);
    for (file, text) in &files {
        let path = copy.join(file);
        if fs::read_to_string(&path).is_ok_and(|written| written == *text) {
            continue;
        }
        let folder = path.parent().context("a file without a folder")?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    remove_others(copy, copy, &files)
}

/// Reads a file, or all files of a folder, into `files`.
fn collect(workspace: &Path, part: &Path, files: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let path = workspace.join(part);
    if !path.is_dir() {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        files.insert(part.to_owned(), text);
        return Ok(());
    }
    for entry in fs::read_dir(&path).with_context(|| path.display().to_string())? {
        collect(workspace, &part.join(entry?.file_name()), files)?;
    }
    Ok(())
}

/// Removes files of an earlier copy that are not in `files`, such as renamed ones. Cargo's target folder stays.
fn remove_others(copy: &Path, folder: &Path, files: &BTreeMap<PathBuf, String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.strip_prefix(copy)?;
        if path.is_dir() {
            if name != Path::new("target") {
                remove_others(copy, &path, files)?;
            }
        } else if !files.contains_key(name) {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// The manifest of the copy: only the copied packages, and no dev-dependencies of the filter.
fn reduced(manifest: &str) -> Result<String> {
    let mut manifest: toml::Table = manifest.parse().context("Cargo.toml")?;
    manifest.remove("dev-dependencies");
    let workspace = manifest.get_mut("workspace").and_then(toml::Value::as_table_mut);
    let members = ["leases", "protocol", "simulation"].map(toml::Value::from);
    workspace.context("Cargo.toml has no workspace")?.insert("members".to_owned(), members.to_vec().into());
    Ok(manifest.to_string())
}

/// Applies every edit. Edits must not overlap.
fn apply(files: &mut BTreeMap<PathBuf, String>, rules: &BTreeMap<String, Rule>) -> Result<()> {
    let mut places: BTreeMap<&str, Vec<(usize, &Edit, usize)>> = BTreeMap::new();
    for (number, (name, rule)) in rules.iter().enumerate() {
        if !rule.edits.iter().any(|edit| edit.becomes.contains(PLACEHOLDER)) {
            bail!("{name}: no edit contains {PLACEHOLDER}");
        }
        for edit in &rule.edits {
            let text = files
                .get(Path::new(&edit.file))
                .with_context(|| format!("{name}: there is no {}", edit.file))?;
            let mut found = text.match_indices(&edit.code);
            let (Some((at, _)), None) = (found.next(), found.next()) else {
                bail!("{name}: {} must contain this code exactly once:\n{}", edit.file, edit.code);
            };
            places.entry(&edit.file).or_default().push((at, edit, number));
        }
    }
    for (file, mut edits) in places {
        edits.sort_by_key(|(at, ..)| *at);
        if let Some([(_, first, _), (_, second, _)]) =
            edits.windows(2).find(|two| two[0].0 + two[0].1.code.len() > two[1].0)
        {
            bail!("{file}: two edits overlap:\n{}\n{}", first.code, second.code);
        }
        let text = files.get_mut(Path::new(file)).context("a file that was read")?;
        for (at, edit, number) in edits.into_iter().rev() {
            let condition = format!("::protocol::broken_rule::is({number})");
            text.replace_range(at..at + edit.code.len(), &edit.becomes.replace(PLACEHOLDER, &condition));
        }
    }
    Ok(())
}

/// The programs built from the copy.
struct Built {
    simulation: PathBuf,
    scripts: PathBuf,
}

fn build(copy: &Path) -> Result<Built> {
    let cargo = |subcommand, arguments: &[&str]| {
        let mut cargo = build::cargo(subcommand);
        cargo.current_dir(copy).env("CARGO_TARGET_DIR", copy.join("target"));
        cargo.args(["--package", "simulation"]).args(arguments);
        cargo
    };
    let scripts = || cargo("test", &["--test", "scripted", "--no-run"]);
    // The test profile, so that both share one build of their dependencies.
    let simulation = || cargo("build", &["--bin", "simulation", "--profile", "test"]);
    run_step("building the copy of the sources in which rules can be broken", simulation())?;
    run_step("building its scripted tests", scripts())?;
    Ok(Built {
        simulation: executable(simulation(), "simulation")?,
        scripts: executable(scripts(), "scripted")?,
    })
}

/// The program that cargo builds for this target.
fn executable(mut cargo: Command, target: &str) -> Result<PathBuf> {
    let output = cargo.args(["--message-format", "json"]).output().context("cannot run cargo")?;
    let messages = String::from_utf8(output.stdout)?;
    let executable = |message: serde_json::Value| {
        let is_it = message["target"]["name"] == target;
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    };
    let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    messages
        .filter_map(executable)
        .next_back()
        .with_context(|| format!("cargo has built no program for {target}"))
}

impl Built {
    /// Runs everything with no rule broken. A failure then has another cause than a broken rule.
    fn check(&self) -> Result<()> {
        let scripts = output(&self.scripts, &[], None)?;
        let seeds = output(&self.simulation, &["--seeds", UNBROKEN_SEEDS], None)?;
        for Output { status, stdout, .. } in [scripts, seeds] {
            if !status.success() {
                bail!("{}", String::from_utf8_lossy(&stdout));
            }
        }
        Ok(())
    }

    /// Breaks a rule and returns which tests detected it.
    fn detect(&self, number: usize, rule: &Rule, seeds: u64) -> Result<String> {
        let began = Instant::now();
        for script in &rule.scripts {
            let output = output(&self.scripts, &["--exact", script], Some(number))?;
            let printed = String::from_utf8_lossy(&output.stdout);
            if output.status.success() || !printed.contains("1 failed") {
                bail!("the scripted test {script} does not fail:\n{printed}");
            }
        }
        let (from, seeds) = (rule.from.to_string(), seeds.to_string());
        let output = output(&self.simulation, &["--from", &from, "--seeds", &seeds], Some(number))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let Some(violation) = printed.lines().find(|line| line.starts_with("VIOLATION")) else {
            bail!(
                "no violation in {seeds} seeds from {from}:\n{printed}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        let scripts = match rule.scripts.len() {
            0 => String::new(),
            number => format!("{number} scripted tests and "),
        };
        Ok(format!("{scripts}{violation} ({:.1} s)", began.elapsed().as_secs_f64()))
    }
}

fn output(program: &Path, arguments: &[&str], broken: Option<usize>) -> Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).env_remove(VARIABLE);
    command.envs(broken.map(|number| (VARIABLE, number.to_string())));
    command.output().with_context(|| program.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> BTreeMap<String, Rule> {
        toml::from_str(text).unwrap()
    }

    fn file(text: &str) -> BTreeMap<PathBuf, String> {
        [(PathBuf::from("a.rs"), text.to_owned())].into()
    }

    #[test]
    fn each_edit_depends_on_its_own_rule() {
        let rules = rules(
            "[First]\nedits = [{ file = 'a.rs', code = 'one', becomes = 'one || BROKEN' }]
            [Second]\nedits = [{ file = 'a.rs', code = 'two', becomes = '!BROKEN && two' }]",
        );
        let mut files = file("one two");
        apply(&mut files, &rules).unwrap();
        let [first, second] = [0, 1].map(|number| format!("::protocol::broken_rule::is({number})"));
        assert_eq!(files[Path::new("a.rs")], format!("one || {first} !{second} && two"));
    }

    #[test]
    fn an_edit_whose_code_is_missing_or_repeated_or_overlaps_is_refused() {
        let one = rules("[R]\nedits = [{ file = 'a.rs', code = 'one', becomes = 'BROKEN' }]");
        for text in ["two", "one one"] {
            let error = apply(&mut file(text), &one).unwrap_err().to_string();
            assert!(error.starts_with("R: a.rs must contain this code exactly once"), "{error}");
        }
        let without_placeholder = rules("[R]\nedits = [{ file = 'a.rs', code = 'one', becomes = 'two' }]");
        let error = apply(&mut file("one"), &without_placeholder).unwrap_err().to_string();
        assert_eq!(error, "R: no edit contains BROKEN");
        let error = apply(&mut BTreeMap::new(), &one).unwrap_err().to_string();
        assert_eq!(error, "R: there is no a.rs");
        let edits = "[{ file = 'a.rs', code = 'one', becomes = 'BROKEN' }, { file = 'a.rs', code = 'ne t', becomes = '' }]";
        let error = apply(&mut file("one two"), &rules(&format!("[R]\nedits = {edits}"))).unwrap_err();
        assert!(error.to_string().starts_with("a.rs: two edits overlap"), "{error}");
    }

    /// Fails at once when a change of the code invalidates an edit, and not only when rules are broken.
    #[test]
    fn every_rule_has_its_place_in_the_code_and_its_row_in_the_documentation() {
        let rules = read().unwrap();
        let workspace = paths::workspace();
        let mut files = BTreeMap::new();
        for part in COPIED {
            collect(&workspace, Path::new(part), &mut files).unwrap();
        }
        let mut shipped = BTreeMap::new();
        for part in ["src", "leases/src", "key-service/src"] {
            collect(&workspace, Path::new(part), &mut shipped).unwrap();
        }
        for (name, rule) in &rules {
            let is_named_in = |text: &String| text.contains(&format!("`{name}`"));
            let is_named_at = |edit: &Edit| is_named_in(&files[Path::new(&edit.file)]);
            assert!(rule.edits.iter().any(is_named_at), "no comment names {name} where its edit is");
            assert!(shipped.values().any(is_named_in), "no comment names {name} in code that ships");
        }
        apply(&mut files, &rules).unwrap();
        let page = fs::read_to_string(workspace.join("docs/revocation.md")).unwrap();
        let rows: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        for name in rules.keys() {
            assert_eq!(rows.iter().filter(|row| *row == name).count(), 1, "{name} has no row");
        }
    }
}
