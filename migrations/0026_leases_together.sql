-- Only a crossing calls the function. As a trigger of the statement it looked at every row of every lease and every
-- settle, which are the most frequent statements there are, to find what happens twice a window.

DROP TRIGGER policy_crossed ON limit_windows;
DROP FUNCTION policy_windows_crossed();

CREATE FUNCTION policy_window_crossed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    crossed limits;
BEGIN
    SELECT * INTO crossed FROM limits WHERE id = NEW.limit_id;
    CASE
        WHEN crossed.key_id IS NOT NULL THEN PERFORM note_policy_change('key', ARRAY[crossed.key_id]);
        WHEN crossed.group_id IS NOT NULL THEN PERFORM note_policy_change('group', ARRAY[crossed.group_id]);
        ELSE PERFORM note_policy_change('account', ARRAY[NEW.account_id]);
    END CASE;
    RETURN NULL;
END
$$;
CREATE TRIGGER policy_crossed AFTER UPDATE ON limit_windows
    FOR EACH ROW WHEN ((NEW.spent >= NEW.amount) <> (OLD.spent >= OLD.amount))
    EXECUTE FUNCTION policy_window_crossed();

-- Who asks ahead needs nothing: he gets what can be spared, and never waits, so that one statement can ask for many
-- limits without one of them holding up the others.
CREATE OR REPLACE FUNCTION take_lease(gateway uuid, which uuid, needed bigint, wished bigint,
                           OUT granted bigint, OUT held bigint, OUT epoch bigint, OUT starts_at timestamptz,
                           OUT ends_at timestamptz, OUT amount bigint, OUT spent bigint, OUT reserved bigint)
RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
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
    -- From here on this window is ours until commit.
    IF needed = 0 THEN
        SELECT f.amount, f.spent, f.reserved, f.amount - f.spent - f.reserved INTO amount, spent, reserved, left_
        FROM limit_windows f WHERE f.limit_id = which AND f.starts_at = take_lease.starts_at FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    ELSE
        INSERT INTO limit_windows AS f (limit_id, account_id, starts_at, ends_at, amount)
        VALUES (which, owner, take_lease.starts_at, take_lease.ends_at, take_lease.amount)
        ON CONFLICT DO NOTHING;
        SELECT f.amount, f.spent, f.reserved, f.amount - f.spent - f.reserved INTO amount, spent, reserved, left_
        FROM limit_windows f WHERE f.limit_id = which AND f.starts_at = take_lease.starts_at FOR UPDATE;
    END IF;
    granted := CASE
        WHEN needed > left_ OR clock_timestamp() > statement_timestamp() + interval '1.5 s' THEN 0
        ELSE greatest(needed, least(wished, left_ / 8))
    END;
    UPDATE limit_windows f SET reserved = f.reserved + granted
    WHERE f.limit_id = which AND f.starts_at = take_lease.starts_at AND granted > 0;
    reserved := reserved + granted;
    INSERT INTO leases AS held_by (limit_id, starts_at, gateway_id, account_id, amount)
    VALUES (which, take_lease.starts_at, gateway, owner, granted)
    ON CONFLICT (limit_id, starts_at, gateway_id)
        DO UPDATE SET amount = held_by.amount + granted, touched_at = now()
    RETURNING held_by.amount, held_by.epoch INTO held, epoch;
    IF granted = 0 AND needed > 0 AND reserved > held THEN
        PERFORM pg_notify('latchkey_recalls', which::text);
    END IF;
    RETURN NEXT;
END
$$;

-- The same for what goes back, unless he who gives it back waits.
DROP FUNCTION return_lease;
CREATE FUNCTION return_lease(gateway uuid, which uuid, window_start timestamptz, much bigint, expected bigint,
                             waits boolean)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    given bigint;
BEGIN
    IF waits THEN
        PERFORM FROM limit_windows WHERE limit_id = which AND starts_at = window_start FOR UPDATE;
    ELSE
        PERFORM FROM limit_windows WHERE limit_id = which AND starts_at = window_start FOR UPDATE SKIP LOCKED;
    END IF;
    IF NOT FOUND OR clock_timestamp() > statement_timestamp() + interval '1.5 s' THEN
        RETURN 0;
    END IF;
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
GRANT EXECUTE ON FUNCTION return_lease TO latchkey_gateway;
