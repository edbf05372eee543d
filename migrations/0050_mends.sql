-- An operator's transaction is known by its number and by when it began: numbers begin anew in a restored cluster.

CREATE OR REPLACE FUNCTION is_operator_tx() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM operator_transactions WHERE id = pg_current_xact_id_if_assigned() AND at = now()
    );
$$;

CREATE OR REPLACE FUNCTION note_operator_event(of_action text, of_target text, was jsonb, is_now jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    opened operator_transactions;
BEGIN
    SELECT * INTO opened FROM operator_transactions WHERE id = pg_current_xact_id() AND at = now();
    INSERT INTO operator_events (actor_id, actor, client, user_agent, action, target, before, after)
    VALUES (opened.actor_id, coalesce(opened.email, session_user), opened.client, coalesce(opened.user_agent, ''),
            of_action, of_target, was, is_now);
END
$$;

-- Releases some of what a silent gateway holds, so that no transaction keeps the windows of many accounts locked: 200
-- limits at most. Answers with how many had something to give back, so 200 is to be followed by another call; NULL where
-- the gateway was heard within the last 30 s.
CREATE OR REPLACE FUNCTION release_gateway(which uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    held     record;
    much     bigint;
    released bigint := 0;
BEGIN
    IF NOT is_operator_tx() THEN
        RAISE insufficient_privilege USING MESSAGE = 'only an operator may release what a gateway holds';
    END IF;
    PERFORM FROM gateways WHERE id = which FOR UPDATE;
    IF EXISTS (
        SELECT FROM gateways
        WHERE id = which AND stopped_at IS NULL AND heard_at > clock_timestamp() - interval '30 s'
    ) THEN
        RETURN NULL;
    END IF;
    FOR held IN
        SELECT DISTINCT account_id, limit_id FROM leases WHERE gateway_id = which AND amount > 0
        ORDER BY limit_id LIMIT 200
    LOOP
        PERFORM set_config('latchkey.account_id', held.account_id::text, true);
        much := release_lease(held.limit_id, which);
        IF much > 0 THEN
            released := released + 1;
        END IF;
    END LOOP;
    PERFORM set_config('latchkey.account_id', '', true);
    IF released > 0 THEN
        PERFORM note_operator_event('gateway.released', (SELECT name FROM gateways WHERE id = which), NULL,
                                    jsonb_build_object('gateway', which, 'limits', released));
    END IF;
    RETURN released;
END
$$;

-- Leases of windows that are over, once nothing is in them, and such windows after a quarter: the ledger has what
-- they sum up. Whatever is settled later still goes into the ledger.
CREATE FUNCTION tidy_up_windows(most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gone  bigint;
    total bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('tidy_up_windows')) THEN
        RETURN 0;
    END IF;
    DELETE FROM leases
    WHERE (limit_id, starts_at, gateway_id) IN (
        SELECT l.limit_id, l.starts_at, l.gateway_id
        FROM limit_windows w JOIN leases l USING (limit_id, starts_at)
        WHERE w.ends_at < now() - interval '1 day' AND l.amount = 0
        LIMIT most
    );
    GET DIAGNOSTICS total = ROW_COUNT;
    DELETE FROM limit_windows
    WHERE (limit_id, starts_at) IN (
        SELECT w.limit_id, w.starts_at FROM limit_windows w
        WHERE w.ends_at < now() - interval '90 days' AND w.reserved = 0
          AND NOT EXISTS (SELECT FROM leases l WHERE l.limit_id = w.limit_id AND l.starts_at = w.starts_at)
        LIMIT most
    );
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN total + gone;
END
$$;
GRANT EXECUTE ON FUNCTION tidy_up_windows TO latchkey_console;
CREATE INDEX limit_windows_by_end ON limit_windows (ends_at) WHERE ends_at IS NOT NULL;

-- Several limits are asked for at once: whoever is late with one of them must leave nothing behind of the others.
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
    IF clock_timestamp() > statement_timestamp() + interval '1.5 s' THEN
        RAISE lock_not_available USING MESSAGE = 'whoever asked has gone';
    END IF;
    granted := CASE WHEN needed > left_ THEN 0 ELSE greatest(needed, least(wished, left_ / 8), 0) END;
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

-- 0035 made it anew, without the bound it had.
ALTER FUNCTION share_rates SET lock_timeout = '1s';
