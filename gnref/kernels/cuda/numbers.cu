// Numbers: 16 bits as float, several at a time, and sums in two numbers.
// No header is included: NVRTC alone compiles this.

#ifndef EMULATED // tests run all of this on a CPU, where these mean something else
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#if __CUDA_ARCH__ >= 900
#define CLUSTER(blocks) __cluster_dims__(blocks, 1, 1)
#else
#define CLUSTER(blocks) // never launched
#endif
#endif

struct half16 {
    unsigned short bits;
};

struct bfloat16 {
    unsigned short bits;
};

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ void narrow(float& y, float x) { y = x; }
__device__ __forceinline__ void narrow(double& y, double x) { y = x; }

#ifdef EMULATED
inline float widen(half16 x) { return emulated_half_to_float(x.bits); }
inline float widen(bfloat16 x) { return emulated_bfloat16_to_float(x.bits); }
inline void narrow(half16& y, float x) { y.bits = emulated_float_to_half(x); }
inline void narrow(bfloat16& y, float x) { y.bits = emulated_float_to_bfloat16(x); }
inline double exact(float x) { return x; }
inline float rounded(double x) { return (float)x; }
#else
__device__ __forceinline__ float widen(half16 x)
{
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(x.bits));
    return f;
}

__device__ __forceinline__ float widen(bfloat16 x) { return __uint_as_float((unsigned)x.bits << 16); }

__device__ __forceinline__ void narrow(half16& y, float x) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x)); }

__device__ __forceinline__ void narrow(bfloat16& y, float x)
{
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
    unsigned bits = __float_as_uint(x);
    y.bits = x == x ? (bits + 0x7fff + (bits >> 16 & 1)) >> 16 : 0x7fff; // ties to even; NaN
#endif
}

// float to double and back with its smallest numbers, which the compiler is told to take for 0.
__device__ __forceinline__ double exact(float x)
{
    double d;
    asm("cvt.f64.f32 %0, %1;" : "=d"(d) : "f"(x));
    return d;
}

__device__ __forceinline__ float rounded(double x)
{
    float f;
    asm("cvt.rn.f32.f64 %0, %1;" : "=f"(f) : "d"(x));
    return f;
}
#endif

__device__ __forceinline__ double exact(double x) { return x; }
__device__ __forceinline__ double exact(half16 x) { return widen(x); }
__device__ __forceinline__ double exact(bfloat16 x) { return exact(widen(x)); }
template <class Y> __device__ __forceinline__ void put(Y& y, double x) { narrow(y, rounded(x)); }
__device__ __forceinline__ void put(double& y, double x) { y = x; }

// What a type is computed in.
template <class X> struct Computed {
    typedef float type;
};

template <> struct Computed<double> {
    typedef double type;
};

// As many bytes as one load or store moves.
template <int BYTES> struct Word;

template <> struct Word<2> {
    typedef unsigned short type;
};

template <> struct Word<4> {
    typedef unsigned type;
};

template <> struct Word<8> {
    typedef uint2 type;
};

template <> struct Word<16> {
    typedef uint4 type;
};

// V neighbours, which are loaded and stored in one word: arrays begin where they can be.
template <class X, int V> union Strip {
    typename Word<V * sizeof(X)>::type word;
    X at[V];
};

template <class X, int V> __device__ __forceinline__ Strip<X, V> load(const X* x)
{
    Strip<X, V> strip;
    strip.word = *reinterpret_cast<const typename Word<V * sizeof(X)>::type*>(x);
    return strip;
}

template <class X, int V> __device__ __forceinline__ void store(X* y, Strip<X, V> strip)
{
    __stcg(reinterpret_cast<typename Word<V * sizeof(X)>::type*>(y), strip.word); // else it may be taken apart
}

// V weights or biases, which may be wider than a word.
template <int V, class T, class W> __device__ __forceinline__ void load_parameters(T* to, const W* w)
{
    constexpr int N = V * sizeof(W) > 16 ? 16 / sizeof(W) : V;
    for (int k = 0; k < V; k += N) {
        Strip<W, N> strip = load<W, N>(w + k);
        for (int v = 0; v < N; ++v)
            to[k + v] = widen(strip.at[v]);
    }
}

// a + b, and what its rounding lost (Knuth 1969, 4.2.2, theorem B).
__device__ __forceinline__ double two_sum(double a, double b, double& lost)
{
    double s = a + b, part = s - a;
    lost = (a - (s - part)) + (b - part);
    return s;
}
