"""The command `paygift`, also as ``python -m reconciler``. Until it can say anything, ^C ends it without a word."""

import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Import the command line and run it. Exits as ``reconciler.cli`` says, and with 130 for ^C before and after."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # and not ignored, as in the background of a shell
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as shells see it, that is 130 too
    try:
        from reconciler.cli import main as command  # noqa: PLC0415 - only here may ^C strike

        signal.signal(signal.SIGINT, before)
        command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
