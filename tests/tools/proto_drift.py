"""Is the committed gRPC code what the proto file makes? Run as `python -m tests.tools.proto_drift`; exit code 1 if not."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROTO = Path("plb_ray/rpc/v1/queue.proto")
GENERATED = ("queue_pb2.py", "queue_pb2.pyi", "queue_pb2_grpc.py")


def drifted(root: Path = ROOT) -> list[str]:
    """Return the generated files below `root` that differ from what protoc makes of its proto file now."""
    with tempfile.TemporaryDirectory() as directory:
        outputs = [f"--{kind}_out={directory}" for kind in ("python", "grpc_python", "pyi")]
        # In a process of its own: protoc's native code aborts one that has loaded Ray's protobuf.
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{root}", *outputs, str(root / PROTO)]
        if subprocess.run(command, check=False).returncode != 0:
            return [str(PROTO)]
        made = Path(directory) / PROTO.parent
        return [str(PROTO.parent / name) for name in GENERATED if not _same(made / name, root / PROTO.parent / name)]


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()


def main() -> int:
    """Say what has drifted."""
    files = drifted()
    if files:
        print(f"{', '.join(files)} is not what {PROTO} makes; run `make proto` and commit the result", file=sys.stderr)  # noqa: T201
    return 1 if files else 0


if __name__ == "__main__":
    sys.exit(main())
