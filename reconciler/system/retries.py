"""Trying again, by stamina, for whoever asks anything over the network. What is tried again, and how often, they say.

stamina warns of each retry. Where nobody has set up logging, Python would print that bare on stderr.
"""

from __future__ import annotations

import logging

from stamina import retry_context

__all__ = ["retry_context"]

logging.getLogger("stamina").addHandler(logging.NullHandler())
