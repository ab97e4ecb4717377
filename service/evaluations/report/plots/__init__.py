"""Plots of reports, as SVG elements for a page."""

import logging

# It warns of a home folder that it cannot write to, and does well without.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
