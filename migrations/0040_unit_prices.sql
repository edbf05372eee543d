-- Prices beside those of tokens, in nano-dollars. NULL is not known: a request that would be charged by it is refused to
-- whoever has a cost limit, unless its tokens have a price. Zero is free.
ALTER TABLE models
    ADD COLUMN price_per_image  bigint CHECK (price_per_image >= 0),
    ADD COLUMN price_per_second bigint CHECK (price_per_second >= 0);

-- What was counted beside tokens, and at which price. NULL where the route has nothing of the kind or nobody counted it.
ALTER TABLE usage_records
    ADD COLUMN images           integer CHECK (images >= 0),
    -- Sound, heard or spoken, in milliseconds.
    ADD COLUMN audio_ms         integer CHECK (audio_ms >= 0),
    ADD COLUMN price_per_image  bigint,
    ADD COLUMN price_per_second bigint;
