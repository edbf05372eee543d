-- The ledger: one row for each admitted request. Never prompts or answers.
-- Partitioned by its UUIDv7 key, month by month, so that the request id alone stays the primary key.

CREATE TABLE usage_records (
    id                  uuid        PRIMARY KEY,
    account_id          uuid        NOT NULL,
    key_id              uuid        NOT NULL,
    public_id           text        NOT NULL,
    group_id            uuid        NOT NULL,
    environment         text,
    created_by          uuid        NOT NULL,
    model               text        NOT NULL,
    route               text        NOT NULL,
    status              smallint    NOT NULL,
    streamed            boolean     NOT NULL,
    input_tokens        integer     NOT NULL CHECK (input_tokens >= 0),
    cached_input_tokens integer     NOT NULL CHECK (cached_input_tokens >= 0),
    output_tokens       integer     NOT NULL CHECK (output_tokens >= 0),
    cost_nano           bigint      NOT NULL CHECK (cost_nano >= 0),
    -- The prices used, so that a later price change rewrites no history.
    input_price         bigint      NOT NULL,
    cached_input_price  bigint      NOT NULL,
    output_price        bigint      NOT NULL,
    -- The upstream did not say; these are the gateway's own counts.
    estimated           boolean     NOT NULL,
    -- The client left or the upstream died before the end.
    interrupted         boolean     NOT NULL,
    client              inet        NOT NULL,
    started_at          timestamptz NOT NULL,
    first_byte_us       bigint,
    duration_us         bigint      NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX usage_records_of_key ON usage_records (account_id, key_id, id DESC);

-- The smallest UUIDv7 of a moment.
CREATE FUNCTION uuid_floor(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

-- Makes the partitions from last month (late records) to `ahead` months from now. Gateways call it at start and once
-- a day.
CREATE FUNCTION ensure_usage_partitions(ahead integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month';
    last  timestamp := date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead);
BEGIN
    -- One at a time: two gateways may start together.
    PERFORM pg_advisory_xact_lock(hashtext('ensure_usage_partitions'));
    WHILE month <= last LOOP
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS %I PARTITION OF usage_records FOR VALUES FROM (%L) TO (%L)',
            'usage_records_' || to_char(month, 'YYYYMM'),
            uuid_floor(month AT TIME ZONE 'UTC'),
            uuid_floor((month + interval '1 month') AT TIME ZONE 'UTC')
        );
        month := month + interval '1 month';
    END LOOP;
END
$$;
SELECT ensure_usage_partitions(3);
