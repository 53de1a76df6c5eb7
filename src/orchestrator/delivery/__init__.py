"""Path 2: from an agent's callback to the session's sockets.

callback_worker (when and whose) → callback_handler (what one call did) → session_log (events in order) →
websocket_manager (who follows which session) → connection (one socket's writer).
"""
