"""Evaluation runs: losses and metrics of whole data sets, exact in any order of batches."""
