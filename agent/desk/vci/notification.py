"""The notification endpoint: what became of credentials on the phone; the same again is no error.

Standard: OpenID4VCI 1.0 section 11. What each event does: `agent.desk.deliveries`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from agent.desk.deliveries import Deliveries, Event
from agent.desk.desk import Desk
from agent.desk.vci.errors import ErrorCode, VciError
from agent.desk.vci.token import Tokens

__all__ = ["NotificationEndpoint"]

_MOST: Final = 128


class NotificationEndpoint:
    """Takes what phones say.

    Args:
        desk: the desk.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tokens = Tokens(desk)
        self._deliveries = Deliveries(desk)

    def take(self, token: str, request: Mapping[str, Any]) -> None:
        """Take a notification.

        Args:
            token: an access token of the same offer, also one that came of a refresh.
            request: the JSON object that was sent.

        Raises:
            VciError: as OpenID4VCI 1.0 section 11.3 names it.
        """
        with self._desk.store.write() as connection:
            access = self._tokens.access(connection, token)
            name, event = request.get("notification_id"), request.get("event")
            if not isinstance(name, str) or not isinstance(event, str) or event not in set(Event):
                raise VciError(
                    ErrorCode.INVALID_NOTIFICATION_REQUEST,
                    f"notification_id and event are wanted; event is one of {', '.join(Event)}",
                )
            known = len(name) <= _MOST and self._deliveries.notify(
                connection, name, Event(event), offer=access.offer.id
            )
        if not known:
            raise VciError(
                ErrorCode.INVALID_NOTIFICATION_ID, "no such notification_id for this token"
            )
