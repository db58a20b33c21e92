// The two passes of one_pass.cu by tensor cores, for many rows of weights. Bytes are exact in float16. The other factor
// is not: each of its rows is scaled by a power of two and split into two float16, high + low, which together have 22
// bits. Products are added in float32. There are no atomics, so the same data gives the same bits.
//
// A warp multiplies matrices of 16 x 16 and 16 x 8. Each lane has certain elements of them in its registers. The
// order of the elements that are added up does not matter, as long as it is the same in both factors. So each lane
// reads 16 bytes of an example, and the other factor is brought into the same order (see cuda_tensor.py). Each example
// has to begin at a multiple of 16 bytes. Needs compute capability 8.0 or newer.
//
//   TILES   how many tiles of 8 rows of weights are taken at a time: 2 or 4

#define ROWS (8 * TILES)

#ifndef XPNET_OWN_TENSORS
// sums += left right: 16 x 16 by 16 x 8.
__device__ __forceinline__ void multiply(float* sums, const unsigned* left, const unsigned* right) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
}
__device__ __forceinline__ unsigned less_1024(unsigned pair) {  // subtracts 1024 from two float16
    unsigned result;
    asm("sub.f16x2 %0, %1, %2;" : "=r"(result) : "r"(pair), "r"(0x64006400u));
    return result;
}
#endif

// Two bytes as two float16: as the lowest bits of 1024, a byte gives exactly 1024 + byte.
__device__ __forceinline__ unsigned pair_of(unsigned word, int first) {
    return less_1024(__byte_perm(word, 0x64646464u, first ? 0x4342 : 0x4140));
}
__device__ __forceinline__ unsigned pair_across(unsigned one, unsigned other, int e) {
    return less_1024((__byte_perm(one, other, 0x0400 + 0x0101 * e) & 0x00FF00FFu) | 0x64006400u);
}

__device__ __forceinline__ uint4 sixteen_of(const unsigned char* examples, long long example, int feature,
                                            long long m, int n_x) {
    if (example >= m || feature >= n_x) return make_uint4(0, 0, 0, 0);
    return *(const uint4*)(examples + example * n_x + feature);
}

// Z = W x / scale. W: in the order of `weights_in_order`; scales: (rows); Z: (rows, m). The grid has (m / 256,
// rows / ROWS) blocks of 256 threads. Each warp computes 32 examples.
extern "C" __global__ void __launch_bounds__(256)
tensor_logits(const unsigned char* __restrict__ examples, const void* __restrict__ W,
              const float* __restrict__ scales, float* __restrict__ Z, long long m, int n_x, int rows) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = lane / 4, part = lane % 4;
    const long long first = ((long long)blockIdx.x * 8 + warp) * 32;
    const int steps = (n_x + 63) / 64;
    const uint4* weights = (const uint4*)W + (long long)blockIdx.y * steps * TILES * 2 * 32 * 2;
    float z[2][TILES][4];
#pragma unroll
    for (int i = 0; i < 2 * TILES * 4; i++) (&z[0][0][0])[i] = 0.0f;
    for (int step = 0; step < steps; step++) {
        uint4 bytes[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            bytes[i] = sixteen_of(examples, first + 8 * i + group, 64 * step + 16 * part, m, n_x);
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
#pragma unroll
            for (int low = 0; low < 2; low++) {
                const uint4* from = weights + (((step * TILES + tile) * 2 + low) * 32 + lane) * 2;
                const uint4 halves[2] = {from[0], from[1]};
                const unsigned* right = (const unsigned*)halves;
#pragma unroll
                for (int s = 0; s < 4; s++) {
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        const unsigned one = ((const unsigned*)&bytes[2 * half])[s];
                        const unsigned other = ((const unsigned*)&bytes[2 * half + 1])[s];
                        const unsigned left[4] = {pair_of(one, 0), pair_of(other, 0), pair_of(one, 1),
                                                  pair_of(other, 1)};
                        multiply(z[half][tile], left, right + 2 * s);
                    }
                }
            }
        }
    }
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
        for (int tile = 0; tile < TILES; tile++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const long long example = first + 16 * half + group + 8 * (i / 2);
                const int row = blockIdx.y * ROWS + 8 * tile + 2 * part + i % 2;
                if (example < m && row < rows) Z[row * m + example] = z[half][tile][i] / scales[row];
            }
}

// parts[split] = dZ X^T / scale of `each` examples, a multiple of 16; the last split may have fewer. dZ: in the order
// of `residuals_in_order`; parts: (splits, rows, n_x). The grid has (n_x / 1024, splits, rows / ROWS) blocks of 256
// threads. Each warp computes 128 features.
extern "C" __global__ void __launch_bounds__(256)
tensor_gradient(const unsigned char* __restrict__ examples, const void* __restrict__ dZ,
                const float* __restrict__ scales, float* __restrict__ parts, long long m, long long each, int n_x,
                int rows) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = lane / 4, part = lane % 4;
    const int feature = 1024 * blockIdx.x + 128 * warp + 16 * group, base = feature - 16 * group;
    const long long begin = blockIdx.y * each, end = min(m, begin + each), steps = (m + 15) / 16;
    const uint4* residuals = (const uint4*)dZ + (long long)blockIdx.z * steps * (TILES / 2) * 2 * 32;
    float g[TILES / 2][16][4];
#pragma unroll
    for (int i = 0; i < TILES / 2 * 16 * 4; i++) (&g[0][0][0])[i] = 0.0f;
    for (long long example = begin; example < end; example += 16) {
        uint4 bytes[4];
#pragma unroll
        for (int i = 0; i < 4; i++) bytes[i] = sixteen_of(examples, example + 4 * part + i, feature, m, n_x);
        uint4 left[TILES / 2][2];
#pragma unroll
        for (int i = 0; i < TILES / 2 * 2; i++)
            left[i / 2][i % 2] = residuals[(example / 16 * (TILES / 2) * 2 + i) * 32 + lane];
#pragma unroll
        for (int t = 0; t < 16; t++) {
            unsigned words[4];
#pragma unroll
            for (int i = 0; i < 4; i++) words[i] = ((const unsigned*)&bytes[i])[t / 4];
            const unsigned right[2] = {pair_across(words[0], words[1], t % 4), pair_across(words[2], words[3], t % 4)};
#pragma unroll
            for (int i = 0; i < TILES / 2 * 2; i++)
                multiply(g[i / 2][t], (const unsigned*)&left[i / 2][i % 2], right);
        }
    }
#pragma unroll
    for (int tile = 0; tile < TILES / 2; tile++)
#pragma unroll
        for (int t = 0; t < 16; t++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int row = blockIdx.z * ROWS + 16 * tile + group + 8 * (i / 2);
                const int column = base + 16 * (2 * part + i % 2) + t;
                if (row < rows && column < n_x)
                    parts[((long long)blockIdx.y * rows + row) * n_x + column] = g[tile][t][i] / scales[row];
            }
}
