// Threads that work on one set together: some lanes of a warp, a block, or the blocks of a cluster.

constexpr int WARP = 32;
constexpr unsigned ALL = 0xffffffffu;

#ifdef EMULATED
inline unsigned cluster_rank() { return emulated_cluster_rank(); }
inline void cluster_sync() { emulated_cluster_sync(); }
template <class T> T* of_block(T* own, unsigned rank) { return (T*)emulated_cluster_map(own, rank); }
#elif __CUDA_ARCH__ >= 900
__device__ __forceinline__ unsigned cluster_rank()
{
    unsigned rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

__device__ __forceinline__ void cluster_sync()
{
    asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// The same place in the shared memory of another block of the cluster.
template <class T> __device__ __forceinline__ T* of_block(T* own, unsigned rank)
{
    unsigned long long place;
    asm("mapa.u64 %0, %1, %2;" : "=l"(place) : "l"((unsigned long long)own), "r"(rank));
    return (T*)place;
}
#else // no clusters
__device__ __forceinline__ unsigned cluster_rank() { return 0; }
__device__ __forceinline__ void cluster_sync() {}
template <class T> __device__ __forceinline__ T* of_block(T* own, unsigned) { return own; }
#endif

// Sum over so many neighbouring lanes, a power of two, as a tree. Every lane of the warp takes part.
// Zeros beside the numbers change nothing, so a narrow tree has the bits of a wide one.
template <class T> __device__ __forceinline__ T sum_lanes(T t, int lanes)
{
    for (int step = 1; step < lanes; step *= 2)
        t += __shfl_xor_sync(ALL, t, step);
    return t;
}

// The larger of two numbers; NaN if one is.
__device__ __forceinline__ double larger(double a, double b) { return a > b || a != a ? a : b; }

// All threads of a set: 1 to 32 lanes of a warp, or all of a block. Scratch has a number for each warp.
struct Team {
    int rank, size;
    double* scratch;

    __device__ __forceinline__ bool is_block() const { return size > WARP; }

    __device__ __forceinline__ int width() const { return size < WARP ? size : WARP; }

    __device__ __forceinline__ void sync() const
    {
        if (is_block())
            __syncthreads();
        else
            __syncwarp();
    }

    // Whether it is so for a set of the block's or, where sets share a warp, for any of the warp's.
    __device__ __forceinline__ bool any(bool it) const { return is_block() ? it : __any_sync(ALL, it); }

    // Sum over all threads, for all of them.
    __device__ double sum(double t) const
    {
        t = sum_lanes(t, width());
        if (!is_block())
            return t;
        __syncthreads(); // the last sum has been read
        if (rank % WARP == 0)
            scratch[rank / WARP] = t;
        __syncthreads();
        return sum_lanes(rank % WARP < size / WARP ? scratch[rank % WARP] : 0.0, WARP);
    }

    __device__ double largest(double t) const
    {
        for (int step = 1; step < width(); step *= 2)
            t = larger(t, __shfl_xor_sync(ALL, t, step));
        if (!is_block())
            return t;
        __syncthreads();
        if (rank % WARP == 0)
            scratch[rank / WARP] = t;
        __syncthreads();
        for (int w = 0; w < size / WARP; ++w)
            t = larger(t, scratch[w]);
        return t;
    }
};
