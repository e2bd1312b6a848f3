-- Every key card that was ever published: what was signed under an earlier one stays provable by it. Of members who had several
-- before this migration only the newest is known.
CREATE TABLE key_cards (
    member       TEXT    NOT NULL REFERENCES members (member),
    serial       INTEGER NOT NULL,
    key_card     TEXT    NOT NULL,
    published_at INTEGER NOT NULL,
    PRIMARY KEY (member, serial)
) STRICT;
INSERT INTO key_cards (member, serial, key_card, published_at) SELECT member, serial, key_card, published_at FROM members;

CREATE TRIGGER key_cards_are_kept BEFORE DELETE ON key_cards
BEGIN SELECT RAISE(ABORT, 'key_cards_append_only'); END;
CREATE TRIGGER key_cards_are_final BEFORE UPDATE ON key_cards
BEGIN SELECT RAISE(ABORT, 'key_cards_append_only'); END;
