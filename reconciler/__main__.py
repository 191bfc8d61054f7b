"""``python -m reconciler`` is ``paygift``."""

from reconciler.cli import main

main()
