"""Evaluation runs: batches of a data set in, one exact report out."""
