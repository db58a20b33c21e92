// Losses and gradients of logistic and softmax regression, over raw bytes: no example is ever copied to a wider
// type. Two ways, both without atomics, so that the same data gives the same bits:
//
// - one_pass reads each example once: Z = w x, its residual, and G += dZ x while the example is in registers.
//   For one row of weights, which fit the registers of a block together with their gradient.
// - logits and gradient read the examples once each, for any number of rows and features.
//
// Each leaves one part for each block, which add_up sums in a fixed order. Macros give the shape of a build:
//
//   THREADS   of a block of one_pass
//   VECTORS   of 16 bytes that each of its threads has of an example: THREADS * VECTORS * 16 >= n_x
//   IMAGES    examples between two barriers
//   STAGES    groups of IMAGES examples in the ring: one is computed with, the others arrive
//   KEEP      1: bytes become floats once, which stay in registers; 0: once for each of their two uses
//   BLOCKS    of a multiprocessor
//   ALIGNED   16, 4 or 1: a divisor of n_x, and so of where each example begins
//   ROWS      of weights that logits and gradient take at a time

#define FEATURES (VECTORS * 16)
#define WARPS (THREADS / 32)
#define HANDLERS (IMAGES < WARPS ? IMAGES : WARPS)  // warps that compute residuals
#define EVERY_LANE 0xffffffffu
#define CHUNK 32      // examples whose dZ gradient keeps in shared memory
#define EXAMPLES 8    // of each warp of logits

// Copies to shared memory that go on beside the arithmetic, in groups: before compute capability 8.0 there are
// none, and a group has arrived when it was begun.
#ifndef XPNET_OWN_COPIES
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define ADDRESS(to) ((unsigned)__cvta_generic_to_shared(to))
__device__ __forceinline__ void begin_copy_16(void* to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(ADDRESS(to)), "l"(from) : "memory");
}
__device__ __forceinline__ void begin_copy_4(void* to, const void* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(ADDRESS(to)), "l"(from) : "memory");
}
__device__ __forceinline__ void end_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int NEWER> __device__ __forceinline__ void wait_for_all_but() {
    asm volatile("cp.async.wait_group %0;" ::"n"(NEWER) : "memory");
}
#else
__device__ __forceinline__ void begin_copy_16(void* to, const void* from) { *(uint4*)to = *(const uint4*)from; }
__device__ __forceinline__ void begin_copy_4(void* to, const void* from) {
    *(unsigned*)to = *(const unsigned*)from;
}
__device__ __forceinline__ void end_group() {}
template <int NEWER> __device__ __forceinline__ void wait_for_all_but() {}
#endif
#endif

// Byte e of a word as a float: laid under the bits of 2^23 it is 2^23 + byte, exactly.
__device__ __forceinline__ float byte_of(unsigned word, int e) {
    return __uint_as_float(__byte_perm(word, 0x4B000000u, 0x7650 + e)) - 8388608.0f;
}

__device__ __forceinline__ void floats_of(uint4 bytes, float* x) {
    const unsigned words[4] = {bytes.x, bytes.y, bytes.z, bytes.w};
#pragma unroll
    for (int i = 0; i < 16; i++) x[i] = byte_of(words[i / 4], i % 4);
}

__device__ __forceinline__ float over_warp(float value) {  // the same sum in each lane
#pragma unroll
    for (int other = 16; other; other /= 2) value += __shfl_xor_sync(EVERY_LANE, value, other);
    return value;
}

#ifdef THREADS
// examples: (m, n_x); labels: (m); weights: (m), read if weighted; W: (n_x); b: (1).
// parts: (blocks, n_x + 2): each block's G, its loss, and its sum of dZ.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
one_pass(const unsigned char* __restrict__ examples, const float* __restrict__ labels,
         const float* __restrict__ weights, const float* __restrict__ W, const float* __restrict__ b,
         float* __restrict__ parts, long long m, int n_x, int weighted) {
    extern __shared__ uint4 ring[];  // STAGES * IMAGES examples; each thread reads only what it wrote itself
    __shared__ float of_warps[IMAGES][WARPS];
    __shared__ float residuals[IMAGES];
    __shared__ double sums[HANDLERS][2];
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
    const float bias = *b;
    double loss = 0.0, residual_sum = 0.0;
    float w[FEATURES], g[FEATURES];
#pragma unroll
    for (int i = 0; i < FEATURES; i++) {
        const int feature = (i / 16 * THREADS + thread) * 16 + i % 16;
        w[i] = feature < n_x ? W[feature] : 0.0f;
        g[i] = 0.0f;
    }
    // What lies beyond n_x is never copied, and stays zero.
    for (int i = thread; i < STAGES * IMAGES * VECTORS * THREADS; i += THREADS) ring[i] = make_uint4(0, 0, 0, 0);

    const auto begin = [&](int stage, long long first) {
#pragma unroll
        for (int k = 0; k < IMAGES; k++) {
#pragma unroll
            for (int v = 0; v < VECTORS; v++) {
                const int start = (v * THREADS + thread) * 16, count = min(16, n_x - start);
                if (first + k >= m || count <= 0) continue;
                const unsigned char* from = examples + (first + k) * n_x + start;
                unsigned char* to = (unsigned char*)&ring[((stage * IMAGES + k) * VECTORS + v) * THREADS + thread];
                if (ALIGNED == 16) {
                    begin_copy_16(to, from);
                } else if (ALIGNED == 4) {
                    for (int i = 0; i < count; i += 4) begin_copy_4(to + i, from + i);
                } else {
                    for (int i = 0; i < count; i++) to[i] = from[i];
                }
            }
        }
        end_group();
    };

    const long long stride = (long long)gridDim.x * IMAGES;
    long long first = (long long)blockIdx.x * IMAGES;
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; stage++) begin(stage, first + stage * stride);
    for (int stage = 0; first < m; first += stride, stage = (stage + 1) % STAGES) {
        begin((stage + STAGES - 1) % STAGES, first + (STAGES - 1) * stride);
        wait_for_all_but<STAGES - 1>();
        const uint4* const arrived = ring + stage * IMAGES * VECTORS * THREADS + thread;
        float x[KEEP ? IMAGES : 1][FEATURES];
#pragma unroll
        for (int k = 0; k < IMAGES; k++) {
            float z = 0.0f;
#pragma unroll
            for (int v = 0; v < VECTORS; v++)
                floats_of(arrived[(k * VECTORS + v) * THREADS], x[KEEP ? k : 0] + 16 * v);
#pragma unroll
            for (int i = 0; i < FEATURES; i++) z = fmaf(w[i], x[KEEP ? k : 0][i], z);
            z = over_warp(z);
            if (lane == 0) of_warps[k][warp] = z;
        }
        __syncthreads();
        for (int k = warp; k < IMAGES; k += WARPS) {
            const float z = over_warp(lane < WARPS ? of_warps[k][lane] : 0.0f) + bias;
            if (lane != 0) continue;
            float dz = 0.0f;
            if (first + k < m) {
                const float y = labels[first + k], weight = weighted ? weights[first + k] : 1.0f;
                const float e = expf(-fabsf(z));
                const float positive = z > 0.0f || z != z ? z : 0.0f;  // unlike fmaxf, NaN stays NaN
                dz = weight * ((z < 0.0f ? e : 1.0f) / (1.0f + e) - y);
                loss += (double)(weight * ((positive - z * y) + log1pf(e)));
                residual_sum += (double)dz;
            }
            residuals[k] = dz;
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < IMAGES; k++) {
            const float dz = residuals[k];
            if (!KEEP) {
#pragma unroll
                for (int v = 0; v < VECTORS; v++)
                    floats_of(arrived[(k * VECTORS + v) * THREADS], x[0] + 16 * v);
            }
#pragma unroll
            for (int i = 0; i < FEATURES; i++) g[i] = fmaf(dz, x[KEEP ? k : 0][i], g[i]);
        }
    }

    float* part = parts + (long long)blockIdx.x * (n_x + 2);
#pragma unroll
    for (int i = 0; i < FEATURES; i++) {
        const int feature = (i / 16 * THREADS + thread) * 16 + i % 16;
        if (feature < n_x) part[feature] = g[i];
    }
    if (lane == 0 && warp < HANDLERS) {
        sums[warp][0] = loss;
        sums[warp][1] = residual_sum;
    }
    __syncthreads();
    if (thread < 2) {
        double total = 0.0;
        for (int handler = 0; handler < HANDLERS; handler++) total += sums[handler][thread];
        part[n_x + thread] = (float)total;
    }
}
#endif

#ifdef ROWS
// Four bytes of an example, as floats; zeros beyond its end.
__device__ __forceinline__ void four_of(const unsigned char* example, int feature, int n_x, float* x) {
    unsigned word = 0;
    if (ALIGNED % 4 == 0) {
        word = *(const unsigned*)(example + feature);
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (feature + i < n_x) word |= (unsigned)example[feature + i] << (8 * i);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) x[i] = byte_of(word, i);
}

// Z = W x: each warp EXAMPLES of them, ROWS rows. W: (rows, n_x); Z: (rows, m). Blocks of 256 threads:
// (examples / 8 / EXAMPLES, rows / ROWS).
extern "C" __global__ void __launch_bounds__(256)
logits(const unsigned char* __restrict__ examples, const float* __restrict__ W, float* __restrict__ Z,
       long long m, int n_x, int rows) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, row = blockIdx.y * ROWS;
    const long long first = ((long long)blockIdx.x * 8 + warp) * EXAMPLES;
    float z[ROWS][EXAMPLES];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int k = 0; k < EXAMPLES; k++) z[r][k] = 0.0f;
    for (int feature = 4 * lane; feature < n_x; feature += 128) {
        float x[EXAMPLES][4];
#pragma unroll
        for (int k = 0; k < EXAMPLES; k++)  // an example beyond the last is read as the last, and not written
            four_of(examples + min(first + k, m - 1) * n_x, feature, n_x, x[k]);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const float* of_row = W + (long long)min(row + r, rows - 1) * n_x + feature;
            float w[4];
#pragma unroll
            for (int i = 0; i < 4; i++) w[i] = feature + i < n_x ? of_row[i] : 0.0f;
#pragma unroll
            for (int k = 0; k < EXAMPLES; k++)
#pragma unroll
                for (int i = 0; i < 4; i++) z[r][k] = fmaf(w[i], x[k][i], z[r][k]);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
#pragma unroll
        for (int k = 0; k < EXAMPLES; k++) {
            const float sum = over_warp(z[r][k]);
            if (lane == 0 && row + r < rows && first + k < m) Z[(long long)(row + r) * m + first + k] = sum;
        }
    }
}

// parts[split] = dZ X^T over `each` examples, of the last split fewer: each thread four features, ROWS rows.
// dZ: (rows, m); parts: (splits, rows, n_x). Blocks of 256 threads: (n_x / 1024, splits, rows / ROWS).
extern "C" __global__ void __launch_bounds__(256)
gradient(const unsigned char* __restrict__ examples, const float* __restrict__ dZ, float* __restrict__ parts,
         long long m, long long each, int n_x, int rows) {
    __shared__ float residuals[CHUNK][ROWS];
    const int feature = 4 * (blockIdx.x * 256 + threadIdx.x), row = blockIdx.z * ROWS;
    const long long begin = blockIdx.y * each, end = min(m, begin + each);
    float g[ROWS][4];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int i = 0; i < 4; i++) g[r][i] = 0.0f;
    for (long long first = begin; first < end; first += CHUNK) {
        const int count = (int)min((long long)CHUNK, end - first);
        __syncthreads();
        for (int i = threadIdx.x; i < CHUNK * ROWS; i += 256) {
            const int k = i % CHUNK, r = i / CHUNK;
            residuals[k][r] = k < count && row + r < rows ? dZ[(long long)(row + r) * m + first + k] : 0.0f;
        }
        __syncthreads();
        if (feature >= n_x) continue;
#pragma unroll 4
        for (int k = 0; k < count; k++) {
            float x[4];
            four_of(examples + (first + k) * n_x, feature, n_x, x);
#pragma unroll
            for (int r = 0; r < ROWS; r++)
#pragma unroll
                for (int i = 0; i < 4; i++) g[r][i] = fmaf(residuals[k][r], x[i], g[r][i]);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (row + r < rows && feature + i < n_x)
                parts[((long long)blockIdx.y * rows + row + r) * n_x + feature + i] = g[r][i];
}
#endif

// totals[i] = the sum of parts[0][i], parts[1][i], ... in this order. parts: (count, size).
extern "C" __global__ void add_up(const float* __restrict__ parts, float* __restrict__ totals, int count,
                                  long long size) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    double total = 0.0;
    for (int part = 0; part < count; part++) total += parts[part * size + i];
    totals[i] = (float)total;
}
