-- Editing a key with its limits in one transaction.

-- An edit writes policy and then windows; a gateway that settles locks windows and then, where one is used up, writes
-- policy. So an edit locks its windows before anything else. The console may not write windows, and does not here.
CREATE FUNCTION lock_windows_of_key(which uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM limit_windows w
    WHERE w.limit_id IN (SELECT l.id FROM limits l WHERE l.key_id = which
                         AND l.account_id::text = current_setting('latchkey.account_id', true))
    ORDER BY w.limit_id, w.starts_at FOR UPDATE;
END
$$;
GRANT EXECUTE ON FUNCTION lock_windows_of_key TO latchkey_console;

-- The names of environments that are in use, each found by one look-up.
CREATE INDEX api_keys_by_environment ON api_keys (account_id, environment, id) WHERE environment IS NOT NULL;
