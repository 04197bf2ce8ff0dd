-- The first of the indexes that are made anew, each step in a transaction of its own: some seconds for each million rows.
-- Where the views show a text that people search by, the index is over that text alone, and serves both (it was two).
-- Equal keys share one entry of an index: what tells rows of one block apart is left out.

DROP INDEX transactions_hash;
DROP INDEX transactions_hash_hex;
CREATE INDEX transactions_hash ON transactions (segment, ('0x' || encode(hash, 'hex')));
