// Losses and gradients of logistic and softmax regression over raw bytes. The examples are never copied to a wider type
// in memory. There are two ways, both without atomics, so that the same data gives the same bits:
//
// - one_pass reads each example once. It computes z = w x and the residual dz, and adds dz x to G while the example is
//   in registers. It is for one row of weights. The weights and G have to fit into the registers of one block.
// - logits and gradient read the examples once each. They are for any number of rows and features.
//
// Each block writes one part of a sum, and add_up adds the parts in a fixed order. Macros say how to compile:
//
//   THREADS   threads of a block of one_pass
//   VECTORS   how many vectors of 16 bytes of an example each thread has: THREADS * VECTORS * 16 >= n_x
//   STAGES    examples in the ring buffer: the block computes with some, while the others are being copied
//   KEEP      1: bytes are converted to floats once, which stay in registers; 0: before each of their two uses
//   BLOCKS    blocks of one_pass on a multiprocessor at a time
//   ALIGNED   16, 4 or 1: divides n_x and the address of each example
//   ROWS      how many rows of weights logits and gradient take at a time

#define FEATURES (VECTORS * 16)
#define WARPS (THREADS / 32)
#define LAG (KEEP ? 1 : 2)  // periods after which the place of an example in the ring buffer is free
#define KNOWN 64            // examples whose label, weight and logit are in shared memory
#define EVERY_LANE 0xffffffffu
#define CHUNK 32      // examples whose dZ `gradient` has in shared memory at a time
#define EXAMPLES 8    // examples that each warp of `logits` computes

// Copies to shared memory that run beside the arithmetic, in groups. Before compute capability 8.0 there are no such
// copies: there, a copy is done when these functions return.
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

// Byte e of a word as a float: as the lowest bits of 2^23, a byte gives exactly 2^23 + byte.
__device__ __forceinline__ float byte_of(unsigned word, int e) {
    return __uint_as_float(__byte_perm(word, 0x4B000000u, 0x7650 + e)) - 8388608.0f;
}

__device__ __forceinline__ void floats_of(uint4 bytes, float* x) {
    const unsigned words[4] = {bytes.x, bytes.y, bytes.z, bytes.w};
#pragma unroll
    for (int i = 0; i < 16; i++) x[i] = byte_of(words[i / 4], i % 4);
}

__device__ __forceinline__ float over_warp(float value) {  // the sum over the warp, in each lane
#pragma unroll
    for (int other = 16; other; other /= 2) value += __shfl_xor_sync(EVERY_LANE, value, other);
    return value;
}

#ifdef THREADS
// Keeps a float in its register: without this, the compiler would convert the bytes a second time.
#ifndef XPNET_OWN_COPIES
__device__ __forceinline__ void keep(float& value) { asm volatile("" : "+f"(value)); }
#endif

__device__ __forceinline__ float residual_of(float z, float y, float weight) {
    const float e = expf(-fabsf(z));
    return weight * ((z < 0.0f ? e : 1.0f) / (1.0f + e) - y);
}

// A block works in periods, as many as it has examples and two more. In period p, all threads multiply example p by
// their weights, the first warp computes the residual of example p - 1, and all threads add example p - 2 to their
// gradients. So there is only one barrier for each example.
//
// examples: (m, n_x); labels: (m); weights: (m), used only if `weighted`; W: (n_x); b: (1).
// parts: (blocks, n_x + 2): for each block its G, its loss, and its sum of dZ.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
one_pass(const unsigned char* __restrict__ examples, const float* __restrict__ labels,
         const float* __restrict__ weights, const float* __restrict__ W, const float* __restrict__ b,
         float* __restrict__ parts, long long m, int n_x, int weighted) {
    extern __shared__ uint4 ring[];  // STAGES examples; each thread reads only the bytes that it copied itself
    __shared__ float products[2][THREADS], residuals[2], known_y[KNOWN], known_weight[KNOWN], known_z[KNOWN];
    __shared__ double sums[2][32];
    const int thread = threadIdx.x, lane = thread % 32;
    const int count = (int)((m - blockIdx.x + gridDim.x - 1) / gridDim.x);  // examples of this block
    float w[FEATURES], g[FEATURES], x[KEEP ? 2 : 1][FEATURES];
#pragma unroll
    for (int i = 0; i < FEATURES; i++) {
        const int feature = (i / 16 * THREADS + thread) * 16 + i % 16;
        w[i] = feature < n_x ? W[feature] : 0.0f;
        g[i] = 0.0f;
    }
    // Bytes after the end of an example are never copied: they stay zero.
    for (int i = thread; i < STAGES * VECTORS * THREADS; i += THREADS) ring[i] = make_uint4(0, 0, 0, 0);
    for (int i = thread; i < KNOWN; i += THREADS) known_weight[i] = 1.0f;
    if (thread < 32) sums[0][lane] = sums[1][lane] = 0.0;
    __syncthreads();

    uint4* const own = ring + thread;
    const unsigned char* from = examples + (long long)blockIdx.x * n_x + 16 * thread;
    int begun = 0, into = 0, out_of = 0;  // copies begun; places in the ring buffer to copy to and to read from
    const auto begin = [&] {
        if (begun < count) {
#pragma unroll
            for (int v = 0; v < VECTORS; v++) {
                const int rest = n_x - (v * THREADS + thread) * 16;
                if (rest <= 0) continue;
                const unsigned char* source = from + v * THREADS * 16;
                unsigned char* to = (unsigned char*)&own[(into * VECTORS + v) * THREADS];
                if (ALIGNED == 16) {
                    begin_copy_16(to, source);
                } else if (ALIGNED == 4) {
                    for (int i = 0; i < min(16, rest); i += 4) begin_copy_4(to + i, source + i);
                } else {
                    for (int i = 0; i < min(16, rest); i++) to[i] = source[i];
                }
            }
            if (thread == THREADS - 1) {
                const long long example = blockIdx.x + (long long)begun * gridDim.x;
                begin_copy_4(&known_y[begun % KNOWN], labels + example);
                if (weighted) begin_copy_4(&known_weight[begun % KNOWN], weights + example);
            }
        }
        end_group();
        from += (long long)gridDim.x * n_x;
        begun++;
        into = into + 1 == STAGES ? 0 : into + 1;
    };
    const auto floats_at = [&](int stage, float* floats) {
#pragma unroll
        for (int v = 0; v < VECTORS; v++) floats_of(own[(stage * VECTORS + v) * THREADS], floats + 16 * v);
    };

#pragma unroll
    for (int i = 0; i < STAGES - LAG; i++) begin();
    for (int first = 0; first < count + 2; first += 2) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int period = first + half;
            float* const floats = x[KEEP ? half : 0];
            if (thread < 32 && period >= 1 && period - 1 < count) {
                const int example = period - 1, at = example % KNOWN;
                float z = 0.0f;
#pragma unroll
                for (int i = 0; i < WARPS; i++) z += products[1 - half][32 * i + lane];
                z = over_warp(z) + *b;
                if (lane == 0) {
                    residuals[1 - half] = residual_of(z, known_y[at], known_weight[at]);
                    known_z[at] = z;
                }
                if (example % 32 == 31 || example == count - 1) {  // the losses of 32 examples at once
                    __syncwarp();
                    if (lane <= example % 32) {
                        const int its = (example - example % 32 + lane) % KNOWN;
                        const float of_z = known_z[its], y = known_y[its], weight = known_weight[its];
                        const float positive = of_z > 0.0f || of_z != of_z ? of_z : 0.0f;  // NaN stays NaN
                        sums[0][lane] += weight * ((positive - of_z * y) + log1pf(expf(-fabsf(of_z))));
                        sums[1][lane] += residual_of(of_z, y, weight);
                    }
                }
            }
            if (period >= 2 && period - 2 < count) {
                const float dz = residuals[half];
                if (!KEEP) floats_at(into, floats);  // it is still in the ring buffer, until the next copy there begins
#pragma unroll
                for (int i = 0; i < FEATURES; i++) g[i] = fmaf(dz, floats[i], g[i]);
            }
            begin();
            if (period < count) {
                wait_for_all_but<STAGES - LAG>();
                floats_at(out_of, floats);
                out_of = out_of + 1 == STAGES ? 0 : out_of + 1;
                float z[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
                for (int i = 0; i < FEATURES; i++) {
                    if (KEEP) keep(floats[i]);
                    z[i % 4] = fmaf(w[i], floats[i], z[i % 4]);
                }
                products[half][thread] = (z[0] + z[1]) + (z[2] + z[3]);
            }
            __syncthreads();
        }
    }

    float* const part = parts + (long long)blockIdx.x * (n_x + 2);
#pragma unroll
    for (int i = 0; i < FEATURES; i++) {
        const int feature = (i / 16 * THREADS + thread) * 16 + i % 16;
        if (feature < n_x) part[feature] = g[i];
    }
    if (thread < 2) {
        double total = 0.0;
        for (int i = 0; i < 32; i++) total += sums[thread][i];
        part[n_x + thread] = (float)total;
    }
}
#endif

#ifdef ROWS
// Four bytes of an example as floats; zeros after its end.
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

// Z = W x. Each warp computes EXAMPLES examples and ROWS rows. W: (rows, n_x); Z: (rows, m). The grid has
// (m / 8 / EXAMPLES, rows / ROWS) blocks of 256 threads.
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
        for (int k = 0; k < EXAMPLES; k++)  // after the end, the last example is read again; its result is not written
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

// parts[split] = dZ X^T of `each` examples; the last split may have fewer. Each thread computes four features and
// ROWS rows. dZ: (rows, m); parts: (splits, rows, n_x). The grid has (n_x / 1024, splits, rows / ROWS) blocks of 256
// threads.
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

// totals[i] = parts[0][i] + parts[1][i] + ..., in this order. parts: (count, size).
extern "C" __global__ void add_up(const float* __restrict__ parts, float* __restrict__ totals, int count,
                                  long long size) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    double total = 0.0;
    for (int part = 0; part < count; part++) total += parts[part * size + i];
    totals[i] = (float)total;
}
