-- How much a retiring secret is still used is looked up by the time in request ids.
GRANT EXECUTE ON FUNCTION uuid_floor TO latchkey_console;
