"""The command line: `tidelog`, one module per group of commands."""
