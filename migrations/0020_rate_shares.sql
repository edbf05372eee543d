-- Requests per minute with several gateways: who shares them, agreed on here.
--
-- A gateway counts in its own memory and admits its share. When the gateways change, everybody first goes by the
-- smaller of his old share and his new one. Once every live gateway says that it does, a minute must pass: then no
-- minute holds admissions under both, and the new shares count. So the shares of any moment never pass the limit.

CREATE TABLE rate_shares (
    only_row    boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch       bigint      NOT NULL DEFAULT 0,
    members     uuid[]      NOT NULL DEFAULT '{}',
    previous    uuid[]      NOT NULL DEFAULT '{}',
    -- When the shares among `members` count; NULL while a live gateway still goes by an older epoch.
    counts_from timestamptz DEFAULT now()
);
INSERT INTO rate_shares DEFAULT VALUES;

ALTER TABLE gateways
    -- The epoch its shares are of, and when it last asked: a gateway that has not asked for 30 s admits nothing.
    ADD COLUMN share_epoch bigint NOT NULL DEFAULT 0,
    ADD COLUMN shares_at   timestamptz;

-- Says that `gateway` goes by the epoch `enforced`, and answers with what it is to go by next. No row: the gateway has
-- not signed in yet, and shares nothing.
CREATE FUNCTION share_rates(gateway uuid, enforced bigint,
                            OUT epoch bigint, OUT members uuid[], OUT previous uuid[], OUT settled boolean)
RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    shares  rate_shares;
    moment  timestamptz;
    live    uuid[];
    is_idle boolean;
BEGIN
    SELECT * INTO shares FROM rate_shares FOR UPDATE;
    -- Read under the lock, so that no two gateways judge by different clocks in the wrong order.
    moment := clock_timestamp();
    -- Nobody has admitted anything under these shares within a minute: nothing to wait for.
    is_idle := NOT EXISTS (
        SELECT FROM gateways WHERE id = ANY (shares.members) AND shares_at > moment - interval '91 s'
    );
    UPDATE gateways SET shares_at = moment, share_epoch = enforced WHERE id = gateway;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- Whether it has stopped in order does not matter: it may be back in a moment, with the share it had.
    SELECT coalesce(array_agg(id ORDER BY id), '{}') INTO live
    FROM gateways WHERE id = gateway OR shares_at > moment - interval '30 s';
    IF shares.counts_from IS NULL
       AND NOT EXISTS (SELECT FROM gateways WHERE id = ANY (live) AND share_epoch < shares.epoch) THEN
        -- A request is counted for up to 61 s.
        shares.counts_from := moment + interval '61 s';
    END IF;
    IF shares.counts_from <= moment AND live <> shares.members THEN
        shares.previous := shares.members;
        shares.members := live;
        shares.epoch := shares.epoch + 1;
        shares.counts_from := CASE WHEN is_idle THEN moment END;
    END IF;
    UPDATE rate_shares r SET epoch = shares.epoch, members = shares.members, previous = shares.previous,
                             counts_from = shares.counts_from
    WHERE r.epoch <> shares.epoch OR r.counts_from IS DISTINCT FROM shares.counts_from;
    epoch := shares.epoch;
    members := shares.members;
    previous := shares.previous;
    settled := coalesce(shares.counts_from <= moment, false);
    RETURN NEXT;
END
$$;

GRANT EXECUTE ON FUNCTION share_rates TO latchkey_gateway;
GRANT SELECT ON rate_shares TO latchkey_gateway, latchkey_console;
