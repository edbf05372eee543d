-- What only grows, and is of no use any more, goes. The console calls this every hour and once at start.

-- Deletes at most about `most` rows of each kind and says how many there were in all: 0 is "nothing left to do", or
-- "another console is at it".
CREATE FUNCTION tidy_up(most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    cut   bigint;
    gone  bigint;
    total bigint := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('tidy_up')) THEN
        RETURN 0;
    END IF;

    -- A code lives ten minutes; the send limits look back a day.
    DELETE FROM login_codes
    WHERE id IN (SELECT id FROM login_codes WHERE created_at < now() - interval '24 hours' LIMIT most);
    GET DIAGNOSTICS total = ROW_COUNT;

    -- The log keeps a day, the newest version, and what follows the version of every gateway heard within the day.
    -- Whoever is further behind finds a gap and loads everything. So that a gap is one, whole versions go, the lowest
    -- first.
    cut := least(
        (SELECT min(version) FROM policy_changes WHERE at >= now() - interval '24 hours'),
        (SELECT max(version) FROM policy_changes),
        (SELECT min(policy_version) + 1 FROM gateways
         WHERE stopped_at IS NULL AND heard_at > now() - interval '24 hours'),
        (SELECT min(version) + most FROM policy_changes)
    );
    DELETE FROM policy_changes WHERE version < cut;
    GET DIAGNOSTICS gone = ROW_COUNT;
    total := total + gone;

    -- One that comes back writes itself down anew. A lease is its owner's to release.
    DELETE FROM gateways
    WHERE id IN (
        SELECT id FROM gateways
        WHERE heard_at < now() - interval '30 days'
          AND NOT EXISTS (SELECT FROM leases WHERE gateway_id = gateways.id AND amount > 0)
        LIMIT most
    );
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN total + gone;
END
$$;
GRANT EXECUTE ON FUNCTION tidy_up TO latchkey_console;
