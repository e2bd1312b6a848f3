-- When an officer closed the call, once all under it was decided and answered; NULL while it goes on. The log has every closing.
ALTER TABLE calls ADD COLUMN closed_at BIGINT;
-- When a closed call was reopened last: it is not closed again at once.
ALTER TABLE calls ADD COLUMN reopened_at BIGINT;
