"""What a store has to be, said without the engine."""
