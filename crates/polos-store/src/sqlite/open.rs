//! Opening: the directory, the lock, the pragmas, the schema, and a new incarnation.

use super::lock::Lock;
use super::{meta, schema};
use crate::error::OpenError;
use polos_protocol::Millis;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How the store uses the machine.
#[derive(Debug, Clone)]
pub struct Options {
    /// The page cache of the writing connection, in KiB.
    pub writer_cache_kib: u32,
    /// The page cache of each reading connection, in KiB.
    pub reader_cache_kib: u32,
    /// How many reads may go on at once.
    pub readers_max: usize,
    /// How much of the file is read through a memory map, in MiB. None by default: a disk that
    /// fails under a map ends the process by a signal instead of giving an error.
    pub mmap_mib: u32,
    /// The length of the write-ahead log, in pages, at which it is folded into the database.
    pub checkpoint_pages: u32,
    /// How long a write waits for another program that holds the database, in milliseconds.
    pub busy_ms: u32,
    /// The address that goes into the lock file, if it is known before the opening.
    pub address: Option<String>,
    /// The time of the opening, below which no incarnation lies: see [`super::Store::open`].
    pub opened_ms: Millis,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            writer_cache_kib: 32 << 10,
            reader_cache_kib: 4 << 10,
            readers_max: 4,
            mmap_mib: 0,
            checkpoint_pages: 4096,
            busy_ms: 1_000,
            address: None,
            opened_ms: now(),
        }
    }
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

/// The error of a database that does not open.
pub(super) fn database(path: &Path, cause: &rusqlite::Error) -> OpenError {
    OpenError::Database { path: path.to_owned(), message: cause.to_string() }
}

/// Makes the directory and the database file, readable by their owner only, and takes the lock.
pub(super) fn prepare(directory: &Path, options: &Options) -> Result<Lock, OpenError> {
    let unusable =
        |cause: io::Error| OpenError::Directory { directory: directory.to_owned(), cause };
    make_directory(directory).map_err(unusable)?;
    let lock = Lock::take(directory, options.address.as_deref())?;
    make_private(&directory.join(super::FILE)).map_err(unusable)?;
    Ok(lock)
}

fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// `SQLite` gives the write-ahead log the mode of the database, so it is enough to set that.
fn make_private(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(mode & 0o700))?;
        }
    }
    file.sync_all()
}

/// Opens the writing connection: migrates, and begins a new incarnation.
pub(super) fn writer(path: &Path, options: &Options) -> Result<(Connection, u64), OpenError> {
    let failed = |cause: rusqlite::Error| database(path, &cause);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    tune(&connection, options, options.writer_cache_kib).map_err(failed)?;
    schema::migrate(&mut connection, path)?;
    let incarnation = begin_incarnation(&mut connection, options.opened_ms).map_err(failed)?;
    Ok((connection, incarnation))
}

/// Opens a reading connection.
pub(super) fn reader(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    tune(&connection, options, options.reader_cache_kib)?;
    Ok(connection)
}

fn tune(connection: &Connection, options: &Options, cache_kib: u32) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_millis(u64::from(options.busy_ms)))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    // Plans do not hang on the values bound; otherwise each new value compiles the statement anew.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.pragma_update(None, "mmap_size", i64::from(options.mmap_mib) << 20)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "trusted_schema", false)
}

/// More than there are statements but for filters, so that the hot ones stay.
const STATEMENTS_CACHED: usize = 128;

/// Counts the incarnation up, and at least to the clock. The clock is what tells a database that
/// was restored from a copy, however the copy was made, from the lives that the original had after
/// it: counting alone would give the same numbers again. A clock that goes back does no harm to a
/// database that was not restored, since the number never goes down.
fn begin_incarnation(connection: &mut Connection, opened_ms: Millis) -> rusqlite::Result<u64> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let incarnation = (meta::get(&tx, meta::INCARNATION)? + 1).max(opened_ms);
    meta::set(&tx, meta::INCARNATION, incarnation)?;
    tx.commit()?;
    Ok(incarnation)
}
