-- For the quotas of drafts: how many calls a member has drafted and not published, and members of a partner since an instant.
CREATE INDEX calls_by_author ON calls (created_by, published_at, created_at);
