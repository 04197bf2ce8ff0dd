import { onchainTable } from "ponder";

export const row = onchainTable("row", (t) => ({
  id: t.text().primaryKey(),
  block: t.integer().notNull(),
  logIndex: t.integer().notNull(),
  transaction: t.text().notNull(),
  timestamp: t.text().notNull(),
  address: t.text().notNull(),
  contract: t.text().notNull(),
  event: t.text().notNull(),
  args: t.text().notNull(),
}));
