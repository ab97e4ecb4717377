"""`gradwire evaluate`: files of predictions and targets, sent to a run, and its report. It speaks HTTP alone."""
