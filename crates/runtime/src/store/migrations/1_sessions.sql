-- Agents, the incarnations of their sessions, and what happened to each. Times are milliseconds
-- since the Unix epoch.

CREATE TABLE agents (
    name          TEXT PRIMARY KEY,
    definition    TEXT NOT NULL,            -- JSON
    registered_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The session of those who name none.
CREATE TABLE default_sessions (
    principal  TEXT NOT NULL,
    agent      TEXT NOT NULL,
    session_id TEXT NOT NULL,
    PRIMARY KEY (principal, agent)
) STRICT, WITHOUT ROWID;

CREATE TABLE incarnations (
    id            TEXT PRIMARY KEY,
    principal     TEXT NOT NULL,
    agent         TEXT NOT NULL,
    session_id    TEXT NOT NULL,
    folder        TEXT NOT NULL UNIQUE,     -- its name within the state folder
    idle_timeout  INTEGER NOT NULL,         -- seconds; those it began with
    max_lifetime  INTEGER NOT NULL,         -- seconds
    phase         TEXT NOT NULL,            -- starting, active, idle, stopping, stopped
    started_at    INTEGER NOT NULL,
    idle_since    INTEGER,
    ended_at      INTEGER,
    reason_kind   TEXT,
    reason_detail TEXT,
    last_words    TEXT                      -- the end of its log, when it failed
) STRICT;

CREATE INDEX incarnations_by_session ON incarnations (agent, session_id, principal, started_at);
CREATE INDEX incarnations_by_start ON incarnations (started_at);
CREATE INDEX incarnations_living ON incarnations (phase) WHERE phase <> 'stopped';

CREATE TABLE timeline (
    id          INTEGER PRIMARY KEY,
    incarnation TEXT NOT NULL REFERENCES incarnations (id) ON DELETE CASCADE,
    at          INTEGER NOT NULL,
    event       TEXT NOT NULL,
    detail      TEXT
) STRICT;

CREATE INDEX timeline_by_incarnation ON timeline (incarnation, id);
