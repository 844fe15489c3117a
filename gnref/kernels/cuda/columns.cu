// Sets whose elements lie far apart, each beside those of other sets: channels last, P rows of A*B columns.
// A thread takes a strip of V columns and some rows; the item of a set is one column of CHUNK rows.

constexpr int ROWS = 8;                     // that a thread holds at once
constexpr int BESIDE = 8;                   // threads that share a strip of columns
constexpr int AT_ONCE = 4;                  // rows that a thread loads before it writes any

struct Matrix {
    int strips; // of A*B columns
    int lanes;  // threads beside one another, a power of two up to 32
    int slots;  // chunks in a block: lanes * BESIDE * slots threads
    int rows;   // of a chunk: those of an item, or fewer where nothing is added
    int chunks; // of all rows
};

// Which strip of columns and which rows are a thread's.
struct Place {
    long long o, chunk, column, at; // at: of (o, row 0, column) in x
    int row, rows;                  // its first row in the chunk, and the rows of that
    int lane;                       // among those that share the strip: row
    bool there;
};

template <int V> __device__ __forceinline__ Place place_of(const Shape& s, const Matrix& q)
{
    int lane = threadIdx.x % q.lanes, row = threadIdx.x / q.lanes % BESIDE, slot = threadIdx.x / (q.lanes * BESIDE);
    long long across = (q.strips + q.lanes - 1) / q.lanes, item = blockIdx.x / across * q.slots + slot;
    long long o = item / q.chunks, chunk = item % q.chunks, strip = blockIdx.x % across * q.lanes + lane;
    bool there = o < s.sets / s.A && strip < q.strips;
    long long at = (o * s.P + chunk * q.rows) * s.A * s.n + strip * V;
    return Place{o, chunk, strip * V, at, row, (int)min((long long)q.rows, s.P - chunk * q.rows), lane, there};
}

// So many rows of a strip, from `first` on, every BESIDE-th.
template <int MOST, class X, int V>
__device__ __forceinline__ int load_rows(Strip<X, V>* to, const Shape& s, const X* x, const Place& p, int first)
{
    int many = 0;
#pragma unroll
    for (int k = 0; k < MOST; ++k)
        if (first + k * BESIDE < p.rows) {
            to[k] = load<X, V>(x + p.at + (first + k * BESIDE) * s.A * s.n);
            many = k + 1;
        }
    return many;
}

// Mean and M2 of two lots together (Chan, Golub & LeVeque 1983, eq. 2.1).
__device__ __forceinline__ void merge(Moments& a, const Moments& b)
{
    double count = a.count + b.count, share = b.count / count, lost;
    double d = (b.hi - a.hi) + (b.lo - a.lo);
    a.hi = two_sum(a.hi, d * share, lost);
    a.lo += lost;
    a.M2 += b.M2 + d * d * (a.count * share);
    a.count = count;
}

template <class X, int V>
__global__ void __launch_bounds__(256)
    column_moments(const __grid_constant__ Shape s, Matrix q, const X* __restrict__ x, Moments* __restrict__ parts)
{
    typedef typename Computed<X>::type T;
    DYNAMIC_SHARED(memory);
    Moments* shared = (Moments*)memory;
    Place p = place_of<V>(s, q);
    double hi[V], lo[V], M2[V], count = 0.0; // lo is 0 unless x is float64: a mean in float64 is exact enough
    for (int v = 0; v < V; ++v)
        hi[v] = lo[v] = M2[v] = 0.0;
    for (int first = p.row; p.there && first < p.rows; first += ROWS * BESIDE) {
        Strip<X, V> strips[ROWS];
        int many = load_rows<ROWS>(strips, s, x, p, first);
        for (int v = 0; v < V; ++v) {
            T guess = 0, d1 = 0, d2 = 0;
#pragma unroll
            for (int k = 0; k < ROWS; ++k)
                guess += k < many ? widen(strips[k].at[v]) : 0;
            guess = s.center ? guess / many : 0;
#pragma unroll
            for (int k = 0; k < ROWS; ++k) {
                T d = k < many ? widen(strips[k].at[v]) - guess : 0;
                d1 += d;
                d2 += d * d;
            }
            double rest = s.center ? (double)d1 / many : 0.0;
            Moments part{(double)many, (double)guess, rest, larger((double)d2 - d1 * rest, 0.0)};
            Moments own{count, hi[v], lo[v], M2[v]};
            if (count == 0.0)
                own = part;
            else
                merge(own, part);
            hi[v] = sizeof(T) == 8 ? own.hi : own.hi + own.lo;
            lo[v] = sizeof(T) == 8 ? own.lo : 0.0;
            M2[v] = own.M2;
        }
        count += many;
    }
    // The threads that share a strip, one after the other.
    for (int v = 0; v < V; ++v) {
        Moments own{count, hi[v], lo[v], M2[v]};
        __syncthreads();
        shared[threadIdx.x] = own;
        __syncthreads();
        if (!p.there || p.row != 0)
            continue;
        for (int row = 1; row < min(BESIDE, p.rows); ++row)
            merge(own, shared[threadIdx.x + row * q.lanes]);
        parts[(p.o * s.chunks + p.chunk) * s.A * s.n + p.column + v] = own;
    }
}

__device__ __forceinline__ long long set_at(const Shape& s, const Place& p, int v) { return p.o * s.A + (p.column + v) / s.B; }

template <class X>
__device__ __forceinline__ Line line_at(const Line* lines, const double* mean, const double* rstd, long long set)
{
    return lines ? lines[set] : line_of<X>(mean[set], rstd[set]);
}

// Once more the columns of sets that leave the range, which have a bit in odd. Called last.
template <class X, class W>
__device__ __noinline__ void column_apply_carefully(
    const Shape& s, const Place& p, unsigned odd, const X* x, const W* weight, const W* bias, X* y, const Line* lines,
    const double* mean, const double* rstd)
{
    for (int v = 0; odd >> v; ++v) {
        if (!(odd >> v & 1))
            continue;
        Line line = line_at<X>(lines, mean, rstd, set_at(s, p, v));
        double k = weight ? line.r * exact(weight[p.column + v]) : line.r, t = bias ? exact(bias[p.column + v]) : 0.0;
        for (int row = p.row; row < p.rows; row += BESIDE) {
            long long at = p.at + row * s.A * s.n + v;
            put(y[at], ((exact(x[at]) * line.scale - line.hi) - line.lo) * k + t);
        }
    }
}

// y from lines, or from mean and rstd that are given.
template <class X, class W, int V>
__global__ void __launch_bounds__(256, 1)
    column_apply(
        const __grid_constant__ Shape s, Matrix q, const X* __restrict__ x, const W* __restrict__ weight,
        const W* __restrict__ bias, X* __restrict__ y, const Line* __restrict__ lines,
        const double* __restrict__ mean, const double* __restrict__ rstd)
{
    typedef typename Computed<X>::type T;
    Place p = place_of<V>(s, q);
    if (!p.there)
        return;
    T hi[V], lo[V], k[V], t[V];
    unsigned odd = 0;
    for (int v = 0; v < V; ++v) {
        Line line = line_at<X>(lines, mean, rstd, set_at(s, p, v));
        hi[v] = (T)line.hi;
        lo[v] = (T)(line.lo + (line.hi - (double)hi[v]));
        k[v] = (T)(weight ? line.r * exact(weight[p.column + v]) : line.r);
        t[v] = bias ? (T)widen(bias[p.column + v]) : (T)0;
        odd |= (line.odd != 0.0) << v;
    }
    for (int first = p.row; first < p.rows; first += AT_ONCE * BESIDE) {
        Strip<X, V> strips[AT_ONCE];
        load_rows<AT_ONCE>(strips, s, x, p, first);
#pragma unroll
        for (int r = 0; r < AT_ONCE; ++r)
            if (first + r * BESIDE < p.rows) {
                for (int v = 0; v < V; ++v)
                    narrow(strips[r].at[v], ((widen(strips[r].at[v]) - hi[v]) - lo[v]) * k[v] + t[v]);
                store(y + p.at + (first + r * BESIDE) * s.A * s.n, strips[r]);
            }
    }
    if (odd)
        column_apply_carefully(s, p, odd, x, weight, bias, y, lines, mean, rstd);
}

template <class X, int V>
__global__ void __launch_bounds__(256)
    column_sums(
        const __grid_constant__ Shape s, Matrix q, const X* __restrict__ dy, const X* __restrict__ x,
        const double* __restrict__ mean, const double* __restrict__ rstd, Sums* __restrict__ parts)
{
    typedef typename Computed<X>::type T;
    DYNAMIC_SHARED(memory);
    Sums* shared = (Sums*)memory;
    Place p = place_of<V>(s, q);
    Sums own[V];
    T hi[V], lo[V], r[V];
    for (int v = 0; v < V; ++v) {
        own[v] = Sums{0.0, 0.0, 0.0};
        long long set = p.o * s.A + (p.column + v) / s.B;
        double mu = p.there && mean ? mean[set] : 0.0;
        hi[v] = (T)mu;
        lo[v] = (T)(mu - (double)hi[v]);
        r[v] = p.there ? (T)rstd[set] : (T)0;
    }
    for (int first = p.row; p.there && first < p.rows; first += ROWS / 2 * BESIDE) {
        Strip<X, V> xs[ROWS / 2], dys[ROWS / 2];
        load_rows<ROWS / 2>(xs, s, x, p, first);
        load_rows<ROWS / 2>(dys, s, dy, p, first);
        for (int v = 0; v < V; ++v) {
            T g1 = 0, g2 = 0, d1 = 0;
#pragma unroll
            for (int k = 0; k < ROWS / 2; ++k)
                if (first + k * BESIDE < p.rows) {
                    T d = (widen(xs[k].at[v]) - hi[v]) - lo[v], g = widen(dys[k].at[v]);
                    g1 += g;
                    g2 += g * (d * r[v]);
                    d1 += d;
                }
            own[v].dy += g1;
            own[v].dy_xhat += g2;
            own[v].d += d1;
        }
    }
    for (int v = 0; v < V; ++v) {
        __syncthreads();
        shared[threadIdx.x] = own[v];
        __syncthreads();
        if (!p.there || p.row != 0)
            continue;
        for (int row = 1; row < BESIDE; ++row) {
            const Sums& other = shared[threadIdx.x + row * q.lanes];
            own[v].dy += other.dy;
            own[v].dy_xhat += other.dy_xhat;
            own[v].d += other.d;
        }
        parts[(p.o * s.chunks + p.chunk) * s.A * s.n + p.column + v] = own[v];
    }
}

// Once more the columns of sets that leave the range, as above.
template <class X, class W>
__device__ __noinline__ void column_gradients_carefully(
    const Shape& s, const Place& p, unsigned odd, const X* dy, const X* x, const W* weight, const Slope* slopes, X* dx)
{
    for (int v = 0; odd >> v; ++v) {
        if (!(odd >> v & 1))
            continue;
        Slope slope = slopes[set_at(s, p, v)];
        double w = weight ? exact(weight[p.column + v]) : 1.0;
        for (int row = p.row; row < p.rows; row += BESIDE) {
            long long at = p.at + row * s.A * s.n + v;
            put(dx[at], careful_gradient(exact(x[at]), exact(dy[at]) * w, slope));
        }
    }
}

template <class X, class W, int V>
__global__ void __launch_bounds__(256)
    column_gradients(
        const __grid_constant__ Shape s, Matrix q, const X* __restrict__ dy, const X* __restrict__ x,
        const W* __restrict__ weight, const Slope* __restrict__ slopes, X* __restrict__ dx)
{
    typedef typename Computed<X>::type T;
    Place p = place_of<V>(s, q);
    if (!p.there)
        return;
    T hi[V], lo[V], k[V], m[V], n[V];
    unsigned odd = 0;
    for (int v = 0; v < V; ++v) {
        const Slope& slope = slopes[set_at(s, p, v)];
        hi[v] = (T)slope.hi;
        lo[v] = (T)(slope.lo + (slope.hi - (double)hi[v]));
        k[v] = (T)(slope.rstd * (weight ? exact(weight[p.column + v]) : 1.0));
        m[v] = (T)(-slope.rstd * slope.via_mean);
        n[v] = (T)(-slope.rstd * slope.rstd * slope.via_var);
        odd |= (slope.odd != 0.0) << v;
    }
    constexpr int MANY = AT_ONCE / 2; // of both x and dy
    for (int first = p.row; first < p.rows; first += MANY * BESIDE) {
        Strip<X, V> xs[MANY], dys[MANY];
        load_rows<MANY>(xs, s, x, p, first);
        load_rows<MANY>(dys, s, dy, p, first);
#pragma unroll
        for (int r = 0; r < MANY; ++r)
            if (first + r * BESIDE < p.rows) {
                for (int v = 0; v < V; ++v)
                    narrow(dys[r].at[v], widen(dys[r].at[v]) * k[v] + (((widen(xs[r].at[v]) - hi[v]) - lo[v]) * n[v] + m[v]));
                store(dx + p.at + (first + r * BESIDE) * s.A * s.n, dys[r]);
            }
    }
    if (odd)
        column_gradients_carefully(s, p, odd, dy, x, weight, slopes, dx);
}
