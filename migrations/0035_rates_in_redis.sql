-- Requests per minute counted in Redis, or shared as before: all gateways do the one or the other, agreed on here.
--
-- Each gateway says which Redis it sees: the server's run and a token in its data, so that another, a restarted or an
-- emptied one has another name. Where all see the same one they count in it. A change goes through a time in which
-- everybody keeps to the old rule and the new one together, until no minute holds admissions under both.

ALTER TABLE rate_shares
    -- The Redis that counts; NULL where each goes by his share. What was so before.
    ADD COLUMN redis          text,
    ADD COLUMN previous_redis text,
    -- After a Redis was lost: everybody has said what he has admitted, so that the rest can be shared at once.
    ADD COLUMN told           boolean NOT NULL DEFAULT false;

ALTER TABLE gateways
    ADD COLUMN redis_seen text;

-- What gateways had admitted within the last minute when they stopped counting in a Redis. Written once per epoch: what
-- has been told can only grow.
CREATE TABLE rate_counts (
    epoch    bigint  NOT NULL,
    gateway  uuid    NOT NULL,
    key_id   uuid    NOT NULL,
    admitted integer NOT NULL CHECK (admitted > 0),
    PRIMARY KEY (epoch, gateway, key_id)
);
GRANT SELECT, INSERT, DELETE ON rate_counts TO latchkey_gateway;

DROP FUNCTION share_rates(uuid, bigint);

-- Says that `gateway` goes by the epoch `enforced` and sees the Redis `sees`, and answers with what it is to go by next.
-- No row: the gateway has not signed in yet, and admits nothing.
CREATE FUNCTION share_rates(gateway uuid, enforced bigint, sees text,
                            OUT epoch bigint, OUT members uuid[], OUT previous uuid[],
                            OUT redis text, OUT previous_redis text,
                            OUT settled boolean, OUT told boolean, OUT others_serve boolean)
RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    shares  rate_shares;
    moment  timestamptz;
    live    uuid[];
    seen    text;
    is_idle boolean;
BEGIN
    SELECT * INTO shares FROM rate_shares FOR UPDATE;
    -- Read under the lock, so that no two gateways judge by different clocks in the wrong order.
    moment := clock_timestamp();
    -- Nobody has admitted anything within a minute (who has not asked for 30 s does not): nothing to wait for.
    is_idle := NOT EXISTS (SELECT FROM gateways WHERE shares_at > moment - interval '91 s');
    UPDATE gateways SET shares_at = moment, share_epoch = enforced, redis_seen = sees WHERE id = gateway;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- Whether it has stopped in order does not matter: it may be back in a moment, with the share it had.
    SELECT coalesce(array_agg(id ORDER BY id), '{}'),
           -- The one that all of them see.
           CASE WHEN count(*) = count(redis_seen) AND count(DISTINCT redis_seen) = 1 THEN min(redis_seen) END
    INTO live, seen
    FROM gateways WHERE id = gateway OR shares_at > moment - interval '30 s';

    IF shares.counts_from IS NULL
       AND NOT EXISTS (SELECT FROM gateways WHERE id = ANY (live) AND share_epoch < shares.epoch) THEN
        -- A request is counted for up to 61 s.
        shares.counts_from := moment + interval '61 s';
        -- Who went by a later epoch's rule has told before. Somebody who is silent may have admitted what nobody knows.
        shares.told := shares.previous_redis IS NOT NULL AND shares.redis IS NULL AND NOT EXISTS (
            SELECT FROM gateways WHERE shares_at > moment - interval '91 s' AND share_epoch < shares.epoch
        );
    END IF;

    IF shares.counts_from <= moment THEN
        IF shares.redis IS NULL AND (seen IS NOT NULL OR live <> shares.members)
           OR shares.redis IS NOT NULL AND seen IS DISTINCT FROM shares.redis THEN
            shares.previous := shares.members;
            shares.previous_redis := shares.redis;
            shares.members := live;
            -- Never from one Redis to another: the old one may be gone, and the shares can be had soon.
            shares.redis := CASE WHEN shares.redis IS NULL THEN seen END;
            shares.epoch := shares.epoch + 1;
            shares.told := false;
            shares.counts_from := CASE WHEN is_idle THEN moment END;
        ELSIF live <> shares.members THEN
            -- Redis counts whoever asks it: nothing changes for anybody, so there is nothing to wait for.
            shares.members := live;
        END IF;
    ELSIF shares.redis IS NOT NULL AND seen IS DISTINCT FROM shares.redis THEN
        -- Lost before it counted alone. Everybody has kept to the shares among `previous` all the while.
        shares.members := shares.previous;
        shares.redis := NULL;
        shares.epoch := shares.epoch + 1;
        shares.counts_from := moment;
    END IF;
    UPDATE rate_shares r SET epoch = shares.epoch, members = shares.members, previous = shares.previous,
                             redis = shares.redis, previous_redis = shares.previous_redis, told = shares.told,
                             counts_from = shares.counts_from
    WHERE r IS DISTINCT FROM shares;
    epoch := shares.epoch;
    members := shares.members;
    previous := shares.previous;
    redis := shares.redis;
    previous_redis := shares.previous_redis;
    settled := coalesce(shares.counts_from <= moment, false);
    told := shares.told;
    others_serve := EXISTS (
        SELECT FROM gateways
        WHERE id <> gateway AND id = ANY (CASE WHEN settled THEN shares.members ELSE shares.previous END)
              AND stopped_at IS NULL AND shares_at > moment - interval '5 s'
    );
    RETURN NEXT;
END
$$;

GRANT EXECUTE ON FUNCTION share_rates TO latchkey_gateway;
