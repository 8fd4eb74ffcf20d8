"""The decoder under atheris: whatever arrives is a message or a ``WireError``, in bounded time, and nothing else.

    python tests/fuzz/decoder.py -max_total_time=60
    python tests/fuzz/decoder.py --plant -max_total_time=60     # the control: a check is taken out, and that is found

The first byte chooses what is fed; the rest is the input. Inputs that change one thing of a good message are among the
seeds, so that the fuzzer does not have to find the format first. A crash leaves its input in the current folder.
"""

from __future__ import annotations

import sys
import tempfile
from collections import OrderedDict
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fl_app.transport"]):
    import torch

    from fl_app.transport import tensors
    from fl_app.transport.compression import pack, unpack
    from fl_app.transport.frames import Assembler, Hello, Letter, ack_frame, hello_frame, letter_frames
    from fl_app.transport.json_text import WireError
    from fl_app.transport.wire import Envelope, check, decode, encode_header, encode_tensors

LIMIT = 1 << 20
STATE = OrderedDict(weight=torch.zeros(2, 3), bias=torch.zeros(2, dtype=torch.bfloat16), flag=torch.tensor([True]))
UPDATE = Envelope(
    "update", "a", "aggregator", {"run": "r", "round": 1, "edition": "e", "num_samples": 5, "metrics": {}}, STATE
)


def one_input(data: bytes) -> None:
    """Feed one input; anything but a result or a ``WireError`` is a finding."""
    kind, rest = data[:1], data[1:]
    try:
        if kind == b"\x00":
            envelope = decode(encode_header(UPDATE), rest)
            check(envelope)
        elif kind == b"\x01":
            decode(rest, bytes(encode_tensors(STATE)))
        elif kind == b"\x02":
            tensors.decode(["weight"], rest)
        elif kind == b"\x03":
            assert len(unpack(rest, "zstd", LIMIT)) <= LIMIT
        else:
            _stream(rest)
    except WireError:
        return


def _stream(data: bytes) -> None:
    """Read frames, each after two bytes for its length."""
    assembler = Assembler(LIMIT, hashes=True)
    while len(data) >= 2:
        length = int.from_bytes(data[:2], "little")
        found = assembler.feed(data[2 : 2 + length])
        if isinstance(found, Letter):
            assert len(found.body) <= LIMIT
            decode(found.header, bytes(found.body))
        data = data[2 + length :]


def seeds() -> list[bytes]:
    """Return good inputs of each kind."""
    header, body = encode_header(UPDATE), bytes(encode_tensors(STATE))
    frames = [hello_frame(Hello("0" * 32, "", 0)), *letter_frames(Letter(1, header, body)), ack_frame(1)]
    stream = b"".join(len(frame).to_bytes(2, "little") + frame for frame in frames)
    return [b"\x00" + body, b"\x01" + header, b"\x02" + body, b"\x03" + bytes(pack(body, "zstd")), b"\x04" + stream]


def plant() -> None:
    """Take out the check that a tensor has as many bytes as its shape: torch is handed what arrived."""
    tensors._span = lambda _, entry: (tensors.TYPES[entry["dtype"]], entry["shape"], *entry["data_offsets"])


def main() -> None:
    """Fuzz with libFuzzer's options; a corpus in a temporary folder unless one is named."""
    for seed in seeds():
        one_input(seed)  # the control: what is mutated is good
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds()):
            (Path(folder) / str(number)).write_bytes(seed)
        options = [option for option in sys.argv[1:] if option != "--plant"]
        if "--plant" in sys.argv:
            plant()
        if not any(not option.startswith("-") for option in options):
            options.append(folder)
        atheris.Setup([sys.argv[0], "-max_len=4096", "-rss_limit_mb=4096", "-timeout=5", *options], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
