// How a set is cut. Its memory is P*B runs of S neighbours that share a weight; or, where P = S = 1, one
// run of B neighbours with a weight each ("trailing"). Runs are cut into items of at most 32 x FEW strips,
// or several short ones are taken together. An item is summed by neighbouring lanes, always in the same
// way, and items are added in a fixed order: so the bits of a result do not depend on who does the work.

constexpr int FEW = 4; // strips of an item for each of its lanes, at most

struct Shape {
    long long sets, A, P, B, S;
    long long n;     // B * S: neighbours in memory
    long long m;     // P * n: elements of a set
    int strips;      // of a run
    int rows;        // of P in an item: more than 1 where runs are short
    int blocks;      // items along P
    int pieces;      // items along a run
    int piece;       // strips of an item, at most
    int items;       // of a set
    int lanes;       // threads of an item, a power of two
    int team;        // threads of a set, in those kernels that do a set at once
    int trailing;    // a weight for each element
    int center;
    int columns;     // partial results of items lie as columns.cu leaves them
    int chunks;      // of P, there
};

struct Set {
    long long k, begin;
    int a;
    bool there;

    // The same set, or none.
    __device__ __forceinline__ Set only(bool it) const { return Set{k, begin, a, it}; }
};

__device__ __forceinline__ Set set_of(const Shape& s, long long k)
{
    long long o = k / s.A;
    int a = (int)(k - o * s.A);
    return Set{k, (o * s.P * s.A + a) * s.n, a, k < s.sets};
}

struct Item {
    long long begin; // in x
    int strips;
    int b;      // its channel, or that of its first element
    float rows; // for each strip: 1 / those of a run if it is several of them, else 0
};

// Item i of a set; one without strips if there is no such item.
template <int V> __device__ __forceinline__ Item item_of(const Shape& s, const Set& set, int i)
{
    if (!set.there || i >= s.items)
        return Item{0, 0, 0, 0.0f};
    if (s.trailing) {
        int first = i * s.piece;
        return Item{set.begin + (long long)first * V, min(s.piece, s.strips - first), first * V, 0.0f};
    }
    int q = i % s.pieces, t = i / s.pieces, p = t % s.blocks * s.rows, b = t / s.blocks;
    long long begin = set.begin + p * s.A * s.n + b * s.S;
    if (s.rows > 1)
        return Item{begin, (int)min((long long)s.rows, s.P - p) * s.strips, b, 1.0f / s.strips};
    return Item{begin + (long long)q * s.piece * V, min(s.piece, s.strips - q * s.piece), b, 0.0f};
}

// Where strip k of an item is in x. There are at most 128, so that floats find the row.
template <int V> __device__ __forceinline__ long long place(const Shape& s, const Item& item, int k)
{
    int row = (int)((k + 0.5f) * item.rows);
    return item.begin + (long long)k * V + row * (s.A * s.n - s.S);
}

// The strips of an item that are a lane's: k = lane, lane + lanes, ...
template <class X, int V>
__device__ __forceinline__ void load_item(Strip<X, V>* to, const Shape& s, const X* x, const Item& item, int lane)
{
#pragma unroll
    for (int r = 0; r < FEW; ++r)
        if (lane + r * s.lanes < item.strips)
            to[r] = load<X, V>(x + place<V>(s, item, lane + r * s.lanes));
}

// What partial results of item i of a set are kept under.
__device__ __forceinline__ long long kept_at(const Shape& s, const Set& set, int i)
{
    if (!s.columns)
        return set.k * s.items + i;
    long long chunk = i / s.B, b = i % s.B, o = set.k / s.A;
    return ((o * s.chunks + chunk) * s.A + set.a) * s.B + b;
}
