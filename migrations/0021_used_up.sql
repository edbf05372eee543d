-- A limit that is used up is policy: every gateway must know it without asking, and end what still runs under it.
-- Only the crossing counts, so a limit moves the version at most twice a window.

CREATE FUNCTION policy_windows_crossed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    keys uuid[]; groups uuid[]; accounts uuid[];
BEGIN
    SELECT array_agg(DISTINCT l.key_id) FILTER (WHERE l.key_id IS NOT NULL),
           array_agg(DISTINCT l.group_id) FILTER (WHERE l.group_id IS NOT NULL),
           array_agg(DISTINCT l.account_id) FILTER (WHERE num_nonnulls(l.key_id, l.group_id) = 0)
    INTO keys, groups, accounts
    FROM after a JOIN before b USING (limit_id, starts_at) JOIN limits l ON l.id = a.limit_id
    WHERE (a.spent >= a.amount) <> (b.spent >= b.amount);
    PERFORM note_policy_change('key', keys);
    PERFORM note_policy_change('group', groups);
    PERFORM note_policy_change('account', accounts);
    RETURN NULL;
END
$$;
CREATE TRIGGER policy_crossed AFTER UPDATE ON limit_windows
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION policy_windows_crossed();

-- `GET /v1/key` tells what is left.
GRANT EXECUTE ON FUNCTION limit_window TO latchkey_gateway;
