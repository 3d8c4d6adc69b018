-- How much the answers in files take, of each agent, without a look at the invocations themselves.

CREATE INDEX invocations_in_files ON invocations (agent, id, answer_bytes) WHERE answer_bytes > 16384;
