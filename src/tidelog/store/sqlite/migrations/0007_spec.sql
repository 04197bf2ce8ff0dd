-- A chain's rules by range of blocks: what a probe found, what was confirmed since, what the user accepted. JSON, as
-- tidelog.chain.profiles writes it; null where the column `profile` says all.

ALTER TABLE chains ADD COLUMN spec TEXT;
