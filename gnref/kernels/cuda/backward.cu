// dx, and what dweight and dbias are added from.

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
    double w = weight && !s.trailing ? exact(weight[ab]) : 1.0;
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
            double w = weight ? exact(weight[ab]) : 1.0, g = exact(dy[at]) * w;
            put(dx[at], careful_gradient(exact(x[at]), g, slope));
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
    backward(
        const __grid_constant__ Shape s, const X* __restrict__ dy, const X* __restrict__ x,
        const W* __restrict__ weight, const double* __restrict__ mean, const double* __restrict__ rstd,
        X* __restrict__ dx, double* __restrict__ dweight, double* __restrict__ dbias)
{
    DYNAMIC_SHARED(memory);
    backward_in_registers<X, W, V, 1>(s, dy, x, weight, mean, rstd, dx, dweight, dbias, memory);
}

template <class X, class W, int V, int BLOCKS>
__global__ void CLUSTER(BLOCKS) __launch_bounds__(512, 1)
    backward_cluster(
        const __grid_constant__ Shape s, const X* __restrict__ dy, const X* __restrict__ x,
        const W* __restrict__ weight, const double* __restrict__ mean, const double* __restrict__ rstd,
        X* __restrict__ dx, double* __restrict__ dweight, double* __restrict__ dbias)
{
    DYNAMIC_SHARED(memory);
    backward_in_registers<X, W, V, BLOCKS>(s, dy, x, weight, mean, rstd, dx, dweight, dbias, memory);
}

// A set at once, x and dy kept in shared memory.
template <class X, class W, int V>
__global__ void __launch_bounds__(512, 1)
    backward_shared(
        const __grid_constant__ Shape s, const X* __restrict__ dy, const X* __restrict__ x,
        const W* __restrict__ weight, const double* __restrict__ mean, const double* __restrict__ rstd,
        X* __restrict__ dx, double* __restrict__ dweight, double* __restrict__ dbias)
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
    item_sums(
        const __grid_constant__ Shape s, const X* __restrict__ dy, const X* __restrict__ x,
        const W* __restrict__ weight, const double* __restrict__ mean, const double* __restrict__ rstd,
        Sums* __restrict__ parts)
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
    set_sums(
        const __grid_constant__ Shape s, const X* __restrict__ dy, const X* __restrict__ x,
        const W* __restrict__ weight, const double* __restrict__ mean, const double* __restrict__ rstd,
        const Sums* __restrict__ parts, int own, Slope* __restrict__ slopes, double* __restrict__ dweight,
        double* __restrict__ dbias, double* __restrict__ totals)
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
    given_slopes(
        const __grid_constant__ Shape s, const double* __restrict__ mean, const double* __restrict__ rstd,
        const double* __restrict__ totals, double count, Slope* __restrict__ slopes)
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
    gradients(
        const __grid_constant__ Shape s, const X* __restrict__ dy, const X* __restrict__ x,
        const W* __restrict__ weight, const Slope* __restrict__ slopes, X* __restrict__ dx)
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
