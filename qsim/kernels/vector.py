"""Sixteen lanes at once: LLVM vector operations emitted through numba intrinsics.

`Lanes` writes vector code as ordinary Python expressions while an intrinsic is compiled. Every operation is an exact integer or a
single IEEE operation, so that the result does not depend on how LLVM splits the vectors for a CPU. Used where the CPU has AVX2;
the portable kernels of encode.py and decode.py give the same bits everywhere.
"""

import os
from functools import cache

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, config

from qsim.kernels.jit import JIT

N = 16
I1, I8, I16, I32, I64, F32, F64 = (
    ir.IntType(1), ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.DoubleType(),
)  # fmt: skip


@cache
def available():
    """Whether the vector kernels are used: JIT on, AVX2 in the target CPU (not `generic`), and QSIM_KERNELS not `portable`."""
    if not JIT or os.environ.get("QSIM_KERNELS") == "portable" or config.CPU_NAME == "generic":
        return False
    if config.CPU_FEATURES is not None:
        return "+avx2" in config.CPU_FEATURES.split(",")
    return bool(llvm.get_host_cpu_features().get("avx2"))


def vec(scalar_type):
    """The type of sixteen lanes."""
    return ir.VectorType(scalar_type, N)


class Lanes:
    """A vector value under construction; Python ints and floats are constants in every lane."""

    __slots__ = ("b", "v")

    def __init__(self, b, v):
        self.b = b
        self.v = v

    @property
    def scalar(self):
        """Type of a lane."""
        return self.v.type.element

    def lift(self, other):
        """`other` as an LLVM vector of this type."""
        return other.v if isinstance(other, Lanes) else ir.Constant(self.v.type, [other] * N)

    def make(self, v):
        """A Lanes of the same builder."""
        return Lanes(self.b, v)

    def __add__(self, o):
        return self.make((self.b.add if isinstance(self.scalar, ir.IntType) else self.b.fadd)(self.v, self.lift(o)))

    def __sub__(self, o):
        return self.make((self.b.sub if isinstance(self.scalar, ir.IntType) else self.b.fsub)(self.v, self.lift(o)))

    def __rsub__(self, o):
        return self.make((self.b.sub if isinstance(self.scalar, ir.IntType) else self.b.fsub)(self.lift(o), self.v))

    def __mul__(self, o):
        return self.make((self.b.mul if isinstance(self.scalar, ir.IntType) else self.b.fmul)(self.v, self.lift(o)))

    def __and__(self, o):
        return self.make(self.b.and_(self.v, self.lift(o)))

    def __or__(self, o):
        return self.make(self.b.or_(self.v, self.lift(o)))

    def __xor__(self, o):
        return self.make(self.b.xor(self.v, self.lift(o)))

    def __lshift__(self, o):
        return self.make(self.b.shl(self.v, self.lift(o)))

    def __rshift__(self, o):
        return self.make(self.b.lshr(self.v, self.lift(o)))

    def ashr(self, o):
        """Arithmetic shift right."""
        return self.make(self.b.ashr(self.v, self.lift(o)))

    def eq(self, o):
        """Mask of equal lanes."""
        return self.make(self.b.icmp_unsigned("==", self.v, self.lift(o)))

    def ult(self, o):
        """Mask of lanes below, unsigned."""
        return self.make(self.b.icmp_unsigned("<", self.v, self.lift(o)))

    def ugt(self, o):
        """Mask of lanes above, unsigned."""
        return self.make(self.b.icmp_unsigned(">", self.v, self.lift(o)))

    def slt(self, o):
        """Mask of lanes below, signed."""
        return self.make(self.b.icmp_signed("<", self.v, self.lift(o)))

    def where(self, yes, no):
        """Lanes of `yes` where this mask holds, else of `no` (constants need one Lanes among the two)."""
        a, c = (yes, no) if isinstance(yes, Lanes) else (no, yes)
        yes_v, no_v = (a.v, a.lift(c)) if isinstance(yes, Lanes) else (a.lift(c), a.v)
        return self.make(self.b.select(self.v, yes_v, no_v))

    def _call2(self, name, o):
        t = self.v.type
        f = self.b.module.declare_intrinsic(f"llvm.{name}.{_suffix(t)}", (), ir.FunctionType(t, [t, t]))
        return self.make(self.b.call(f, [self.v, self.lift(o)]))

    def umin(self, o):
        """Smaller, unsigned."""
        return self._call2("umin", o)

    def umax(self, o):
        """Larger, unsigned."""
        return self._call2("umax", o)

    def smin(self, o):
        """Smaller, signed."""
        return self._call2("smin", o)

    def smax(self, o):
        """Larger, signed."""
        return self._call2("smax", o)

    def fmin(self, o):
        """Smaller of two that are not NaN."""
        return self.make(self.b.select(self.b.fcmp_ordered("<", self.v, self.lift(o)), self.v, self.lift(o)))

    def largest(self):
        """Scalar: the largest lane, unsigned."""
        f = self.b.module.declare_intrinsic(
            f"llvm.vector.reduce.umax.{_suffix(self.v.type)}", (), ir.FunctionType(self.scalar, [self.v.type])
        )
        return self.b.call(f, [self.v])

    def swap_pairs(self):
        """Lanes 1, 0, 3, 2, ..."""
        return self.make(self.b.shuffle_vector(self.v, self.v, ir.Constant(vec(I32), [i ^ 1 for i in range(N)])))

    def to(self, scalar_type, how):
        """Convert every lane: how = trunc, zext, sext, bitcast, sitofp, uitofp, fpext, fptrunc."""
        return self.make(getattr(self.b, how)(self.v, vec(scalar_type)))


def _suffix(t):
    kind = t.element
    return f"v{t.count}" + (f"i{kind.width}" if isinstance(kind, ir.IntType) else "f32" if kind == F32 else "f64")


def splat(b, scalar):
    """A scalar in every lane."""
    undefined = ir.Constant(vec(scalar.type), ir.Undefined)
    first = b.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return Lanes(b, b.shuffle_vector(first, undefined, ir.Constant(vec(I32), [0] * N)))


def splat32(b, scalar):
    """The low 32 bits of an int64 in every lane."""
    return splat(b, b.trunc(scalar, I32) if scalar.type.width > 32 else scalar)


def address(context, b, array_type, array, offset):
    """Pointer to element `offset` of a contiguous array."""
    data = cgutils.create_struct_proxy(array_type)(context, b, array).data
    return b.gep(data, [offset])


def load(b, pointer, scalar_type, count=N):
    """Lanes from memory, unaligned."""
    t = ir.VectorType(scalar_type, count)
    return Lanes(b, b.load(b.bitcast(pointer, t.as_pointer()), align=1))


def store(lanes, pointer):
    """Lanes to memory, unaligned."""
    b = lanes.b
    b.store(lanes.v, b.bitcast(pointer, lanes.v.type.as_pointer()), align=1)


def load_codes(b, pointer, width):
    """Codes of 8, 16 or 32 bits as 32-bit lanes."""
    codes = load(b, pointer, ir.IntType(width))
    return codes if width == 32 else codes.to(I32, "zext")


def store_codes(codes, pointer, width):
    """32-bit lanes as codes of 8, 16 or 32 bits."""
    store(codes if width == 32 else codes.to(ir.IntType(width), "trunc"), pointer)


def store_even_bytes(lanes, pointer):
    """Lanes 0, 2, 4, ... as eight bytes."""
    b = lanes.b
    half = b.shuffle_vector(lanes.v, lanes.v, ir.Constant(ir.VectorType(I32, N // 2), list(range(0, N, 2))))
    store(Lanes(b, b.trunc(half, ir.VectorType(I8, N // 2))), pointer)


def load_pair_bytes(b, pointer):
    """Eight bytes, each in two neighbouring 32-bit lanes."""
    eight = load(b, pointer, I8, N // 2)
    wide = b.zext(eight.v, ir.VectorType(I32, N // 2))
    return Lanes(b, b.shuffle_vector(wide, wide, ir.Constant(vec(I32), [i // 2 for i in range(N)])))
