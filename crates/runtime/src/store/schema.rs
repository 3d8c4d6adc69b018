//! Opens the file and brings its tables up to date.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::StoreError;

/// Each brings the tables one version further; never change one that was released.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/1_sessions.sql"),
    include_str!("migrations/2_runtimes.sql"),
    include_str!("migrations/3_invocations.sql"),
    include_str!("migrations/4_tasks.sql"),
    include_str!("migrations/5_answers.sql"),
    include_str!("migrations/6_totals.sql"),
];

/// How long to wait for a program that looks into the file, as `sqlite3` would.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// More statements than one connection prepares, so that none is prepared again.
const STATEMENTS: usize = 64;

/// The connections to one store.
pub(super) struct Connections {
    pub(super) write: Connection,
    pub(super) read: Connection,
    /// Copies from the log into the file.
    pub(super) checkpoint: Connection,
}

/// Opens the store in `file`, which is made if need be.
pub(super) fn open(file: &Path) -> Result<Connections, StoreError> {
    protect(file).map_err(StoreError::Protect)?;
    let mut write = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // FULL: a commit returns when it is on disk. WAL: readers never wait for the writer. The writer
    // copies from the log itself only if that lags far behind. What is deleted is overwritten: it may
    // be what somebody wanted gone.
    write.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA wal_autocheckpoint = 16384; PRAGMA secure_delete = ON;",
    )?;
    migrate(&mut write)?;
    let read = connect(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let checkpoint = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    checkpoint.execute_batch("PRAGMA synchronous = FULL;")?;
    Ok(Connections { write, read, checkpoint })
}

fn connect(file: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(file, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // KiB: the inner pages of the indices of a million records stay.
    connection.execute_batch("PRAGMA cache_size = -16384;")?;
    Ok(connection)
}

/// The store names sessions and programs: it is its owner's alone.
fn protect(file: &Path) -> std::io::Result<()> {
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(file)?;
    opened.set_permissions(Permissions::from_mode(0o600))
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let known = MIGRATIONS.len() as i64;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(found.max(0) as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}
