"""The pure core: no I/O, no clock, no randomness, nothing of ours from outside this package."""
