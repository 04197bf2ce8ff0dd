"""Health, metrics and counters."""
