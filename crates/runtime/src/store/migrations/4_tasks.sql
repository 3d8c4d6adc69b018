-- Tasks as the journals of their sessions tell them, and how far each journal has been read. Times
-- are milliseconds since the Unix epoch.

CREATE TABLE tasks (
    incarnation   TEXT NOT NULL,
    task_id       INTEGER NOT NULL,
    principal     TEXT NOT NULL,
    agent         TEXT NOT NULL,
    session_id    TEXT NOT NULL,
    name          TEXT NOT NULL,
    status        TEXT NOT NULL,            -- running, completed, failed, cancelled, lost
    metadata      TEXT,                     -- JSON
    progress      TEXT,                     -- JSON
    result        TEXT,                     -- JSON
    error_type    TEXT,
    error_message TEXT,
    reason_kind   TEXT,                     -- why its session ended, if it is lost
    reason_detail TEXT,
    bytes         INTEGER NOT NULL,         -- of its values, taken together
    started_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    PRIMARY KEY (incarnation, task_id)
) STRICT;

CREATE INDEX tasks_by_start ON tasks (started_at);
CREATE INDEX tasks_by_id ON tasks (task_id);
CREATE INDEX tasks_by_agent ON tasks (agent, started_at);
CREATE INDEX tasks_by_session ON tasks (session_id, started_at);
CREATE INDEX tasks_by_principal ON tasks (principal, started_at);
CREATE INDEX tasks_running ON tasks (incarnation) WHERE status = 'running';
CREATE INDEX tasks_ended ON tasks (incarnation, ended_at) WHERE status <> 'running';
CREATE INDEX tasks_by_end ON tasks (ended_at) WHERE status <> 'running';

CREATE TABLE journals (
    incarnation TEXT PRIMARY KEY REFERENCES incarnations (id) ON DELETE CASCADE,
    inode       INTEGER NOT NULL,           -- the file's identity
    offset      INTEGER NOT NULL,           -- how much of it has been read
    tasks       INTEGER NOT NULL,           -- of this incarnation on record
    bytes       INTEGER NOT NULL,           -- of their values
    refused     INTEGER NOT NULL            -- tasks that there was no room for
) STRICT, WITHOUT ROWID;
