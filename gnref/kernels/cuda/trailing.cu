// dweight and dbias where every element of a set has a weight of its own: sums over the sets at one a.
// Sets are taken in parts; the sums of the parts are added by fold_parameters.

struct Parts {
    int parts, sets; // how many, and of how many sets each
};

// The sums that a thread has gathered for a strip, in T: over 32 sets at most, so that roundings stay few.
template <class T, int V> struct Gathered {
    T dweight[V], dbias[V];
};

template <class T, int V> __device__ __forceinline__ void add(Gathered<T, V>& to, const Gathered<T, V>& more)
{
    for (int v = 0; v < V; ++v) {
        to.dweight[v] += more.dweight[v];
        to.dbias[v] += more.dbias[v];
    }
}

template <class T, class X, int V>
__device__ __forceinline__ void gather(Gathered<T, V>& to, const Strip<X, V>& x, const Strip<X, V>& dy, const Slope& slope)
{
    if (slope.odd != 0.0) {
        for (int v = 0; v < V; ++v) {
            double g = exact(dy.at[v]);
            to.dbias[v] += (T)g;
            to.dweight[v] += (T)(g * careful_xhat(exact(x.at[v]), slope));
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

// Where bits for the sets that are left for later lie: behind sums for their elements, if teams share these.
__device__ __forceinline__ unsigned* left_at(const Shape& s, int teams, unsigned char* memory)
{
    return (unsigned*)(memory + SCRATCH + (teams > 1 ? s.B * 2 * sizeof(double) : 0));
}

// The sets of a part that leave the range, each by a whole block, in float64; dweight and dbias are added to:
// at once, where there are many teams' sets. left has a bit for each set of a team, the last one at the top.
// Called last, so that nothing is kept meanwhile.
template <class X, class W, class T>
__device__ __noinline__ void trailing_carefully(
    const Shape& s, const Parts& parts, const X* dy, const X* x, const W* weight, const double* mean, const double* rstd,
    X* dx, T* dweight, T* dbias, unsigned char* memory)
{
    Team block{(int)threadIdx.x, (int)blockDim.x, (double*)memory};
    int teams = blockDim.x / s.team, many = parts.sets / teams;
    long long part = blockIdx.x / s.A, a = blockIdx.x % s.A;
    const unsigned* left = left_at(s, teams, memory);
    double *sums = teams > 1 ? (double*)(memory + SCRATCH) : nullptr, *none = nullptr;
    for (long long b = block.rank; sums && b < s.B; b += block.size)
        sums[b] = sums[s.B + b] = 0.0;
    for (int t = 0; t < teams; ++t) {
        unsigned bits = left[t];
        for (int j = 0; bits && j < many; ++j) {
            if (!(bits >> (32 - many + j) & 1))
                continue;
            Set set = set_of(s, (part * parts.sets + j * teams + t) * s.A + a);
            double mu = s.center ? mean[set.k] : 0.0;
            Slope slope = careful_slope(s, block, set, x, dy, weight, mu, rstd[set.k], (double)s.m, true, none, none);
            for (long long b = block.rank; b < s.B; b += block.size) {
                double g = exact(dy[set.begin + b]), w = weight ? exact(weight[a * s.B + b]) : 1.0;
                double at = exact(x[set.begin + b]), e = g * careful_xhat(at, slope);
                put(dx[set.begin + b], careful_gradient(at, g * w, slope));
                if (sums) {
                    sums[b] += e;
                    sums[s.B + b] += g;
                } else {
                    dweight[a * s.B + b] += (T)e;
                    dbias[a * s.B + b] += (T)g;
                }
            }
        }
    }
    for (long long b = block.rank; sums && b < s.B; b += block.size) {
        dweight[a * s.B + b] += (T)sums[b];
        dbias[a * s.B + b] += (T)sums[s.B + b];
    }
}

// Both passes at once: a team does one set after the other, and keeps the sums for its elements.
template <class X, class W, int V>
__global__ void __launch_bounds__(V > 4 ? 256 : 384, 1) // what is gathered takes registers
    backward_trailing(
        const __grid_constant__ Shape s, const __grid_constant__ Parts parts, const X* __restrict__ dy,
        const X* __restrict__ x, const W* __restrict__ weight, const double* __restrict__ mean,
        const double* __restrict__ rstd, X* __restrict__ dx, typename Computed<X>::type* dweight,
        typename Computed<X>::type* dbias)
{
    typedef typename Computed<X>::type T;
    DYNAMIC_SHARED(memory);
    Team team = team_of(s, memory);
    int slots = s.team / s.lanes, slot = team.rank / s.lanes, lane = team.rank % s.lanes;
    int teams = blockDim.x / s.team, t = threadIdx.x / s.team;
    int part = (int)(blockIdx.x / s.A), a = (int)(blockIdx.x % s.A);
    Sums* sums = (Sums*)(memory + SCRATCH) + t * slots;
    Gathered<T, V> gathered[FEW] = {};
    unsigned odd = 0; // a bit for each set, the last one at the top: whether it is left for later
    int first = slot * s.piece, strips = max(min(s.piece, s.strips - first), 0); // of the team's item

    for (int i = t; i < parts.sets; i += teams) { // parts.sets is a multiple of teams: all stay together
        long long k = ((long long)part * parts.sets + i) * s.A + a;
        bool there = k < s.sets;
        Set set{k, k * s.n, a, there};
        Item item{set.begin + first * V, there ? strips : 0, first * V, 0.0f};
        Strip<X, V> xs[FEW], dys[FEW];
#pragma unroll
        for (int k = 0; k < FEW; ++k) // one after the other: there are no rows
            if (lane + k * s.lanes < item.strips) {
                xs[k] = load<X, V>(x + item.begin + (lane + k * s.lanes) * V);
                dys[k] = load<X, V>(dy + item.begin + (lane + k * s.lanes) * V);
            }
        double mu = there && s.center ? mean[set.k] : 0.0, r = there ? rstd[set.k] : 1.0;
        Sums own = sums_of(s, set, item, xs, dys, weight, mu, r, lane);
        team.sync(); // the last sums have been read
        if (lane == 0)
            sums[slot] = own;
        team.sync();
        Whole all = combine_sums<X>(s, team, set, s.items, weight, [&](int k) { return sums[k]; });
        Slope slope = slope_of<X>(s, all, mu, r, (double)s.m, true);
        bool leave = there && slope.odd != 0.0;
        odd = odd >> 1 | (unsigned)leave << 31;
        if (leave)
            continue;
#pragma unroll
        for (int k = 0; k < FEW; ++k) {
            int strip = lane + k * s.lanes;
            if (strip < item.strips) {
                T g[V];
                gather(gathered[k], xs[k], dys[k], slope);
                weigh(g, dys[k], weight, set.a * s.B + item.b + strip * V);
                store(dx + item.begin + strip * V, gradient(xs[k], g, slope, 1.0));
            }
        }
    }

    // The teams of a block, as a tree; teams are a power of two.
    Gathered<T, V>* shared = (Gathered<T, V>*)(memory + SCRATCH);
    dweight += part * s.A * s.B;
    dbias += part * s.A * s.B;
#pragma unroll
    for (int k = 0; k < FEW; ++k) {
        __syncthreads(); // what was shared has been read
        shared[threadIdx.x] = gathered[k];
        for (int step = teams / 2; step > 0; step /= 2) {
            __syncthreads();
            if (t < step)
                add(shared[threadIdx.x], shared[threadIdx.x + step * s.team]);
        }
        int strip = slot * s.piece + lane + k * s.lanes;
        if (t > 0 || lane + k * s.lanes >= s.piece || strip >= s.strips)
            continue;
        for (int v = 0; v < V; ++v) {
            dweight[a * s.B + strip * V + v] = shared[threadIdx.x].dweight[v];
            dbias[a * s.B + strip * V + v] = shared[threadIdx.x].dbias[v];
        }
    }

    // What has been left for later.
    __syncthreads();
    if (team.rank == 0)
        left_at(s, teams, memory)[t] = odd;
    __syncthreads();
    trailing_carefully(s, parts, dy, x, weight, mean, rstd, dx, dweight, dbias, memory);
}

// dx, dweight and dbias from slopes, or dweight and dbias from mean and rstd that are given: a thread for
// each strip of each part.
template <class X, class W, int V>
__global__ void __launch_bounds__(256)
    gradients_trailing(
        const __grid_constant__ Shape s, const __grid_constant__ Parts parts, const X* __restrict__ dy,
        const X* __restrict__ x, const W* __restrict__ weight, const Slope* __restrict__ slopes,
        const double* __restrict__ mean, const double* __restrict__ rstd, X* __restrict__ dx,
        typename Computed<X>::type* __restrict__ dweight, typename Computed<X>::type* __restrict__ dbias)
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
        Strip<X, V> xs = load<X, V>(x + e), dys = load<X, V>(dy + e);
        gather(gathered, xs, dys, slope);
        if (!dx)
            continue;
        T g[V];
        weigh(g, dys, weight, ab);
        Strip<X, V> out = gradient(xs, g, slope, 1.0);
        if (slope.odd != 0.0)
            for (int v = 0; v < V; ++v) {
                double w = weight ? exact(weight[ab + v]) : 1.0;
                put(out.at[v], careful_gradient(exact(xs.at[v]), exact(dys.at[v]) * w, slope));
            }
        store(dx + e, out);
    }
    for (int v = 0; v < V; ++v) {
        dweight[part * strips * V + ab + v] = gathered.dweight[v];
        dbias[part * strips * V + ab + v] = gathered.dbias[v];
    }
}

// Sums over so many rows of a (rows, width) matrix, for each of two that follow one another. Eight threads
// for each number, each of which adds every eighth row.
template <class From, class To>
__global__ void __launch_bounds__(256)
    fold_parameters(const From* __restrict__ from, To* __restrict__ to, long long rows, long long width, int together)
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
