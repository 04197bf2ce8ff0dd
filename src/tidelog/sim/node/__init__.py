"""An EVM node that can lie: replicas over one chain, and its shells."""
