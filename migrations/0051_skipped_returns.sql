-- Who gives back in passing skips a window that others are at work on. It is told so by NULL: nothing has happened, so
-- it can go on using what it wanted to give back. 0 is still "there was nothing to take", which leaves a doubt.
CREATE OR REPLACE FUNCTION return_lease(gateway uuid, which uuid, window_start timestamptz, much bigint,
                                        expected bigint, waits boolean)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    given bigint;
BEGIN
    IF waits THEN
        PERFORM FROM limit_windows WHERE limit_id = which AND starts_at = window_start FOR UPDATE;
    ELSE
        PERFORM FROM limit_windows WHERE limit_id = which AND starts_at = window_start FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            PERFORM FROM limit_windows WHERE limit_id = which AND starts_at = window_start;
            RETURN CASE WHEN FOUND THEN NULL ELSE 0 END;
        END IF;
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
