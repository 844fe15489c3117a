// A set whose squares or reciprocals leave the range of the type: slowly, in float64, and kept in range.
// It is multiplied by a power of two, which rounds nothing. eps is added to a variance, so it is multiplied
// by the square, and sqrt(eps) counts as one of the set's numbers. NaN comes here too, and stays NaN.

// The power of two that brings the largest number of a set near 1; 1 for 0, infinity and NaN.
__device__ __forceinline__ double factor(double largest)
{
    if (!(largest > 0.0 && largest < 1.0 / 0.0))
        return 1.0;
    return exp2(fmin(fmax(-floor(log2(largest)), -1000.0), 1000.0));
}

// Element e of a set: where it is in x.
__device__ __forceinline__ long long element(const Shape& s, const Set& set, long long e)
{
    long long p = e / s.n;
    return set.begin + p * s.A * s.n + (e - p * s.n);
}

// Sum of f(e) over all elements of a set, as though in twice the digits. Every thread takes part.
template <class F> __device__ double careful_sum(const Shape& s, const Team& team, bool there, F f)
{
    double high = 0.0, low = 0.0, lost;
    for (long long e = there ? team.rank : s.m; e < s.m; e += team.size) {
        high = two_sum(high, f(e), lost);
        low += lost;
    }
    return team.sum(low == low ? high + low : high); // infinity minus infinity is no rounding error
}

template <class X> __device__ double careful_factor(const Shape& s, const Team& team, const Set& set, const X* x, double eps)
{
    double largest = sqrt(eps);
    for (long long e = set.there ? team.rank : s.m; e < s.m; e += team.size)
        largest = larger(largest, fabs((double)widen(x[element(s, set, e)])));
    return factor(team.largest(largest));
}

struct Statistics {
    double mean, var, rstd;
    Line line;
};

template <class X>
__device__ __noinline__ Statistics careful_statistics(const Shape& s, const Team& team, const Set& set, const X* x, double eps)
{
    double scale = careful_factor(s, team, set, x, eps), hi = 0.0, lo = 0.0;
    auto at = [&](long long e) { return (double)widen(x[element(s, set, e)]) * scale; };
    if (s.center) { // from the first number, which is the mean of a constant set
        hi = set.there ? at(0) : 0.0;
        for (int k = 0; k < 2; ++k)
            hi += careful_sum(s, team, set.there, [&](long long e) { return at(e) - hi; }) / s.m;
        lo = careful_sum(s, team, set.there, [&](long long e) { return at(e) - hi; }) / s.m;
    }
    double var = careful_sum(s, team, set.there, [&](long long e) {
        double d = (at(e) - hi) - lo;
        return d * d;
    }) / s.m;
    double r = reciprocal_std(var + scale * eps * scale);
    return Statistics{(hi + lo) / scale, var / scale / scale, r * scale, Line{hi, lo, scale, r, 1.0}};
}

// The statistics of a set from what its items came to, carefully if they must be; `called` tells whether
// that function was called, for this set or another of the warp. Every thread of the warp is here.
template <class X>
__device__ __forceinline__ Statistics statistics_of(
    const Shape& s, const Team& team, const Set& set, const X* x, const Moments& all, double eps, bool& called)
{
    typedef typename Computed<X>::type T;
    double mean = all.hi + all.lo, var = all.M2 / s.m, rstd = reciprocal_std(var + eps);
    bool odd = set.there && !is_ordinary<T>(mean, var, eps);
    Statistics found{mean, var, rstd, Line{all.hi, all.lo, 1.0, rstd, 0.0}};
    called = team.is_block() ? odd : __any_sync(ALL, odd);
    if (called) {
        Statistics careful = careful_statistics(s, team, Set{set.k, set.begin, set.a, odd}, x, eps);
        if (odd)
            found = careful;
    }
    return found;
}
