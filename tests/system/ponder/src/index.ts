import { ponder } from "ponder:registry";
import { row } from "ponder:schema";

// Every event as it was decoded, one row each; `EVENTS` names them, as CONTRACT:EVENT.
const plain = (_: string, value: unknown) => (typeof value === "bigint" ? value.toString() : value);

for (const name of process.env.EVENTS!.split(" ")) {
  const [contract, called] = name.split(":");
  ponder.on(name as never, async ({ event, context }: any) => {
    await context.db.insert(row).values({
      id: `${contract} ${event.id}`,
      block: Number(event.block.number),
      logIndex: event.log.logIndex,
      transaction: event.transaction.hash,
      timestamp: event.block.timestamp.toString(),
      address: event.log.address,
      contract,
      event: called,
      args: JSON.stringify(event.args ?? {}, plain),
    });
  });
}
