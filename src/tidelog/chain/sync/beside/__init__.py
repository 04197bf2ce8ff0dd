"""What is fetched beside the following of the head: what was asked of contracts, and its proof. Does I/O."""
