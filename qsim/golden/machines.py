"""The two machines that vectors are checked against: the exact reference, which also writes them, and the numba kernels.

Each has the same three functions, from cases to the values of a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from qsim.golden.bits import hexed
from qsim.golden.block_cases import BlockCase
from qsim.golden.element_cases import held
from qsim.spec import Format, Geometry, resolve_options


class Machine(Protocol):
    """What encodes and decodes."""

    name: str

    def encode_elements(
        self, fmt: Format, bits: Sequence[int], options: dict[str, Any], random: Sequence[int] | None
    ) -> list[str]:
        """Codes of float32 patterns, the scales held at 1."""
        ...

    def decode_elements(self, fmt: Format, codes: Sequence[int]) -> list[dict[str, str]]:
        """float32 and float64 patterns of codes, the scales held at 1."""
        ...

    def block(self, fmt: Format, case: BlockCase) -> dict[str, Any]:
        """Codes, scales, zero points, words, bytes and decoded float32 patterns of a tensor."""
        ...


class Reference:
    """qsim.reference."""

    name = "reference"

    def encode_elements(
        self, fmt: Format, bits: Sequence[int], options: dict[str, Any], random: Sequence[int] | None
    ) -> list[str]:
        """See Machine."""
        from qsim.reference import encode

        scales, zero = held_scales(fmt, len(bits))
        q = encode(
            bits,
            (len(bits),),
            fmt,
            options=resolve_options(fmt, options),
            words=random,
            scales=scales,
            zero_point=zero,
        )
        return [hexed(code, fmt.element.bits) for code in q.codes]

    def decode_elements(self, fmt: Format, codes: Sequence[int]) -> list[dict[str, str]]:
        """See Machine."""
        from qsim.reference import Encoded, decode

        scales, zero = held_scales(fmt, len(codes))
        q = Encoded(list(codes), tuple(scales), zero)
        singles, doubles = (decode(q, (len(codes),), fmt, to=to) for to in ("float32", "float64"))
        return [{"float32": hexed(s, 32), "float64": hexed(d, 64)} for s, d in zip(singles, doubles, strict=True)]

    def block(self, fmt: Format, case: BlockCase) -> dict[str, Any]:
        """See Machine."""
        from qsim.reference import decode, encode, pack, to_words

        where: dict[str, Any] = {"axis": case.axis, "granularity": case.granularity, "channel_axis": case.channel_axis}
        q = encode(case.bits, case.shape, fmt, options=resolve_options(fmt, case.options), words=case.random, **where)
        return block_fields(
            fmt, q.codes, q.scales, q.zero_point,
            to_words(q, case.shape, fmt, **where),
            pack(q, case.shape, fmt, **where),
            decode(q, case.shape, fmt, **where),
        )  # fmt: skip


class Kernels:
    """qsim.encode, qsim.decode and qsim.pack: the numba kernels."""

    name = "kernels"

    def encode_elements(
        self, fmt: Format, bits: Sequence[int], options: dict[str, Any], random: Sequence[int] | None
    ) -> list[str]:
        """See Machine."""
        import numpy as np

        from qsim.codec import encode

        x = np.array(bits, np.uint32).view(np.float32)
        words = None if random is None else np.array(random, np.uint16)
        q = encode(x, fmt, random=words, **_held_arrays(fmt, len(bits)), **options)
        return [hexed(code, fmt.element.bits) for code in q.codes.tolist()]

    def decode_elements(self, fmt: Format, codes: Sequence[int]) -> list[dict[str, str]]:
        """See Machine."""
        import numpy as np

        from qsim.codec import QTensor
        from qsim.codec.qtensor import unsigned_dtype

        parts = _held_arrays(fmt, len(codes))
        geometry = Geometry.of(fmt, (len(codes),))
        stored = np.array(codes, unsigned_dtype(fmt.element.bits))
        q = QTensor(fmt, (len(codes),), geometry, stored, parts["scales"] or (), parts["zero_point"])
        singles, doubles = q.decode(np.float32).view(np.uint32).tolist(), q.decode(np.float64).view(np.uint64).tolist()
        return [{"float32": hexed(s, 32), "float64": hexed(d, 64)} for s, d in zip(singles, doubles, strict=True)]

    def block(self, fmt: Format, case: BlockCase) -> dict[str, Any]:
        """See Machine."""
        import numpy as np

        from qsim.codec import encode

        x = np.array(case.bits, np.uint32).view(np.float32).reshape(case.shape)
        words = None if case.random is None else np.array(case.random, np.uint16).reshape(case.shape)
        q = encode(
            x, fmt, axis=case.axis, granularity=case.granularity, channel_axis=case.channel_axis, random=words, **case.options
        )  # fmt: skip
        zero = None if (z := q.zero_point) is None else z.ravel().tolist()
        decoded = np.ascontiguousarray(q.decode(np.float32)).view(np.uint32).ravel().tolist()
        scales = [s.ravel().tolist() for s in q.scales]
        return block_fields(fmt, q.codes.ravel().tolist(), scales, zero, q.to_words(), q.pack("block"), decoded)


def held_scales(fmt: Format, n: int) -> tuple[list[list[int]], list[int] | None]:
    """Scales of 1 and the middle zero point for a tensor of n elements."""
    codes, zero = held(fmt)
    counts = [-(-n // s.group) if isinstance(s.group, int) else 1 for s in fmt.scales]
    return [[code] * count for code, count in zip(codes, counts, strict=True)], None if zero is None else [zero] * counts[0]


def _held_arrays(fmt: Format, n: int) -> dict[str, Any]:
    """The same as arrays of the shapes that a QTensor has."""
    import numpy as np

    from qsim.codec.qtensor import unsigned_dtype

    scales, zero = held_scales(fmt, n)
    if not scales:
        return {"scales": None, "zero_point": None}
    shapes = Geometry.of(fmt, (n,)).scale_shapes
    arrays = tuple(
        np.array(c, unsigned_dtype(s.bits)).reshape(shape) for c, s, shape in zip(scales, fmt.scales, shapes, strict=True)
    )
    return {"scales": arrays, "zero_point": None if zero is None else np.array(zero, np.int32).reshape(shapes[0])}


def block_fields(
    fmt: Format,
    codes: Sequence[int],
    scales: Sequence[Sequence[int]],
    zero_point: Sequence[int] | None,
    words: Sequence[int],
    packed: bytes,
    decoded: Sequence[int],
) -> dict[str, Any]:
    """The values of a block test as a file holds them."""
    fields: dict[str, Any] = {
        "codes": [hexed(code, fmt.element.bits) for code in codes],
        "scales": [[hexed(code, s.bits) for code in level] for level, s in zip(scales, fmt.scales, strict=True)],
    }
    if zero_point is not None:
        fields["zero_point"] = list(zero_point)
    if fmt.block_scales:
        fields["words"] = [hexed(word, fmt.word_bits) for word in words]
    return fields | {"packed": packed.hex(), "decoded": [hexed(bits, 32) for bits in decoded]}
