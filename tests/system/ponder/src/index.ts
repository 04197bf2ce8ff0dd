import { ponder } from "ponder:registry";
import { row } from "ponder:schema";

// Every event as it was decoded, one row each; `EVENTS` names them.
const plain = (_: string, value: unknown) => (typeof value === "bigint" ? value.toString() : value);

for (const name of process.env.EVENTS!.split(" ")) {
  ponder.on(`It:${name}` as never, async ({ event, context }: any) => {
    await context.db.insert(row).values({
      id: event.id,
      block: Number(event.block.number),
      logIndex: event.log.logIndex,
      transaction: event.transaction.hash,
      timestamp: event.block.timestamp.toString(),
      address: event.log.address,
      event: name,
      args: JSON.stringify(event.args, plain),
    });
  });
}
