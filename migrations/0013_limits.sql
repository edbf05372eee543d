-- Limits, their windows, and the leases that gateways hold on them.
--
-- A limit is policy; what has been spent of it is not. A window's figures obey spent + reserved <= amount + excess:
-- a lease is reserved by one conditional statement, so the left side never passes the amount by itself; facts (an
-- upstream that charged beyond its cap, a lowered limit, a settle after its lease was released) are booked all the
-- same, and what they exceed the amount by is the excess.

CREATE TABLE limits (
    id           uuid        PRIMARY KEY,
    account_id   uuid        NOT NULL REFERENCES accounts,
    -- Whose it is; neither: the account's own, which is its balance or its credit line.
    key_id       uuid,
    group_id     uuid,
    measure      text        NOT NULL CHECK (measure IN ('cost', 'tokens')),
    -- Nano-dollars or tokens.
    amount       bigint      NOT NULL CHECK (amount >= 0),
    period       text        NOT NULL CHECK (period IN ('never', 'daily', 'weekly', 'monthly')),
    -- A change of the period starts a new window then.
    period_since timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(key_id, group_id) <= 1),
    CHECK (key_id IS NOT NULL OR measure = 'cost'),
    CHECK (num_nonnulls(key_id, group_id) = 1 OR period = 'never'),
    FOREIGN KEY (account_id, key_id) REFERENCES api_keys (account_id, id),
    FOREIGN KEY (account_id, group_id) REFERENCES groups (account_id, id),
    UNIQUE (account_id, id),
    UNIQUE NULLS NOT DISTINCT (account_id, key_id, group_id, measure)
);
CREATE INDEX limits_of_key ON limits (key_id) WHERE key_id IS NOT NULL;
CREATE INDEX limits_of_group ON limits (group_id) WHERE group_id IS NOT NULL;

CREATE TABLE limit_windows (
    limit_id   uuid        NOT NULL,
    account_id uuid        NOT NULL,
    -- The window's id within its limit.
    starts_at  timestamptz NOT NULL,
    -- NULL: it does not end.
    ends_at    timestamptz,
    amount     bigint      NOT NULL CHECK (amount >= 0),
    spent      bigint      NOT NULL DEFAULT 0 CHECK (spent >= 0),
    reserved   bigint      NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    excess     bigint      NOT NULL DEFAULT 0 CHECK (excess >= 0),
    PRIMARY KEY (limit_id, starts_at),
    FOREIGN KEY (account_id, limit_id) REFERENCES limits (account_id, id) ON DELETE CASCADE,
    CONSTRAINT limit_windows_hold CHECK (spent + reserved <= amount + excess)
) WITH (fillfactor = 70);

-- What one gateway holds of one window. It alone takes, draws and returns; an owner may release it.
CREATE TABLE leases (
    limit_id   uuid        NOT NULL,
    starts_at  timestamptz NOT NULL,
    gateway_id uuid        NOT NULL,
    account_id uuid        NOT NULL,
    amount     bigint      NOT NULL CHECK (amount >= 0),
    -- Raised by a release: whatever the gateway still does under the old number moves no lease.
    epoch      bigint      NOT NULL DEFAULT 0,
    touched_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (limit_id, starts_at, gateway_id),
    FOREIGN KEY (limit_id, starts_at) REFERENCES limit_windows ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE INDEX leases_of_gateway ON leases (gateway_id);

-- The window of a moment. Days, weeks (from Monday) and months are the account's; a window begins no earlier than its
-- limit's present period does.
CREATE FUNCTION limit_window(period text, since timestamptz, zone text, moment timestamptz,
                             OUT starts_at timestamptz, OUT ends_at timestamptz)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    unit  text := CASE period WHEN 'daily' THEN 'day' WHEN 'weekly' THEN 'week' WHEN 'monthly' THEN 'month' END;
    first timestamp;
BEGIN
    IF unit IS NULL THEN
        starts_at := since;
        RETURN;
    END IF;
    first := date_trunc(unit, moment AT TIME ZONE zone);
    starts_at := greatest(first AT TIME ZONE zone, since);
    ends_at := (first + ('1 ' || unit)::interval) AT TIME ZONE zone;
END
$$;

-- Takes a lease, or adds to it: what the request at hand needs, or more if the key spends fast, but never more than
-- there is. Answers with the figures after that; `granted` is 0 where it does not fit, and there is no row where the
-- limit is gone. `epoch` is the lease's; a gateway that expected another has lost what it held.
CREATE FUNCTION take_lease(gateway uuid, which uuid, needed bigint, wished bigint,
                           OUT granted bigint, OUT held bigint, OUT epoch bigint, OUT starts_at timestamptz,
                           OUT ends_at timestamptz, OUT amount bigint, OUT spent bigint, OUT reserved bigint)
RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    owner uuid;
    left_ bigint;
BEGIN
    SELECT l.account_id, l.amount, w.starts_at, w.ends_at INTO owner, amount, starts_at, ends_at
    FROM limits l JOIN accounts a ON a.id = l.account_id,
         LATERAL limit_window(l.period, l.period_since, a.time_zone, clock_timestamp()) w
    WHERE l.id = which;
    IF owner IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO limit_windows AS f (limit_id, account_id, starts_at, ends_at, amount)
    VALUES (which, owner, take_lease.starts_at, take_lease.ends_at, take_lease.amount)
    ON CONFLICT DO NOTHING;
    -- From here on this window is ours until commit.
    SELECT f.amount, f.spent, f.reserved, f.amount - f.spent - f.reserved INTO amount, spent, reserved, left_
    FROM limit_windows f WHERE f.limit_id = which AND f.starts_at = take_lease.starts_at FOR UPDATE;
    granted := CASE WHEN needed > left_ THEN 0 ELSE greatest(needed, least(wished, left_ / 8)) END;
    UPDATE limit_windows f SET reserved = f.reserved + granted
    WHERE f.limit_id = which AND f.starts_at = take_lease.starts_at AND granted > 0;
    reserved := reserved + granted;
    INSERT INTO leases AS held_by (limit_id, starts_at, gateway_id, account_id, amount)
    VALUES (which, take_lease.starts_at, gateway, owner, granted)
    ON CONFLICT (limit_id, starts_at, gateway_id)
        DO UPDATE SET amount = held_by.amount + granted, touched_at = now()
    RETURNING held_by.amount, held_by.epoch INTO held, epoch;
    RETURN NEXT;
END
$$;

-- Gives back part of a lease, at most what it holds.
CREATE FUNCTION return_lease(gateway uuid, which uuid, window_start timestamptz, much bigint, expected bigint)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    given bigint;
BEGIN
    PERFORM FROM limit_windows WHERE limit_id = which AND starts_at = window_start FOR UPDATE;
    SELECT least(amount, much) INTO given FROM leases
    WHERE limit_id = which AND starts_at = window_start AND gateway_id = gateway AND epoch = expected FOR UPDATE;
    IF coalesce(given, 0) = 0 THEN
        RETURN 0;
    END IF;
    UPDATE leases SET amount = amount - given, touched_at = now()
    WHERE limit_id = which AND starts_at = window_start AND gateway_id = gateway;
    UPDATE limit_windows SET reserved = reserved - given WHERE limit_id = which AND starts_at = window_start;
    RETURN given;
END
$$;

-- The window follows its limit: a new amount counts at once, and what is spent beyond it is excess.
CREATE FUNCTION limit_amount_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    zone text;
BEGIN
    SELECT time_zone INTO zone FROM accounts WHERE id = NEW.account_id;
    UPDATE limit_windows f
    SET amount = NEW.amount, excess = greatest(f.spent + f.reserved - NEW.amount, 0)
    FROM limit_window(NEW.period, NEW.period_since, zone, clock_timestamp()) w
    WHERE f.limit_id = NEW.id AND f.starts_at = w.starts_at;
    RETURN NULL;
END
$$;
CREATE TRIGGER window_follows AFTER UPDATE ON limits
    FOR EACH ROW WHEN (OLD.amount IS DISTINCT FROM NEW.amount) EXECUTE FUNCTION limit_amount_changed();

CREATE FUNCTION limit_period_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.period_since := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER window_anew BEFORE UPDATE ON limits
    FOR EACH ROW WHEN (OLD.period IS DISTINCT FROM NEW.period) EXECUTE FUNCTION limit_period_changed();

-- A key's limits travel with the key, a group's with the group, the account's with the account.
CREATE FUNCTION policy_limits_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    keys uuid[]; groups uuid[]; accounts uuid[];
BEGIN
    SELECT array_agg(DISTINCT key_id) FILTER (WHERE key_id IS NOT NULL),
           array_agg(DISTINCT group_id) FILTER (WHERE group_id IS NOT NULL),
           array_agg(DISTINCT account_id) FILTER (WHERE num_nonnulls(key_id, group_id) = 0)
    INTO keys, groups, accounts FROM changed;
    PERFORM note_policy_change('key', keys);
    PERFORM note_policy_change('group', groups);
    PERFORM note_policy_change('account', accounts);
    RETURN NULL;
END
$$;
CREATE TRIGGER policy_inserted AFTER INSERT ON limits REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION policy_limits_changed();
CREATE TRIGGER policy_updated AFTER UPDATE ON limits REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION policy_limits_changed();
CREATE TRIGGER policy_deleted AFTER DELETE ON limits REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION policy_limits_changed();

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['limits', 'limit_windows', 'leases'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY one_account ON %I TO latchkey_console
                 USING (account_id = NULLIF(current_setting(''latchkey.account_id'', true), '''')::uuid)
                 WITH CHECK (account_id = NULLIF(current_setting(''latchkey.account_id'', true), '''')::uuid)',
            tenant_table
        );
        EXECUTE format('CREATE POLICY every_account ON %I TO latchkey_gateway USING (true) WITH CHECK (true)',
                       tenant_table);
        EXECUTE format('CREATE POLICY owner ON %I TO CURRENT_USER USING (true) WITH CHECK (true)', tenant_table);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, DELETE ON limits TO latchkey_console;
GRANT UPDATE (amount, period, period_since) ON limits TO latchkey_console;
GRANT SELECT ON limit_windows, leases TO latchkey_console;
GRANT SELECT ON limits TO latchkey_gateway;
-- Settling moves windows and leases together with the ledger; everything else goes through the functions.
GRANT SELECT, UPDATE ON limit_windows, leases TO latchkey_gateway;
GRANT SELECT (time_zone) ON accounts TO latchkey_gateway;
GRANT EXECUTE ON FUNCTION take_lease, return_lease TO latchkey_gateway;
GRANT EXECUTE ON FUNCTION limit_window TO latchkey_console;
