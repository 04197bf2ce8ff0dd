"""What a live feed reports about itself: metrics, progress, readiness, what the exchange says."""
