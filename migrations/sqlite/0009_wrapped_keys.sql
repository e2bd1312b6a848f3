-- Wrapped keys stand side by side: one by each wrapper for the same vault, holder and recipient, and none is ever changed.
DROP INDEX wrapped_keys_vault_id_holder_recipient_key;
CREATE UNIQUE INDEX wrapped_keys_vault_id_holder_recipient_wrapped_by_key
    ON wrapped_keys (vault_id, holder, recipient, wrapped_by);

CREATE TRIGGER wrapped_keys_are_final BEFORE UPDATE ON wrapped_keys
BEGIN SELECT RAISE(ABORT, 'wrapped_keys_final'); END;
