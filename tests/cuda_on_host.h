// What is part of the language of CUDA, for a host compiler; cuda_on_host.cpp defines it. It includes little, and templates
// only where they must be, because it is read for each kernel.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

using std::fabs;
using std::min;
using std::max;

#define __global__
#define __device__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __shared__ static

struct uint3_on_host { unsigned x, y, z; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
#pragma GCC visibility push(hidden)  // each library has its own, which is called directly
extern uint3_on_host threadIdx, blockIdx, blockDim, gridDim;

namespace on_host {

extern bool early;     // whether asynchronous copies run at once, not when they are waited for
extern void** given;   // pointers to the arguments of the kernel that runs

void launch(const unsigned* grid, const unsigned* block, size_t shared_bytes, unsigned cluster, void (*kernel)());
uint4* ring();
void shuffle(unsigned mask, void* value, size_t size, int other);
void wait_for_groups(int newer);

}  // namespace on_host

void __syncthreads();
void __syncwarp();

template <typename T> static inline T __shfl_xor_sync(unsigned mask, T value, int other) {
    static_assert(sizeof(T) <= sizeof(double), "as large as on_host::exchanged has room for");
    on_host::shuffle(mask, &value, sizeof(T), other);
    return value;
}

static inline unsigned long long atomicAdd(unsigned long long* to, unsigned long long value) {
    const unsigned long long before = *to;
    *to += value;
    return before;
}

static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    const unsigned char bytes[8] = {
        (unsigned char)x, (unsigned char)(x >> 8), (unsigned char)(x >> 16), (unsigned char)(x >> 24),
        (unsigned char)y, (unsigned char)(y >> 8), (unsigned char)(y >> 16), (unsigned char)(y >> 24)};
    unsigned result = 0;
    for (int i = 0; i < 4; i++) result |= (unsigned)bytes[selector >> (4 * i) & 7] << (8 * i);
    return result;
}

// Rounded to the nearest integer, ties to even; NaN gives 0.
static inline int __double2int_rn(double value) {
    return value != value ? 0 : (int)std::nearbyint(min(max(value, -2147483648.0), 2147483647.0));
}
static inline int __float2int_rn(float value) { return __double2int_rn(value); }
static inline float __frcp_rn(float value) { return 1.0f / value; }

// What integer_passes.cu computes by instructions of a GPU.
#define XPNET_ON_HOST

unsigned shared_address(const void* pointer);
void multiply(int* sums, const unsigned* left, unsigned right, unsigned right_end);
void load_matrices(unsigned* to, unsigned address);
void load_transposed(unsigned* to, unsigned address);
unsigned transposed(unsigned pairs);
void begin_copy(unsigned to, const void* from, bool valid);
void end_group();
template <int NEWER> static inline void wait_for_all_but() { on_host::wait_for_groups(NEWER); }
void barrier_init(unsigned barrier, unsigned count);
void barrier_expect(unsigned barrier, unsigned bytes);
void barrier_wait(unsigned barrier, unsigned parity);
void bulk_copy(unsigned to, const void* from, unsigned bytes, unsigned barrier);
unsigned in_block(unsigned address, unsigned rank);
void send(unsigned address, unsigned barrier, int4 value);
void cluster_sync();
#pragma GCC visibility pop
