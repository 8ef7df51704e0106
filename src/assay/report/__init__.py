"""The report: prints and draws the facts that a run has written, and computes nothing."""
