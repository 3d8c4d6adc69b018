-- Invocations that are run to their end whoever listens, and their answers. Ids are UUIDs of version
-- 7, so they sort by time; times are milliseconds since the Unix epoch.

CREATE TABLE invocations (
    id              BLOB PRIMARY KEY,
    principal       TEXT NOT NULL,
    agent           TEXT NOT NULL,
    session_id      TEXT NOT NULL,
    incarnation     BLOB NOT NULL,
    state           INTEGER NOT NULL,       -- 0 accepted, 1 running, 2 completed, 3 failed, 4 cancelled, 5 interrupted
    accepted_at     INTEGER NOT NULL,
    started_at      INTEGER,
    ended_at        INTEGER,
    reason          TEXT,
    key             TEXT,                   -- the caller's idempotency key
    request_hash    BLOB,                   -- of the request that the key came with
    request_headers BLOB,                   -- until an agent has the request
    request_body    BLOB,                   -- NULL: it is in a file
    answer_status   INTEGER,
    answer_headers  BLOB,
    answer_bytes    INTEGER,
    answer_complete INTEGER,
    answer_body     BLOB                    -- NULL: it is in a file
) STRICT;

CREATE INDEX invocations_by_session ON invocations (session_id, id);
CREATE INDEX invocations_by_agent ON invocations (agent, id);
CREATE INDEX invocations_by_principal ON invocations (principal, id);
CREATE INDEX invocations_by_state ON invocations (state, id) WHERE state <> 2;
CREATE UNIQUE INDEX invocations_by_key ON invocations (principal, agent, key) WHERE key IS NOT NULL;
