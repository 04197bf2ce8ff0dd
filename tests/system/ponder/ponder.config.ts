import { createConfig } from "ponder";

export default createConfig({
  database: { kind: "postgres", connectionString: process.env.DATABASE_URL! },
  chains: { anvil: { id: Number(process.env.CHAIN_ID!), rpc: process.env.NODE_URL!, pollingInterval: 200 } },
  contracts: {
    It: { chain: "anvil", abi: JSON.parse(process.env.ABI!), address: JSON.parse(process.env.ADDRESSES!), startBlock: 0 },
  },
});
