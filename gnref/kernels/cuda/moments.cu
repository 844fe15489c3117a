// The statistics of a set: mean and sum of squares of each item in two passes, and those of items together.

struct Moments {
    double count, hi, lo, M2; // the mean is hi + lo
};

// Statistics as they are applied: xhat = ((x * scale - hi) - lo) * r.
struct Line {
    double hi, lo, scale, r;
    double odd; // not 0: in float64, since something leaves the range of what x is computed in
};

template <class T> struct Range;

template <> struct Range<float> {
    static constexpr double high = 1.2089258196146292e24; // 2^80
};

template <> struct Range<double> {
    static constexpr double high = 6.668014432879854e240; // 2^800
};

// Whether squares and reciprocals of x - mean stay in the range of T. False for NaN.
template <class T> __device__ __forceinline__ bool is_ordinary(double mean, double var, double eps)
{
    constexpr double high = Range<T>::high, low = 1.0 / high;
    return (var > low || var == 0.0) && low < var + eps && var + eps < high && fabs(mean) < high;
}

// 1 / sqrt(var + eps), and 0 where that is 1 / 0.
__device__ __forceinline__ double reciprocal_std(double total)
{
    return total == 0.0 ? 0.0 : 1.0 / sqrt(total);
}

// A first mean of the item in T, and then, about it, what the mean lacks and the sum of squares: the
// corrected two-pass algorithm (Chan, Golub & LeVeque 1983, eq. 1.7). Chains in T are V long.
template <class X, int V>
__device__ __forceinline__ Moments moments_of(const Shape& s, const Item& item, const Strip<X, V>* strips, int lane)
{
    typedef typename Computed<X>::type T;
    double count = (double)item.strips * V;
    T guess = 0;
    if (s.center) {
#pragma unroll
        for (int r = 0; r < FEW; ++r)
            if (lane + r * s.lanes < item.strips)
                for (int v = 0; v < V; ++v)
                    guess += widen(strips[r].at[v]);
        guess = sum_lanes(guess, s.lanes);
        guess = item.strips ? guess / (T)count : guess;
    }
    double sum = 0.0, squares = 0.0;
#pragma unroll
    for (int r = 0; r < FEW; ++r)
        if (lane + r * s.lanes < item.strips) {
            T d1 = 0, d2 = 0;
            for (int v = 0; v < V; ++v) {
                T d = widen(strips[r].at[v]) - guess;
                d1 += d;
                d2 += d * d;
            }
            sum += d1;
            squares += d2;
        }
    squares = sum_lanes(squares, s.lanes);
    if (!s.center)
        return Moments{count, 0.0, 0.0, squares};
    sum = sum_lanes(sum, s.lanes);
    double lo = item.strips ? sum / count : 0.0;
    return Moments{count, (double)guess, lo, larger(squares - sum * lo, 0.0)};
}

// Mean and M2 of a set from those of its items, which at(i) gives. The first item's mean is what all is
// measured from, so that nothing of a large mean is squared. Few items are added by every warp for
// itself, many by all threads of a block together.
template <class At> __device__ __forceinline__ Moments combine(const Shape& s, const Team& team, int items, At at)
{
    bool many = items > 1024;
    int step = many ? team.size : team.width(), first = team.rank % step;
    double from = at(0).hi, sum = 0.0, M2 = 0.0;
#pragma unroll 1
    for (int i = first; i < items; i += step) {
        Moments part = at(i);
        sum += part.count * ((part.hi - from) + part.lo);
    }
    double shift = (many ? team.sum(sum) : sum_lanes(sum, step)) / s.m;
#pragma unroll 1
    for (int i = first; i < items; i += step) {
        Moments part = at(i);
        double d = ((part.hi - from) + part.lo) - shift;
        M2 += part.M2 + part.count * d * d;
    }
    double lo, hi = two_sum(from, shift, lo);
    return Moments{(double)s.m, hi, lo, many ? team.sum(M2) : sum_lanes(M2, step)};
}

struct Statistics {
    double mean, var, rstd;
    Line line;
};

// The statistics of a set from what its items came to.
template <class X> __device__ __forceinline__ Statistics statistics_of(const Shape& s, const Moments& all, double eps)
{
    typedef typename Computed<X>::type T;
    double mean = all.hi + all.lo, var = all.M2 / s.m, rstd = reciprocal_std(var + eps);
    return Statistics{mean, var, rstd, Line{all.hi, all.lo, 1.0, rstd, is_ordinary<T>(mean, var, eps) ? 0.0 : 1.0}};
}

// Statistics that are given as a line.
template <class X> __device__ __forceinline__ Line line_of(double mean, double rstd)
{
    typedef typename Computed<X>::type T;
    double var = rstd == 0.0 ? 0.0 : 1.0 / (rstd * rstd);
    return Line{mean, 0.0, 1.0, rstd, is_ordinary<T>(mean, var, 0.0) ? 0.0 : 1.0};
}
