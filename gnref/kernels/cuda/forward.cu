// y and the statistics of sets.

// ((x - hi) - lo) * (r * weight) + bias where each element has a weight: four at once, to keep few of them.
template <class X, class W, class T, int V>
__device__ __forceinline__ void write_strip(
    Strip<X, V>& y, const Strip<X, V>& x, T hi, T lo, T r, const W* weight, const W* bias)
{
    constexpr int N = V < 4 ? V : 4;
#pragma unroll
    for (int first = 0; first < V; first += N) {
        T k[N], t[N];
        for (int v = 0; v < N; ++v)
            k[v] = 1, t[v] = 0;
        if (weight)
            load_parameters<N>(k, weight + first);
        if (bias)
            load_parameters<N>(t, bias + first);
        for (int v = 0; v < N; ++v)
            narrow(y.at[first + v], ((widen(x.at[first + v]) - hi) - lo) * (r * k[v]) + t[v]);
    }
}

// The same for the strips of an item.
template <class X, class W, int V>
__device__ __forceinline__ void write_item(
    const Shape& s, const Set& set, const Item& item, const Strip<X, V>* strips, const Line& line, const W* weight,
    const W* bias, X* y, int lane)
{
    typedef typename Computed<X>::type T;
    T hi = (T)line.hi, lo = (T)(line.lo + (line.hi - (double)hi)), r = (T)line.r, k = r, t = 0;
    long long ab = set.a * s.B + item.b;
    if (!s.trailing) {
        k = weight ? (T)(line.r * exact(weight[ab])) : r;
        t = bias ? (T)widen(bias[ab]) : (T)0;
    }
#pragma unroll
    for (int q = 0; q < FEW; ++q) {
        int strip = lane + q * s.lanes;
        if (strip < item.strips) {
            Strip<X, V> out;
            if (s.trailing)
                write_strip(
                    out, strips[q], hi, lo, r, weight ? weight + ab + strip * V : weight, bias ? bias + ab + strip * V : bias);
            else
                for (int v = 0; v < V; ++v)
                    narrow(out.at[v], ((widen(strips[q].at[v]) - hi) - lo) * k + t);
            store(y + place<V>(s, item, strip), out);
        }
    }
}

// The same in float64, for a set that leaves the range: number by number, of x as it is in memory.
template <class X, class W, int V>
__device__ __forceinline__ void write_carefully(
    const Shape& s, const Set& set, const Item& item, const X* x, const Line& line, const W* weight, const W* bias, X* y,
    int lane)
{
    typedef typename Computed<X>::type T;
    for (int strip = lane; strip < item.strips; strip += s.lanes)
        for (int v = 0; v < V; ++v) {
            long long at = place<V>(s, item, strip) + v, ab = set.a * s.B + item.b + (s.trailing ? strip * V + v : 0);
            double k = weight ? line.r * exact(weight[ab]) : line.r, t = bias ? exact(bias[ab]) : 0.0;
            put(y[at], ((exact(x[at]) * line.scale - line.hi) - line.lo) * k + t);
        }
}

// mean, var and rstd of all sets, one after the other.
__device__ __forceinline__ void note(const Shape& s, const Set& set, const Statistics& found, double* stats)
{
    stats[set.k] = found.mean;
    stats[s.sets + set.k] = found.var;
    stats[2 * s.sets + set.k] = found.rstd;
}

__device__ __forceinline__ Team team_of(const Shape& s, unsigned char* memory)
{
    return Team{(int)threadIdx.x % s.team, s.team, (double*)memory};
}

constexpr int SCRATCH = 32 * sizeof(double); // what a team's sums need of shared memory

// What is a thread's where sets are done at once: some lanes of an item of a set, in one of BLOCKS blocks.
struct Duty {
    Team team;
    Set set;
    int block, slots, slot, lane; // slots: items of a block at a time
};

template <int BLOCKS> __device__ __forceinline__ Duty duty_of(const Shape& s, unsigned char* memory)
{
    Team team = team_of(s, memory);
    long long k = (long long)(blockIdx.x / BLOCKS) * (blockDim.x / s.team) + threadIdx.x / s.team;
    int block = BLOCKS > 1 ? (int)cluster_rank() : 0;
    return Duty{team, set_of(s, k), block, s.team / s.lanes, team.rank / s.lanes, team.rank % s.lanes};
}

// A set that leaves the range, or of several in a warp those that are odd. Called last, so that nothing is
// kept meanwhile.
template <class X, class W, int V, int BLOCKS>
__device__ __noinline__ void forward_carefully(
    const Shape& s, bool odd, const X* x, const W* weight, const W* bias, X* y, double* stats, double eps,
    unsigned char* memory)
{
    Duty d = duty_of<BLOCKS>(s, memory);
    Statistics found = careful_statistics(s, d.team, d.set.only(odd), x, eps);
    if (!odd)
        return;
    if (d.team.rank == 0 && d.block == 0)
        note(s, d.set, found, stats);
    for (int i = d.block * d.slots + d.slot; y && i < s.items; i += BLOCKS * d.slots)
        write_carefully<X, W, V>(s, d.set, item_of<V>(s, d.set, i), x, found.line, weight, bias, y, d.lane);
}

// A set at once, kept in registers: ITEMS of its items for each group of lanes, in each of BLOCKS blocks.
template <class X, class W, int V, int ITEMS, int BLOCKS>
__device__ __forceinline__ void forward_in_registers(
    const Shape& s, const X* x, const W* weight, const W* bias, X* y, double* stats, double eps, unsigned char* memory)
{
    Duty d = duty_of<BLOCKS>(s, memory);
    int held = d.slots * ITEMS;
    Moments* parts = (Moments*)(memory + SCRATCH) + (int)threadIdx.x / s.team * held;

    Strip<X, V> kept[ITEMS][FEW];
    Item items[ITEMS];
#pragma unroll
    for (int i = 0; i < ITEMS; ++i) {
        items[i] = item_of<V>(s, d.set, d.block * held + i * d.slots + d.slot);
        load_item(kept[i], s, x, items[i], d.lane);
    }
#pragma unroll
    for (int i = 0; i < ITEMS; ++i) {
        Moments part = moments_of(s, items[i], kept[i], d.lane);
        if (d.lane == 0)
            parts[i * d.slots + d.slot] = part;
    }
    BLOCKS > 1 ? cluster_sync() : d.team.sync();
    Moments all = combine(s, d.team, s.items, [&](int i) {
        return BLOCKS > 1 ? *of_block(parts + i % held, i / held) : parts[i];
    });
    if (BLOCKS > 1)
        cluster_sync(); // no block leaves while others read its parts
    Statistics found = statistics_of<X>(s, all, eps);
    bool odd = d.set.there && found.line.odd != 0.0;
    if (d.set.there && !odd) {
        if (d.team.rank == 0 && d.block == 0)
            note(s, d.set, found, stats);
        if (y)
#pragma unroll
            for (int i = 0; i < ITEMS; ++i)
                write_item(s, d.set, items[i], kept[i], found.line, weight, bias, y, d.lane);
    }
    if (d.team.any(odd))
        forward_carefully<X, W, V, BLOCKS>(s, odd, x, weight, bias, y, stats, eps, memory);
}

template <class X, class W, int V>
__global__ void __launch_bounds__(512, 2)
    forward(
        const __grid_constant__ Shape s, const X* __restrict__ x, const W* __restrict__ weight,
        const W* __restrict__ bias, X* __restrict__ y, double* __restrict__ stats, double eps)
{
    DYNAMIC_SHARED(memory);
    forward_in_registers<X, W, V, 1, 1>(s, x, weight, bias, y, stats, eps, memory);
}

template <class X, class W, int V, int ITEMS, int BLOCKS>
__global__ void CLUSTER(BLOCKS) __launch_bounds__(512, ITEMS > 1 ? 1 : 2)
    forward_cluster(
        const __grid_constant__ Shape s, const X* __restrict__ x, const W* __restrict__ weight,
        const W* __restrict__ bias, X* __restrict__ y, double* __restrict__ stats, double eps)
{
    DYNAMIC_SHARED(memory);
    forward_in_registers<X, W, V, ITEMS, BLOCKS>(s, x, weight, bias, y, stats, eps, memory);
}

// A set at once, kept in shared memory: behind the moments of its items.
template <class X, class W, int V>
__global__ void __launch_bounds__(448, 2)
    forward_shared(
        const __grid_constant__ Shape s, const X* __restrict__ x, const W* __restrict__ weight,
        const W* __restrict__ bias, X* __restrict__ y, double* __restrict__ stats, double eps)
{
    DYNAMIC_SHARED(memory);
    Duty d = duty_of<1>(s, memory);
    Moments* parts = (Moments*)(memory + SCRATCH);
    Strip<X, V>* slab = (Strip<X, V>*)(parts + s.items);

    for (int first = 0; first < s.items; first += d.slots) {
        Item item = item_of<V>(s, d.set, first + d.slot);
        Strip<X, V> strips[FEW];
        load_item(strips, s, x, item, d.lane);
#pragma unroll
        for (int r = 0; r < FEW; ++r)
            if (d.lane + r * s.lanes < item.strips)
                slab[(first + d.slot) * s.piece + d.lane + r * s.lanes] = strips[r];
        Moments part = moments_of(s, item, strips, d.lane);
        if (d.lane == 0 && item.strips)
            parts[first + d.slot] = part;
    }
    d.team.sync();
    Moments all = combine(s, d.team, s.items, [&](int i) { return parts[i]; });
    Statistics found = statistics_of<X>(s, all, eps);
    if (found.line.odd != 0.0) {
        forward_carefully<X, W, V, 1>(s, true, x, weight, bias, y, stats, eps, memory);
        return;
    }
    if (d.team.rank == 0)
        note(s, d.set, found, stats);
    if (!y)
        return;
    for (int i = d.slot; i < s.items; i += d.slots) {
        Item item = item_of<V>(s, d.set, i);
        Strip<X, V> strips[FEW];
#pragma unroll
        for (int r = 0; r < FEW; ++r)
            if (d.lane + r * s.lanes < item.strips)
                strips[r] = slab[i * s.piece + d.lane + r * s.lanes];
        write_item(s, d.set, item, strips, found.line, weight, bias, y, d.lane);
    }
}

// Which item of which set is a thread's, where items are handled one by one. The last ones may not exist.
struct Task {
    Set set;
    int i, lane;
};

__device__ __forceinline__ Task task_of(const Shape& s)
{
    long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x, item = thread / s.lanes, k = item / s.items;
    return Task{set_of(s, k), (int)(item - k * s.items), (int)(thread % s.lanes)};
}

// The moments of items, where sets are too large, or too few, to be done at once.
template <class X, int V> __global__ void __launch_bounds__(256)
    item_moments(const __grid_constant__ Shape s, const X* __restrict__ x, Moments* __restrict__ parts)
{
    Task task = task_of(s);
    Item item = item_of<V>(s, task.set, task.i);
    Strip<X, V> strips[FEW];
    load_item(strips, s, x, item, task.lane);
    Moments part = moments_of(s, item, strips, task.lane);
    if (task.set.there && task.lane == 0)
        parts[kept_at(s, task.set, task.i)] = part;
}

// The statistics of each set from the moments of its items; a block for each.
template <class X>
__global__ void __launch_bounds__(512, 1)
    set_statistics(
        const __grid_constant__ Shape s, const X* __restrict__ x, const Moments* __restrict__ parts,
        double* __restrict__ stats, Line* __restrict__ lines, double eps)
{
    DYNAMIC_SHARED(memory);
    Team team = team_of(s, memory);
    Set set = set_of(s, blockIdx.x);
    Moments all = combine(s, team, s.items, [&](int i) { return parts[kept_at(s, set, i)]; });
    Statistics found = statistics_of<X>(s, all, eps);
    if (found.line.odd != 0.0)
        found = careful_statistics(s, team, set, x, eps);
    if (team.rank == 0) {
        note(s, set, found, stats);
        lines[set.k] = found.line;
    }
}

// y from lines, or from mean and rstd that are given, item by item.
template <class X, class W, int V>
__global__ void __launch_bounds__(256, 4)
    apply(
        const __grid_constant__ Shape s, const X* __restrict__ x, const W* __restrict__ weight,
        const W* __restrict__ bias, X* __restrict__ y, const Line* __restrict__ lines,
        const double* __restrict__ mean, const double* __restrict__ rstd)
{
    Task task = task_of(s);
    Item item = item_of<V>(s, task.set, task.i);
    if (!item.strips)
        return;
    long long k = task.set.k;
    Line line = lines ? lines[k] : line_of<X>(mean[k], rstd[k]);
    if (line.odd != 0.0) {
        write_carefully<X, W, V>(s, task.set, item, x, line, weight, bias, y, task.lane);
        return;
    }
    Strip<X, V> strips[FEW];
    load_item(strips, s, x, item, task.lane);
    write_item(s, task.set, item, strips, line, weight, bias, y, task.lane);
}
