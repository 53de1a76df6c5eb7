"""Path 1: from a request to a task that waits for its agent."""
