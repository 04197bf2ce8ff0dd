-- Who wrote what: each writer draws a number when it opens. It is in the checkpoint and in every change, so that whoever
-- follows the changes sees that a store went back (a restored copy, a standby that lost its tail) and gave numbers of
-- changes out again. 0: written before there were such numbers.

ALTER TABLE checkpoints ADD COLUMN writer INTEGER NOT NULL DEFAULT 0;
ALTER TABLE changes ADD COLUMN writer INTEGER NOT NULL DEFAULT 0;

-- Gives the last change of a writer.
CREATE INDEX changes_writer ON changes (chain_id, writer, seq);
