// y and the statistics of sets.

// ((x * scale - hi) - lo) * (r * weight) + bias for the strips of an item, computed in C.
template <class C, class X, class W, int V>
__device__ __forceinline__ void write_in(
    const Shape& s, const Set& set, const Item& item, const Strip<X, V>* strips, const Line& line, const W* weight,
    const W* bias, X* y, int lane)
{
    C hi = (C)line.hi, lo = (C)(line.lo + (line.hi - (double)hi)), scale = (C)line.scale;
    long long ab = set.a * s.B + item.b;
    C k[V], t[V];
    if (!s.trailing)
        for (int v = 0; v < V; ++v) {
            k[v] = (C)(weight ? line.r * (double)widen(weight[ab]) : line.r);
            t[v] = (C)(bias ? widen(bias[ab]) : 0);
        }
#pragma unroll
    for (int r = 0; r < FEW; ++r) {
        int strip = lane + r * s.lanes;
        if (strip < item.strips) {
            if (s.trailing) {
                for (int v = 0; v < V; ++v)
                    k[v] = 1, t[v] = 0;
                if (weight)
                    load_parameters<V>(k, weight + ab + strip * V, s.aligned_parameters);
                if (bias)
                    load_parameters<V>(t, bias + ab + strip * V, s.aligned_parameters);
                for (int v = 0; v < V; ++v)
                    k[v] *= (C)line.r;
            }
            Strip<X, V> out;
            for (int v = 0; v < V; ++v)
                narrow(out.at[v], (((C)widen(strips[r].at[v]) * scale - hi) - lo) * k[v] + t[v]);
            store(y + place<V>(s, item, strip), out, s.aligned);
        }
    }
}

template <class X, class W, int V>
__device__ __forceinline__ void write_item(
    const Shape& s, const Set& set, const Item& item, const Strip<X, V>* strips, const Line& line, const W* weight,
    const W* bias, X* y, int lane)
{
    if (line.odd != 0.0)
        write_in<double>(s, set, item, strips, line, weight, bias, y, lane);
    else
        write_in<typename Computed<X>::type>(s, set, item, strips, line, weight, bias, y, lane);
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

// A set at once, kept in registers: ITEMS of its items for each group of lanes, in each of BLOCKS blocks.
template <class X, class W, int V, int ITEMS, int BLOCKS>
__device__ __forceinline__ void forward_in_registers(
    const Shape& s, const X* x, const W* weight, const W* bias, X* y, double* stats, double eps, unsigned char* memory)
{
    Team team = team_of(s, memory);
    int slots = s.team / s.lanes, slot = team.rank / s.lanes, lane = team.rank % s.lanes;
    int teams = blockDim.x / s.team, t = threadIdx.x / s.team, held = slots * ITEMS;
    unsigned block = BLOCKS > 1 ? cluster_rank() : 0;
    Set set = set_of(s, (long long)(blockIdx.x / BLOCKS) * teams + t);
    Moments* parts = (Moments*)(memory + SCRATCH) + t * held;

    Strip<X, V> kept[ITEMS][FEW];
    Item items[ITEMS];
#pragma unroll
    for (int i = 0; i < ITEMS; ++i) {
        items[i] = item_of<V>(s, set, (int)block * held + i * slots + slot);
        load_item(kept[i], s, x, items[i], lane);
    }
#pragma unroll
    for (int i = 0; i < ITEMS; ++i) {
        Moments part = moments_of(s, items[i], kept[i], lane);
        if (lane == 0)
            parts[i * slots + slot] = part;
    }
    BLOCKS > 1 ? cluster_sync() : team.sync();
    Moments all = combine(s, team, s.items, [&](int i) {
        return BLOCKS > 1 ? *of_block(parts + i % held, i / held) : parts[i];
    });
    if (BLOCKS > 1)
        cluster_sync(); // no block leaves while others read its parts
    bool called;
    Statistics found = statistics_of(s, team, set, x, all, eps, called);
    if (called)
#pragma unroll
        for (int i = 0; i < ITEMS; ++i)
            load_again(kept[i], s, x, items[i], lane);
    if (set.there && team.rank == 0 && block == 0)
        note(s, set, found, stats);
    if (y)
#pragma unroll
        for (int i = 0; i < ITEMS; ++i)
            write_item(s, set, items[i], kept[i], found.line, weight, bias, y, lane);
}

template <class X, class W, int V, int ITEMS>
__global__ void __launch_bounds__(512)
    forward(const __grid_constant__ Shape s, const X* x, const W* weight, const W* bias, X* y, double* stats, double eps)
{
    DYNAMIC_SHARED(memory);
    forward_in_registers<X, W, V, ITEMS, 1>(s, x, weight, bias, y, stats, eps, memory);
}

template <class X, class W, int V, int BLOCKS>
__global__ void CLUSTER(BLOCKS) __launch_bounds__(512)
    forward_cluster(const __grid_constant__ Shape s, const X* x, const W* weight, const W* bias, X* y, double* stats, double eps)
{
    DYNAMIC_SHARED(memory);
    forward_in_registers<X, W, V, 2, BLOCKS>(s, x, weight, bias, y, stats, eps, memory);
}

// A set at once, kept in shared memory: behind the moments of its items.
template <class X, class W, int V>
__global__ void __launch_bounds__(512)
    forward_shared(const __grid_constant__ Shape s, const X* x, const W* weight, const W* bias, X* y, double* stats, double eps)
{
    DYNAMIC_SHARED(memory);
    Team team = team_of(s, memory);
    int slots = s.team / s.lanes, slot = team.rank / s.lanes, lane = team.rank % s.lanes;
    Set set = set_of(s, blockIdx.x);
    Moments* parts = (Moments*)(memory + SCRATCH);
    Strip<X, V>* slab = (Strip<X, V>*)(parts + s.items);

    for (int first = 0; first < s.items; first += slots) {
        Item item = item_of<V>(s, set, first + slot);
        Strip<X, V> strips[FEW];
        load_item(strips, s, x, item, lane);
#pragma unroll
        for (int r = 0; r < FEW; ++r)
            if (lane + r * s.lanes < item.strips)
                slab[(first + slot) * s.piece + lane + r * s.lanes] = strips[r];
        Moments part = moments_of(s, item, strips, lane);
        if (lane == 0 && item.strips)
            parts[first + slot] = part;
    }
    team.sync();
    Moments all = combine(s, team, s.items, [&](int i) { return parts[i]; });
    bool called;
    Statistics found = statistics_of(s, team, set, x, all, eps, called);
    if (team.rank == 0)
        note(s, set, found, stats);
    if (!y)
        return;
    for (int i = slot; i < s.items; i += slots) {
        Item item = item_of<V>(s, set, i);
        Strip<X, V> strips[FEW];
#pragma unroll
        for (int r = 0; r < FEW; ++r)
            if (lane + r * s.lanes < item.strips)
                strips[r] = slab[i * s.piece + lane + r * s.lanes];
        write_item(s, set, item, strips, found.line, weight, bias, y, lane);
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
template <class X, int V> __global__ void __launch_bounds__(256) item_moments(const __grid_constant__ Shape s, const X* x, Moments* parts)
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
__global__ void __launch_bounds__(512)
    set_statistics(const __grid_constant__ Shape s, const X* x, const Moments* parts, double* stats, Line* lines, double eps)
{
    DYNAMIC_SHARED(memory);
    Team team = team_of(s, memory);
    Set set = set_of(s, blockIdx.x);
    Moments all = combine(s, team, s.items, [&](int i) { return parts[kept_at(s, set, i)]; });
    bool called;
    Statistics found = statistics_of(s, team, set, x, all, eps, called);
    if (team.rank == 0) {
        note(s, set, found, stats);
        lines[set.k] = found.line;
    }
}

// y from lines, or from mean and rstd that are given, item by item.
template <class X, class W, int V>
__global__ void __launch_bounds__(256)
    apply(const __grid_constant__ Shape s, const X* x, const W* weight, const W* bias, X* y, const Line* lines, const double* mean,
          const double* rstd)
{
    Task task = task_of(s);
    Item item = item_of<V>(s, task.set, task.i);
    if (!item.strips)
        return;
    long long k = task.set.k;
    Line line = lines ? lines[k] : line_of<X>(mean[k], rstd[k]);
    Strip<X, V> strips[FEW];
    load_item(strips, s, x, item, task.lane);
    write_item(s, task.set, item, strips, line, weight, bias, y, task.lane);
}
