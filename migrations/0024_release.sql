-- An owner releases what a silent gateway holds of his limits.
--
-- A gateway that has been unheard for 30 s refuses by itself, so what it holds is used by nobody but requests that
-- still run; those are booked when they are heard of, as excess where the room is gone by then. The lease's epoch
-- rises, so nothing done under the old one moves it; the gateway's fence rises with it, and a gateway that returns
-- looks at its leases again before it takes requests.

ALTER TABLE gateways ADD COLUMN fence bigint NOT NULL DEFAULT 0;

-- Releases one gateway's leases on a limit of the account the transaction has named. Answers with the amount: 0 where
-- there is nothing, NULL where the gateway was heard within the last 30 s.
CREATE FUNCTION release_lease(which uuid, gateway uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    owner    uuid := NULLIF(current_setting('latchkey.account_id', true), '')::uuid;
    held     record;
    released bigint := 0;
BEGIN
    -- Locked, so that it is not heard between the look and the release.
    PERFORM FROM gateways WHERE id = gateway FOR UPDATE;
    IF EXISTS (
        SELECT FROM gateways
        WHERE id = gateway AND stopped_at IS NULL AND heard_at > clock_timestamp() - interval '30 s'
    ) THEN
        RETURN NULL;
    END IF;
    FOR held IN
        SELECT l.starts_at FROM leases l
        WHERE l.limit_id = which AND l.gateway_id = gateway AND l.account_id = owner AND l.amount > 0
        ORDER BY l.starts_at
    LOOP
        PERFORM FROM limit_windows WHERE limit_id = which AND starts_at = held.starts_at FOR UPDATE;
        WITH freed AS (
            UPDATE leases l SET amount = 0, epoch = epoch + 1, touched_at = now()
            FROM (SELECT amount FROM leases
                  WHERE limit_id = which AND starts_at = held.starts_at AND gateway_id = gateway FOR UPDATE) before
            WHERE l.limit_id = which AND l.starts_at = held.starts_at AND l.gateway_id = gateway
            RETURNING before.amount
        ), moved AS (
            UPDATE limit_windows w SET reserved = w.reserved - freed.amount
            FROM freed WHERE w.limit_id = which AND w.starts_at = held.starts_at
            RETURNING freed.amount
        )
        SELECT released + coalesce(sum(amount), 0) INTO released FROM moved;
    END LOOP;
    UPDATE gateways SET fence = fence + 1 WHERE id = gateway AND released > 0;
    RETURN released;
END
$$;
GRANT EXECUTE ON FUNCTION release_lease TO latchkey_console;
