// Runs CUDA kernels on a CPU. This comes in front of a kernel's source, g++ compiles both as C++17, and
// EMULATED_KERNEL(name) at the end makes a library of one kernel (standin.py does all of that).
//
// Every thread is a fiber: a stack of its own, left and resumed by a jump. It runs until it must wait for
// others. A warp runs as far as it can before the next one does, then the blocks of a cluster in the same
// way, so that a missing barrier shows. Order 0 goes forward, 1 backward, 2 by chance, always the same.
// Not modelled: fences, blocks at the same time (but those of a cluster), rounding of a * b + c in one.

#define EMULATED 1
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include <type_traits>
#include <utility>

struct alignas(8) uint2 {
    unsigned x, y;
};

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

struct uint3 {
    unsigned x, y, z;
};

// These and the machine are `inline`: g++ then makes one of each for all libraries that are loaded.
inline uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulated {

constexpr unsigned WARP = 32, MOST_THREADS = 1024, MOST_BLOCKS = 8; // of a block; of a cluster
constexpr size_t STACK = 1 << 17, SHARED = 1 << 22; // addresses for a thread, for a block; most stay protected

enum Wait { NO, FOR_WARP, FOR_BLOCK, FOR_CLUSTER, EXITED };

struct Thread {
    jmp_buf place; // where it goes on
    bool started;  // whether it has a place
    Wait wait;
    int call;      // what it waits at: the line in the source
    uint64_t given, warp[WARP]; // to a shuffle; what all lanes gave
};

struct Machine {
    Thread threads[MOST_BLOCKS * MOST_THREADS];
    Thread* current;
    char *stacks, *shared;   // of all threads; of all blocks
    char* data[MOST_BLOCKS]; // where the shared memory begins that a kernel sees
    size_t page, bytes;      // of its pages; of what was asked for
    unsigned size, cluster;  // threads of a block, blocks of a cluster
    uint3 blocks[MOST_BLOCKS];
    int order;
    unsigned char poison; // of shared memory: NaN in every type, or old numbers
    uint64_t chance;
    void (*kernel)(void*);
    void* arguments;
    jmp_buf scheduler;
    sigjmp_buf failure;
    volatile sig_atomic_t running;
    pthread_t runner;
    char* message;
    size_t room;
};

inline Machine m;

inline unsigned rank() { return unsigned(m.current - m.threads) / m.size; }

// Leave everything and have `run` return this message, from wherever it is called.
[[noreturn]] inline void fail(const char* format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(m.message, m.room, format, values);
    va_end(values);
    siglongjmp(m.failure, 1);
}

[[noreturn]] inline void fail_in_thread(const char* what)
{
    fail("%s in thread (%u, %u, %u) of block (%u, %u, %u)", what, threadIdx.x, threadIdx.y, threadIdx.z, blockIdx.x,
         blockIdx.y, blockIdx.z);
}

// ---- Threads -------------------------------------------------------------------------------------------

inline void thread_main()
{
    for (;;) { // for one block after another
        m.kernel(m.arguments);
        m.current->wait = EXITED;
        if (!_setjmp(m.current->place))
            _longjmp(m.scheduler, 1);
    }
}

inline void start(Thread& t)
{
    char* stack = m.stacks + (&t - m.threads) * STACK;
    mprotect(stack + STACK / 2, STACK / 2, PROT_READ | PROT_WRITE);
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, thread_main, 0);
    t.started = true;
    setcontext(&context);
}

__attribute__((noinline)) inline void resume(Thread& t)
{
    unsigned i = unsigned(&t - m.threads) % m.size;
    m.current = &t;
    blockIdx = m.blocks[rank()];
    threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    if (_setjmp(m.scheduler))
        return;
    if (t.started)
        _longjmp(t.place, 1);
    start(t);
}

__attribute__((noinline)) inline void wait(Wait what, int call)
{
    m.current->wait = what;
    m.current->call = call;
    if (!_setjmp(m.current->place))
        _longjmp(m.scheduler, 1);
}

// What all lanes of the warp give; those that the block does not have give -1.
inline const uint64_t* exchange(unsigned mask, uint64_t given, int call)
{
    unsigned first = unsigned(m.current - m.threads) % m.size / WARP * WARP, lanes = m.size - first;
    unsigned there = lanes < WARP ? (1u << lanes) - 1 : ~0u;
    if ((mask & there) != there)
        fail_in_thread("divergent shuffle: the mask lacks lanes of the warp,");
    m.current->given = given;
    wait(FOR_WARP, call);
    return m.current->warp;
}

// ---- The schedule --------------------------------------------------------------------------------------

struct Turns {
    unsigned turn[MOST_THREADS];

    explicit Turns(unsigned n)
    {
        for (unsigned i = 0; i < n; ++i) {
            turn[i] = m.order == 1 ? n - 1 - i : i;
            if (m.order == 2) {
                m.chance = m.chance * 6364136223846793005u + 1442695040888963407u;
                unsigned other = unsigned(m.chance >> 33) % (i + 1);
                turn[i] = turn[other];
                turn[other] = i;
            }
        }
    }
};

inline bool all_wait(const Thread* t, unsigned n, Wait what)
{
    for (unsigned i = 0; i < n; ++i)
        if (t[i].wait != what || (what != EXITED && t[i].call != t[0].call))
            return false;
    return true;
}

inline void release(Thread* t, unsigned n)
{
    for (unsigned i = 0; i < n; ++i)
        t[i].wait = NO;
}

// Until every lane waits for more than its warp.
inline void run_warp(Thread* t, unsigned n)
{
    for (;;) {
        Turns turns(n);
        for (unsigned i = 0; i < n; ++i)
            if (t[turns.turn[i]].wait == NO)
                resume(t[turns.turn[i]]);
        unsigned waiting = 0, last = 0;
        for (unsigned i = 0; i < n; ++i)
            if (t[i].wait == FOR_WARP)
                ++waiting, last = i;
        if (!waiting)
            return;
        if (!all_wait(t, n, FOR_WARP))
            fail("divergent shuffle: %u of %u lanes of a warp of block (%u, %u, %u) wait for each other, in line %d and "
                 "others perhaps; all must wait in the same line",
                 waiting, n, blockIdx.x, blockIdx.y, blockIdx.z, t[last].call);
        uint64_t given[WARP];
        memset(given, 0xff, sizeof given);
        for (unsigned i = 0; i < n; ++i)
            given[i] = t[i].given;
        for (unsigned i = 0; i < n; ++i)
            memcpy(t[i].warp, given, sizeof given);
        release(t, n);
    }
}

// Until every thread has exited, or waits for the cluster.
inline void run_block(Thread* t)
{
    for (;;) {
        unsigned warps = (m.size + WARP - 1) / WARP;
        Turns turns(warps);
        for (unsigned i = 0; i < warps; ++i) {
            unsigned first = turns.turn[i] * WARP;
            run_warp(t + first, m.size - first < WARP ? m.size - first : WARP);
        }
        if (all_wait(t, m.size, EXITED) || all_wait(t, m.size, FOR_CLUSTER))
            return;
        if (!all_wait(t, m.size, FOR_BLOCK)) {
            unsigned count[EXITED + 1] = {}, line = 0;
            for (unsigned i = 0; i < m.size; ++i)
                line = t[i].wait == EXITED ? line : t[i].call, ++count[t[i].wait];
            fail("divergent barrier: of %u threads of block (%u, %u, %u) %u wait for the block, %u for the cluster, "
                 "in line %u and others perhaps, and %u have exited; all must wait in the same line",
                 m.size, blockIdx.x, blockIdx.y, blockIdx.z, count[FOR_BLOCK], count[FOR_CLUSTER], line,
                 count[EXITED]);
        }
        release(t, m.size);
    }
}

constexpr int STALE = 4; // added to order: shared memory begins with numbers, 3.004 or 32.5

// ---- Shared memory -------------------------------------------------------------------------------------

inline size_t pages() { return (m.bytes + m.page - 1) / m.page * m.page; }

inline char* first_page(unsigned block) { return m.shared + block * SHARED + SHARED / 2 - pages(); }

// Full of poison, with protected pages around. It ends where they begin again, up to 15 bytes; in order 1
// it begins where they end.
inline void open_shared(unsigned block)
{
    char* first = first_page(block);
    mprotect(first, pages(), PROT_READ | PROT_WRITE);
    memset(first, m.poison, pages());
    m.data[block] = m.order == 1 ? first : first + pages() - (m.bytes + 15) / 16 * 16;
}

inline char* find_written(char* from, char* to)
{
    for (; from < to; ++from)
        if (*from != char(m.poison))
            return from;
    return nullptr;
}

// Protected from now on: the block has exited. Nothing may have been written beside what it asked for.
inline void close_shared(unsigned block)
{
    char *first = first_page(block), *begin = m.data[block], *end = begin + m.bytes;
    char* wrong = find_written(first, begin);
    wrong = wrong ? wrong : find_written(end, first + pages());
    if (wrong)
        fail("out of bounds: byte %td of %zu bytes of shared memory was written in block (%u, %u, %u)", wrong - begin,
             m.bytes, m.blocks[block].x, m.blocks[block].y, m.blocks[block].z);
    mprotect(first_page(block), pages(), PROT_NONE);
}

inline void run_cluster()
{
    unsigned n = m.cluster;
    release(m.threads, n * m.size);
    for (unsigned b = 0; b < n; ++b)
        open_shared(b);
    for (unsigned exited = 0; exited < n;) {
        Turns turns(n);
        for (unsigned i = 0; i < n; ++i) {
            Thread* block = m.threads + turns.turn[i] * m.size;
            if (all_wait(block, m.size, EXITED))
                continue;
            run_block(block);
            if (all_wait(block, m.size, EXITED))
                ++exited, close_shared(turns.turn[i]);
        }
        if (all_wait(m.threads, n * m.size, FOR_CLUSTER))
            release(m.threads, n * m.size);
        else if (exited < n)
            fail("divergent barrier: %u of %u blocks of a cluster have exited, and others wait for the cluster; "
                 "all must wait in the same line",
                 exited, n);
    }
}

// ---- Faults --------------------------------------------------------------------------------------------

constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGVTALRM}; // the last one: out of time
inline struct sigaction before[6];

inline void restore_signals()
{
    for (int i = 0; i < 6; ++i)
        sigaction(SIGNALS[i], &before[i], nullptr);
}

inline void set_alarm(unsigned seconds)
{
    itimerval timer = {{0, 0}, {seconds, 0}};
    setitimer(ITIMER_VIRTUAL, &timer, nullptr);
}

inline void on_signal(int number, siginfo_t* info, void*)
{
    bool here = pthread_equal(pthread_self(), m.runner);
    if (number == SIGVTALRM) {
        if (m.running && here)
            fail_in_thread("not done in time: an endless loop?");
        if (m.running)
            pthread_kill(m.runner, number);
        return;
    }
    if (!m.running || !here) { // not ours: it happens again, to whom it concerns
        restore_signals();
        return;
    }
    char* place = static_cast<char*>(info->si_addr);
    size_t thread = (place - m.stacks) / STACK, block = (place - m.shared) / SHARED;
    char what[160];
    if (number != SIGSEGV && number != SIGBUS)
        snprintf(what, sizeof what, "%s", number == SIGFPE ? "division by zero" : "a trap");
    else if (thread < MOST_BLOCKS * MOST_THREADS)
        snprintf(what, sizeof what, "stack overflow");
    else if (block < MOST_BLOCKS) {
        block = block < m.cluster ? block : m.cluster - 1;
        snprintf(what, sizeof what, "out of bounds at byte %td of %zu bytes of shared memory of block %zu of %u of a "
                                    "cluster (an exited block has none)",
                 place - m.data[block], m.bytes, block, m.cluster);
    } else
        snprintf(what, sizeof what, "out of bounds at %p", static_cast<void*>(place));
    fail_in_thread(what);
}

inline void* keep(size_t bytes)
{
    return mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

inline void make_machine()
{
    m.page = sysconf(_SC_PAGESIZE);
    m.stacks = static_cast<char*>(keep(MOST_BLOCKS * MOST_THREADS * STACK));
    m.shared = static_cast<char*>(keep(MOST_BLOCKS * SHARED));
}

// ---- The launch ----------------------------------------------------------------------------------------

template <class... A> struct Launch {
    void (*kernel)(A...);
    void** arguments;

    template <size_t... I> void call(std::index_sequence<I...>) const
    {
        kernel(*static_cast<std::remove_const_t<A>*>(arguments[I])...);
    }

    static void go(void* self) { static_cast<Launch*>(self)->call(std::index_sequence_for<A...>()); }
};

inline void run_grid(unsigned clusters, int order)
{
    uint64_t step = order == 2 ? 2654435761 : 1; // a prime that no number of clusters has as a factor
    unsigned per_row = gridDim.x / m.cluster;
    for (uint64_t i = 0; i < clusters; ++i) {
        unsigned c = order == 1 ? clusters - 1 - i : i * step % clusters;
        for (unsigned b = 0; b < m.cluster; ++b)
            m.blocks[b] = {c % per_row * m.cluster + b, c / per_row % gridDim.y, c / per_row / gridDim.y};
        run_cluster();
    }
}

inline int run(const unsigned* grid, const unsigned* block, unsigned cluster, size_t bytes, int order,
               unsigned seconds, char* text, size_t n)
{
    if (!m.stacks)
        make_machine();
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    m.size = block[0] * block[1] * block[2];
    m.cluster = cluster, m.bytes = bytes, m.order = order % STALE, m.chance = 1, m.message = text, m.room = n;
    m.poison = order < STALE ? 0xff : 0x40;

    static char own[1 << 16];
    stack_t stack{own, 0, sizeof own}, other;
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaltstack(&stack, &other);
    for (int i = 0; i < 6; ++i)
        sigaction(SIGNALS[i], &action, &before[i]);
    m.runner = pthread_self();
    m.running = 1;
    int failed = sigsetjmp(m.failure, 1);
    if (!failed) {
        set_alarm(seconds);
        run_grid(grid[0] / cluster * grid[1] * grid[2], m.order);
    }
    m.running = 0;
    set_alarm(0);
    restore_signals();
    sigaltstack(&other, nullptr);
    if (failed) { // threads are left in the middle of a kernel, and their memory open
        memset(m.threads, 0, sizeof m.threads);
        mprotect(m.shared, MOST_BLOCKS * SHARED, PROT_NONE);
    }
    return failed;
}

template <class... A>
int run(void (*kernel)(A...), void** arguments, const unsigned* grid, const unsigned* block, unsigned cluster,
        size_t bytes, int order, unsigned seconds, char* message, size_t n)
{
    Launch<A...> launch{kernel, arguments};
    m.kernel = launch.go;
    m.arguments = &launch;
    return run(grid, block, cluster, bytes, order, seconds, message, n);
}

template <class A> constexpr char KIND = std::is_pointer_v<A>          ? 'p'
                                         : std::is_same_v<A, bool>     ? 'b'
                                         : std::is_integral_v<A>       ? 'i'
                                         : std::is_floating_point_v<A> ? 'f'
                                                                       : 's';

// "p8 i4 s24 " for (float*, int, struct of 24 bytes).
template <class... A> const char* describe(void (*)(A...))
{
    static char text[sizeof...(A) * 12 + 1];
    int at = 0;
    ((at += sprintf(text + at, "%c%zu ", KIND<std::remove_const_t<A>>, sizeof(A))), ...);
    return text;
}

template <class T> uint64_t to_bits(T value)
{
    static_assert(std::is_arithmetic_v<T> && sizeof(T) >= 4, "CUDA shuffles numbers of 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return bits;
}

template <class To, class From> To from_bits(From bits)
{
    To value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

} // namespace emulated

// What g++ found wrong: it calls these by -fsanitize, with where it is in the source.
struct EmulatedPlace {
    const char* file;
    unsigned line, column;
};

#define EMULATED_CHECK(name, what)                                                                                     \
    extern "C" inline __attribute__((used)) void name(EmulatedPlace* at, ...)                                          \
    {                                                                                                                  \
        char text[80];                                                                                                 \
        snprintf(text, sizeof text, "%s in line %u,", what, at->line);                                                 \
        emulated::fail_in_thread(text);                                                                                \
    }
EMULATED_CHECK(__ubsan_handle_type_mismatch_v1_abort, "misaligned address")
EMULATED_CHECK(__ubsan_handle_out_of_bounds_abort, "index outside of a local array")
EMULATED_CHECK(__ubsan_handle_shift_out_of_bounds_abort, "shift by as many bits as there are, or more,")

// ---- What a kernel sees --------------------------------------------------------------------------------

#define __grid_constant__
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define CLUSTER(blocks)
#define DYNAMIC_SHARED(name) unsigned char* name = (unsigned char*)emulated::m.data[emulated::rank()]

#define EMULATED_KERNEL(...)                                                                                           \
    extern "C" int run(void** arguments, const unsigned* grid, const unsigned* block, unsigned cluster, size_t shared, \
                       int order, unsigned seconds, char* message, size_t n)                                           \
    {                                                                                                                  \
        return emulated::run(&__VA_ARGS__, arguments, grid, block, cluster, shared, order, seconds, message, n);       \
    }                                                                                                                  \
    extern "C" const char* parameters() { return emulated::describe(&__VA_ARGS__); }

// The line that a call is in tells one barrier or shuffle from another.
inline void __syncthreads(int line = __builtin_LINE()) { emulated::wait(emulated::FOR_BLOCK, line); }

inline void __syncwarp(unsigned mask = ~0u, int line = __builtin_LINE()) { emulated::exchange(mask, 0, line); }

inline int emulated_lane() { return int(emulated::m.current - emulated::m.threads) % int(emulated::m.size) % 32; }

// Of the lane, in the caller's own group of `width` neighbours.
template <class T> T __shfl_sync(unsigned mask, T value, int lane, int width = 32, int line = __builtin_LINE())
{
    int first = emulated_lane() / width * width;
    return emulated::from_bits<T>(emulated::exchange(mask, emulated::to_bits(value), line)[first + lane % width]);
}

template <class T> T __shfl_xor_sync(unsigned mask, T value, int step, int line = __builtin_LINE())
{
    int lane = emulated_lane() ^ step;
    return emulated::from_bits<T>(emulated::exchange(mask, emulated::to_bits(value), line)[lane % 32]);
}

// 0 if none, 1 if some, 2 if all are not 0, of the lanes that exist.
inline int emulated_vote(unsigned mask, int predicate, int line)
{
    const uint64_t* votes = emulated::exchange(mask, predicate != 0, line);
    int yes = 0, no = 0;
    for (unsigned i = 0; i < emulated::WARP; ++i)
        yes += votes[i] == 1, no += votes[i] == 0;
    return !no + (yes > 0);
}

inline int __any_sync(unsigned mask, int predicate, int line = __builtin_LINE())
{
    return emulated_vote(mask, predicate, line) > 0;
}

inline int __all_sync(unsigned mask, int predicate, int line = __builtin_LINE())
{
    return emulated_vote(mask, predicate, line) == 2;
}

inline void __threadfence() {}

template <class T> T __ldg(const T* p) { return *p; }
template <class T> T __ldcs(const T* p) { return *p; }
template <class T> void __stcs(T* p, T value) { *p = value; }
template <class T> void __stcg(T* p, T value) { *p = value; }

inline unsigned __float_as_uint(float x) { return emulated::from_bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return emulated::from_bits<float>(x); }

template <class T, class U> constexpr std::common_type_t<T, U> min(T a, U b)
{
    std::common_type_t<T, U> x = a, y = b;
    return y < x ? y : x;
}

template <class T, class U> constexpr std::common_type_t<T, U> max(T a, U b)
{
    std::common_type_t<T, U> x = a, y = b;
    return x < y ? y : x;
}

inline unsigned emulated_cluster_rank() { return emulated::rank(); }
inline unsigned emulated_cluster_size() { return emulated::m.cluster; }
inline void emulated_cluster_sync(int line = __builtin_LINE()) { emulated::wait(emulated::FOR_CLUSTER, line); }

// The same place in the shared memory of another block of the cluster.
inline void* emulated_cluster_map(void* own, unsigned rank)
{
    if (rank >= emulated::m.cluster)
        emulated::fail_in_thread("out of bounds: a rank that the cluster does not have,");
    return static_cast<char*>(own) + (emulated::m.data[rank] - emulated::m.data[emulated::rank()]);
}

inline float emulated_bfloat16_to_float(unsigned short bits) { return __uint_as_float(unsigned(bits) << 16); }

inline unsigned short emulated_float_to_bfloat16(float x)
{
    unsigned u = __float_as_uint(x);
    return x != x ? u >> 16 | 0x40 : (u + 0x7fff + (u >> 16 & 1)) >> 16; // ties to even
}

inline float emulated_half_to_float(unsigned short bits)
{
    unsigned sign = unsigned(bits & 0x8000) << 16, exponent = bits >> 10 & 31, mantissa = bits & 0x3ff;
    if (exponent == 31)
        return __uint_as_float(sign | 0x7f800000 | mantissa << 13);
    if (exponent)
        return __uint_as_float(sign | (exponent + 112) << 23 | mantissa << 13);
    return copysignf(float(mantissa) * 5.9604644775390625e-8f, __uint_as_float(sign)); // 2^-24
}

inline unsigned short emulated_float_to_half(float x)
{
    unsigned u = __float_as_uint(x), sign = u >> 16 & 0x8000, size = u & 0x7fffffff;
    if (size > 0x7f800000)
        return sign | 0x7e00 | (size >> 13 & 0x1ff); // NaN
    if (size >= 0x477ff000)
        return sign | 0x7c00; // 65520 and more is infinity
    if (size < 0x38800000)
        return sign | unsigned(rintf(fabsf(x) * 16777216.0f)); // subnormal, in units of 2^-24
    return sign | (size + 0xfff + (size >> 13 & 1) - 0x38000000) >> 13; // ties to even
}
