"""The edge: HTTP and WebSocket, turned into calls of the stages and back."""
