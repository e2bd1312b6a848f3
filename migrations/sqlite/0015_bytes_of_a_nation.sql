-- What the members of one nation keep, added up without looking at what the others do.
CREATE INDEX documents_by_uploader ON documents (uploaded_by, size);
