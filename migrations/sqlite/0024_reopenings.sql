-- Which officer reopened a review, shown wherever the review is missing. Reviews that were reopened before get the name from the log: until now
-- nobody took a reopening back, so each has one entry.
ALTER TABLE reviews ADD COLUMN reopened_by TEXT REFERENCES members (member);
UPDATE reviews SET reopened_by = (SELECT MAX(e.actor) FROM log_entries e WHERE e.kind = 'review.reopened'
    AND e.proposal_id = reviews.proposal_id AND e.payload LIKE '%"review":"' || reviews.review_id || '"%')
    WHERE reopened_at IS NOT NULL;
