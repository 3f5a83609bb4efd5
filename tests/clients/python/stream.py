"""The caller's side of a bidirectional stream: send, hear, send again."""

import queue


class Conversation:
    """A bidirectional call whose requests are sent one at a time. A call that hangs fails after `timeout` seconds."""

    _END = object()

    def __init__(self, method, timeout: float = 60):
        self._requests = queue.SimpleQueue()
        self.call = method(iter(self._requests.get, self._END), timeout=timeout)

    def send(self, *requests) -> None:
        """Queues requests; returns at once."""
        for request in requests:
            self._requests.put(request)

    def hear(self):
        """The next response. Raises grpc.RpcError, or StopIteration at the stream's good end."""
        return next(self.call)

    def ask(self, request):
        """Sends one request and waits for the next response."""
        self.send(request)
        return self.hear()

    def end(self) -> list:
        """Says that there is nothing more to send; the responses that were still to come."""
        self._requests.put(self._END)
        return list(self.call)

    def break_off(self) -> None:
        """Ends the call as a client does that goes away."""
        self.call.cancel()
        self._requests.put(self._END)
