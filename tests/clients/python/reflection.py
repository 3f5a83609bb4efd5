"""A client that only has an address: it gets descriptors by reflection, v1 and v1alpha, and creates all messages at run
time."""

from google.protobuf import message_factory
from grpc_reflection.v1alpha import proto_reflection_descriptor_database, reflection_pb2

from stream import Conversation

VERSIONS = ("v1", "v1alpha")


class ReflectionV1:
    """The stub of grpc.reflection.v1, which grpcio-reflection does not have: v1alpha's messages under v1's name."""

    def __init__(self, channel):
        self.ServerReflectionInfo = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )


def database(channel, version: str):
    """The descriptors of a service, requested with one of the VERSIONS."""
    asked = proto_reflection_descriptor_database.ProtoReflectionDescriptorDatabase(channel)
    if version == "v1":
        asked._stub = ReflectionV1(channel)
    return asked


class Caller:
    """Calls the methods of one service with messages written as dictionaries."""

    def __init__(self, channel, pool, service: str):
        self.channel = channel
        self.service = pool.FindServiceByName(service)
        self.called = set()

    def message(self, method: str, fields: dict):
        return message_factory.GetMessageClass(self.service.methods_by_name[method].input_type)(**fields)

    def _method(self, name: str):
        method = self.service.methods_by_name[name]
        kind = {
            (False, False): "unary_unary",
            (False, True): "unary_stream",
            (True, False): "stream_unary",
            (True, True): "stream_stream",
        }
        self.called.add(name)
        return getattr(self.channel, kind[method.client_streaming, method.server_streaming])(
            f"/{self.service.full_name}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )

    def ask(self, method: str, **fields):
        """The response of a unary method."""
        return self._method(method)(self.message(method, fields), timeout=10)

    def read(self, method: str, timeout: float = 10, **fields) -> list:
        """The messages of a stream."""
        return list(self._method(method)(self.message(method, fields), timeout=timeout))

    def send(self, method: str, *requests: dict):
        """The response to a stream of messages."""
        messages = [self.message(method, fields) for fields in requests]
        return self._method(method)(iter(messages), timeout=10)

    def converse(self, method: str, *requests: dict) -> list:
        """The response messages of a bidirectional stream."""
        conversation = Conversation(self._method(method))
        conversation.send(*(self.message(method, fields) for fields in requests))
        return conversation.end()
