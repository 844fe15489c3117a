// dweight and dbias where every element of a set has a weight of its own: sums over the sets at one a.
// Sets are taken in parts; the sums of the parts are added by fold_parameters.

struct Parts {
    int parts, sets; // how many, and of how many sets each
};

// The sums that a thread has gathered for its strips, in T: over 32 sets at most, so that roundings stay few.
template <class T, int V> struct Gathered {
    T dweight[V], dbias[V];
};

template <class T, class X, int V>
__device__ __forceinline__ void gather(Gathered<T, V>& to, const Strip<X, V>& x, const Strip<X, V>& dy, const Slope& slope)
{
    if (slope.odd != 0.0) {
        for (int v = 0; v < V; ++v) {
            double g = (double)widen(dy.at[v]);
            to.dbias[v] += (T)g;
            to.dweight[v] += (T)(g * ((((double)widen(x.at[v]) * slope.scale - slope.hi) - slope.lo) * slope.r));
        }
        return;
    }
    T hi = (T)slope.hi, lo = (T)(slope.lo + (slope.hi - (double)hi)), r = (T)slope.r;
    for (int v = 0; v < V; ++v) {
        T g = widen(dy.at[v]);
        to.dbias[v] += g;
        to.dweight[v] += g * (((widen(x.at[v]) - hi) - lo) * r);
    }
}

// A set that leaves the range, by a whole block, in float64; dweight and dbias are added to.
template <class X, class W, class T>
__device__ __noinline__ void careful_set(
    const Shape& s, const Team& team, const Set& set, const X* dy, const X* x, const W* weight, double mean, double rstd,
    X* dx, T* dweight, T* dbias)
{
    double* none = nullptr;
    Slope slope = careful_slope(s, team, set, x, dy, weight, mean, rstd, (double)s.m, true, none, none);
    for (long long b = team.rank; b < s.B; b += team.size) {
        double g = (double)widen(dy[set.begin + b]), w = weight ? (double)widen(weight[set.a * s.B + b]) : 1.0;
        double xhat = (((double)widen(x[set.begin + b]) * slope.scale - slope.hi) - slope.lo) * slope.r;
        double d = slope.rstd * (g * w - slope.via_mean - xhat * slope.via_var);
        narrow(dx[set.begin + b], (T)(s.center && s.m == 1 ? d * 0.0 : d));
        dweight[set.a * s.B + b] += (T)(g * xhat);
        dbias[set.a * s.B + b] += (T)g;
    }
}

// Both passes at once: a team does one set after the other, and keeps the sums for its elements.
template <class X, class W, int V>
__global__ void __launch_bounds__(V > 4 ? 256 : 512) // sums for eight numbers take twice the registers
    backward_trailing(const __grid_constant__ Shape s, const __grid_constant__ Parts parts, const X* dy, const X* x,
                      const W* weight, const double* mean, const double* rstd, X* dx,
                      typename Computed<X>::type* dweight, typename Computed<X>::type* dbias)
{
    typedef typename Computed<X>::type T;
    DYNAMIC_SHARED(memory);
    Team team = team_of(s, memory);
    int slots = s.team / s.lanes, slot = team.rank / s.lanes, lane = team.rank % s.lanes;
    int teams = blockDim.x / s.team, t = threadIdx.x / s.team;
    long long part = blockIdx.x / s.A, a = blockIdx.x % s.A, examples = s.sets / s.A;
    Sums* sums = (Sums*)(memory + SCRATCH) + t * slots;
    Gathered<T, V> gathered[FEW] = {};
    unsigned odd = 0; // a bit for each set that is left for later

    for (int i = 0; i < parts.sets; i += teams) {
        long long o = part * parts.sets + i + t;
        bool there = i + t < parts.sets && o < examples;
        Set set = set_of(s, there ? o * s.A + a : s.sets);
        Item item = item_of<V>(s, set, slot);
        Strip<X, V> xs[FEW], dys[FEW];
        load_item(xs, s, x, item, lane);
        load_item(dys, s, dy, item, lane);
        double mu = there && s.center ? mean[set.k] : 0.0, r = there ? rstd[set.k] : 1.0;
        Sums own = sums_of(s, set, item, xs, dys, weight, mu, r, lane);
        team.sync(); // the last sums have been read
        if (lane == 0)
            sums[slot] = own;
        team.sync();
        Whole all = combine_sums<X>(s, team, set, s.items, weight, [&](int k) { return sums[k]; });
        Slope slope = slope_of<X>(s, all, mu, r, (double)s.m, true);
        if (there && slope.odd != 0.0) {
            odd |= 1u << i / teams;
            continue;
        }
        write_gradient_in<T>(s, set, item, xs, dys, slope, weight, dx, lane);
#pragma unroll
        for (int k = 0; k < FEW; ++k)
            if (lane + k * s.lanes < item.strips)
                gather(gathered[k], xs[k], dys[k], slope);
    }

    // The teams of a block, one after the other.
    Gathered<T, V>* shared = (Gathered<T, V>*)(memory + SCRATCH);
    dweight += part * s.A * s.B;
    dbias += part * s.A * s.B;
#pragma unroll
    for (int k = 0; k < FEW; ++k) {
        __syncthreads();
        shared[threadIdx.x] = gathered[k];
        __syncthreads();
        int strip = slot * s.piece + lane + k * s.lanes;
        if (t > 0 || lane + k * s.lanes >= s.piece || strip >= s.strips)
            continue;
        for (int other = 1; other < teams; ++other)
            for (int v = 0; v < V; ++v) {
                gathered[k].dweight[v] += shared[other * s.team + team.rank].dweight[v];
                gathered[k].dbias[v] += shared[other * s.team + team.rank].dbias[v];
            }
        for (int v = 0; v < V; ++v) {
            dweight[a * s.B + strip * V + v] = gathered[k].dweight[v];
            dbias[a * s.B + strip * V + v] = gathered[k].dbias[v];
        }
    }

    // What has been left for later.
    unsigned* left = (unsigned*)(memory + SCRATCH);
    __syncthreads();
    if (team.rank == 0)
        left[t] = odd;
    __syncthreads();
    Team block{(int)threadIdx.x, (int)blockDim.x, (double*)memory};
    for (int i = 0; i < parts.sets; ++i)
        if (left[i % teams] >> i / teams & 1) {
            Set set = set_of(s, (part * parts.sets + i) * s.A + a);
            double mu = s.center ? mean[set.k] : 0.0;
            careful_set(s, block, set, dy, x, weight, mu, rstd[set.k], dx, dweight, dbias);
        }
}

// dx, dweight and dbias from slopes, or dweight and dbias from mean and rstd that are given: a thread for
// each strip of each part.
template <class X, class W, int V>
__global__ void __launch_bounds__(256)
    gradients_trailing(const __grid_constant__ Shape s, const __grid_constant__ Parts parts, const X* dy, const X* x, const W* weight, const Slope* slopes,
                       const double* mean, const double* rstd, X* dx, typename Computed<X>::type* dweight,
                       typename Computed<X>::type* dbias)
{
    typedef typename Computed<X>::type T;
    long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x, strips = s.A * s.strips;
    long long part = thread / strips, at = thread % strips, a = at / s.strips, examples = s.sets / s.A;
    long long ab = at * V; // neighbours of all a have neighbouring weights
    if (part >= parts.parts)
        return;
    Gathered<T, V> gathered = {};
    for (int i = 0; i < parts.sets; ++i) {
        long long o = part * parts.sets + i;
        if (o >= examples)
            break;
        long long k = o * s.A + a, e = o * strips * V + ab;
        Slope slope;
        if (slopes)
            slope = slopes[k];
        else {
            Line line = line_of<X>(mean[k], rstd[k]);
            slope = Slope{line.hi, line.lo, 1.0, line.r, line.odd, line.r, 0.0, 0.0};
        }
        Strip<X, V> xs = load<X, V>(x + e, s.aligned), dys = load<X, V>(dy + e, s.aligned);
        gather(gathered, xs, dys, slope);
        if (!dx)
            continue;
        if (slope.odd != 0.0) {
            double g[V];
            weigh(g, dys, weight, ab, s.aligned_parameters);
            store(dx + e, gradient<double>(s, xs, g, slope, 1.0), s.aligned);
        } else {
            T g[V];
            weigh(g, dys, weight, ab, s.aligned_parameters);
            store(dx + e, gradient<T>(s, xs, g, slope, (T)1), s.aligned);
        }
    }
    for (int v = 0; v < V; ++v) {
        dweight[part * strips * V + ab + v] = gathered.dweight[v];
        dbias[part * strips * V + ab + v] = gathered.dbias[v];
    }
}

// Sums over so many rows of a (rows, width) matrix, for each of two that follow one another. Eight threads
// for each number, each of which adds every eighth row.
template <class From, class To>
__global__ void __launch_bounds__(256) fold_parameters(const From* from, To* to, long long rows, long long width, int together)
{
    DYNAMIC_SHARED(memory);
    double* sums = (double*)memory;
    long long blocks = (width + 31) / 32, parts = (rows + together - 1) / together;
    long long column = blockIdx.x % blocks * 32 + threadIdx.x % 32, part = blockIdx.x / blocks % parts;
    long long which = blockIdx.x / blocks / parts; // dweight or dbias
    double sum = 0.0;
    if (column < width)
        for (long long row = threadIdx.x / 32; row < together && part * together + row < rows; row += 8)
            sum += (double)from[(which * rows + part * together + row) * width + column];
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x >= 32 || column >= width)
        return;
    for (int k = 1; k < 8; ++k)
        sum += sums[k * 32 + threadIdx.x];
    to[(which * parts + part) * width + column] = (To)sum;
}
