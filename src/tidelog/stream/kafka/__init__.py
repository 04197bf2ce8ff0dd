"""Kafka behind the port for streams. Needs `tidelog[kafka]`."""
