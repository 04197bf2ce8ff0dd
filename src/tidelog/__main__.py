"""The program `tidelog`, also as `python -m tidelog`: what has to happen before the rest of it is imported."""

import os

try:
    from tidelog import interrupt
except KeyboardInterrupt:
    os._exit(130)  # of `interrupt`, which is not there yet


def main() -> None:
    interrupt.quiet_from_here()
    from tidelog.cli import main as command_line

    command_line()


if __name__ == "__main__":  # a spawned process imports this module again
    main()
