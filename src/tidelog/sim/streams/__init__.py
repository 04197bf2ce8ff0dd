"""A simulated engine of streams, with the faults that real ones are known for."""
