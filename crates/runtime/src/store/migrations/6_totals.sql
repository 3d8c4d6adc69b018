-- How many invocations of each agent have ended, and what their answers take, in files and here:
-- counted as they end and go, so that nobody has to look at all of them.

CREATE TABLE invocation_totals (
    agent TEXT PRIMARY KEY,
    ended INTEGER NOT NULL,
    bytes INTEGER NOT NULL                  -- of their answers
) STRICT, WITHOUT ROWID;

INSERT INTO invocation_totals
    SELECT agent, count(*), sum(ifnull(answer_bytes, 0)) FROM invocations WHERE ended_at IS NOT NULL GROUP BY agent;

CREATE TRIGGER invocation_ends AFTER UPDATE OF ended_at ON invocations
WHEN OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL BEGIN
    INSERT INTO invocation_totals VALUES (NEW.agent, 1, ifnull(NEW.answer_bytes, 0))
        ON CONFLICT (agent) DO UPDATE SET ended = ended + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER invocation_goes AFTER DELETE ON invocations WHEN OLD.ended_at IS NOT NULL BEGIN
    UPDATE invocation_totals SET ended = ended - 1, bytes = bytes - ifnull(OLD.answer_bytes, 0)
        WHERE agent = OLD.agent;
END;

DROP INDEX invocations_in_files;

-- Each agent's tasks are found by their start, those that are past their time too.
DROP INDEX tasks_by_end;

-- Whether there are any is asked at each start.
CREATE INDEX invocations_of_sdks ON invocations (key) WHERE substr(key, 1, 4) = 'sdk ';
