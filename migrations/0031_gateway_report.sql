-- What a gateway says of itself with its heartbeat, for the operator's page.

ALTER TABLE gateways
    -- Where it listens.
    ADD COLUMN address            text        NOT NULL DEFAULT '' CHECK (length(address) <= 100),
    -- Requests of its spool that the ledger does not have, the files' bytes, and when the oldest of them that is over
    -- began; NULL is unknown, or none.
    ADD COLUMN spool_waiting      bigint,
    ADD COLUMN spool_bytes        bigint,
    ADD COLUMN spool_oldest       timestamptz,
    -- Providers that failed a moment ago and are asked last, and those it cannot use as they are set up.
    ADD COLUMN upstreams_resting  uuid[]      NOT NULL DEFAULT '{}' CHECK (cardinality(upstreams_resting) <= 1000),
    ADD COLUMN upstreams_unusable uuid[]      NOT NULL DEFAULT '{}' CHECK (cardinality(upstreams_unusable) <= 1000);
