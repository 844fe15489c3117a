// dx, and what dweight and dbias are added from.
//
// dx = rstd * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat)), with dxhat = dy * weight and means over the
// set. As xhat = (x - mean) * rstd, it is dy * (weight * rstd) + (x - mean) * slope + offset.

struct Sums {
    double dy, dy_xhat; // times the weight, where it differs from element to element
    double d;           // x - mean as it is given: what its rounding left out, if x is float64
};

// What makes dx of dy and x.
struct Slope {
    double hi, lo, scale, r, odd; // as in Line
    double rstd, via_mean, via_var; // rstd is 0 where dx must be: in a set of one element, whose mean is taken out
};

template <class T> __device__ __forceinline__ bool is_ordinary_gradient(double mean, double rstd, double size, double slope)
{
    constexpr bool single = sizeof(T) == 4;
    constexpr double small = single ? 8.271806125530277e-25 : 1.499696813895631e-241;   // 2^-80, 2^-800
    constexpr double large = single ? 1.329227995784916e36 : 1.0715086071862673e301;    // 2^120, 2^1000
    constexpr double flat = single ? 7.888609052210118e-31 : 1.1830521861667747e-271;   // 2^-100, 2^-900
    constexpr double range = single ? 1.099511627776e12 : 2.5822498780869086e120;       // 2^40, 2^400
    return (size == 0.0 || (small < size && size < large)) && (slope == 0.0 || (flat < slope && slope < large))
        && 1.0 / range < rstd && rstd < range && fabs(mean) < Range<T>::high;
}

// dy times the weight of each element.
template <class C, class X, class W, int V>
__device__ __forceinline__ void weigh(C* g, const Strip<X, V>& dy, const W* weight, long long i)
{
    C w[V];
    if (weight)
        load_parameters<V>(w, weight + i);
    for (int v = 0; v < V; ++v)
        g[v] = weight ? (C)widen(dy.at[v]) * w[v] : (C)widen(dy.at[v]);
}

template <class X, class W, int V>
__device__ __forceinline__ Sums sums_of(
    const Shape& s, const Set& set, const Item& item, const Strip<X, V>* xs, const Strip<X, V>* dys, const W* weight,
    double mean, double rstd, int lane)
{
    typedef typename Computed<X>::type T;
    T hi = (T)mean, lo = (T)(mean - (double)hi), k = (T)rstd;
    Sums sums{0.0, 0.0, 0.0};
#pragma unroll
    for (int r = 0; r < FEW; ++r) {
        int strip = lane + r * s.lanes;
        if (strip < item.strips) {
            T g[V], g1 = 0, g2 = 0, d1 = 0;
            weigh(g, dys[r], s.trailing ? weight : nullptr, set.a * s.B + item.b + strip * V);
            for (int v = 0; v < V; ++v) {
                T d = (widen(xs[r].at[v]) - hi) - lo;
                g1 += g[v];
                g2 += g[v] * (d * k);
                d1 += d;
            }
            sums.dy += g1;
            sums.dy_xhat += g2;
            sums.d += d1;
        }
    }
    sums.dy = sum_lanes(sums.dy, s.lanes);
    sums.dy_xhat = sum_lanes(sums.dy_xhat, s.lanes);
    if (sizeof(T) == 8) // a mean in float64 is exact enough for float32
        sums.d = sum_lanes(sums.d, s.lanes);
    return sums;
}

// What a set's gradients hang on: its sums, and those without weights in size.
struct Whole {
    double dy, dy_xhat, d, size;
};

template <class X, class W, class At>
__device__ __forceinline__ Whole combine_sums(
    const Shape& s, const Team& team, const Set& set, int items, const W* weight, At at)
{
    bool many = items > 1024;
    int step = many ? team.size : team.width(), first = team.rank % step;
    int each = s.columns ? 1 : s.blocks * s.pieces; // items of a channel
    Whole all{0.0, 0.0, 0.0, 0.0};
#pragma unroll 1
    for (int i = first; i < items; i += step) {
        Sums part = at(i);
        int b = s.columns ? i % (int)s.B : i / each;
        double w = weight && !s.trailing ? (double)widen(weight[set.a * s.B + b]) : 1.0;
        all.dy += w * part.dy;
        all.dy_xhat += w * part.dy_xhat;
        all.d += part.d;
        all.size += fabs(part.dy) + fabs(part.dy_xhat);
    }
    if (many)
        return Whole{team.sum(all.dy), team.sum(all.dy_xhat), team.sum(all.d), team.sum(all.size)};
    all = Whole{sum_lanes(all.dy, step), sum_lanes(all.dy_xhat, step), sum_lanes(all.d, step), sum_lanes(all.size, step)};
    return all;
}

// Means, and whether they may be used in T. Statistics of the set's own know the set, and so how far the
// mean is from the mean of the numbers as they are.
template <class X>
__device__ __forceinline__ Slope slope_of(const Shape& s, const Whole& all, double mean, double rstd, double count, bool own)
{
    typedef typename Computed<X>::type T;
    double lo = own && s.center && sizeof(T) == 8 ? all.d / s.m : 0.0;
    double via_mean = s.center ? all.dy / count : 0.0, via_var = (all.dy_xhat - lo * rstd * all.dy) / count;
    bool odd = !is_ordinary_gradient<T>(mean, rstd, all.size, fabs(rstd * rstd * via_var));
    return Slope{mean, lo, 1.0, rstd, odd ? 1.0 : 0.0, s.center && count == 1.0 ? 0.0 : rstd, via_mean, via_var};
}

// xhat and dx of one number, carefully; g is dy times weight.
__device__ __forceinline__ double careful_xhat(double x, const Slope& slope)
{
    return ((x * slope.scale - slope.hi) - slope.lo) * slope.r;
}

__device__ __forceinline__ double careful_gradient(double x, double g, const Slope& slope)
{
    return slope.rstd * (g - slope.via_mean - careful_xhat(x, slope) * slope.via_var);
}

// Sums over one channel's part of a set, carefully.
template <class X>
__device__ void careful_channel(
    const Shape& s, const Team& team, const Set& set, const X* x, const X* dy, const Slope& slope, int b, double& g, double& e)
{
    long long many = s.P * s.S;
    Shape channel = s;
    channel.m = many;
    auto at = [&](long long i) {
        long long p = i / s.S;
        return set.begin + p * s.A * s.n + b * s.S + (i - p * s.S);
    };
    g = careful_sum(channel, team, set.there, [&](long long i) { return (double)widen(dy[at(i)]); });
    e = careful_sum(channel, team, set.there, [&](long long i) {
        return (double)widen(dy[at(i)]) * careful_xhat((double)widen(x[at(i)]), slope);
    });
}

// The slope of a set in float64, kept in range, and the sums of its channels.
template <class X, class W>
__device__ __noinline__ Slope careful_slope(
    const Shape& s, const Team& team, const Set& set, const X* x, const X* dy, const W* weight, double mean, double rstd,
    double count, bool own, double* dweight, double* dbias)
{
    double scale = careful_factor(s, team, set, x, 0.0);
    Slope slope{mean * scale, 0.0, scale, rstd / scale, 1.0, s.center && count == 1.0 ? 0.0 : rstd, 0.0, 0.0};
    if (own && s.center)
        slope.lo = careful_sum(s, team, set.there, [&](long long e) {
            return (double)widen(x[element(s, set, e)]) * scale - slope.hi;
        }) / s.m;
    if (s.trailing) {
        auto g = [&](long long e) { return (double)widen(dy[set.begin + e]) * (weight ? (double)widen(weight[set.a * s.B + e]) : 1.0); };
        slope.via_mean = careful_sum(s, team, set.there, g);
        slope.via_var = careful_sum(s, team, set.there, [&](long long e) {
            return g(e) * careful_xhat((double)widen(x[set.begin + e]), slope);
        });
    } else
        for (int b = 0; b < s.B; ++b) {
            double w = weight ? (double)widen(weight[set.a * s.B + b]) : 1.0, g, e;
            careful_channel(s, team, set, x, dy, slope, b, g, e);
            slope.via_mean += w * g;
            slope.via_var += w * e;
            if (dbias && set.there && team.rank == 0) {
                dbias[set.k * s.B + b] = g;
                dweight[set.k * s.B + b] = e;
            }
        }
    slope.via_mean = s.center ? slope.via_mean / count : 0.0;
    slope.via_var /= count;
    return slope;
}

// dweight and dbias of a set, [set][b], from its items: of few items one thread adds them all, of many a warp.
template <class At>
__device__ __forceinline__ void channel_sums(
    const Shape& s, const Team& team, const Set& set, double lo_r, double* dweight, double* dbias, At at)
{
    int each = s.columns ? s.chunks : s.blocks * s.pieces;
    int width = each <= 8 ? 1 : team.width(), step = team.size / width, lane = team.rank % width;
    for (int first = 0; first < s.B; first += step) {
        int b = first + team.rank / width;
        double g = 0.0, e = 0.0;
        for (int i = lane; i < each && b < s.B; i += width) {
            Sums part = at(s.columns ? i * (int)s.B + b : b * each + i);
            g += part.dy;
            e += part.dy_xhat;
        }
        g = sum_lanes(g, width);
        e = sum_lanes(e, width);
        if (set.there && lane == 0 && b < s.B) {
            dbias[set.k * s.B + b] = g;
            dweight[set.k * s.B + b] = e - lo_r * g;
        }
    }
}

// dx of a strip; g is dy times the weight of each element, and w the weight of them all.
template <class X, int V, class T>
__device__ __forceinline__ Strip<X, V> gradient(const Strip<X, V>& x, const T* g, const Slope& slope, double w)
{
    T hi = (T)slope.hi, lo = (T)(slope.lo + (slope.hi - (double)hi)), k = (T)(slope.rstd * w);
    T m = (T)(-slope.rstd * slope.via_mean), n = (T)(-slope.rstd * slope.rstd * slope.via_var);
    Strip<X, V> out;
    for (int v = 0; v < V; ++v)
        narrow(out.at[v], g[v] * k + (((widen(x.at[v]) - hi) - lo) * n + m));
    return out;
}

// dx of the strips of an item.
template <class X, class W, int V>
__device__ __forceinline__ void write_gradient(
    const Shape& s, const Set& set, const Item& item, const Strip<X, V>* xs, const Strip<X, V>* dys, const Slope& slope,
    const W* weight, X* dx, int lane)
{
    typedef typename Computed<X>::type T;
    long long ab = set.a * s.B + item.b;
    double w = weight && !s.trailing ? (double)widen(weight[ab]) : 1.0;
#pragma unroll
    for (int r = 0; r < FEW; ++r) {
        int strip = lane + r * s.lanes;
        if (strip < item.strips) {
            T g[V];
            weigh(g, dys[r], s.trailing ? weight : nullptr, ab + strip * V);
            store(dx + place<V>(s, item, strip), gradient(xs[r], g, slope, w));
        }
    }
}

// The same in float64, for a set that leaves the range: number by number, as they are in memory.
template <class X, class W, int V>
__device__ __forceinline__ void write_gradient_carefully(
    const Shape& s, const Set& set, const Item& item, const X* x, const X* dy, const Slope& slope, const W* weight, X* dx,
    int lane)
{
    typedef typename Computed<X>::type T;
    for (int strip = lane; strip < item.strips; strip += s.lanes)
        for (int v = 0; v < V; ++v) {
            long long at = place<V>(s, item, strip) + v, ab = set.a * s.B + item.b + (s.trailing ? strip * V + v : 0);
            double w = weight ? (double)widen(weight[ab]) : 1.0, g = (double)widen(dy[at]) * w;
            narrow(dx[at], (T)careful_gradient((double)widen(x[at]), g, slope));
        }
}

// A set that leaves the range, or of several in a warp those that are odd. Called last, so that nothing is
// kept meanwhile.
template <class X, class W, int V, int BLOCKS>
__device__ __noinline__ void backward_carefully(
    const Shape& s, bool odd, const X* dy, const X* x, const W* weight, const double* mean, const double* rstd, X* dx,
    double* dweight, double* dbias, unsigned char* memory)
{
    Duty d = duty_of<BLOCKS>(s, memory);
    double mu = odd && s.center ? mean[d.set.k] : 0.0, r = odd ? rstd[d.set.k] : 0.0;
    if (d.block > 0)
        dweight = dbias = nullptr;
    Slope slope = careful_slope(s, d.team, d.set.only(odd), x, dy, weight, mu, r, (double)s.m, true, dweight, dbias);
    for (int i = d.block * d.slots + d.slot; odd && i < s.items; i += BLOCKS * d.slots)
        write_gradient_carefully<X, W, V>(s, d.set, item_of<V>(s, d.set, i), x, dy, slope, weight, dx, d.lane);
}

// A set at once, x and dy kept in registers.
template <class X, class W, int V, int BLOCKS>
__device__ __forceinline__ void backward_in_registers(
    const Shape& s, const X* dy, const X* x, const W* weight, const double* mean, const double* rstd, X* dx, double* dweight,
    double* dbias, unsigned char* memory)
{
    Duty d = duty_of<BLOCKS>(s, memory);
    Sums* parts = (Sums*)(memory + SCRATCH) + (int)threadIdx.x / s.team * d.slots;
    Item item = item_of<V>(s, d.set, d.block * d.slots + d.slot);
    Strip<X, V> xs[FEW], dys[FEW];
    load_item(xs, s, x, item, d.lane);
    load_item(dys, s, dy, item, d.lane);
    double mu = d.set.there && s.center ? mean[d.set.k] : 0.0, r = d.set.there ? rstd[d.set.k] : 0.0;
    Sums part = sums_of(s, d.set, item, xs, dys, weight, mu, r, d.lane);
    if (d.lane == 0)
        parts[d.slot] = part;
    BLOCKS > 1 ? cluster_sync() : d.team.sync();
    auto at = [&](int i) { return BLOCKS > 1 ? *of_block(parts + i % d.slots, i / d.slots) : parts[i]; };
    Whole all = combine_sums<X>(s, d.team, d.set, s.items, weight, at);
    Slope slope = slope_of<X>(s, all, mu, r, (double)s.m, true);
    bool odd = d.set.there && slope.odd != 0.0;
    if (d.block == 0)
        channel_sums(s, d.team, d.set.only(d.set.there && !odd), slope.lo * r, dweight, dbias, at);
    if (BLOCKS > 1)
        cluster_sync(); // no block leaves while others read its parts
    if (d.set.there && !odd)
        write_gradient(s, d.set, item, xs, dys, slope, weight, dx, d.lane);
    if (d.team.any(odd))
        backward_carefully<X, W, V, BLOCKS>(s, odd, dy, x, weight, mean, rstd, dx, dweight, dbias, memory);
}

template <class X, class W, int V>
__global__ void __launch_bounds__(512, 1)
    backward(const __grid_constant__ Shape s, const X* dy, const X* x, const W* weight, const double* mean, const double* rstd, X* dx,
             double* dweight, double* dbias)
{
    DYNAMIC_SHARED(memory);
    backward_in_registers<X, W, V, 1>(s, dy, x, weight, mean, rstd, dx, dweight, dbias, memory);
}

template <class X, class W, int V, int BLOCKS>
__global__ void CLUSTER(BLOCKS) __launch_bounds__(512, 1)
    backward_cluster(const __grid_constant__ Shape s, const X* dy, const X* x, const W* weight, const double* mean, const double* rstd, X* dx,
                     double* dweight, double* dbias)
{
    DYNAMIC_SHARED(memory);
    backward_in_registers<X, W, V, BLOCKS>(s, dy, x, weight, mean, rstd, dx, dweight, dbias, memory);
}

// A set at once, x and dy kept in shared memory.
template <class X, class W, int V>
__global__ void __launch_bounds__(512, 1)
    backward_shared(const __grid_constant__ Shape s, const X* dy, const X* x, const W* weight, const double* mean, const double* rstd, X* dx,
                    double* dweight, double* dbias)
{
    DYNAMIC_SHARED(memory);
    Duty d = duty_of<1>(s, memory);
    Sums* parts = (Sums*)(memory + SCRATCH);
    Strip<X, V>* slab = (Strip<X, V>*)(memory + SCRATCH + (s.items * sizeof(Sums) + 15) / 16 * 16);
    double mu = s.center ? mean[d.set.k] : 0.0, r = rstd[d.set.k];

    for (int first = 0; first < s.items; first += d.slots) {
        Item item = item_of<V>(s, d.set, first + d.slot);
        Strip<X, V> xs[FEW], dys[FEW];
        load_item(xs, s, x, item, d.lane);
        load_item(dys, s, dy, item, d.lane);
        Strip<X, V>* mine = slab + (first + d.slot) * 2 * s.piece;
#pragma unroll
        for (int k = 0; k < FEW; ++k)
            if (d.lane + k * s.lanes < item.strips) {
                mine[d.lane + k * s.lanes] = xs[k];
                mine[s.piece + d.lane + k * s.lanes] = dys[k];
            }
        Sums part = sums_of(s, d.set, item, xs, dys, weight, mu, r, d.lane);
        if (d.lane == 0 && item.strips)
            parts[first + d.slot] = part;
    }
    d.team.sync();
    auto at = [&](int i) { return parts[i]; };
    Whole all = combine_sums<X>(s, d.team, d.set, s.items, weight, at);
    Slope slope = slope_of<X>(s, all, mu, r, (double)s.m, true);
    if (slope.odd != 0.0) {
        backward_carefully<X, W, V, 1>(s, true, dy, x, weight, mean, rstd, dx, dweight, dbias, memory);
        return;
    }
    channel_sums(s, d.team, d.set, slope.lo * r, dweight, dbias, at);
    for (int i = d.slot; i < s.items; i += d.slots) {
        Item item = item_of<V>(s, d.set, i);
        Strip<X, V> xs[FEW], dys[FEW];
        const Strip<X, V>* mine = slab + i * 2 * s.piece;
#pragma unroll
        for (int k = 0; k < FEW; ++k)
            if (d.lane + k * s.lanes < item.strips) {
                xs[k] = mine[d.lane + k * s.lanes];
                dys[k] = mine[s.piece + d.lane + k * s.lanes];
            }
        write_gradient(s, d.set, item, xs, dys, slope, weight, dx, d.lane);
    }
}

// The sums of items, where sets are too large, or too few, to be done at once.
template <class X, class W, int V>
__global__ void __launch_bounds__(256, 1)
    item_sums(const __grid_constant__ Shape s, const X* dy, const X* x, const W* weight, const double* mean, const double* rstd, Sums* parts)
{
    Task task = task_of(s);
    Item item = item_of<V>(s, task.set, task.i);
    Strip<X, V> xs[FEW], dys[FEW];
    load_item(xs, s, x, item, task.lane);
    load_item(dys, s, dy, item, task.lane);
    long long k = task.set.k;
    double mu = task.set.there && mean ? mean[k] : 0.0, r = task.set.there ? rstd[k] : 0.0;
    Sums part = sums_of(s, task.set, item, xs, dys, weight, mu, r, task.lane);
    if (task.set.there && task.lane == 0)
        parts[kept_at(s, task.set, task.i)] = part;
}

// What a set's gradients hang on, from the sums of its items; a block for each set. Sums over all shards
// may be given; those of this shard go to totals.
template <class X, class W>
__global__ void __launch_bounds__(512, 1)
    set_sums(const __grid_constant__ Shape s, const X* dy, const X* x, const W* weight, const double* mean, const double* rstd, const Sums* parts,
             int own, Slope* slopes, double* dweight, double* dbias, double* totals)
{
    DYNAMIC_SHARED(memory);
    Team team = team_of(s, memory);
    Set set = set_of(s, blockIdx.x);
    double mu = mean ? mean[set.k] : 0.0, r = rstd[set.k];
    auto at = [&](int i) { return parts[kept_at(s, set, i)]; };
    Whole all = combine_sums<X>(s, team, set, s.items, weight, at);
    Slope slope = slope_of<X>(s, all, mu, r, (double)s.m, own);
    if (slope.odd != 0.0)
        slope = careful_slope(s, team, set, x, dy, weight, mu, r, (double)s.m, own, dweight, dbias);
    else if (dbias)
        channel_sums(s, team, set, slope.lo * r, dweight, dbias, at);
    if (team.rank == 0) {
        if (slopes)
            slopes[set.k] = slope;
        if (totals) {
            totals[set.k] = slope.odd != 0.0 ? slope.via_mean * s.m : all.dy;
            totals[s.sets + set.k] = slope.odd != 0.0 ? slope.via_var * s.m : all.dy_xhat;
        }
    }
}

// Slopes from sums over all shards of a set.
template <class X>
__global__ void __launch_bounds__(256)
    given_slopes(const __grid_constant__ Shape s, const double* mean, const double* rstd, const double* totals, double count, Slope* slopes)
{
    long long k = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= s.sets)
        return;
    double dy = totals[k], dy_xhat = totals[s.sets + k];
    slopes[k] = slope_of<X>(s, Whole{dy, dy_xhat, 0.0, fabs(dy) + fabs(dy_xhat)}, mean[k], rstd[k], count, false);
}

// dx item by item.
template <class X, class W, int V>
__global__ void __launch_bounds__(256)
    gradients(const __grid_constant__ Shape s, const X* dy, const X* x, const W* weight, const Slope* slopes, X* dx)
{
    Task task = task_of(s);
    Item item = item_of<V>(s, task.set, task.i);
    if (!item.strips)
        return;
    Slope slope = slopes[task.set.k];
    if (slope.odd != 0.0) {
        write_gradient_carefully<X, W, V>(s, task.set, item, x, dy, slope, weight, dx, task.lane);
        return;
    }
    Strip<X, V> xs[FEW], dys[FEW];
    load_item(xs, s, x, item, task.lane);
    load_item(dys, s, dy, item, task.lane);
    write_gradient(s, task.set, item, xs, dys, slope, weight, dx, task.lane);
}
