"""What `orchestrator doctor` looks at: one file a subject, one small function a check, one table of faults."""
