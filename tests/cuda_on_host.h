// Runs CUDA kernels on the CPU, compiled by a host compiler. The threads of a block are fibers of one thread: when one
// waits for the others, the next one runs. Where a GPU would hang or compute nonsense, the process ends with a message.
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

using std::fabs;
using std::min;
using std::max;

#define __global__
#define __device__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

struct uint3_on_host { unsigned x, y, z; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static uint3_on_host threadIdx, blockIdx, blockDim, gridDim;

namespace on_host {

struct Copy { void* to; const void* from; size_t size; };

struct Fiber {
    ucontext_t context;
    std::vector<char> stack;
    unsigned index = 0;
    bool finished = false;
    long at_block = 0, at_warp = 0;  // number of barriers reached, of the block and of the warp
    std::vector<std::vector<Copy>> groups{1};
};

static std::vector<std::unique_ptr<Fiber>> fibers;
static std::vector<uint4> shared;
static std::vector<float> exchanged;  // two of each thread, used in turn
static Fiber* current;
static bool early;
static ucontext_t scheduler;
static const std::function<void()>* body;

[[noreturn]] static void fail(const char* reason) {
    std::fprintf(stderr, "cuda_on_host: block %u %u %u: %s\n", blockIdx.x, blockIdx.y, blockIdx.z, reason);
    std::abort();
}

static void take_turns() { swapcontext(&current->context, &scheduler); }

static void wait_for(unsigned first, unsigned last, long Fiber::*count) {
    const long mine = ++(current->*count);
    for (;;) {
        bool all = true;
        for (unsigned i = first; i < last; i++) {
            if (fibers[i].get()->*count < mine) {
                if (fibers[i]->finished) fail("a thread ended, and others wait for it");
                all = false;
            }
        }
        if (all) return;
        take_turns();
    }
}

static void run_fiber() {
    (*body)();
    current->finished = true;
    for (;;) take_turns();
}

static void launch(const unsigned* grid, const unsigned* block, size_t shared_bytes, std::function<void()> work) {
    const unsigned count = block[0] * block[1] * block[2];
    if (count == 0 || count > 1024 || block[1] != 1 || block[2] != 1) fail("a block of an impossible shape");
    if (!grid[0] || !grid[1] || !grid[2] || grid[1] > 65535 || grid[2] > 65535) fail("an impossible grid");
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], 1, 1};
    body = &work;
    for (unsigned z = 0; z < grid[2]; z++)
        for (unsigned y = 0; y < grid[1]; y++)
            for (unsigned x = 0; x < grid[0]; x++) {
                blockIdx = {x, y, z};
                shared.assign(shared_bytes / 16 + 1, make_uint4(0xABABABAB, 0xABABABAB, 0xABABABAB, 0xABABABAB));
                exchanged.assign(2 * count, NAN);
                fibers.clear();
                for (unsigned i = 0; i < count; i++) {
                    fibers.push_back(std::make_unique<Fiber>());
                    Fiber& fiber = *fibers.back();
                    fiber.index = i;
                    fiber.stack.resize(1 << 16);
                    getcontext(&fiber.context);
                    fiber.context.uc_stack.ss_sp = fiber.stack.data();
                    fiber.context.uc_stack.ss_size = fiber.stack.size();
                    fiber.context.uc_link = nullptr;
                    makecontext(&fiber.context, run_fiber, 0);
                }
                // More turns than any of the kernels needs: it would hang on a GPU.
                for (long turns = 0;; turns++) {
                    bool all = true;
                    for (auto& fiber : fibers) {
                        if (fiber->finished) continue;
                        all = false;
                        current = fiber.get();
                        threadIdx = {fiber->index, 0, 0};
                        swapcontext(&scheduler, &fiber->context);
                    }
                    if (all) break;
                    if (turns > 10000000) fail("it does not end");
                }
            }
    fibers.clear();
}

static uint4* ring() { return shared.data(); }

}  // namespace on_host

static inline void __syncthreads() { on_host::wait_for(0, blockDim.x, &on_host::Fiber::at_block); }

static inline void __syncwarp() {
    const unsigned first = on_host::current->index / 32 * 32;
    on_host::wait_for(first, first + 32, &on_host::Fiber::at_warp);
}

static inline float __shfl_xor_sync(unsigned mask, float value, int other) {
    using namespace on_host;
    const unsigned first = current->index / 32 * 32, last = first + 32;
    if (mask != 0xffffffffu || last > blockDim.x) fail("a shuffle without all lanes of a warp");
    const size_t turn = current->at_warp % 2 * blockDim.x;
    exchanged[turn + current->index] = value;
    wait_for(first, last, &Fiber::at_warp);
    return exchanged[turn + (current->index ^ other)];
}

static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    const unsigned char bytes[8] = {
        (unsigned char)x, (unsigned char)(x >> 8), (unsigned char)(x >> 16), (unsigned char)(x >> 24),
        (unsigned char)y, (unsigned char)(y >> 8), (unsigned char)(y >> 16), (unsigned char)(y >> 24)};
    unsigned result = 0;
    for (int i = 0; i < 4; i++) result |= (unsigned)bytes[selector >> (4 * i) & 7] << (8 * i);
    return result;
}

static inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// The product of two matrices of float16 by a warp: each lane has parts of both matrices, and gets a part of the sums.
#define XPNET_OWN_TENSORS
static inline float half_of(unsigned pair, int which) {
    _Float16 value;
    const unsigned short bits = (unsigned short)(which ? pair >> 16 : pair);
    std::memcpy(&value, &bits, 2);
    return (float)value;
}
static inline unsigned less_1024(unsigned pair) {
    unsigned result = 0;
    for (int which = 0; which < 2; which++) {
        const _Float16 value = (_Float16)(half_of(pair, which) - 1024.0f);
        unsigned short bits;
        std::memcpy(&bits, &value, 2);
        result |= (unsigned)bits << (16 * which);
    }
    return result;
}
static inline void multiply(float* sums, const unsigned* left, const unsigned* right) {
    using namespace on_host;
    static unsigned given[2][32][32][6];  // by turn, warp and lane
    const unsigned first = current->index / 32 * 32, lane = current->index % 32;
    auto& lanes = given[current->at_warp % 2][first / 32];
    std::copy(left, left + 4, lanes[lane]);
    std::copy(right, right + 2, lanes[lane] + 4);
    wait_for(first, first + 32, &Fiber::at_warp);
    for (int i = 0; i < 4; i++) {
        const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
        for (int k = 0; k < 16; k++) {
            const unsigned* of_left = lanes[row % 8 * 4 + k % 8 / 2];
            const unsigned* of_right = lanes[column * 4 + k % 8 / 2];
            sums[i] += half_of(of_left[k / 8 * 2 + row / 8], k % 2) * half_of(of_right[4 + k / 8], k % 2);
        }
    }
}

// Asynchronous copies run when they are begun, if `early` is set; otherwise when they are waited for.
#define XPNET_OWN_COPIES
static inline void keep(float&) {}
static inline void begin_copy(void* to, const void* from, size_t size) {
    if ((size_t)to % size || (size_t)from % size) on_host::fail("a copy from or to an address it cannot use");
    if (on_host::early)
        std::memcpy(to, from, size);
    else
        on_host::current->groups.back().push_back({to, from, size});
}
static inline void begin_copy_16(void* to, const void* from) { begin_copy(to, from, 16); }
static inline void begin_copy_4(void* to, const void* from) { begin_copy(to, from, 4); }
static inline void end_group() { on_host::current->groups.emplace_back(); }
template <int NEWER> static inline void wait_for_all_but() {
    auto& groups = on_host::current->groups;  // the last group is not complete yet
    while ((int)groups.size() - 1 > NEWER) {
        for (const auto& copy : groups.front()) std::memcpy(copy.to, copy.from, copy.size);
        groups.erase(groups.begin());
    }
}
