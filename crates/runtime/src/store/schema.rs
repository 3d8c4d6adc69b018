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
];

/// How long to wait for a program that looks into the file, as `sqlite3` would.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection to write, one to read.
pub(super) fn open(file: &Path) -> Result<(Connection, Connection), StoreError> {
    protect(file).map_err(StoreError::Protect)?;
    let mut write = Connection::open(file)?;
    write.busy_timeout(BUSY_TIMEOUT)?;
    // FULL: a commit returns when it is on disk. WAL: readers never wait for the writer.
    write.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
    migrate(&mut write)?;
    let read = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    read.busy_timeout(BUSY_TIMEOUT)?;
    Ok((write, read))
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
