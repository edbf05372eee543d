-- What a slow or silent party must not be able to do to everybody else's money.

-- Whoever waits for a lock longer than his gateway waits for the answer gets an error and leaves nothing behind.
ALTER FUNCTION take_lease SET lock_timeout = '1s';
ALTER FUNCTION return_lease SET lock_timeout = '1s';
ALTER FUNCTION share_rates SET lock_timeout = '1s';

-- The same for what goes back: a gateway that has given up looks at what it holds, and must not be overtaken.
CREATE OR REPLACE FUNCTION return_lease(gateway uuid, which uuid, window_start timestamptz, much bigint, expected bigint)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    given bigint;
BEGIN
    PERFORM FROM limit_windows WHERE limit_id = which AND starts_at = window_start FOR UPDATE;
    IF clock_timestamp() > statement_timestamp() + interval '1.5 s' THEN
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

-- A new amount counts at once, also in a window that somebody is about to open with the old one; and what the gateways
-- hold of a limit that has no room any more comes back.
CREATE OR REPLACE FUNCTION limit_amount_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    zone text;
    full_ boolean;
BEGIN
    SELECT time_zone INTO zone FROM accounts WHERE id = NEW.account_id;
    INSERT INTO limit_windows AS f (limit_id, account_id, starts_at, ends_at, amount)
    SELECT NEW.id, NEW.account_id, w.starts_at, w.ends_at, NEW.amount
    FROM limit_window(NEW.period, NEW.period_since, zone, clock_timestamp()) w
    ON CONFLICT (limit_id, starts_at) DO UPDATE
        SET amount = NEW.amount, excess = greatest(f.spent + f.reserved - NEW.amount, 0)
    RETURNING f.spent + f.reserved >= NEW.amount INTO full_;
    IF full_ THEN
        PERFORM pg_notify('latchkey_recalls', NEW.id::text);
    END IF;
    RETURN NULL;
END
$$;

-- Settling moves these columns and no others.
REVOKE UPDATE ON limit_windows, leases FROM latchkey_gateway;
GRANT UPDATE (spent, reserved, excess) ON limit_windows TO latchkey_gateway;
GRANT UPDATE (amount, touched_at) ON leases TO latchkey_gateway;
