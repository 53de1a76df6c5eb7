"""Path 1: from a request to a task that waits for its agent.

context_handler (what is asked, and of which context) → send (the path itself) → access (may the tenant use it) →
limits (how much of it) → enqueue (onto the agent's queue). Access and limits are decided in one step by admit.lua.
"""
