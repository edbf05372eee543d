-- What was refused to whom, for seven days: so that "why did my request fail" has an answer. Requests without a known
-- key leave nothing here, and nothing here is a word of a prompt.

CREATE TABLE refusals (
    -- The request's, a UUIDv7: it says when, too.
    id            uuid        PRIMARY KEY,
    account_id    uuid        NOT NULL,
    key_id        uuid        NOT NULL,
    public_id     text        NOT NULL CHECK (length(public_id) <= 100),
    refused_at    timestamptz NOT NULL,
    code          text        NOT NULL CHECK (length(code) <= 40),
    -- Which rule or limit said no.
    rule          text        NOT NULL CHECK (length(rule) <= 40),
    -- Of a limit: its value, and what of it was used when this was written; nano-dollars, tokens or requests.
    limit_value   bigint,
    current_value bigint,
    client        inet        NOT NULL,
    -- As the client named it; NULL where it named none, or something that is no name.
    model         text        CHECK (length(model) <= 200),
    FOREIGN KEY (account_id, key_id) REFERENCES api_keys (account_id, id) ON DELETE CASCADE
);
CREATE INDEX refusals_of_key ON refusals (account_id, key_id, id DESC);

-- How many there were of each key, hour and code: all of them, kept or not.
CREATE TABLE refusal_counts (
    account_id uuid        NOT NULL,
    key_id     uuid        NOT NULL,
    hour       timestamptz NOT NULL,
    code       text        NOT NULL CHECK (length(code) <= 40),
    refused    bigint      NOT NULL CHECK (refused > 0),
    PRIMARY KEY (key_id, hour, code),
    FOREIGN KEY (account_id, key_id) REFERENCES api_keys (account_id, id) ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE INDEX refusal_counts_by_age ON refusal_counts (hour);

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['refusals', 'refusal_counts'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY one_account ON %I TO latchkey_console
                 USING (account_id = NULLIF(current_setting(''latchkey.account_id'', true), '''')::uuid)',
            tenant_table
        );
        EXECUTE format('CREATE POLICY owner ON %I TO CURRENT_USER USING (true) WITH CHECK (true)', tenant_table);
    END LOOP;
END
$$;
GRANT SELECT ON refusals, refusal_counts TO latchkey_console;

-- Writes a gateway's batch: the only way a gateway reaches these tables. Whose a key is, the database says, not the
-- gateway; rows of keys that are gone are left out. Of a key and UTC day, rows beyond `most` are not kept. Repeating
-- the batch adds no row. Gives the number of rows kept.
CREATE FUNCTION keep_refusals(ids uuid[], keys uuid[], public_ids text[], moments timestamptz[], codes text[],
                              rules text[], limit_values bigint[], current_values bigint[], clients inet[],
                              models text[], most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    kept bigint;
BEGIN
    -- One gateway at a time, so that two of them cannot both find the last place of a day.
    PERFORM pg_advisory_xact_lock(hashtext('keep_refusals'));
    INSERT INTO refusals (id, account_id, key_id, public_id, refused_at, code, rule, limit_value, current_value,
                          client, model)
    SELECT n.id, n.account_id, n.key_id, n.public_id, n.refused_at, n.code, n.rule,
           coalesce(n.limit_value, l.amount), coalesce(n.current_value, l.spent), n.client, n.model
    FROM (
        SELECT r.*, k.account_id, k.group_id, date_trunc('day', r.refused_at, 'UTC') AS day,
               row_number() OVER (PARTITION BY r.key_id, date_trunc('day', r.refused_at, 'UTC') ORDER BY r.id) AS place
        FROM unnest(ids, keys, public_ids, moments, codes, rules, limit_values, current_values, clients, models)
                 AS r (id, key_id, public_id, refused_at, code, rule, limit_value, current_value, client, model)
        JOIN api_keys k ON k.id = r.key_id
        WHERE NOT EXISTS (SELECT FROM refusals there WHERE there.id = r.id)
    ) n
    LEFT JOIN LATERAL (
        SELECT l.amount, coalesce(w.spent, 0) AS spent
        FROM limits l LEFT JOIN LATERAL (
            SELECT spent FROM limit_windows
            WHERE limit_id = l.id AND starts_at >= l.period_since AND starts_at <= now()
                  AND (ends_at IS NULL OR ends_at > now())
            ORDER BY starts_at DESC LIMIT 1
        ) w ON true
        WHERE l.account_id = n.account_id
          AND CASE n.rule
                  WHEN 'cost' THEN l.key_id = n.key_id AND l.measure = 'cost'
                  WHEN 'tokens' THEN l.key_id = n.key_id AND l.measure = 'tokens'
                  WHEN 'group_budget' THEN l.group_id = n.group_id
                  WHEN 'balance' THEN l.key_id IS NULL AND l.group_id IS NULL
                  ELSE false
              END
        LIMIT 1
    ) l ON true
    WHERE n.place + (
        SELECT count(*) FROM refusals there
        WHERE there.account_id = n.account_id AND there.key_id = n.key_id
          AND there.id >= uuid_floor(n.day) AND there.id < uuid_floor(n.day + interval '1 day')
    ) <= most
    ON CONFLICT (id) DO NOTHING;
    GET DIAGNOSTICS kept = ROW_COUNT;
    RETURN kept;
END
$$;

-- Adds to the counts of keys that are still there.
CREATE FUNCTION count_refusals(keys uuid[], hours timestamptz[], codes text[], numbers bigint[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
    INSERT INTO refusal_counts AS c (account_id, key_id, hour, code, refused)
    SELECT k.account_id, n.key_id, date_trunc('hour', n.hour, 'UTC'), n.code, sum(n.number)
    FROM unnest(keys, hours, codes, numbers) AS n (key_id, hour, code, number)
    JOIN api_keys k ON k.id = n.key_id
    GROUP BY 1, 2, 3, 4
    -- In one order, so that two gateways that count the same keys cannot lock each other out.
    ORDER BY 2, 3, 4
    ON CONFLICT (key_id, hour, code) DO UPDATE SET refused = c.refused + excluded.refused
$$;
GRANT EXECUTE ON FUNCTION keep_refusals, count_refusals TO latchkey_gateway;

-- What is older than seven days goes, at most `most` rows of each table at once; 0 is "nothing left to do".
CREATE FUNCTION tidy_up_refusals(most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gone  bigint;
    total bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('tidy_up_refusals')) THEN
        RETURN 0;
    END IF;
    DELETE FROM refusals
    WHERE id IN (SELECT id FROM refusals WHERE id < uuid_floor(now() - interval '7 days') LIMIT most);
    GET DIAGNOSTICS total = ROW_COUNT;
    DELETE FROM refusal_counts
    WHERE (key_id, hour, code) IN (
        SELECT key_id, hour, code FROM refusal_counts WHERE hour < now() - interval '7 days' LIMIT most
    );
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN total + gone;
END
$$;
GRANT EXECUTE ON FUNCTION tidy_up_refusals TO latchkey_console;
