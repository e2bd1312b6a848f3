-- Every key card that was ever published: what was signed under an earlier one stays provable by it. Of members who had several
-- before this migration only the newest is known.
CREATE TABLE key_cards (
    member       TEXT COLLATE "C" NOT NULL REFERENCES members (member),
    serial       BIGINT NOT NULL,
    key_card     TEXT COLLATE "C" NOT NULL,
    published_at BIGINT NOT NULL,
    PRIMARY KEY (member, serial)
);
INSERT INTO key_cards (member, serial, key_card, published_at) SELECT member, serial, key_card, published_at FROM members;

CREATE FUNCTION key_cards_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'published key cards stay as they are'
        USING ERRCODE = '23000', CONSTRAINT = 'key_cards_append_only';
END $$;
CREATE TRIGGER key_cards_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON key_cards
    FOR EACH STATEMENT EXECUTE FUNCTION key_cards_append_only();
