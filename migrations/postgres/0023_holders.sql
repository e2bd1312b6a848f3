-- The keys of one holder, for a role that is taken away, without looking at what others hold under the call.
CREATE INDEX wrapped_keys_by_holder ON wrapped_keys (holder, vault_id);

-- Whether anything is decided under a call, without looking at its proposals one by one.
ALTER TABLE decisions ADD COLUMN call_id TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE decisions SET call_id = (SELECT p.call_id FROM proposals p WHERE p.proposal_id = decisions.proposal_id);
CREATE INDEX decisions_by_call ON decisions (call_id) WHERE final_at IS NOT NULL;
