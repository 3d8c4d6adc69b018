-- Agents become agent runtimes, with versions and endpoints.

CREATE TABLE runtimes (
    id           TEXT PRIMARY KEY,          -- <name>-<10 alphanumerics>
    name         TEXT NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    last_version INTEGER NOT NULL,          -- the highest there ever was
    tags         TEXT NOT NULL              -- JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE runtime_versions (
    runtime    TEXT NOT NULL REFERENCES runtimes (id) ON DELETE CASCADE,
    version    INTEGER NOT NULL,
    settings   TEXT,                        -- JSON, as the API says it; NULL: launched here, without it
    definition TEXT NOT NULL,               -- JSON, what is run
    created_at INTEGER NOT NULL,
    PRIMARY KEY (runtime, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE runtime_endpoints (
    runtime     TEXT NOT NULL REFERENCES runtimes (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    id          TEXT NOT NULL,              -- <name>-<10 alphanumerics>
    version     INTEGER NOT NULL,
    description TEXT,
    tags        TEXT NOT NULL,              -- JSON
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (runtime, name)
) STRICT, WITHOUT ROWID;

-- What was answered to requests that must not be carried out twice.
CREATE TABLE client_tokens (
    scope   TEXT NOT NULL,                  -- whose, and for which operation
    token   TEXT NOT NULL,
    request TEXT NOT NULL,
    answer  TEXT NOT NULL,                  -- JSON
    at      INTEGER NOT NULL,
    PRIMARY KEY (scope, token)
) STRICT, WITHOUT ROWID;

CREATE INDEX client_tokens_by_time ON client_tokens (at);

INSERT INTO runtimes
    SELECT name || '-' || lower(hex(randomblob(5))), name, registered_at, 1, '{}' FROM agents;
INSERT INTO runtime_versions
    SELECT runtimes.id, 1, NULL, agents.definition, agents.registered_at FROM agents JOIN runtimes USING (name);
INSERT INTO runtime_endpoints
    SELECT id, 'DEFAULT', 'DEFAULT-' || lower(hex(randomblob(5))), 1, NULL, '{}', created_at, created_at
    FROM runtimes;

DROP TABLE agents;
