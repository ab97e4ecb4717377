"""Evaluation runs: what they are asked to be, what a batch of one holds, and what is answered."""
