"""What one endpoint can do and how it is asked: envelopes, its budget, its latency, its health. Pure."""
