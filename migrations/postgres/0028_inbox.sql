-- What waits for a member is computed whenever it is asked for: nothing of it is stored, it is only found from its own end.

-- Key cards that run out, for the registrars who renew them.
CREATE INDEX members_by_expiry ON members (partner, valid_until) WHERE status = 'active';

-- Decisions that wait for signatures, for the deciders of the call.
CREATE INDEX decisions_waiting ON decisions (call_id, proposal_id) WHERE final_at IS NULL AND withdrawn_at IS NULL;
