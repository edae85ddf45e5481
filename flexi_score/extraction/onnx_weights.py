"""Weights and wiring of an ONNX file, as arrays, without running or importing anything.

ONNX is a protocol-buffers message; only the few fields that hold float32 weights and the inputs
of each node are read here. Field numbers are those of ``onnx.proto``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_FLOAT = 1  # TensorProto.DataType


@dataclass(frozen=True)
class OnnxWeights:
    """What :func:`read_onnx_weights` found.

    Attributes
    ----------
    tensors : dict of str to ndarray of float32
        The graph's initializers that are float32 and stored as raw bytes.
    nodes : list of (str, list of str)
        Operator and input names of each node, in order.
    """

    tensors: dict[str, NDArray[np.float32]]
    nodes: list[tuple[str, list[str]]]


def read_onnx_weights(path: Path) -> OnnxWeights:
    """Float32 initializers and nodes of an ONNX model.

    Raises
    ------
    ValueError
        If the file is not a readable ONNX model.
    """
    tensors: dict[str, NDArray[np.float32]] = {}
    nodes: list[tuple[str, list[str]]] = []
    try:
        for number, graph in _fields(memoryview(path.read_bytes())):
            if number != 7 or isinstance(graph, int):  # ModelProto.graph
                continue
            for kind, body in _fields(graph):
                if isinstance(body, int):
                    continue
                if kind == 1:  # GraphProto.node
                    nodes.append(_node(body))
                elif kind == 5:  # GraphProto.initializer
                    tensors.update(_tensor(body))
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not an ONNX model ({error})") from error
    return OnnxWeights(tensors, nodes)


def _node(body: memoryview) -> tuple[str, list[str]]:
    operator, inputs = "", []
    for number, value in _fields(body):
        if number == 1 and not isinstance(value, int):
            inputs.append(bytes(value).decode())
        elif number == 4 and not isinstance(value, int):
            operator = bytes(value).decode()
    return operator, inputs


def _tensor(body: memoryview) -> dict[str, NDArray[np.float32]]:
    shape: list[int] = []
    name, kind, raw = "", 0, None
    for number, value in _fields(body):
        if number == 1 and isinstance(value, int):
            shape.append(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8 and not isinstance(value, int):
            name = bytes(value).decode()
        elif number == 9 and not isinstance(value, int):
            raw = np.frombuffer(value, "<f4") if kind == _FLOAT else None
    return {} if raw is None else {name: raw.reshape(shape).astype(np.float32)}


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field number and value (an integer, or bytes) of each field of a message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if wire == 2:
            length, at = _varint(message, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise IndexError(f"wire type {wire} at byte {at}")
        if at + length > len(message):
            raise IndexError(f"field of {length} bytes at byte {at} runs past the end")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError(f"number of more than 64 bits at byte {at}")
