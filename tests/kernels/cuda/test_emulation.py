"""What the emulation of a GPU computes, and that it catches what a kernel must not do."""

import inspect
import sys

import ml_dtypes
import numpy as np
import pytest
import standin

import gnref
from gnref.arrays import library

FLAGS = ("-std=c++17",)


@pytest.fixture
def kernel(cupy):
    """A function that compiles `__global__ void name(parameters) { body }`."""

    def kernel(parameters, body, name="kernel"):
        code = f"template <int N> __global__ void {name}({parameters})\n{{\n{body}\n}}"
        names = [f"{name}<4>"]
        return cupy.RawModule(code=code, options=FLAGS, name_expressions=names).get_function(names[0])

    return kernel


def run(cupy, kernel, n=64, dtype=np.float64, blocks=1, shared=0, **inputs):
    """What the kernel writes to its last parameter, n numbers for each block, by n threads."""
    out = cupy.empty(n * blocks, dtype)
    kernel((blocks,), (n,), (*(cupy.asarray(a) for a in inputs.values()), out), shared_mem=shared)
    return out.get()


LANE = "int i = threadIdx.x, lane = i % 32;"


# ---- What kernels may call ------------------------------------------------------------------------------


def test_where_a_thread_is(cupy, kernel, order):
    where = kernel(
        "int* y",
        """int t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
        int b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
        y[b * blockDim.x * blockDim.y * blockDim.z + t] += 1 + t + 100 * b;""",
    )
    y = cupy.zeros(4 * 3 * 2 * 24, np.int32)
    where((4, 3, 2), (2, 4, 3), (y,))
    b, t = np.divmod(np.arange(4 * 3 * 2 * 24), 24)
    np.testing.assert_array_equal(y.get(), 1 + t + 100 * b)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("fma(x, x, -x)", lambda x: x * x - x),
        ("fmaf(3.0f, 4.0f, 5.0f)", lambda x: 17.0 + 0 * x),
        ("sqrt(x)", np.sqrt),
        ("sqrtf((float)x)", lambda x: np.sqrt(x.astype(np.float32))),
        ("fabs(-x) + fabsf(-1.0f)", lambda x: x + 1),
        ("floor(x) + log2(x + 1)", lambda x: np.floor(x) + np.log2(x + 1)),
        ("exp2(floor(x)) + ilogb(8.0) + scalbn(x, 3)", lambda x: 2 ** np.floor(x) + 3 + 8 * x),
        ("isnan(x / x - x / x) + 2 * isinf(1 / (x - x))", lambda x: np.where(x == 0, 3.0, 2.0)),
        ("fmin(x, 2.0) + fmax(x, 3.0f)", lambda x: np.fmin(x, 2) + np.fmax(x, 3)),
        ("min((int)x, 2) + max(2ll, (int)x)", lambda x: x.astype(int) + 2),
        ("__uint_as_float(__float_as_uint((float)x))", lambda x: x.astype(np.float32)),
        ("sizeof(uint2) + alignof(uint2) + sizeof(uint4) + alignof(uint4)", lambda x: 48 + 0 * x),
    ],
)
def test_numbers(cupy, kernel, expression, expected):
    x = np.arange(64) / 8
    f = kernel("const double* x0, double* y", f"double x = x0[threadIdx.x]; y[threadIdx.x] = {expression};")
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(run(cupy, f, x=x), expected(x), rtol=1e-15)


def test_loads_and_stores(cupy, kernel):
    body = """const uint4* from = (const uint4*)x; uint2* to = (uint2*)y;
    uint4 word = threadIdx.x % 2 ? __ldg(from + threadIdx.x) : __ldcs(from + threadIdx.x);
    __threadfence();
    __stcs(to + threadIdx.x, uint2{word.x + word.y, word.z + word.w});"""
    f = kernel("const unsigned* x, unsigned* y", body)
    x, y = cupy.asarray(np.arange(256, dtype=np.uint32)), cupy.empty(128, np.uint32)
    f((1,), (64,), (x, y))
    np.testing.assert_array_equal(y.get(), x.get().reshape(128, 2).sum(axis=1))


@pytest.mark.parametrize("T", ["int", "unsigned", "float", "double", "long long", "unsigned long long"])
def test_shuffles(cupy, kernel, order, T):
    body = f"""{LANE} {T} value = ({T})(i * 3);
    for (int step = 1; step < 32; step *= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    y[i] = (double)(value + __shfl_sync(0xffffffffu, ({T})i, 5));"""
    warp = np.arange(64) // 32
    expected = 3 * (32 * 31 / 2 + 32 * 32 * warp) + 32 * warp + 5
    np.testing.assert_array_equal(run(cupy, kernel("double* y", body)), expected)


def test_shuffles_among_some_lanes(cupy, kernel, order):
    body = f"{LANE} y[i] = __shfl_sync(~0u, i, 1, 4) + 100 * __shfl_sync(~0u, i, 7, 4);"
    first = np.arange(64) // 4 * 4
    np.testing.assert_array_equal(run(cupy, kernel("double* y", body)), first + 1 + 100 * (first + 3))


def test_votes(cupy, kernel, order):
    body = f"""{LANE}
    y[i] = __any_sync(~0u, i == 7) + 2 * __all_sync(~0u, i >= 32) + 4 * __any_sync(~0u, i == 40);"""
    np.testing.assert_array_equal(run(cupy, kernel("double* y", body)), [1] * 32 + [6] * 32)


def test_a_warp_that_is_not_full(cupy, kernel, order):
    body = f"{LANE} y[i] = __shfl_xor_sync(~0u, i, 1) + 100 * __all_sync(~0u, 1);"
    y = run(cupy, kernel("double* y", body), n=40)
    np.testing.assert_array_equal(y, 100 + (np.arange(40) ^ 1))


REVERSED = """DYNAMIC_SHARED(memory); double* s = (double*)memory; int i = threadIdx.x, n = blockDim.x;
s[i] = i; BARRIER; y[i] = s[n - 1 - i]; BARRIER; s[i] = 2 * i; BARRIER; y[i] += s[n - 1 - i];"""


@pytest.mark.parametrize(("barrier", "n"), [("__syncthreads()", 256), ("__syncwarp()", 32)])
def test_barriers(cupy, kernel, order, barrier, n):
    y = run(cupy, kernel("double* y", REVERSED.replace("BARRIER", barrier)), n, shared=8 * n)
    np.testing.assert_array_equal(y, 3.0 * np.arange(n)[::-1])


@pytest.mark.parametrize(("barrier", "n"), [("__syncthreads()", 256), ("__syncwarp()", 32)])
@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_barrier_shows_in_every_order(cupy, kernel, order, barrier, n, missing):
    parts = REVERSED.split("BARRIER")
    body = "".join(part + (barrier if i != missing else "") for i, part in enumerate(parts[:-1])) + parts[-1]
    y = run(cupy, kernel("double* y", body), n, shared=8 * n)
    assert not np.array_equal(y, 3.0 * np.arange(n)[::-1])


HALVES = [
    (np.float16, "emulated_half_to_float", "emulated_float_to_half"),
    (ml_dtypes.bfloat16, "emulated_bfloat16_to_float", "emulated_float_to_bfloat16"),
]


@pytest.mark.parametrize(("dtype", "widen", "narrow"), HALVES, ids=["half", "bfloat16"])
def test_all_numbers_of_16_bits(cupy, kernel, dtype, widen, narrow):
    body = f"int i = blockIdx.x * 64 + threadIdx.x; y[i] = {widen}(x[i]); z[i] = {narrow}(y[i]);"
    f = kernel("const unsigned short* x, float* y, unsigned short* z", body)
    bits = np.arange(1 << 16, dtype=np.uint16)
    x, y, z = cupy.asarray(bits), cupy.empty(1 << 16, np.float32), cupy.empty(1 << 16, np.uint16)
    f((1024,), (64,), (x, y, z))
    expected = bits.view(dtype).astype(np.float32)
    assert_same_bits(y.get(), expected)
    assert_same_bits(z.get().view(dtype), bits.view(dtype))


@pytest.mark.parametrize(("dtype", "widen", "narrow"), HALVES, ids=["half", "bfloat16"])
def test_rounding_to_16_bits(cupy, kernel, dtype, widen, narrow):
    every = np.arange(1 << 16, dtype=np.uint16).view(dtype).astype(np.float32)
    every = every[np.isfinite(every)]
    with np.errstate(over="ignore"):
        middle = ((every.astype(np.float64) + np.roll(every, 1)) / 2).astype(
            np.float32
        )  # ties, and next to them
    random = np.random.default_rng(0).integers(1 << 32, size=1 << 17, dtype=np.uint32).view(np.float32)
    edges = np.float32([65519.996, 65520, 65504, 3.3961776e38, 2.0**-24, 2.0**-25, 0, -0.0, np.inf, np.nan])
    values = np.concatenate(
        [middle, *(np.nextafter(middle, np.float32(k)) for k in (-9e9, 9e9)), random, edges]
    )
    values = np.resize(values, -(-len(values) // 64) * 64)
    f = kernel(
        "const float* x, unsigned short* y", f"int i = blockIdx.x * 64 + threadIdx.x; y[i] = {narrow}(x[i]);"
    )
    y = run(cupy, f, 64, np.uint16, blocks=len(values) // 64, x=values)
    with np.errstate(all="ignore"):
        assert_same_bits(y.view(dtype), values.astype(dtype))


def assert_same_bits(a, b):
    """The same bits, but that NaN is any NaN."""
    assert a.dtype == b.dtype
    with np.errstate(invalid="ignore"):
        nan, found = np.isnan(b), np.isnan(a)
    np.testing.assert_array_equal(found, nan)
    unsigned = f"u{a.itemsize}"
    np.testing.assert_array_equal(a.view(unsigned)[~nan], b.view(unsigned)[~nan])


IN_CLUSTER = """DYNAMIC_SHARED(memory); int* s = (int*)memory; int i = threadIdx.x;
unsigned rank = emulated_cluster_rank(), n = emulated_cluster_size();
s[i] = blockIdx.x * 100 + i;
emulated_cluster_sync();
int sum = 0;
for (unsigned other = 0; other < n; ++other)
    sum += ((int*)emulated_cluster_map(s, other))[i];
LAST
y[blockIdx.x * blockDim.x + i] = sum;"""


def test_clusters(cupy, kernel, order):
    f = kernel("int* y", IN_CLUSTER.replace("LAST", "emulated_cluster_sync();"), name="a_cluster")
    y = run(cupy, f, 64, np.int32, blocks=12, shared=256).reshape(3, 4, 64)
    expected = 100 * np.arange(12).reshape(3, 4, 1).sum(axis=1, keepdims=True) + 4 * np.arange(64)
    np.testing.assert_array_equal(y, np.broadcast_to(expected, y.shape))
    assert standin.launches == [("a_cluster<4>", (12,), (64,), 256, 4)]


# ---- What is caught -------------------------------------------------------------------------------------


def assert_fault(told, call):
    """The call fails and tells this; and the emulation works as before afterwards."""
    with pytest.raises(standin.Fault, match=told):
        call()


def fault_of(call):
    """What a call fails with; None if it does not."""
    try:
        call()
    except standin.Fault as fault:
        return str(fault)


def test_missing_last_barrier_of_a_cluster(cupy, kernel, order):
    f = kernel("int* y", IN_CLUSTER.replace("LAST", ""), name="a_cluster")
    for _ in range(2):
        assert_fault("shared memory of block . of 4 of a cluster", lambda: run(cupy, f, blocks=8, shared=256))


DIVERGENT = [
    ("if (i % 2) __syncthreads();", "divergent barrier"),
    ("if (i < 32) __syncthreads();", "divergent barrier"),
    ("if (i >= 32) return; __syncthreads();", "divergent barrier"),
    ("if (i < 32) __syncthreads();\nelse __syncthreads();", "divergent barrier"),
    ("if (i < 32) __syncthreads(); else emulated_cluster_sync();", "divergent barrier"),
    ("if (blockIdx.x == 0) emulated_cluster_sync();", "divergent barrier"),
    ("if (lane < 16) i += __shfl_xor_sync(~0u, i, 1);", "divergent shuffle"),
    (
        "if (lane < 16) i += __shfl_xor_sync(~0u, i, 1);\nelse i += __shfl_xor_sync(~0u, i, 1);",
        "divergent shuffle",
    ),
    ("i += __shfl_xor_sync(0xffffu, i, 1);", "divergent shuffle: the mask"),
    ("if (lane) __syncwarp(); else __syncthreads();", "divergent shuffle"),
    ("if (lane == 3) return; __any_sync(~0u, 1);", "divergent shuffle"),
]


@pytest.mark.parametrize(("body", "told"), DIVERGENT)
def test_threads_that_part(cupy, kernel, order, body, told):
    wrong = kernel("int* y", f"{LANE} {body}\ny[i] = i;", name="a_cluster")
    right = kernel("int* y", "y[threadIdx.x] = 1;")
    for _ in range(2):
        assert_fault(told, lambda: run(cupy, wrong, 64, np.int32, blocks=4))
        assert run(cupy, right, 64, np.int32).sum() == 64


@pytest.mark.parametrize("at", [-1, -(1 << 11), 100, 1100])
@pytest.mark.parametrize(
    "body", ["y[i] = x[INDEX];", "y[i] = 1; *(float*)(x + INDEX) = 2;"], ids=["read", "write"]
)
def test_beyond_an_array(cupy, kernel, order, body, at):
    f = kernel(
        "const float* x, double* y", f"int i = threadIdx.x; {body.replace('INDEX', f'(i ? i : {at})')}"
    )
    x, y = cupy.zeros(100, np.float32), cupy.zeros(64)
    told = fault_of(lambda: f((1,), (64,), (x, y)))
    if told is None:  # read from between the array and a protected page
        assert np.isnan(y.get()[0])
    else:
        assert "out of bounds" in told
        assert f"byte {4 * at} of " in told


def test_a_read_next_to_an_array_is_caught_in_one_order_at_least(cupy, kernel):
    for place, at in ((standin.FORWARD, 100), (standin.REVERSE, -1)):
        standin.order = place
        f = kernel("const float* x, double* y", f"int i = threadIdx.x; y[i] = x[{at}];")
        x = cupy.zeros(100, np.float32)
        told = rf"byte {4 * at} of 400 of argument 0, float32 \(100,\)"
        assert_fault(told, lambda f=f, x=x: f((1,), (64,), (x, cupy.empty(64))))


@pytest.mark.parametrize("at", [-1, -4, 64, 70, 1 << 18])
@pytest.mark.parametrize("body", ["y[i] = s[AT];", "s[AT] = 1; y[i] = 1;"], ids=["read", "write"])
def test_beyond_shared_memory(cupy, kernel, order, body, at):
    f = kernel("double* y", f"DYNAMIC_SHARED(m); float* s = (float*)m; {LANE} {body.replace('AT', str(at))}")
    results = []
    told = fault_of(lambda: results.append(run(cupy, f, shared=256)))
    if told is None:
        assert "y[i] = s" in body
        assert np.isnan(results).all()
    else:
        assert f"byte {4 * at} of 256 bytes of shared memory" in told


def test_shared_memory_that_nobody_asked_for(cupy, kernel, order):
    f = kernel("double* y", f"DYNAMIC_SHARED(m); {LANE} y[i] = m[0];")
    assert_fault("of 0 bytes of shared memory", lambda: run(cupy, f))


@pytest.mark.parametrize("T", ["float", "double"])
def test_shared_memory_begins_as_nan_in_each_block(cupy, kernel, order, T):
    body = f"DYNAMIC_SHARED(m); {LANE} {T}* s = ({T}*)m; y[blockIdx.x * 64 + i] = s[i]; s[i] = 1;"
    assert np.isnan(run(cupy, kernel("double* y", body), blocks=3, shared=512)).all()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("y[i] = ((const uint4*)(y + 1))->x;", "misaligned address in line 3"),
        (
            "float v[4] = {}; for (int k = 0; k <= i; ++k) v[k] = 1; y[i] = v[i % 4];",
            "index outside of a local array",
        ),
        ("y[i] = 1 << (i + 1);", "shift by as many bits"),
        ("y[i] = (i + 9) / (i - 3);", "division by zero"),
        (
            "char big[100000]; for (int k = 0; k < 100000; ++k) ((volatile char*)big)[k] = 1; y[i] = big[i];",
            "stack",
        ),
        ("y[i] = *(double*)nullptr;", "out of bounds at .*nil"),
        ("for (volatile int k = 0; k < 1;) {}", "not done in time"),
    ],
)
def test_other_faults(cupy, kernel, monkeypatch, body, told):
    monkeypatch.setattr(standin, "seconds", 1)
    f = kernel("double* y", f"{LANE} {body}")
    right = kernel("double* y", "y[threadIdx.x] = 1;")
    assert_fault(told, lambda: run(cupy, f))
    assert run(cupy, right).sum() == 64


def test_too_much_shared_memory(cupy, kernel):
    f = kernel("double* y", "y[threadIdx.x] = 1;")
    run(cupy, f, shared=48 * 1024)
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="max_dynamic_shared_size_bytes"):
        run(cupy, f, shared=48 * 1024 + 1)
    f.max_dynamic_shared_size_bytes = 227 * 1024
    assert run(cupy, f, shared=227 * 1024).sum() == 64
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="shared memory"):
        f.max_dynamic_shared_size_bytes = 227 * 1024 + 1


@pytest.mark.parametrize(
    ("grid", "block"),
    [((0,), (32,)), ((1,), (1025,)), ((1, 1 << 16), (32,)), ((1,), (1, 1, 65)), ((2, 4), (32,))],
)
def test_launches_that_a_device_refuses(cupy, kernel, grid, block):
    f = kernel("double* y", "y[threadIdx.x] = 1;", name="a_cluster")
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="CUDA_ERROR_INVALID_VALUE"):
        f(grid, block, (cupy.zeros(1),))


PAIR = np.dtype([("a", np.int64), ("b", np.float32), ("pad", np.int32)])


def test_arguments(cupy, kernel):
    code = """struct Pair { long long a; float b; };
    __global__ void kernel(
        Pair p, double* y, const double* none, int i, long long l, float f, double d, bool yes)
    { y[0] = p.a + p.b + i + l + f + d + yes + (none ? 1000 : 0); }"""
    f = cupy.RawModule(code=code, options=FLAGS).get_function("kernel")
    y = cupy.zeros(1)
    pair = np.array((1, 2.5, 0), PAIR)
    f((1,), (1,), (pair, y, 0, np.int32(3), 4, np.float32(5), 6.5, True))
    assert y.get() == 1 + 2.5 + 3 + 4 + 5 + 6.5 + 1


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        (4, "integer of 8 bytes; expected a integer of 4"),
        (np.float32(4), "float of 4 bytes; expected a integer of 4"),
        (np.array((1, 2, 3), PAIR), "struct of 16 bytes"),
        (None, "Unsupported type"),
        (np.zeros(3), "Unsupported type"),
        ("4", "Unsupported type"),
    ],
)
def test_wrong_arguments(cupy, kernel, argument, told):
    f = kernel("int i, double* y", "y[threadIdx.x] = i;")
    with pytest.raises(TypeError, match=told):
        f((1,), (1,), (argument, cupy.zeros(1)))


def test_wrong_number_of_arguments(cupy, kernel):
    f = kernel("int i, double* y", "y[threadIdx.x] = i;")
    with pytest.raises(TypeError, match="2 parameters, and 1 arguments"):
        f((1,), (1,), (cupy.zeros(1),))


def test_sources_that_do_not_compile(cupy, kernel):
    with pytest.raises(cupy.cuda.compiler.CompileException, match="kernel:3"):
        kernel("int i, double* y", "y[0] = nothing;")


# ---- The stand-in ---------------------------------------------------------------------------------------


def test_no_implicit_conversion(cupy):
    a = cupy.zeros(3)
    for convert in (np.asarray, np.array, lambda a: np.zeros(3) + a, lambda a: a + np.zeros(3), cupy.sqrt):
        with pytest.raises(TypeError):
            convert(a if convert is not cupy.sqrt else np.zeros(3))
    with pytest.raises(TypeError):
        memoryview(a)
    assert isinstance(a.get(), np.ndarray)
    assert isinstance(np.float64(2) * a, cupy.ndarray)


def test_arrays(cupy, order):
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    a = cupy.asarray(x)
    assert (a.shape, a.strides, a.size, a.nbytes, a.itemsize, a.ndim) == (x.shape, x.strides, 24, 96, 4, 3)
    assert a.flags.c_contiguous
    assert a.data.ptr % 16 == 0
    assert a.device == cupy.cuda.Device()
    for view in (
        a[1],
        a.reshape(6, 4),
        a.transpose(2, 0, 1),
        a.T,
        a[..., ::2],
        a.astype(np.float32, copy=False),
    ):
        view[...] = -1
        assert (a.get() == -1).any()
        a.set(x)
        assert cupy.may_share_memory(view, a)
    b = a
    b += 1
    assert b is a
    np.testing.assert_array_equal((a * 2).sum(axis=1).get(), ((x + 1) * 2).sum(axis=1))
    np.testing.assert_array_equal(cupy.stack([a, a]).get(), np.stack([x + 1, x + 1]))
    assert isinstance(a.sum(), cupy.ndarray)
    assert float(a.max()) == 24
    assert cupy.from_dlpack(a).data.ptr == a.data.ptr
    assert cupy.ascontiguousarray(a.T).flags.c_contiguous


@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16, "float32", "float64"])
def test_new_arrays_are_full_of_nan(cupy, order, dtype):
    assert np.isnan(cupy.empty((3, 5), dtype).get()).all()
    like = cupy.empty_like(cupy.zeros((3, 5), dtype).T)
    assert np.isnan(like.get()).all()
    assert like.strides == cupy.zeros((3, 5), dtype).T.strides
    assert cupy.empty(0, dtype).shape == (0,)


def test_signatures_are_those_of_cupy():
    real = pytest.importorskip("cupy")
    for name in ("empty", "empty_like", "array", "asarray", "asnumpy"):
        found, wanted = (inspect.signature(getattr(module, name)).parameters for module in (standin, real))
        assert [(p.name, p.kind) for p in found.values()] == [(p.name, p.kind) for p in wanted.values()]
    for own, others in ((standin.RawModule, real.RawModule), (standin.from_dlpack, real.from_dlpack)):
        text = others.__doc__.splitlines()[0]
        assert [name for name in inspect.signature(own).parameters if name not in text] == []
    for name in standin.LACKING:
        assert not hasattr(real, name)


@pytest.mark.parametrize("backend", ["reference"])
@pytest.mark.parametrize("dtype", ["float32", ml_dtypes.bfloat16])
def test_gnref_runs_on_it(cupy, backend, dtype):
    x = np.random.default_rng(0).standard_normal((2, 6, 5, 3)).astype(dtype)
    a = cupy.asarray(x)
    assert library(a) == "cupy"
    y, saved = gnref.group_norm_forward(a, 2, backend=backend)
    dx, _, _ = gnref.backward(y, saved)
    expected, saved = gnref.group_norm_forward(x, 2, backend="reference")
    np.testing.assert_array_equal(y.get(), expected)
    np.testing.assert_array_equal(dx.get(), gnref.backward(expected, saved)[0])


def test_it_goes_away():
    ready = gnref.backends()  # which imports what it asks
    names = {name for name in sys.modules if standin._away(name)}
    with standin.installed() as cupy:
        a = cupy.zeros((2, 2))
        assert sys.modules["cupy"] is cupy
        assert library(a) == "cupy"
    assert {name for name in sys.modules if standin._away(name)} == names
    assert library(a) is None
    assert gnref.backends() == ready


def test_the_real_one_comes_back():
    real = pytest.importorskip("cupy")
    import array_api_compat.cupy as compat

    with standin.installed() as cupy:
        assert cupy is not real
        assert library(cupy.zeros(3)) == "cupy"
    import array_api_compat.cupy as later

    assert sys.modules["cupy"] is real
    assert later is compat
