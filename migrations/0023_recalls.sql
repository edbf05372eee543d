-- A gateway that finds nothing left asks the others for what they hold and do not use. And who has waited for longer
-- than his gateway waits for the answer is granted nothing: nobody would know of it.

CREATE OR REPLACE FUNCTION take_lease(gateway uuid, which uuid, needed bigint, wished bigint,
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
    granted := CASE WHEN needed > left_ OR clock_timestamp() > statement_timestamp() + interval '1.5 s' THEN 0 ELSE greatest(needed, least(wished, left_ / 8)) END;
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
