-- How much a retiring secret is still used is looked up by the time in request ids.
GRANT EXECUTE ON FUNCTION uuid_floor TO latchkey_console;

-- What was done to one key.
CREATE INDEX audit_events_of_target ON audit_events (account_id, target_id, at DESC, id DESC)
    WHERE target_id IS NOT NULL;
