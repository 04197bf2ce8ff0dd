"""How long tests wait for what has to come.

No test may depend on how much happens within real time: a machine can be many times slower than this one, and stand
still for seconds. What is waited for is a state; this limit only turns what hangs into a failure that says where.
"""

HANGS_S = 240.0  # many times what the slowest step takes; below pytest's own limit of a test, in pyproject.toml
