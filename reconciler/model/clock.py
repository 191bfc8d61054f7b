"""What tells the time. Nothing but the outermost shell reads the system's clock; all else is given this."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

Clock = Callable[[], datetime]
"""Gives the present instant, aware."""
