"""What a sync reports about itself: progress, readiness, and what stops it."""
