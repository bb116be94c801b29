"""The frames of a ``basic.publish``, one after another, to a ``Content``."""

from typing import Final

from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.exceptions import AMQPNotImplemented, AMQPPreconditionFailed, AMQPUnexpectedFrame
from pamqp.header import ContentHeader

from worker.demo.contents import Content
from worker.demo.wire import AnyFrame

BODY_MAX: Final = 16 * 1024 * 1024  # RabbitMQ 4's max_message_size


class Publication:
    """A content on its way in: the method came, header and body follow."""

    def __init__(self, method: Basic.Publish, user: str) -> None:
        if method.immediate:
            raise AMQPNotImplemented("immediate=true")
        self.mandatory = bool(method.mandatory)
        self._method = method
        self._user = user
        self._header: ContentHeader | None = None
        self._body = bytearray()

    def add(self, frame: AnyFrame) -> Content | None:
        """The next frame; the content once it is whole.

        Raises:
            AMQPUnexpectedFrame: not the frame that has to come next.
            AMQPPreconditionFailed: the body is too large, or a property is refused.
        """
        match frame:
            case ContentHeader() if self._header is None:
                self._start(frame)
            case ContentBody() if self._header is not None:
                self._body += frame.value
            case _:
                raise _unexpected(frame)
        return self._whole()

    def _start(self, header: ContentHeader) -> None:
        if header.body_size > BODY_MAX:
            raise AMQPPreconditionFailed(
                f"message size {header.body_size} is larger than configured max size {BODY_MAX}"
            )
        self._header = header

    def _whole(self) -> Content | None:
        if self._header is None or len(self._body) < self._header.body_size:
            return None
        if len(self._body) > self._header.body_size:
            raise AMQPUnexpectedFrame("more content body than the content header announced")
        properties = self._header.properties
        self._check_user(properties.user_id)
        method = self._method
        return Content.published(method.exchange or "", method.routing_key or "", properties, bytes(self._body))

    def _check_user(self, claimed: str | None) -> None:
        if claimed is not None and claimed != self._user:
            raise AMQPPreconditionFailed(
                f"user_id property set to '{claimed}' but authenticated user was '{self._user}'"
            )


def _unexpected(frame: AnyFrame) -> AMQPUnexpectedFrame:
    kind = "method" if isinstance(frame, Frame) else "content header or body"
    return AMQPUnexpectedFrame(f"expected content header or body for class 60, got {kind} frame instead")
