-- Nobody is vouched for with the recipient of somebody else.
CREATE INDEX member_recipients_by_recipient ON member_recipients (recipient);
