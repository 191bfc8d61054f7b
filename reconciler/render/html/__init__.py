"""Plans and reports as one HTML page that needs nothing but itself. ``page.css`` and ``page.js`` are put into it."""

from reconciler.render.html.plan import plan_html
from reconciler.render.html.report import report_html

__all__ = ["plan_html", "report_html"]
