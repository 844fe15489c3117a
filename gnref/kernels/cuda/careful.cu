// A set whose squares or reciprocals leave the range of the type: slowly, in float64, and kept in range.
// It is multiplied by a power of two, which rounds nothing. eps is added to a variance, so it is multiplied
// by the square, and sqrt(eps) counts as one of the set's numbers. NaN comes here too, and stays NaN.

// The power of two that brings the largest number of a set near 1; 1 for 0, infinity and NaN.
__device__ __forceinline__ double factor(double largest)
{
    if (!(largest > 0.0 && largest < 1.0 / 0.0))
        return 1.0;
    return scalbn(1.0, (int)fmin(fmax(-floor(log2(largest)), -1000.0), 1000.0));
}

// Element e of a set: where it is in x.
__device__ __forceinline__ long long element(const Shape& s, const Set& set, long long e)
{
    long long p = e / s.n;
    return set.begin + p * s.A * s.n + (e - p * s.n);
}

constexpr int CHAINS = 512; // of additions, whoever does them: so their order hangs on the set alone

// Sum of f(e) over all elements of a set, as though in twice the digits. Every thread takes part.
template <class F> __device__ double careful_sum(const Shape& s, const Team& team, bool there, F f)
{
    int width = team.width(), warps = team.is_block() ? team.size / WARP : 1;
    int lots = (int)min((s.m + WARP - 1) / WARP, (long long)(CHAINS / WARP)); // of a warp's chains
    double total = 0.0;
    if (team.is_block())
        __syncthreads(); // the last sum has been read
#pragma unroll 1
    for (int lot = team.rank / WARP; lot < lots; lot += warps) {
        double sum = 0.0;
#pragma unroll 1
        for (int first = 0; first < WARP; first += width) {
            double high = 0.0, low = 0.0, lost;
#pragma unroll 1
            for (long long e = there ? lot * WARP + first + team.rank % width : s.m; e < s.m; e += CHAINS) {
                high = two_sum(high, f(e), lost);
                low += lost;
            }
            double chain = low == low ? high + low : high; // infinity minus infinity is no rounding error
#pragma unroll 1
            for (int k = 0; k < width; ++k)
                sum += __shfl_sync(ALL, chain, k, width);
        }
        total += sum;
        if (team.is_block() && team.rank % WARP == 0)
            team.scratch[lot] = sum;
    }
    if (!team.is_block())
        return total;
    __syncthreads();
    total = 0.0;
#pragma unroll 1
    for (int lot = 0; lot < lots; ++lot)
        total += team.scratch[lot];
    return total;
}

template <class X> __device__ double careful_factor(const Shape& s, const Team& team, const Set& set, const X* x, double eps)
{
    double largest = sqrt(eps);
    for (long long e = set.there ? team.rank : s.m; e < s.m; e += team.size)
        largest = larger(largest, fabs(exact(x[element(s, set, e)])));
    return factor(team.largest(largest));
}

template <class X>
__device__ __noinline__ Statistics careful_statistics(const Shape& s, const Team& team, const Set& set, const X* x, double eps)
{
    double scale = careful_factor(s, team, set, x, eps), hi = 0.0, lo = 0.0;
    auto at = [&](long long e) { return exact(x[element(s, set, e)]) * scale; };
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
