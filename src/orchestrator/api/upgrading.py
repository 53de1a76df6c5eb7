"""From HTTP to a WebSocket: the connection is handed over with the handshake that was parsed here."""

from typing import cast

from orchestrator.api.handshake import answer_to, upgrade_in
from orchestrator.api.http_protocol import HttpProtocol
from orchestrator.api.websocket_protocol import WebSocketProtocol


class Upgrading(HttpProtocol):
    """Requests, of which some ask to go on as a WebSocket."""

    _upgrade_of: list[tuple[bytes, bytes]] | None = None
    _asked_upgrade: bytes | None = None

    def _get_upgrade(self) -> bytes | None:
        # Asked three times a head; once it is complete it changes no more.
        if self._upgrade_of is not self.headers:
            self._upgrade_of, self._asked_upgrade = self.headers, upgrade_in(self.headers)
        return self._asked_upgrade

    def handle_websocket_upgrade(self) -> None:
        """Hands the connection over, unless an answer is still on its way: nobody would look after it any more."""
        self._idle.stop()
        if self.flow.write_paused or not self._is_idle():
            self.transport.abort()
        elif answer := answer_to(self.scope, self.url):
            self._upgrade(answer)
        else:
            super().handle_websocket_upgrade()

    def _upgrade(self, answer: bytes) -> None:
        self.connections.discard(self)
        make = cast("type[WebSocketProtocol]", self.ws_protocol_class)
        protocol = make(self.config, self.server_state, self.app_state)  # type: ignore[call-arg]
        protocol.take_handshake(self, answer)
        self.transport.set_protocol(protocol)
