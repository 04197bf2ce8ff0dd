-- Contracts that others create: which event names their addresses, and from which block on these are known.

ALTER TABLE contracts ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE contracts ADD COLUMN named_from INTEGER NOT NULL DEFAULT 0;
