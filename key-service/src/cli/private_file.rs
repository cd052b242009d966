//! Files that only their owner can read, and that exist completely or not at all.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// The file exists, and replacing it was not requested.
    #[error("{} already exists", .0.display())]
    Exists(PathBuf),
    /// The system's error.
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// A file under a temporary name beside its destination. It is removed unless it is moved there.
#[derive(Debug)]
pub(super) struct PrivateFile {
    file: NamedTempFile,
    place: PathBuf,
    replaces: bool,
}

impl PrivateFile {
    /// Creates a file for a destination that must not exist, unless the file `replaces` it.
    pub(super) fn begin(place: &Path, replaces: bool) -> Result<Self, FileError> {
        if !replaces && place.symlink_metadata().is_ok() {
            return Err(FileError::Exists(place.to_owned()));
        }
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let make =
            |path: &Path| File::options().read(true).write(true).create_new(true).mode(0o600).open(path);
        let file = Builder::new().prefix(".key-service-").make_in(folder, make);
        let write = |source| FileError::Write { path: place.to_owned(), source };
        Ok(PrivateFile { file: file.map_err(write)?, place: place.to_owned(), replaces })
    }

    /// The file to write to.
    pub(super) fn file(&self) -> &File {
        self.file.as_file()
    }

    /// The temporary path.
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// An error with the name of the destination.
    pub(super) fn in_words(&self, error: impl Display) -> String {
        error.to_string().replace(&*self.path().to_string_lossy(), &self.place.to_string_lossy())
    }

    /// Syncs the file to the disk and moves it to its destination.
    pub(super) fn finish(self) -> Result<(), FileError> {
        let PrivateFile { file, place, replaces } = self;
        let placed = file.as_file().sync_all().and_then(|()| {
            let placed = if replaces { file.persist(&place) } else { file.persist_noclobber(&place) };
            placed.map(drop).map_err(io::Error::from)
        });
        placed.map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => FileError::Exists(place),
            _ => FileError::Write { path: place, source },
        })
    }
}
