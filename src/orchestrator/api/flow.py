"""When a connection of HTTP is read from."""

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """Reading and its pauses. While bytes wait to be parsed, no more are read, whatever the application asks for."""

    held = False

    def resume_reading(self) -> None:
        """Read on, unless held."""
        if not self.held:
            super().resume_reading()
