-- A permission's name never changes: keys and groups name it in their lists.
REVOKE UPDATE ON own_permissions FROM latchkey_console;
GRANT UPDATE (allows, enabled) ON own_permissions TO latchkey_console;
