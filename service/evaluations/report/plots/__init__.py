"""Plots of reports, as SVG elements for a page."""
