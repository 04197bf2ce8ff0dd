import { createConfig, factory } from "ponder";

// `CONTRACTS`: by name its abi, and its address, or the factory whose event names its addresses; the last block, if given.
const named = Object.entries(JSON.parse(process.env.CONTRACTS!)).map(([name, given]: [string, any]) => [
  name,
  {
    chain: "anvil",
    abi: given.abi,
    address: given.factory === undefined ? given.address : factory(given.factory),
    startBlock: 0,
    endBlock: given.endBlock,
  },
]);

export default createConfig({
  database: { kind: "postgres", connectionString: process.env.DATABASE_URL! },
  chains: { anvil: { id: Number(process.env.CHAIN_ID!), rpc: process.env.NODE_URL!, pollingInterval: 200 } },
  contracts: Object.fromEntries(named) as any,
});
