-- What the list of keys is searched, filtered and sorted by. (`api_keys` itself has every column its pages show.)
--
-- The figures behind "last used" and "share used" move with every settled batch, and an index on them would take the
-- ledger's updates of `key_stats` and `limit_windows` their cheap (HOT) way. So the list has a narrow row of its own for
-- each key: what a person changes is copied into it by triggers at once, what moves by itself by `refresh_key_facets`,
-- which the consoles call every half minute, and only where the change can be noticed. The list shows the exact
-- figures; only its order and its filters may be that half minute behind.

CREATE TABLE key_facets (
    key_id             uuid             PRIMARY KEY,
    account_id         uuid             NOT NULL,
    -- Enabled or disabled; otherwise revoked. A deleted key has no row.
    live               boolean          NOT NULL,
    enabled            boolean          NOT NULL,
    -- In lower case.
    name               text COLLATE "C" NOT NULL,
    created_at         timestamptz      NOT NULL,
    created_by         uuid             NOT NULL,
    group_id           uuid             NOT NULL,
    environment        text,
    -- 'infinity': never.
    expires_at         timestamptz      NOT NULL,
    has_addresses      boolean          NOT NULL,
    has_limits         boolean          NOT NULL,
    -- '-infinity': not yet. To the minute.
    last_used_at       timestamptz      NOT NULL DEFAULT '-infinity',
    -- Of its fullest limit, per mille, until the window of that limit ends.
    share_used         smallint         NOT NULL DEFAULT 0,
    share_until        timestamptz      NOT NULL DEFAULT 'infinity',
    -- Of its requests of the last 24 hours, per mille.
    share_refused      smallint         NOT NULL DEFAULT 0,
    -- One of the last requests was refused for its rate.
    rate_limited_until timestamptz      NOT NULL DEFAULT '-infinity',
    -- The state in words as a number: see `key_state`.
    state              smallint         NOT NULL DEFAULT 0,
    -- When time alone changes something here.
    next_change        timestamptz      NOT NULL DEFAULT 'infinity',
    FOREIGN KEY (account_id, key_id) REFERENCES api_keys (account_id, id) ON DELETE CASCADE
);
CREATE INDEX key_facets_by_name ON key_facets (account_id, live, name, key_id);
CREATE INDEX key_facets_by_age ON key_facets (account_id, live, created_at, key_id);
CREATE INDEX key_facets_by_use ON key_facets (account_id, live, last_used_at, key_id);
CREATE INDEX key_facets_by_expiry ON key_facets (account_id, live, expires_at, key_id);
CREATE INDEX key_facets_by_state ON key_facets (account_id, live, state, key_id);
CREATE INDEX key_facets_by_share ON key_facets (account_id, live, share_used, key_id);
-- A change of a row touches each of these, so what few lists are narrowed by has none: such a list costs one pass over the
-- account's own keys.
CREATE INDEX key_facets_of_group ON key_facets (account_id, group_id, live);
CREATE INDEX key_facets_of_environment ON key_facets (account_id, environment, live);
CREATE INDEX key_facets_rejecting ON key_facets (account_id, share_refused) WHERE share_refused > 100;
CREATE INDEX key_facets_rate_limited ON key_facets (account_id) WHERE rate_limited_until > '-infinity';
-- Who knows the group knows the account: without this a planner multiplies the two and expects far too few.
CREATE STATISTICS key_facets_owners (dependencies) ON account_id, group_id FROM key_facets;
CREATE INDEX key_facets_to_change ON key_facets (next_change) WHERE next_change < 'infinity';

-- The words of a key, and what it is restricted to, for search by prefix. In the C collation, where a prefix is a range:
-- under row-level security LIKE and the operators of arrays and texts would use no index.
CREATE TABLE key_terms (
    account_id uuid             NOT NULL,
    -- A word in lower case. One that begins with ':' is no word but what the key is restricted to: ':m:' and a model,
    -- ':p:' and a permission; ':m' and ':p' alone are "any". ':e:' and an environment, to list these.
    term       text COLLATE "C" NOT NULL,
    key_id     uuid             NOT NULL,
    PRIMARY KEY (account_id, term, key_id),
    FOREIGN KEY (account_id, key_id) REFERENCES api_keys (account_id, id) ON DELETE CASCADE
);
CREATE INDEX key_terms_of_key ON key_terms (key_id, term);

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['key_facets', 'key_terms'] LOOP
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
GRANT SELECT ON key_facets, key_terms TO latchkey_console;

-- The words of texts: lower case, at most 60 characters each; ASCII that is no letter and no digit parts them. Searched
-- texts go through the same function.
CREATE FUNCTION key_words(VARIADIC texts text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(array_agg(DISTINCT left(word, 60)), '{}')
    FROM string_to_table(
        translate(lower(array_to_string(texts, ' ')),
                  E'\t\n\r!"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~•…', repeat(' ', 37)),
        ' '
    ) AS word
    WHERE word <> ''
);
GRANT EXECUTE ON FUNCTION key_words TO latchkey_console;

-- A key's state: the first of these that is true, worst last in a list sorted by it. The console shows the same from
-- exact figures (`KeyState` in the domain crate; a test compares the two).
CREATE FUNCTION key_state(live boolean, enabled boolean, expires_at timestamptz, share_used smallint,
                          share_until timestamptz, share_refused smallint, rate_limited_until timestamptz,
                          moment timestamptz) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN NOT live THEN 8
    WHEN NOT enabled THEN 7
    WHEN expires_at <= moment THEN 6
    WHEN share_used >= 1000 AND share_until > moment THEN 5
    WHEN share_refused > 100 THEN 4
    WHEN rate_limited_until > moment THEN 3
    WHEN share_used > 800 AND share_until > moment THEN 2
    WHEN expires_at <= moment + interval '24 hours' THEN 1
    ELSE 0
END;

-- Of the requests of the last 24 hours, how many were refused, per mille. Of a busy key the newest 20 000 admitted ones
-- say how many there were in a day: nothing here reads more than that.
CREATE FUNCTION key_share_refused(account uuid, key uuid) RETURNS smallint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    refusals numeric;
    admitted numeric;
    oldest   timestamptz;
BEGIN
    SELECT sum(refused) INTO refusals FROM refusal_counts
    WHERE key_id = key AND hour > now() - interval '24 hours';
    IF coalesce(refusals, 0) = 0 THEN
        RETURN 0;
    END IF;
    SELECT count(*), min(started_at) INTO admitted, oldest FROM (
        SELECT started_at FROM usage_records
        WHERE account_id = account AND key_id = key AND id >= uuid_floor(now() - interval '24 hours')
        ORDER BY id DESC LIMIT 20000
    ) AS newest;
    IF admitted = 20000 THEN
        admitted := admitted * 86400 / greatest(extract(epoch FROM now() - oldest), 1);
    END IF;
    RETURN trunc(1000 * refusals / (refusals + admitted));
END
$$;

-- Brings what moves by itself up to date for these keys. Rows a person is changing this moment are left to the next
-- time, so this waits for nobody. Returns how many rows moved.
CREATE FUNCTION refresh_facets_of(keys uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    moved bigint;
BEGIN
    WITH held AS MATERIALIZED (
        SELECT * FROM key_facets WHERE key_id = ANY (keys) ORDER BY key_id FOR UPDATE SKIP LOCKED
    ), figures AS (
        SELECT h.*, k.requests_per_minute IS NOT NULL OR l.limits > 0 AS limited,
               CASE WHEN t.last_used_at > h.last_used_at + interval '1 minute' OR h.last_used_at = '-infinity'
                    THEN coalesce(t.last_used_at, '-infinity') ELSE h.last_used_at END AS used_at,
               coalesce(l.share, 0)::smallint AS share, coalesce(l.ends_at, 'infinity') AS until,
               CASE WHEN r.refusals IS NULL THEN 0::smallint
                    ELSE key_share_refused(h.account_id, h.key_id) END AS rejected,
               coalesce(r.rate_limited_until, '-infinity') AS limited_until, r.refusals
        FROM held h
        JOIN api_keys k ON k.id = h.key_id
        JOIN key_stats t ON t.key_id = h.key_id
        CROSS JOIN LATERAL (
            SELECT count(*) AS limits, max(w.share) AS share,
                   (array_agg(w.ends_at ORDER BY w.share DESC))[1] AS ends_at
            FROM limits l LEFT JOIN LATERAL (
                SELECT least(1000, CASE WHEN f.amount = 0 THEN 1000
                                        ELSE trunc(1000 * f.spent::numeric / f.amount) END) AS share,
                       coalesce(f.ends_at, 'infinity') AS ends_at
                FROM limit_windows f
                WHERE f.limit_id = l.id AND f.starts_at >= l.period_since AND f.starts_at <= now()
                      AND (f.ends_at IS NULL OR f.ends_at > now())
                ORDER BY f.starts_at DESC LIMIT 1
            ) w ON true
            WHERE l.key_id = h.key_id
        ) l
        CROSS JOIN LATERAL (
            SELECT sum(refused) AS refusals,
                   max(hour) FILTER (WHERE code = 'rate_limit_exceeded') + interval '2 hours' AS rate_limited_until
            FROM refusal_counts WHERE key_id = h.key_id AND hour > now() - interval '24 hours'
        ) r
    ), changed AS (
        SELECT f.*, key_state(f.live, f.enabled, f.expires_at, f.share, f.until, f.rejected, f.limited_until, now())
                        AS now_is,
               least(
                   CASE WHEN f.live AND f.expires_at - interval '24 hours' > now()
                        THEN f.expires_at - interval '24 hours'
                        WHEN f.live AND f.expires_at > now() THEN f.expires_at END,
                   CASE WHEN f.share > 0 THEN f.until END,
                   CASE WHEN f.limited_until > now() THEN f.limited_until END,
                   CASE WHEN f.refusals > 0 THEN now() + interval '10 minutes' END,
                   'infinity'
               ) AS changes_at
        FROM figures f
    )
    UPDATE key_facets k
    SET last_used_at = c.used_at, share_used = c.share, share_until = c.until, share_refused = c.rejected,
        rate_limited_until = c.limited_until, has_limits = c.limited, state = c.now_is, next_change = c.changes_at
    FROM changed c
    WHERE k.key_id = c.key_id
      AND ((c.used_at, c.limited, c.limited_until, c.now_is) IS DISTINCT FROM
               (k.last_used_at, k.has_limits, k.rate_limited_until, k.state)
           OR abs(c.share - k.share_used) >= 10 OR abs(c.rejected - k.share_refused) >= 10
           OR c.until <> k.share_until OR k.next_change <= now());
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;

-- A key as a person has made or changed it, into the list. Figures that move by themselves stay.
CREATE FUNCTION list_key() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    alive   boolean     := NEW.status IN ('enabled', 'disabled');
    ends_at timestamptz := coalesce(NEW.expires_at, 'infinity');
BEGIN
    IF NEW.status = 'deleted' THEN
        DELETE FROM key_facets WHERE key_id = NEW.id;
        DELETE FROM key_terms WHERE key_id = NEW.id;
        RETURN NULL;
    END IF;
    -- One statement, for each one touches every index.
    INSERT INTO key_facets AS f (key_id, account_id, live, enabled, name, created_at, created_by, group_id, environment,
                                 expires_at, has_addresses, has_limits, state, next_change)
    VALUES (NEW.id, NEW.account_id, alive, NEW.status = 'enabled', lower(NEW.name), NEW.created_at, NEW.created_by,
            NEW.group_id, NEW.environment, ends_at, NEW.addresses IS NOT NULL, NEW.requests_per_minute IS NOT NULL,
            key_state(alive, NEW.status = 'enabled', ends_at, 0::smallint, 'infinity', 0::smallint, '-infinity', now()),
            CASE WHEN ends_at < 'infinity' THEN now() ELSE 'infinity' END)
    ON CONFLICT (key_id) DO UPDATE
    SET live = excluded.live, enabled = excluded.enabled, name = excluded.name, group_id = excluded.group_id,
        environment = excluded.environment, expires_at = excluded.expires_at, has_addresses = excluded.has_addresses,
        has_limits = NEW.requests_per_minute IS NOT NULL OR EXISTS (SELECT FROM limits WHERE key_id = NEW.id),
        state = key_state(excluded.live, excluded.enabled, excluded.expires_at, f.share_used, f.share_until,
                          f.share_refused, f.rate_limited_until, now()),
        next_change = CASE WHEN excluded.expires_at < 'infinity' OR f.next_change < 'infinity' THEN now()
                           ELSE 'infinity' END;
    RETURN NULL;
END
$$;
CREATE TRIGGER key_listed AFTER INSERT OR UPDATE OF status, name, group_id, environment, expires_at, addresses,
                                                    requests_per_minute ON api_keys
    FOR EACH ROW EXECUTE FUNCTION list_key();

-- The terms of a key but for those of its secrets.
CREATE FUNCTION terms_of(name text, note text, environment text, models text[], permissions text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN key_words(name, note)
    || array_remove(ARRAY[':e:' || environment], NULL)
    || CASE WHEN models IS NULL THEN ARRAY[':m'] ELSE array(SELECT left(':m:' || m, 300) FROM unnest(models) m) END
    || CASE WHEN permissions IS NULL THEN ARRAY[':p']
            ELSE array(SELECT left(':p:' || p, 300) FROM unnest(permissions) p) END;

CREATE FUNCTION write_terms_of(account uuid, which uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    terms text[];
BEGIN
    SELECT terms_of(k.name, k.note, k.environment, k.models, k.permissions) || array(
        SELECT unnest(ARRAY[lower(s.public_id), lower(s.last4)])
        FROM key_secrets s WHERE s.account_id = account AND s.key_id = which
    ) INTO terms
    FROM api_keys k WHERE k.account_id = account AND k.id = which;
    DELETE FROM key_terms WHERE key_id = which AND term <> ALL (terms);
    INSERT INTO key_terms (account_id, term, key_id) SELECT account, term, which FROM unnest(terms) AS term
    ON CONFLICT DO NOTHING;
END
$$;

CREATE FUNCTION key_terms_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'api_keys' THEN
        PERFORM write_terms_of(NEW.account_id, NEW.id);
    ELSE
        PERFORM write_terms_of(NEW.account_id, NEW.key_id);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER key_terms_listed AFTER INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION key_terms_changed();
CREATE TRIGGER key_terms_changed AFTER UPDATE ON api_keys FOR EACH ROW
    WHEN ((OLD.name, OLD.note, OLD.environment, OLD.models, OLD.permissions) IS DISTINCT FROM
          (NEW.name, NEW.note, NEW.environment, NEW.models, NEW.permissions))
    EXECUTE FUNCTION key_terms_changed();
CREATE TRIGGER key_terms_listed AFTER INSERT ON key_secrets FOR EACH ROW EXECUTE FUNCTION key_terms_changed();

-- A limit that is set, changed or taken away shows at once.
CREATE FUNCTION key_limits_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM refresh_facets_of(array(SELECT DISTINCT key_id FROM changed WHERE key_id IS NOT NULL));
    RETURN NULL;
END
$$;
CREATE TRIGGER key_facets_inserted AFTER INSERT ON limits REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION key_limits_changed();
CREATE TRIGGER key_facets_updated AFTER UPDATE ON limits REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION key_limits_changed();
CREATE TRIGGER key_facets_deleted AFTER DELETE ON limits REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION key_limits_changed();

-- Fills both tables anew, for keys that came in without triggers (a restored dump, a benchmark).
CREATE FUNCTION list_all_keys() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM key_facets;
    DELETE FROM key_terms;
    INSERT INTO key_facets (key_id, account_id, live, enabled, name, created_at, created_by, group_id, environment,
                            expires_at, has_addresses, has_limits, last_used_at, state, next_change)
    SELECT k.id, k.account_id, k.status <> 'revoked', k.status = 'enabled', lower(k.name), k.created_at, k.created_by,
           k.group_id, k.environment, coalesce(k.expires_at, 'infinity'), k.addresses IS NOT NULL,
           k.requests_per_minute IS NOT NULL OR EXISTS (SELECT FROM limits WHERE key_id = k.id),
           coalesce(t.last_used_at, '-infinity'),
           key_state(k.status <> 'revoked', k.status = 'enabled', coalesce(k.expires_at, 'infinity'), 0::smallint,
                     'infinity', 0::smallint, '-infinity', now()),
           CASE WHEN k.expires_at IS NULL AND t.requests = 0 THEN 'infinity' ELSE now() END
    FROM api_keys k JOIN key_stats t ON t.key_id = k.id WHERE k.status <> 'deleted';
    INSERT INTO key_terms (account_id, term, key_id)
    SELECT k.account_id, unnest(terms_of(k.name, k.note, k.environment, k.models, k.permissions)), k.id
    FROM api_keys k WHERE k.status <> 'deleted'
    UNION
    SELECT s.account_id, unnest(ARRAY[lower(s.public_id), lower(s.last4)]), s.key_id
    FROM key_secrets s JOIN api_keys k ON k.id = s.key_id WHERE k.status <> 'deleted';
END
$$;
SELECT list_all_keys();

-- How far `refresh_key_facets` is.
CREATE TABLE key_facets_progress (
    only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    -- The ledger was read up to then.
    read_to  timestamptz NOT NULL DEFAULT now(),
    -- The last key looked at for no reason but that its turn had come.
    swept    uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);
INSERT INTO key_facets_progress DEFAULT VALUES;

-- Brings the list up to date: keys with new ledger rows or refusals, keys that time alone has changed, and in turn some
-- of all the others, for requests that took longer than the ledger is looked back for. One console at a time. Reads a
-- minute of the ledger and moves about `most` rows of each kind at once; returns how many rows moved, or 0 when it has
-- caught up.
CREATE FUNCTION refresh_key_facets(most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    done    key_facets_progress;
    to_read timestamptz;
    keys    uuid[];
    turn    uuid[];
    moved   bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('refresh_key_facets')) THEN
        RETURN 0;
    END IF;
    SELECT * INTO done FROM key_facets_progress;
    done.read_to := greatest(done.read_to, now() - interval '1 day');
    to_read := least(now(), done.read_to + interval '1 minute');
    SELECT array_agg(key_id) INTO turn FROM (
        SELECT key_id FROM key_facets WHERE key_id > done.swept ORDER BY key_id LIMIT most / 50
    ) AS next_ones;
    SELECT array_agg(DISTINCT key_id) INTO keys FROM (
        SELECT key_id FROM usage_records
        WHERE id >= uuid_floor(done.read_to - interval '90 seconds') AND id < uuid_floor(to_read)
        UNION ALL
        SELECT key_id FROM refusals
        WHERE id >= uuid_floor(done.read_to - interval '90 seconds') AND id < uuid_floor(to_read)
        UNION ALL
        (SELECT key_id FROM key_facets WHERE next_change < 'infinity' AND next_change <= now()
         ORDER BY next_change LIMIT most)
        UNION ALL
        SELECT unnest(turn)
    ) AS found;
    moved := refresh_facets_of(keys);
    UPDATE key_facets_progress
    SET read_to = to_read,
        swept = coalesce(turn[cardinality(turn)], '00000000-0000-0000-0000-000000000000');
    RETURN CASE WHEN to_read = now() AND moved < most THEN 0 ELSE greatest(moved, 1) END;
END
$$;
GRANT EXECUTE ON FUNCTION refresh_key_facets TO latchkey_console;

-- The addresses of people, as the list names them: of those who belong to the account or have made a key of it.
CREATE FUNCTION people_of_account() RETURNS TABLE (id uuid, email text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u.id, u.email FROM members m JOIN users u ON u.id = m.user_id
    WHERE m.account_id = NULLIF(current_setting('latchkey.account_id', true), '')::uuid
    ORDER BY u.email
$$;
CREATE FUNCTION makers_of_keys(keys uuid[]) RETURNS TABLE (id uuid, email text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT DISTINCT u.id, u.email FROM api_keys k JOIN users u ON u.id = k.created_by
    WHERE k.account_id = NULLIF(current_setting('latchkey.account_id', true), '')::uuid AND k.id = ANY (keys)
$$;
GRANT EXECUTE ON FUNCTION people_of_account, makers_of_keys TO latchkey_console;
