//! `key-service import`.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use protocol::ScopeSet;
use serde::Serialize;

use super::arguments::{self, PERMISSIONS_HELP, within_catalogue};
use super::database::open_or_create;
use super::error::{CliError, ExitOutcome};
use super::private_file::PrivateFile;
use super::progress;
use super::terminal::{print_json, print_message, print_table};
use crate::revocation::Store;
use crate::settings::{ScopeCatalogue, operator};
use crate::time::Timestamp;
use crate::transfer::csv::CsvWriter;
use crate::transfer::import::{CHUNK_LINES, Import, ImportError, Options, Summary};
use crate::transfer::read::Lines;
use crate::transfer::{Format, Refused};

/// The most refused lines in the output if there is no report.
const MAX_SHOWN: usize = 100;

#[derive(Debug, clap::Args)]
#[command(after_help = format!("A line needs email, label, secure_value (sha256$ and 64 hexadecimal digits) and scopes; it may have
created_at, last_used_at, mask_value, last_rolled_at, expires_at, scoped_teams and
scoped_organizations. Lists are written as a,b, as [\"a\",\"b\"] or as {{a,b}}. CSV names its columns in the first line.
Importing the same file again changes nothing.
Exit code 0: no line was refused. 3: some lines were refused; the others are imported. 1: the import failed.

{PERMISSIONS_HELP}"))]
pub(super) struct Args {
    /// The file to read; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The format of the file
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// Only report what an import would do
    #[arg(long)]
    dry_run: bool,
    /// Create missing users; they cannot sign in until they set a password with a one-time link
    #[arg(long)]
    create_users: bool,
    /// The permissions of created users: scopes separated by commas, or none
    #[arg(long, value_name = "SCOPES", default_value = "*", requires = "create_users")]
    permissions: String,
    #[command(flatten)]
    catalogue: ScopeCatalogue,
    /// Write the number, field and reason of each refused line to this file, as CSV
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The result of an import in JSON.
#[derive(Serialize)]
struct ImportView<'a> {
    dry_run: bool,
    #[serde(flatten)]
    summary: Summary,
    /// The first refused lines.
    refused_lines: &'a [Refused],
}

/// Collects refused lines, and writes them into the report.
struct RefusedLines<'a> {
    /// The first refused lines.
    first: Vec<Refused>,
    report: Option<CsvWriter<BufWriter<&'a File>>>,
}

impl<'a> RefusedLines<'a> {
    fn new(report: Option<&'a File>) -> io::Result<Self> {
        let begin = |file| CsvWriter::new(BufWriter::new(file), &["line", "field", "reason"]);
        Ok(RefusedLines { first: Vec::new(), report: report.map(begin).transpose()? })
    }

    fn add(&mut self, refused: Refused) -> io::Result<()> {
        if let Some(report) = &mut self.report {
            report.row(&[&refused.line.to_string(), refused.field, &refused.reason])?;
        }
        if self.first.len() < MAX_SHOWN {
            self.first.push(refused);
        }
        Ok(())
    }

    /// Ends the report, and returns the first refused lines.
    fn finish(self) -> io::Result<Vec<Refused>> {
        self.report.map(CsvWriter::finish).transpose()?;
        Ok(self.first)
    }
}

pub(super) async fn run(args: Args, database_url: &str) -> Result<ExitOutcome, CliError> {
    let catalogue = args.catalogue.read()?;
    let permissions = arguments::permissions(&args.permissions)
        .and_then(|permissions| within_catalogue(permissions, &catalogue, &ScopeSet::default()));
    let permissions = permissions.map_err(|violation| violation.of("permissions"))?;
    let options = Options { dry_run: args.dry_run, create_users: args.create_users.then_some(permissions) };
    let report = args.report.as_deref().map(|path| PrivateFile::begin(path, false)).transpose();
    let report = report.map_err(CliError::Report)?;
    let mut collected = RefusedLines::new(report.as_ref().map(PrivateFile::file))?;
    // Check the file first: an invalid one must not create a database.
    let (input, bar) = open(&args.file)?;
    let lines = Lines::new(input, args.format, Timestamp::now()).inspect_err(|_| bar.finish_and_clear());
    let mut lines = lines.map_err(|source| CliError::NoKeys { path: args.file.clone(), source })?;
    let store = match args.dry_run {
        true => Store::open_existing(database_url).await?,
        false => open_or_create(database_url).await?,
    };
    let by = operator();
    let mut import = Import::new(&store, &by, &catalogue, options);

    let done = import_lines(&mut import, &mut lines, &bar, &mut collected).await;
    bar.finish_and_clear();
    let refused_lines = collected.finish()?;

    let summary = import.summary();
    if args.report.is_none() {
        print_refused(&refused_lines, summary.refused)?;
    }
    let unnamed = lines.unnamed_restrictions();
    if summary.lines > 0 && !unnamed.is_empty() {
        let unnamed = unnamed.join(" and no ");
        print_message(&format!(
            "the file has no {unnamed}: its keys are imported without such restrictions"
        ))?;
    }
    if args.json {
        print_json(&ImportView { dry_run: args.dry_run, summary, refused_lines: &refused_lines })?;
    } else {
        print_summary(args.dry_run, summary)?;
    }
    report.map(PrivateFile::finish).transpose().map_err(CliError::ReportLost)?;
    done.map_err(|source| CliError::Import { path: args.file, source })?;
    Ok(if summary.refused == 0 { ExitOutcome::Done } else { ExitOutcome::NeedsAttention })
}

/// The input and its progress.
fn open(path: &Path) -> Result<(Box<dyn Read>, ProgressBar), CliError> {
    if path == Path::new("-") {
        let bar = progress::of_reading(None);
        return Ok((Box::new(bar.wrap_read(io::stdin().lock())), bar));
    }
    let failed = |source| CliError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(ErrorKind::IsADirectory.into()));
    }
    let bar = progress::of_reading(Some(&file));
    Ok((Box::new(bar.wrap_read(file)), bar))
}

/// Imports all lines, chunk by chunk.
async fn import_lines(
    import: &mut Import<'_>,
    lines: &mut Lines<impl Read>,
    bar: &ProgressBar,
    collected: &mut RefusedLines<'_>,
) -> Result<(), ImportError> {
    loop {
        let chunk = lines.by_ref().take(CHUNK_LINES).collect::<Result<Vec<_>, _>>()?;
        if chunk.is_empty() {
            return Ok(());
        }
        for refused in import.store_chunk(chunk, Timestamp::now()).await? {
            collected.add(refused).map_err(ImportError::Report)?;
        }
        let Summary { imported, unchanged, refused, .. } = import.summary();
        bar.set_message(format!("{imported} imported, {unchanged} unchanged, {refused} refused"));
    }
}

fn print_refused(first: &[Refused], count: u64) -> io::Result<()> {
    for Refused { line, field, reason } in first {
        let separator = if field.is_empty() { "" } else { ": " };
        print_message(&format!("line {line}: {field}{separator}{reason}"))?;
    }
    match count - first.len() as u64 {
        0 => Ok(()),
        more => print_message(&format!(
            "and {more} more refused lines; --report FILE writes all of them to a file"
        )),
    }
}

fn print_summary(dry_run: bool, summary: Summary) -> io::Result<()> {
    if dry_run {
        print_message("a dry run: nothing was written")?;
    }
    let Summary { lines, imported, unchanged, refused, users_added } = summary;
    let row = [lines, imported, unchanged, refused, users_added].map(|count| count.to_string());
    print_table(["LINES", "IMPORTED", "UNCHANGED", "REFUSED", "USERS ADDED"], &[row])
}
