"""What runs for long, whichever command started it: a chain's sync, a recording, their progress and readiness."""
