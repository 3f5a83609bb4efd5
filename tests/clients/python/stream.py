"""The client side of a bidirectional stream: send, receive, send again."""

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
        """The next response. Raises grpc.RpcError, or StopIteration at the successful end."""
        return next(self.call)

    def ask(self, request):
        """Sends one request and waits for the next response."""
        self.send(request)
        return self.hear()

    def end(self) -> list:
        """Ends the request and returns the remaining responses."""
        self._requests.put(self._END)
        return list(self.call)

    def break_off(self) -> None:
        """Cancels the call, like a client that disconnects."""
        self.call.cancel()
        self._requests.put(self._END)
