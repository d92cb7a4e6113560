"""A data plane that answers appends by a script, in place of gRPC stubs."""

import grpc

from plb_ray.rpc.errors import status_of
from plb_ray.rpc.v1 import queue_pb2 as pb


def broken(code):
    """Return the step of a call that gRPC itself ends."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "broken")


def refused(error):
    """Return the step of an append that the shard refuses."""
    return pb.AppendOutcome(error=status_of(error).SerializeToString())


def stored():
    """Return the step of an append that is stored."""
    return pb.AppendOutcome(ok=pb.AppendResponse(last_seq=1))


class ScriptedStubs:
    """Stands in for `DataStubs`; the script's last step is repeated. `seen`: (first number, payloads) of each append."""

    def __init__(self, script):
        self.script = list(script)
        self.seen = []

    def stub(self, endpoint):  # noqa: ARG002 - there is one shard
        return self

    async def AppendMany(self, request, timeout):  # noqa: N802, ASYNC109, ARG002 - the stub's names
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.seen += [(one.first_producer_seq, list(one.payloads)) for one in request.appends]
        if isinstance(step, Exception):
            raise step
        return pb.AppendManyResponse(outcomes=[step] * len(request.appends))

    async def close(self):
        """Nothing is open."""
