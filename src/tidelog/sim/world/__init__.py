"""What surrounds simulated processes: time, tasks, disk, chance."""
