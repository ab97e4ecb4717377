"""Evaluation runs: exact figures of a whole data set, from batches that come in any order.

What needs a database lies in `service.evaluations.evaluations`, which is not imported here: a server that is asked for
losses alone never loads it.
"""
