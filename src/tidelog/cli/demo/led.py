"""`python -m tidelog.cli.demo.led ARGUMENTS`: a command of the program that ends with its standard input.

The demo holds the other end, so that none of its processes outlives it, even if it is killed.
"""

import os
import signal
import threading


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":  # a spawned process imports this module again
    threading.Thread(target=_end_with_input, daemon=True).start()
    from tidelog.__main__ import main

    main()
