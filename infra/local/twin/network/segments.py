"""Frames as a packet socket with a virtio header hands them over: one may stand for many packets of a TCP stream.

The kernel cuts a large send into packets as late as it can (segmentation offload), so that between two veth ends one
frame of up to 64 KiB stands for the packets that a cable would carry, and its checksum is not finished yet. A link that
loses packets one by one, and fills its queue with them, must be able to take such a frame apart.

Layout: ``struct virtio_net_hdr`` of Linux' include/uapi/linux/virtio_net.h (10 bytes, this machine's byte order), then
the Ethernet frame.
"""

from __future__ import annotations

import struct

_VIRTIO = struct.Struct("=BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
_ETHERNET = 14
_IP = _VIRTIO.size + _ETHERNET
_NEEDS_CHECKSUM = 1
_TCP_V4, _WITH_ECN = 1, 0x80
_TCP_CHECKSUM = 16
_FIN, _PSH, _CWR = 0x01, 0x08, 0x80


def count(frame: bytes) -> int:
    """Return how many packets a cable would carry for this frame; 1 for what cannot be taken apart."""
    size = _segment_size(frame)
    return 1 if not size else max(1, -(-(len(frame) - _payload(frame)) // size))


def carried_bytes(frame: bytes, packets: int) -> int:
    """Return the bytes of IP that a cable would carry: every packet has headers of its own.

    Args:
        frame: the frame.
        packets: its :func:`count`.
    """
    whole = len(frame) - _IP
    return whole if packets == 1 else whole + (packets - 1) * (_payload(frame) - _IP)


def part(frame: bytes, first: int, end: int) -> bytes:
    """Return a frame of the packets ``first`` up to, but not including, ``end``.

    Args:
        frame: one with several packets.
        first: the first packet that is kept, from 0.
        end: the first one after it that is not.
    """
    flags, kind, _, size, start, offset = _VIRTIO.unpack_from(frame)
    payload = _payload(frame)
    is_last = payload + end * size >= len(frame)
    kept = frame[payload + first * size : payload + end * size]
    head = bytearray(frame[_VIRTIO.size : payload])
    ip, tcp = _ETHERNET, start
    struct.pack_into("!H", head, ip + 2, len(head) - ip + len(kept))
    (number,) = struct.unpack_from("!H", head, ip + 4)
    struct.pack_into("!H", head, ip + 4, (number + first) & 0xFFFF)
    struct.pack_into("!H", head, ip + 10, 0)
    struct.pack_into("!H", head, ip + 10, 0xFFFF ^ _sum(head[ip:tcp]))
    (sequence,) = struct.unpack_from("!I", head, tcp + 4)
    struct.pack_into("!I", head, tcp + 4, (sequence + first * size) & 0xFFFFFFFF)
    if not is_last:
        head[tcp + 13] &= ~(_FIN | _PSH) & 0xFF
    if first:
        head[tcp + 13] &= ~_CWR & 0xFF
    # The sum of the pseudo header alone; who finishes the checksum adds the rest.
    pseudo = bytes(head[ip + 12 : ip + 20]) + struct.pack("!HH", head[ip + 9], len(head) - tcp + len(kept))
    struct.pack_into("!H", head, tcp + offset, _sum(pseudo))
    is_one = end - first == 1 or len(kept) <= size
    virtio = _VIRTIO.pack(flags, 0 if is_one else kind, len(head), 0 if is_one else size, start, offset)
    return virtio + bytes(head) + kept


def _segment_size(frame: bytes) -> int:
    """Return the bytes of payload in each packet; 0 if the frame is one packet, or not TCP over IPv4."""
    if len(frame) < _IP + 40:
        return 0
    flags, kind, _, size, start, offset = _VIRTIO.unpack_from(frame)
    is_tcp = kind & ~_WITH_ECN == _TCP_V4 and flags & _NEEDS_CHECKSUM and offset == _TCP_CHECKSUM
    is_plain = frame[_IP - 2 : _IP] == b"\x08\x00" and start == _ETHERNET + (frame[_IP] & 0x0F) * 4
    return int(size) if is_tcp and is_plain else 0


def _payload(frame: bytes) -> int:
    tcp = _IP + (frame[_IP] & 0x0F) * 4
    return tcp + (frame[tcp + 12] >> 4) * 4


def _sum(data: bytes | bytearray) -> int:
    """Return the sum in ones' complement that IP and TCP use (RFC 1071), not inverted."""
    padded = bytes(data) + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
