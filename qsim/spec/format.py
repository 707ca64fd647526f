"""A format: an element type and a list of scale levels, finest first.

    r = (q - z) * s_L0 * s_L1 * ...

Everything else about a format is derived here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

from qsim.spec.error import SpecError
from qsim.spec.number import Element, Scale

#: Each family names the rule that chooses its scales: (element kinds, kinds of the scale levels, finest first).
FAMILIES: dict[str, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = {
    "float": (("float",), ((),)),  # R3
    "microexponent": (("sign_magnitude",), (("microexponent", "exponent"), ("exponent",))),  # S2
    "ocp": (("float", "int"), (("exponent",),)),  # S3
    "absmax": (("int",), (("float",),)),  # S4
    "vsq": (("int",), (("uint", "float"),)),  # S5
    "affine": (("uint", "int"), (("float",),)),  # S6
    "nvfp4": (("float",), (("float", "float"),)),  # S8
    "binary": (("binary",), (("float",),)),  # B
    "ternary": (("ternary",), (("float",),)),  # B
}
MAX_GROUP = 65536
#: Families of one float scale, whose granularity is a parameter of the call (rule S11).
GRANULAR = ("absmax", "affine", "binary", "ternary")


@dataclass(frozen=True)
class Layout:
    """How a block word stands in memory; the defaults are rules P2 and P3.

    fields: order from bit 0 of the word. scales `plane`: words hold elements only, each integer-group scale level
    follows the words as a plane of its own. bit_order: which end of a byte the stream fills first.
    byte_order `big`: the bytes of each word reversed. align: each word padded with zero bits to a multiple of it.
    """

    fields: tuple[str, ...] = ()
    scales: str = "word"
    bit_order: str = "lsb"
    byte_order: str = "little"
    align: int = 1


@dataclass(frozen=True)
class Format:
    """A format as declared in formats/NAME.toml, checked."""

    name: str
    element: Element
    scales: tuple[Scale, ...] = ()
    zero_point: bool = False
    title: str = ""
    source: str = ""
    not_verified: tuple[str, ...] = ()
    layout: Layout = Layout()

    def __post_init__(self) -> None:
        """Check that the levels nest and that a family's rule fits."""
        _ = self.family
        groups = [s.group for s in self.scales]
        widths = [g for g in groups if isinstance(g, int)]
        ranks = [{"channel": 1, "tensor": 2}.get(g, 0) if isinstance(g, str) else 0 for g in groups]
        if ranks != sorted(ranks) or len({r for r in ranks if r}) != len([r for r in ranks if r]):
            raise SpecError(f"scale groups {groups} do not nest; allowed: integers, then channel, then tensor, finest first")
        if self.family in ("absmax", "vsq", "affine") and self.element.lsb_exponent:
            raise SpecError(
                f"element.lsb_exponent = {self.element.lsb_exponent} with a float scale; allowed: 0 (the scale carries it)"
            )
        if self.family == "nvfp4" and ([s.type for s in self.scales] != ["E4M3", "FP32"] or self.element.exponent_bits > 5):
            raise SpecError(
                f"scale types {[s.type for s in self.scales]} with {self.element.name} elements;"
                " allowed: E4M3 under FP32, with elements of 5 exponent bits or fewer (rule S8)"
            )
        for fine, coarse in pairwise(widths):
            if coarse % fine or coarse == fine:
                raise SpecError(f"scale group {coarse} is not a larger multiple of the finer group {fine}")

    @cached_property
    def family(self) -> str:
        """The rule that chooses the scales: a key of FAMILIES."""
        kinds = tuple(s.kind for s in self.scales)
        for family, (elements, scales) in FAMILIES.items():
            fits = self.element.kind in elements and kinds in scales
            if fits and self.zero_point == (family == "affine"):
                return family
        allowed = "; ".join(
            f"{'/'.join(e)} with scales {' or '.join('[' + ', '.join(k) + ']' for k in s)}"
            + (" and zero_point = true" if f == "affine" else "")
            for f, (e, s) in FAMILIES.items()
        )
        raise SpecError(
            f"element kind {self.element.kind!r} with scale kinds {list(kinds)}, zero_point = {str(self.zero_point).lower()}"
            f" is no known family; allowed: {allowed}"
        )

    @property
    def granularity(self) -> int | str | None:
        """Group of the only scale of a granular family, else None."""
        return self.scales[0].group if self.family in GRANULAR else None

    def with_granularity(self, granularity: int | str | None) -> Format:
        """The same format with its one float scale per `tensor`, per `channel` or per k elements (rule S11)."""
        if granularity is None or granularity == self.granularity:
            return self
        if self.family not in GRANULAR:
            raise ValueError(
                f"granularity={granularity!r} does not apply to {self.name} (family {self.family});"
                f" it applies to formats with one float scale: {', '.join(GRANULAR)} (rule S11)"
            )
        if hasattr(granularity, "__index__"):
            granularity = granularity.__index__() if not isinstance(granularity, bool) else granularity
        ok = granularity in ("tensor", "channel") if isinstance(granularity, str) else _is_group(granularity)
        if not ok:
            raise ValueError(f"granularity={granularity!r}; allowed: 'tensor', 'channel' or a group size of 1 to {MAX_GROUP}")
        return replace(self, scales=(replace(self.scales[0], group=granularity),))

    @property
    def block_scales(self) -> tuple[Scale, ...]:
        """The levels with an integer group: those that stand in the block word."""
        return tuple(s for s in self.scales if isinstance(s.group, int))

    @property
    def block_size(self) -> int:
        """Elements of the outermost integer group; 1 for a format without blocks."""
        return max((s.group for s in self.scales if isinstance(s.group, int)), default=1)

    @property
    def word_fields(self) -> tuple[tuple[str, int, int], ...]:
        """Fields of a block word from bit 0: (name, width, count); `element`, then `scale0`, `scale1`... (rule P3)."""
        fields = {"element": ("element", self.element.bits, self.block_size)}
        for i, s in enumerate(self.block_scales):
            assert isinstance(s.group, int)
            fields[f"scale{i}"] = (f"scale{i}", s.bits, self.block_size // s.group)
        if self.layout.scales == "plane":
            return (fields["element"],)
        return tuple(fields[name] for name in self.layout.fields or fields if name in fields)

    @property
    def word_bits(self) -> int:
        """Width of the word of one block, alignment included."""
        bits = sum(width * count for _, width, count in self.word_fields)
        return -(-bits // self.layout.align) * self.layout.align

    @property
    def effective_bits(self) -> Fraction:
        """Element bits plus scale bits over group, exact; a channel or tensor level adds 0, as in the published tables."""
        return self.element.bits + sum(
            (Fraction(s.bits, s.group) for s in self.block_scales if isinstance(s.group, int)), Fraction(0)
        )

    @property
    def number_of_codes(self) -> int:
        """Bit patterns of one element."""
        return 1 << self.element.bits

    def storage_bits(
        self, shape: tuple[int, ...], axis: int = -1, *, granularity: int | str | None = None, channel_axis: int = 0
    ) -> int:
        """Exact bits of a tensor in layout `block`, every scale, zero point and block pad counted (not the last byte's)."""
        from qsim.spec.geometry import Geometry

        return Geometry.of(self, shape, axis=axis, granularity=granularity, channel_axis=channel_axis).storage_bits


def _is_group(k: object) -> bool:
    return isinstance(k, int) and not isinstance(k, bool) and 1 <= k <= MAX_GROUP
