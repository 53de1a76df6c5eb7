"""What `orchestrator bench plan` goes by."""
