// What the gradients of a set hang on: its sums, and the slope that makes dx of dy and x.
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
        double w = weight && !s.trailing ? exact(weight[set.a * s.B + b]) : 1.0;
        all.dy += w * part.dy;
        all.dy_xhat += w * part.dy_xhat;
        all.d += part.d;
        all.size += fabs(part.dy) + fabs(part.dy_xhat);
    }
    if (many)
        return Whole{team.sum(all.dy), team.sum(all.dy_xhat), team.sum(all.d), team.sum(all.size)};
    double d = sizeof(typename Computed<X>::type) == 8 ? sum_lanes(all.d, step) : 0.0;
    return Whole{sum_lanes(all.dy, step), sum_lanes(all.dy_xhat, step), d, sum_lanes(all.size, step)};
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
    g = careful_sum(channel, team, set.there, [&](long long i) { return exact(dy[at(i)]); });
    e = careful_sum(channel, team, set.there, [&](long long i) {
        return exact(dy[at(i)]) * careful_xhat(exact(x[at(i)]), slope);
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
            return exact(x[element(s, set, e)]) * scale - slope.hi;
        }) / s.m;
    if (s.trailing) {
        auto g = [&](long long e) { return exact(dy[set.begin + e]) * (weight ? exact(weight[set.a * s.B + e]) : 1.0); };
        slope.via_mean = careful_sum(s, team, set.there, g);
        slope.via_var = careful_sum(s, team, set.there, [&](long long e) {
            return g(e) * careful_xhat(exact(x[set.begin + e]), slope);
        });
    } else
        for (int b = 0; b < s.B; ++b) {
            double w = weight ? exact(weight[set.a * s.B + b]) : 1.0, g, e;
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
