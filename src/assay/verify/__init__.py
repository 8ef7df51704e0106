"""Arms, trials, intervals and the verdict."""
