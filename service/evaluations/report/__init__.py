"""Reports of runs and comparisons, written for people: HTML pages, Markdown and CSV."""
