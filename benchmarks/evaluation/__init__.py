"""Evaluation runs, measured: whether they add up exactly whatever happens (`exact`), and how fast (`speed`)."""
