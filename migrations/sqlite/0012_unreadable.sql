-- How many documents the disk did not give: in the look at all bytes that is under way or was the last, and in the whole look before it.
ALTER TABLE blob_scrub ADD COLUMN unreadable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE blob_scrub ADD COLUMN unreadable_before INTEGER NOT NULL DEFAULT 0;
