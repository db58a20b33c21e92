// Losses and gradients of logistic and softmax regression over raw bytes, by tensor cores that multiply integers.
//
// Weights and residuals become fixed-point numbers: each is scaled by a power of two and rounded to an integer, which
// is written as signed digits of base 256. A byte times a digit is an integer, and all their sums are integers: the
// logits and the gradient are exact functions of the digits, whatever the grid, the order and the device. So sums may be
// added by atomics. What is rounded: the weights of a row and the residuals, to 2^-30 of the largest with four digits
// (one_pass), or to 2^-22 with three (the other kernels).
//
// - one_pass reads each example once: logistic regression with one row of weights. A block, or a cluster of blocks,
//   holds 32 examples. The warps share the features: each multiplies its features with its weights (z), and then, still
//   in its registers, with the residuals (G).
// - logits, logistic_digits or softmax_digits, and gradient read the examples twice, for any number of rows of weights.
//
// Sums of int32 hold 65,793 products of a byte and a digit. So a cluster takes at most 65,536 examples in one launch of
// one_pass and in one block of gradient, and logits adds up after 65,536 features. The examples begin at multiples of
// 16 bytes. Needs compute capability 8.0; clusters and bulk copies need 9.0. For sm_90a, which has no successor, logits and
// gradient multiply by the instructions of four warps. Macros say how to compile:
//
//   CLUSTER   blocks that share an example                    WARPS     of a block of one_pass
//   TILES     of 16 features for each warp, an even number    STAGES    tiles in shared memory: most are being copied
//   BLOCKS    blocks of one_pass on a multiprocessor          BULK      1: copies by the bulk copy engine
//   TRIPLES   tiles of 8 rows of weights, taken at a time     HALVES    tiles of 16 examples or features for each warp
//   CHUNK     features or examples of a stage of logits and gradient, a multiple of 32
//   WIDE      1: more than 65,536 features

typedef unsigned char u8;
typedef unsigned u32;
typedef unsigned long long u64;
#define EVERY_LANE 0xffffffffu
#define FINEST_WEIGHT 22  // three digits hold numbers up to 2^22, four up to 2^30
#define FINEST_ONE_PASS 30

#ifndef XPNET_ON_HOST
__device__ __forceinline__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// sums += left right: 16 x 32 bytes by 32 x 8 signed bytes.
__device__ __forceinline__ void multiply(int* sums, const u32* left, u32 right, u32 right_end) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right), "r"(right_end));
}

// Four matrices of 8 x 8 pairs of bytes; lane 8 i + j gives the address of row j of matrix i.
__device__ __forceinline__ void load_matrices(u32* to, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(address) : "memory");
}
__device__ __forceinline__ void load_transposed(u32* to, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(address) : "memory");
}
__device__ __forceinline__ u32 transposed(u32 pairs) {
    u32 result;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(pairs));
    return result;
}

// Copies of 16 bytes to shared memory that run beside the arithmetic, in groups; zeros if not valid.
__device__ __forceinline__ void begin_copy(u32 to, const void* from, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
__device__ __forceinline__ void end_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int NEWER> __device__ __forceinline__ void wait_for_all_but() {
    asm volatile("cp.async.wait_group %0;" ::"n"(NEWER) : "memory");
}

// Barriers in shared memory that count arrivals and copied bytes, and clusters of blocks.
__device__ __forceinline__ void barrier_init(u32 barrier, u32 count) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
__device__ __forceinline__ void barrier_expect(u32 barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
__device__ __forceinline__ void barrier_wait(u32 barrier, u32 parity) {
    asm volatile(
        "{\n.reg .pred done;\nAGAIN_%=:\n"
        "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n@!done bra AGAIN_%=;\n}" ::"r"(barrier),
        "r"(parity) : "memory");
}
__device__ __forceinline__ void bulk_copy(u32 to, const void* from, u32 bytes, u32 barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
                 "l"(from), "r"(bytes), "r"(barrier) : "memory");
}
// The address of the same variable in another block of the cluster.
__device__ __forceinline__ u32 in_block(u32 address, u32 rank) {
    u32 result;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(result) : "r"(address), "r"(rank));
    return result;
}
// Waiting for the whole cluster waits for all copies in flight, which is slow. So blocks send each other their numbers
// by stores that complete on a barrier of the receiver.
__device__ __forceinline__ void send(u32 address, u32 barrier, int4 v) {
    asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.s32 [%0], {%1,%2,%3,%4}, [%5];" ::"r"(
                     address), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w), "r"(barrier) : "memory");
}
__device__ __forceinline__ void cluster_sync() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
#endif
#endif

// e with |largest| < 2^e; 0 if it is zero. Not so small that 2^(30 - e) would be no float.
__device__ __forceinline__ int exponent_of(float largest) {
    int e = 0;
    if (largest > 0.0f) frexpf(largest, &e);
    return max(e, -90);
}
// The larger of two numbers that are not negative; NaN if one is NaN.
__device__ __forceinline__ float larger(float one, float other) { return one > other || one != one ? one : other; }

// The next signed digit of base 256 of an integer, which loses it.
__device__ __forceinline__ int next_digit(int& integer) {
    const int digit = (int)(signed char)(integer & 255);
    integer = (integer - digit) >> 8;
    return digit;
}

// The largest |w| of a row, in every thread of a block. The block gives room for one float for each warp.
__device__ __forceinline__ float largest_of(const float* w, int n_x, float* room) {
    float largest = 0.0f;
    for (int i = threadIdx.x; i < n_x; i += blockDim.x) largest = larger(fabsf(w[i]), largest);
#pragma unroll
    for (int other = 16; other; other /= 2) largest = larger(__shfl_xor_sync(EVERY_LANE, largest, other), largest);
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = largest;
    __syncthreads();
    for (int i = 0; i < (int)blockDim.x / 32; i++) largest = larger(room[i], largest);
    return largest;
}

// Weights and residuals have these scales: powers of two, or NaN, so that weights which are no numbers show.
__device__ __forceinline__ double scale_of(float largest, int finest) {
    return largest - largest == 0.0f ? ldexp(1.0, finest - exponent_of(largest)) : (double)(largest - largest);
}
__device__ __forceinline__ float residual_scale(const float* largest, int finest) {
    return ldexpf(1.0f, finest - exponent_of(largest ? *largest : 0.5f));
}

#ifdef TILES
#define E 32                           // examples of a tile
#define OWN (TILES * 16)               // features of a warp
#define FEATURES (WARPS * OWN)         // of a block
#define STRIDE (FEATURES + 16)         // so that rows begin in different banks
#define DIGITS 4

struct Exchange {  // what the warps and blocks tell each other
    int4 z[WARPS][E], inbox[2][CLUSTER][E];  // four sums, of each digit
    u64 full[STAGES], arrived[2];
    signed char residuals[8][E];
    float largest[WARPS];
};

// labels, weights: (m); W: (n_x); b: (1); largest: the largest weight of an example, or a null pointer; totals:
// (n_x + 1) sums of dZ x and of dZ, to which this adds; losses: (clusters).
extern "C" __global__ void
#if CLUSTER > 1
__cluster_dims__(CLUSTER, 1, 1)
#endif
__launch_bounds__(WARPS * 32, BLOCKS)
one_pass(const unsigned char* __restrict__ examples, const float* __restrict__ labels, const float* __restrict__ weights,
         const float* __restrict__ W, const float* __restrict__ b, const float* __restrict__ largest,
         long long* __restrict__ totals, double* __restrict__ losses, long long m, int n_x, int weighted) {
    extern __shared__ uint4 ring[];
    u8* const stages = (u8*)ring;
    uint2* const digits_of_weights = (uint2*)(stages + STAGES * E * STRIDE);
    Exchange& exchange = *(Exchange*)(digits_of_weights + WARPS * (TILES / 2) * 16);
    static_assert(STAGES * E * STRIDE + WARPS * TILES * 64 + sizeof(Exchange) <= SHARED_BYTES, "see cuda_passes.py");
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32, q = lane % 4, group = lane / 4;
    const int rank = blockIdx.x % CLUSTER, cluster = blockIdx.x / CLUSTER, clusters = gridDim.x / CLUSTER;
    const long long tiles = (m + E - 1) / E;
    const int block_feature = rank * FEATURES, feature = block_feature + warp * OWN;
    const int bytes = max(0, min(BULK ? FEATURES : OWN, n_x - (BULK ? block_feature : feature)));
    uint2* const w = digits_of_weights + warp * (TILES / 2) * 16 + lane;

    const auto begin = [&](long long tile, int stage) {
        u8* const at = stages + stage * E * STRIDE;
        const long long first = tile * E;
        const int count = (int)min((long long)E, m - first);
#if BULK
        if (tile < tiles) {  // by one warp: each lane copies an example
            const u32 full = shared_address(&exchange.full[stage]);
            if (lane == 0) barrier_expect(full, count * bytes);
            __syncwarp();
            if (lane < count && bytes)
                bulk_copy(shared_address(at + lane * STRIDE), examples + (first + lane) * n_x + block_feature, bytes, full);
        }
#else
        if (tile < tiles) {  // by each warp: its own features, and neighbouring lanes neighbouring pieces
            const int lanes = OWN % 128 == 0 ? 8 : OWN % 64 == 0 ? 4 : 2;
            const int row = lane / lanes, column = lane % lanes * 16;
            const u8* from = examples + (first + row) * n_x + feature + column;
            u8* to = at + warp * OWN + row * STRIDE + column;
#pragma unroll
            for (int r = 0; r < E; r += 32 / lanes) {
#pragma unroll
                for (int c = 0; c < OWN; c += 16 * lanes)
                    if (r + row < count && c + column < bytes) begin_copy(shared_address(to + c), from + c, true);
                from += (long long)(32 / lanes) * n_x;
                to += 32 / lanes * STRIDE;
            }
        }
        end_group();
#endif
    };

    const double scale = scale_of(largest_of(W, n_x, exchange.largest), FINEST_ONE_PASS);
    const float dz_scale = residual_scale(weighted ? largest : 0, FINEST_ONE_PASS);
    for (int i = thread; i < 8 * E; i += WARPS * 32) (&exchange.residuals[0][0])[i] = 0;
    if (group < DIGITS) {
        for (int s = 0; s < TILES / 2; s++) {
            u32 words[2] = {0, 0};
            for (int i = 0; i < 8; i++) {
                const int at = feature + 32 * s + 16 * (i / 4) + 4 * q + i % 4;
                int integer = at < n_x ? __double2int_rn((double)W[at] * scale) : 0, digit = 0;
                for (int d = 0; d <= group; d++) digit = next_digit(integer);
                words[i / 4] |= (u32)(digit & 255) << (8 * (i % 4));
            }
            w[s * 16] = make_uint2(words[0], words[1]);
        }
    }
#if BULK
    if (thread == 0) {
        for (int i = 0; i < STAGES; i++) barrier_init(shared_address(&exchange.full[i]), 1);
        for (int i = 0; i < 2; i++) barrier_init(shared_address(&exchange.arrived[i]), 1);
    }
    cluster_sync();
#else
    __syncthreads();
#endif
    int g[TILES][4];
#pragma unroll
    for (int t = 0; t < TILES; t++) g[t][0] = g[t][1] = g[t][2] = g[t][3] = 0;
    const double inverse = 1.0 / scale;
    double loss = 0.0;
    long long total = 0;

#pragma unroll
    for (int s = 0; s < STAGES; s++)
        if (!BULK || warp == 0) begin(cluster + (long long)s * clusters, s);

    int stage = 0, full_parity = 0, box = 0, box_parity = 0;
    for (long long tile = cluster; tile < tiles; tile += clusters) {
        const long long example = tile * E + lane;
        const bool mine = warp == 0 && example < m;
        float y = 0.0f, weight = 0.0f;
        if (mine) {
            y = labels[example];
            weight = weighted ? weights[example] : 1.0f;
        }
#if BULK
        barrier_wait(shared_address(&exchange.full[stage]), full_parity);
#else
        wait_for_all_but<STAGES - 1>();
        __syncwarp();
#endif
        int z[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
        u32 x[TILES / 2][2][4];
        const u32 from = shared_address(stages + stage * E * STRIDE + warp * OWN + (lane % 16) * STRIDE + 16 * (lane / 16));
#pragma unroll
        for (int s = 0; s < TILES / 2; s++)
#pragma unroll
            for (int half = 0; half < 2; half++) load_matrices(x[s][half], from + half * 16 * STRIDE + 32 * s);
#pragma unroll
        for (int s = 0; s < TILES / 2; s++) {
            const uint2 digits = group < DIGITS ? w[s * 16] : make_uint2(0, 0);
#pragma unroll
            for (int half = 0; half < 2; half++) multiply(z[half], x[s][half], digits.x, digits.y);
        }
#if !BULK
        __syncwarp();
        begin(tile + (long long)STAGES * clusters, stage);
#endif
        if (2 * q < DIGITS) {
#pragma unroll
            for (int half = 0; half < 2; half++)
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    int* const to = (int*)&exchange.z[warp][16 * half + group + 8 * i] + 2 * q;
                    to[0] = z[half][2 * i];
                    to[1] = z[half][2 * i + 1];
                }
        }
        __syncthreads();
#if BULK
        // All warps have the tile in registers: its place is free.
        if (warp == WARPS - 1) begin(tile + (long long)STAGES * clusters, stage);
#endif
        float of_z = 0.0f, e = 0.0f;
        if (warp == 0) {
            int4 digits = make_int4(0, 0, 0, 0);
#pragma unroll
            for (int i = 0; i < WARPS; i++) {
                const int4 more = exchange.z[i][lane];
                digits.x += more.x;
                digits.y += more.y;
                digits.z += more.z;
                digits.w += more.w;
            }
#if CLUSTER > 1
            const u32 address = shared_address(&exchange.inbox[box][rank][lane]);
            const u32 arrived = shared_address(&exchange.arrived[box]);
            if (lane == 0) barrier_expect(arrived, CLUSTER * E * 16);
            __syncwarp();
#pragma unroll
            for (int r = 0; r < CLUSTER; r++) send(in_block(address, r), in_block(arrived, r), digits);
            barrier_wait(arrived, box_parity);
#endif
            long long value = 0;
#pragma unroll
            for (int r = 0; r < CLUSTER; r++) {
                if (CLUSTER > 1) digits = exchange.inbox[box][r][lane];
                value += digits.x + ((long long)digits.y << 8) + ((long long)digits.z << 16) + ((long long)digits.w << 24);
            }
            of_z = (float)((double)value * inverse) + b[0];
            e = expf(-fabsf(of_z));
            const float dz = mine ? weight * ((of_z < 0.0f ? e : 1.0f) * __frcp_rn(1.0f + e) - y) : 0.0f;
            int integer = __float2int_rn(dz * dz_scale);
            total += integer;
            // The order of the examples in `transposed` pairs of bytes.
            const int position = 16 * (lane / 16) + 4 * (lane % 8 / 2) + lane % 2 + 2 * (lane / 8 % 2);
#pragma unroll
            for (int d = 0; d < DIGITS; d++) exchange.residuals[d][position] = (signed char)next_digit(integer);
        }
        __syncthreads();
        const u32 d0 = *(const u32*)&exchange.residuals[group][4 * q];
        const u32 d1 = *(const u32*)&exchange.residuals[group][16 + 4 * q];
#pragma unroll
        for (int s = 0; s < TILES / 2; s++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const u32 r0 = transposed(x[s][0][2 * h]), r1 = transposed(x[s][0][2 * h + 1]);
                const u32 r2 = transposed(x[s][1][2 * h]), r3 = transposed(x[s][1][2 * h + 1]);
                const u32 left[4] = {__byte_perm(r0, r1, 0x6420), __byte_perm(r0, r1, 0x7531),
                                     __byte_perm(r2, r3, 0x6420), __byte_perm(r2, r3, 0x7531)};
                multiply(g[2 * s + h], left, d0, d1);
            }
        // log1p takes long: after the others have their residuals.
        if (mine && rank == 0) loss += weight * ((larger(of_z, 0.0f) - of_z * y) + log1pf(e));
        box_parity ^= box;
        box ^= 1;
        if (++stage == STAGES) {
            stage = 0;
            full_parity ^= 1;
        }
    }

    // Lane (group, q) has the digits 2 q and 2 q + 1 of features 2 group and 2 group + 1.
#pragma unroll
    for (int t = 0; t < TILES; t++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            long long value = (long long)g[t][2 * i] + 256LL * g[t][2 * i + 1];
            value *= q % 2 ? 65536LL : 1LL;
            value += __shfl_xor_sync(EVERY_LANE, value, 1);
            const int at = feature + t * 16 + 2 * group + i;
            if (q == 0 && at < n_x) atomicAdd((u64*)&totals[at], (u64)value);
        }
    }
    if (warp == 0) {
#pragma unroll
        for (int other = 16; other; other /= 2) {
            loss += __shfl_xor_sync(EVERY_LANE, loss, other);
            total += __shfl_xor_sync(EVERY_LANE, total, other);
        }
        if (lane == 0 && rank == 0) {
            losses[cluster] = loss;
            atomicAdd((u64*)&totals[n_x], (u64)total);
        }
    }
#if CLUSTER > 1
    cluster_sync();  // no block ends while another still sends to it
#endif
}
#endif

#ifdef TRIPLES
// Many rows of weights, in groups of 8 TRIPLES rows. Tile 3 j + d has digit d of the rows 8 j ... 8 j + 7, so a lane has
// all three digits of its rows.
#define DIGITS 3
#define NT (DIGITS * TRIPLES)
#define ROWS (8 * TRIPLES)
#define SPAN (8 * 16 * HALVES)                // examples of a block of logits, features of a block of gradient
#define STEP_BYTES (NT * 256)                 // of the digits of 32 features or examples
#define DIGIT_BYTES (CHUNK / 32 * STEP_BYTES) // of a stage
#define LOGITS_STAGE (SPAN * (CHUNK + 16))
#define GRADIENT_STAGE (CHUNK * (SPAN + 16))

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// Compute capability 9.0 has products of the four warps of a group, which run beside other instructions and read one
// factor from shared memory. Each warp gives 16 rows of 32 bytes, and gets their sums as from `multiply`.
#define SUMS(s) "+r"(s[0]), "+r"(s[1]), "+r"(s[2]), "+r"(s[3])
#define OF_3_TILES(s) SUMS(s[0]), SUMS(s[1]), SUMS(s[2])
#define FACTORS "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right)
#define WGMMA(columns) \
    "{\n.reg .pred adds;\nsetp.eq.u32 adds, 0, 0;\nwgmma.mma_async.sync.aligned.m64n" #columns "k32.s32.u8.s8 "
#define SUMS_12 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11"
#define SUMS_24 SUMS_12 ",%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23"
#define SUMS_48 SUMS_24 \
    ",%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"

// Begins sums += left right, where the right factor is 3, 6 or 12 tiles of 32 x 8 signed bytes.
__device__ __forceinline__ void begin_3_tiles(int (*sums)[4], const u32* left, u64 right) {
    asm volatile(WGMMA(24) SUMS_12 "}, {%12,%13,%14,%15}, %16, adds;\n}" : OF_3_TILES(sums) : FACTORS);
}
__device__ __forceinline__ void begin_6_tiles(int (*sums)[4], const u32* left, u64 right) {
    asm volatile(WGMMA(48) SUMS_24 "}, {%24,%25,%26,%27}, %28, adds;\n}"
                 : OF_3_TILES(sums), OF_3_TILES((sums + 3)) : FACTORS);
}
__device__ __forceinline__ void begin_12_tiles(int (*sums)[4], const u32* left, u64 right) {
    asm volatile(WGMMA(96) SUMS_48 "}, {%48,%49,%50,%51}, %52, adds;\n}"
                 : OF_3_TILES(sums), OF_3_TILES((sums + 3)), OF_3_TILES((sums + 6)), OF_3_TILES((sums + 9)) : FACTORS);
}

// Begins sums[h] += left[h] digits, for each h: see `wait_for_products`.
__device__ __forceinline__ void multiply_tiles(int (*sums)[NT][4], const u32 (*left)[4], const u8* digits) {
    // Where the factor lies: 8 columns of 16 bytes each lie together, the other 16 bytes of these columns come 128 bytes
    // later, and the next 8 columns 256 bytes later. (All in units of 16 bytes.)
    const u64 layout = (u64)(128 / 16) << 16 | (u64)(256 / 16) << 32;
    const u64 right = layout | (shared_address(digits) & 0x3ffff) >> 4;
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int h = 0; h < HALVES; h++) {
#if TRIPLES == 4
        begin_12_tiles(sums[h], left[h], right);
#else
        if (TRIPLES > 1) begin_6_tiles(sums[h], left[h], right);
        if (TRIPLES % 2) begin_3_tiles(sums[h] + NT - 3, left[h], right + (TRIPLES - 1) * 3 * 256 / 16);
#endif
    }
    // Those before are complete then: the registers hold two left factors, not more.
    asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 1;" ::: "memory");
}
// Wait until all products are added up, and their factors in shared memory are no longer needed.
__device__ __forceinline__ void wait_for_products(int (*sums)[NT][4]) {
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
    for (int i = 0; i < HALVES * NT * 4; i++) asm volatile("" : "+r"((&sums[0][0][0])[i]) :: "memory");
}
// The copies of this thread that are complete can be read by such products.
__device__ __forceinline__ void show_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
#else
// sums[h] += left[h] digits, for each h, by each warp alone.
__device__ __forceinline__ void multiply_tiles(int (*sums)[NT][4], const u32 (*left)[4], const u8* digits) {
    const u32* const of_lane = (const u32*)digits + threadIdx.x % 32;
#pragma unroll
    for (int t = 0; t < NT; t++) {
        const u32 right = of_lane[t * 64], right_end = of_lane[t * 64 + 32];
#pragma unroll
        for (int h = 0; h < HALVES; h++) multiply(sums[h][t], left[h], right, right_end);
    }
}
__device__ __forceinline__ void wait_for_products(int (*)[NT][4]) {}
__device__ __forceinline__ void show_copies() {}
#endif

// The digits of the weights in the order in which logits reads them: (groups, steps of 32 features, NT, 2, 32) words,
// with zeros at the end. Of each tile of 8 rows, first come 16 features of each row, then the other 16. inverses: (groups
// ROWS), one by the scale of each row. A block for each row, also for the missing ones of the last group.
extern "C" __global__ void __launch_bounds__(256)
weight_digits(const float* __restrict__ W, unsigned* __restrict__ digits, double* __restrict__ inverses, int n_x,
              int steps, int rows) {
    __shared__ float room[8];
    const int row = blockIdx.x, group = row / ROWS, j = row % ROWS / 8;
    const float* const w = W + (long long)row * n_x;
    const double scale = row < rows ? scale_of(largest_of(w, n_x, room), FINEST_WEIGHT) : 1.0;
    if (threadIdx.x == 0) inverses[row] = 1.0 / scale;
    for (int i = threadIdx.x; i < steps * 8; i += 256) {  // four features, a word of each digit
        const int step = i / 8, half = i / 4 % 2, q = i % 4;
        u32 words[DIGITS] = {0, 0, 0};
        for (int k = 0; k < 4; k++) {
            const int feature = 32 * step + 16 * half + 4 * q + k;
            int integer = row < rows && feature < n_x ? __double2int_rn((double)w[feature] * scale) : 0;
            for (int d = 0; d < DIGITS; d++) words[d] |= (u32)(next_digit(integer) & 255) << (8 * k);
        }
        for (int d = 0; d < DIGITS; d++) {
            const long long tile = ((long long)group * steps + step) * NT + DIGITS * j + d;
            digits[tile * 64 + half * 32 + row % 8 * 4 + q] = words[d];
        }
    }
}

// Z (rows, m) = W x + b. The grid has (m / SPAN, groups) blocks of 256 threads.
extern "C" __global__ void __launch_bounds__(256, 1)
logits(const unsigned char* __restrict__ examples, const unsigned* __restrict__ W, const double* __restrict__ inverses,
       const float* __restrict__ b, float* __restrict__ Z, long long m, int n_x, int rows) {
    extern __shared__ uint4 ring[];
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32, q = lane % 4, group = lane / 4;
    const int chunks = (n_x + CHUNK - 1) / CHUNK;
    const long long first = (long long)blockIdx.x * SPAN;
    const u8* const digits = (const u8*)W + (long long)blockIdx.y * chunks * DIGIT_BYTES;
    const int pieces = CHUNK / 16, own_row = thread / pieces, column = thread % pieces * 16;
    const int count = (int)min((long long)SPAN, m - first);
    const u8* const own = examples + (first + own_row) * n_x + column;
    const auto begin = [&](int chunk) {
        if (chunk < chunks) {
            u8* const at = (u8*)ring + chunk % STAGES * (LOGITS_STAGE + DIGIT_BYTES);
            const bool inside = chunk * CHUNK + column < n_x;
#pragma unroll
            for (int i = 0; i < SPAN; i += 256 / pieces) {
                const bool valid = inside && own_row + i < count;
                const u8* const from = valid ? own + (long long)i * n_x + chunk * CHUNK : examples;
                begin_copy(shared_address(at + (own_row + i) * (CHUNK + 16) + column), from, valid);
            }
            for (int i = thread * 16; i < DIGIT_BYTES; i += 256 * 16)
                begin_copy(shared_address(at + LOGITS_STAGE + i), digits + (long long)chunk * DIGIT_BYTES + i, true);
        }
        end_group();
    };
    int z[HALVES][NT][4];
#pragma unroll
    for (int i = 0; i < HALVES * NT * 4; i++) (&z[0][0][0])[i] = 0;
#if WIDE
    long long sums[HALVES][TRIPLES][4];
#pragma unroll
    for (int i = 0; i < HALVES * TRIPLES * 4; i++) (&sums[0][0][0])[i] = 0;
#endif
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) begin(s);
    for (int chunk = 0; chunk < chunks; chunk++) {
        wait_for_all_but<STAGES - 2>();
        show_copies();
        __syncthreads();
        begin(chunk + STAGES - 1);
        const u8* const at = (u8*)ring + chunk % STAGES * (LOGITS_STAGE + DIGIT_BYTES);
        const u32 from = shared_address(at + (warp * 16 * HALVES + lane % 16) * (CHUNK + 16) + 16 * (lane / 16));
#pragma unroll
        for (int k = 0; k < CHUNK / 32; k++) {
            u32 left[HALVES][4];
#pragma unroll
            for (int h = 0; h < HALVES; h++) load_matrices(left[h], from + h * 16 * (CHUNK + 16) + 32 * k);
            multiply_tiles(z, left, at + LOGITS_STAGE + k * STEP_BYTES);
        }
        wait_for_products(z);
#if WIDE
        if (chunk % (65536 / CHUNK) == 65536 / CHUNK - 1) {
#pragma unroll
            for (int h = 0; h < HALVES; h++)
#pragma unroll
                for (int j = 0; j < TRIPLES; j++)
#pragma unroll
                    for (int i = 0; i < 4; i++)
#pragma unroll
                        for (int d = 0; d < DIGITS; d++) {
                            sums[h][j][i] += (long long)z[h][DIGITS * j + d][i] << (8 * d);
                            z[h][DIGITS * j + d][i] = 0;
                        }
        }
#endif
    }
#pragma unroll
    for (int h = 0; h < HALVES; h++)
#pragma unroll
        for (int j = 0; j < TRIPLES; j++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const long long example = first + (warp * HALVES + h) * 16 + group + 8 * (i / 2);
                const int row = blockIdx.y * ROWS + 8 * j + 2 * q + i % 2;
                const int* const of_row = z[h][DIGITS * j];
                long long sum = of_row[i] + ((long long)z[h][DIGITS * j + 1][i] << 8) +
                                ((long long)z[h][DIGITS * j + 2][i] << 16);
#if WIDE
                sum += sums[h][j][i];
#endif
                if (example < m && row < rows) Z[row * m + example] = (float)((double)sum * inverses[row]) + b[row];
            }
}

// Digits of the residuals of 8 examples, which lane (group, q) of gradient reads. Returns their sum.
__device__ __forceinline__ long long write_digits(const float* dz, float scale, unsigned* to) {
    u32 words[DIGITS][2] = {{0, 0}, {0, 0}, {0, 0}};
    long long total = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        int integer = __float2int_rn(dz[i] * scale);
        total += integer;
#pragma unroll
        for (int d = 0; d < DIGITS; d++) words[d][i / 4] |= (u32)(next_digit(integer) & 255) << (8 * (i % 4));
    }
#pragma unroll
    for (int d = 0; d < DIGITS; d++)
#pragma unroll
        for (int half = 0; half < 2; half++) to[d * 64 + half * 32] = words[d][half];
    return total;
}
// Which of the 32 examples of a step is the i-th of lane (group, q): the order of `load_transposed` pairs of bytes.
__device__ __forceinline__ int example_of(int q, int i) { return 16 * (i / 4) + 8 * (i / 2 % 2) + 2 * q + i % 2; }
// Where the first digit of a row is, for lane q.
__device__ __forceinline__ long long word_of(int row, long long step, long long steps, int q) {
    return ((row / ROWS * steps + step) * NT + DIGITS * (row % ROWS / 8)) * 64 + row % 8 * 4 + q;
}

// dZ of logistic regressions, which share their labels (m), in digits: (groups, steps of 32 examples, NT, 2, 32) words, in
// the order of those of the weights. losses: (rows, blocks); totals: sums of dZ of each row, at a distance of `stride`, to
// which this adds. The grid has (steps / 8, groups TRIPLES) blocks of 256 threads.
extern "C" __global__ void __launch_bounds__(256)
logistic_digits(const float* __restrict__ Z, const float* __restrict__ labels, const float* __restrict__ weights,
                const float* __restrict__ largest, unsigned* __restrict__ digits, double* __restrict__ losses,
                long long* __restrict__ totals, long long stride, long long m, int rows, int weighted) {
    __shared__ double of_warps[8][8];
    __shared__ long long sums_of_warps[8][8];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, q = lane % 4, group = lane / 4;
    const long long step = (long long)blockIdx.x * 8 + warp, steps = (m + 31) / 32;
    const int row = 8 * blockIdx.y + group;
    const float scale = residual_scale(weighted ? largest : 0, FINEST_WEIGHT);
    double loss = 0.0;
    long long total = 0;
    if (step < steps) {
        float dz[8];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const long long example = step * 32 + example_of(q, i);
            dz[i] = 0.0f;
            if (example >= m || row >= rows) continue;
            const float z = Z[row * m + example], y = labels[example], weight = weighted ? weights[example] : 1.0f;
            const float e = expf(-fabsf(z));
            dz[i] = weight * ((z < 0.0f ? e : 1.0f) * __frcp_rn(1.0f + e) - y);
            loss += weight * ((larger(z, 0.0f) - z * y) + log1pf(e));
        }
        total = write_digits(dz, scale, digits + word_of(row, step, steps, q));
    }
#pragma unroll
    for (int other = 1; other < 4; other *= 2) {
        loss += __shfl_xor_sync(EVERY_LANE, loss, other);
        total += __shfl_xor_sync(EVERY_LANE, total, other);
    }
    if (q == 0) {
        of_warps[warp][group] = loss;
        sums_of_warps[warp][group] = total;
    }
    __syncthreads();
    if (threadIdx.x < 8 && 8 * blockIdx.y + threadIdx.x < rows) {
        for (int i = 1; i < 8; i++) {
            of_warps[0][threadIdx.x] += of_warps[i][threadIdx.x];
            sums_of_warps[0][threadIdx.x] += sums_of_warps[i][threadIdx.x];
        }
        const int its = 8 * blockIdx.y + threadIdx.x;
        losses[(long long)its * gridDim.x + blockIdx.x] = of_warps[0][threadIdx.x];
        atomicAdd((u64*)&totals[its * stride], (u64)sums_of_warps[0][threadIdx.x]);
    }
}

// The same of softmax regressions: the labels are one-hot columns (classes, m), losses: (runs, blocks). The grid has
// (steps / 8, runs + 1) blocks: those of the last run write zeros for the rows that are missing in the last group.
extern "C" __global__ void __launch_bounds__(256)
softmax_digits(const float* __restrict__ Z, const float* __restrict__ labels, const float* __restrict__ weights,
               const float* __restrict__ largest, unsigned* __restrict__ digits, double* __restrict__ losses,
               long long* __restrict__ totals, long long stride, long long m, int rows, int classes, int weighted) {
    __shared__ float peaks[256], shares[256];  // an example's largest logit, and its weight by the sum of exponentials
    __shared__ double of_warps[8];
    __shared__ long long sums_of_warps[8][8];
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32, q = lane % 4, group = lane / 4;
    const int run = blockIdx.y, runs = rows / classes, first_row = run * classes;
    const long long steps = (m + 31) / 32, step = (long long)blockIdx.x * 8 + warp;
    const float scale = residual_scale(weighted ? largest : 0, FINEST_WEIGHT);
    if (run == runs) {
        const float zeros[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        for (int row = rows + group; row < (rows + ROWS - 1) / ROWS * ROWS; row += 8)
            if (step < steps) write_digits(zeros, scale, digits + word_of(row, step, steps, q));
        return;
    }
    const long long own = (long long)blockIdx.x * 256 + thread;
    double loss = 0.0;
    if (own < m) {
        const float* const z = Z + first_row * m + own;
        float peak = z[0], total = 0.0f, picked = 0.0f;
        for (int c = 1; c < classes; c++) {
            const float value = z[c * m];
            if (value > peak || value != value) peak = value;
        }
        for (int c = 0; c < classes; c++) {
            const float shifted = z[c * m] - peak;
            total += expf(shifted);
            picked += shifted * labels[c * m + own];
        }
        loss = (weighted ? weights[own] : 1.0f) * (logf(total) - picked);
        peaks[thread] = peak;
        shares[thread] = 1.0f / total;
    }
#pragma unroll
    for (int other = 16; other; other /= 2) loss += __shfl_xor_sync(EVERY_LANE, loss, other);
    if (lane == 0) of_warps[warp] = loss;
    __syncthreads();
    if (thread == 0) {
        for (int i = 1; i < 8; i++) loss += of_warps[i];
        losses[(long long)run * gridDim.x + blockIdx.x] = loss;
    }
    for (int c = group; c < (classes + 7) / 8 * 8; c += 8) {
        const int row = first_row + c;
        long long total = 0;
        if (step < steps && c < classes) {
            float dz[8];
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const int of_step = example_of(q, i), at = warp * 32 + of_step;
                const long long example = step * 32 + of_step;
                dz[i] = 0.0f;
                if (example >= m) continue;
                const float a = expf(Z[row * m + example] - peaks[at]) * shares[at];
                dz[i] = (weighted ? weights[example] : 1.0f) * (a - labels[c * m + example]);
            }
            total = write_digits(dz, scale, digits + word_of(row, step, steps, q));
        }
#pragma unroll
        for (int other = 1; other < 4; other *= 2) total += __shfl_xor_sync(EVERY_LANE, total, other);
        if (q == 0) sums_of_warps[warp][group] = total;
        __syncthreads();
        if (thread < 8 && c / 8 * 8 + thread < classes) {
            total = 0;
            for (int i = 0; i < 8; i++) total += sums_of_warps[i][thread];
            atomicAdd((u64*)&totals[(first_row + c / 8 * 8 + thread) * stride], (u64)total);
        }
        __syncthreads();
    }
}

// totals (rows, stride) += dZ X^T of `each` examples, a multiple of CHUNK and at most 65,536. The grid has (n_x / SPAN,
// m / each, groups) blocks of 256 threads.
extern "C" __global__ void __launch_bounds__(256, 1)
gradient(const unsigned char* __restrict__ examples, const unsigned* __restrict__ dZ, long long* __restrict__ totals,
         long long stride, long long m, long long each, int n_x, int rows) {
    extern __shared__ uint4 ring[];
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32, q = lane % 4, group = lane / 4;
    const int feature = blockIdx.x * SPAN;
    const long long first = blockIdx.y * each, end = min(m, first + each), steps = (m + 31) / 32;
    const int chunks = (int)((end - first + CHUNK - 1) / CHUNK);
    const u8* const digits = (const u8*)dZ + blockIdx.z * steps * NT * 256;
    const int pieces = SPAN / 16, own_row = thread / pieces, column = thread % pieces * 16;
    const bool inside = feature + column < n_x;
    const u8* const own = examples + (first + own_row) * n_x + feature + column;
    const auto begin = [&](int chunk) {
        if (chunk < chunks) {
            u8* const at = (u8*)ring + chunk % STAGES * (GRADIENT_STAGE + DIGIT_BYTES);
            const int count = (int)min((long long)CHUNK, end - first - chunk * CHUNK);
            const u8* const its = own + (long long)chunk * CHUNK * n_x;
#pragma unroll
            for (int i = 0; i < CHUNK; i += 256 / pieces) {
                const bool valid = inside && own_row + i < count;
                const u8* const from = valid ? its + (long long)i * n_x : examples;
                begin_copy(shared_address(at + (own_row + i) * (SPAN + 16) + column), from, valid);
            }
            const long long step = first / 32 + chunk * (CHUNK / 32);
            for (int i = thread * 16; i < DIGIT_BYTES; i += 256 * 16) {
                const bool valid = step + i / (NT * 256) < steps;
                const u8* const from = valid ? digits + step * NT * 256 + i : digits;
                begin_copy(shared_address(at + GRADIENT_STAGE + i), from, valid);
            }
        }
        end_group();
    };
    int g[HALVES][NT][4];
#pragma unroll
    for (int i = 0; i < HALVES * NT * 4; i++) (&g[0][0][0])[i] = 0;
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) begin(s);
    for (int chunk = 0; chunk < chunks; chunk++) {
        wait_for_all_but<STAGES - 2>();
        show_copies();
        __syncthreads();
        begin(chunk + STAGES - 1);
        const u8* const at = (u8*)ring + chunk % STAGES * (GRADIENT_STAGE + DIGIT_BYTES);
        const u32 from = shared_address(at + lane * (SPAN + 16) + warp * 16 * HALVES);
#pragma unroll
        for (int k = 0; k < CHUNK / 32; k++) {
            u32 left[HALVES][4];
#pragma unroll
            for (int h = 0; h < HALVES; h++) {
                u32 r[4];
                load_transposed(r, from + k * 32 * (SPAN + 16) + 16 * h);
                left[h][0] = __byte_perm(r[0], r[1], 0x6420);
                left[h][1] = __byte_perm(r[0], r[1], 0x7531);
                left[h][2] = __byte_perm(r[2], r[3], 0x6420);
                left[h][3] = __byte_perm(r[2], r[3], 0x7531);
            }
            multiply_tiles(g, left, at + GRADIENT_STAGE + k * STEP_BYTES);
        }
        wait_for_products(g);
    }
#pragma unroll
    for (int h = 0; h < HALVES; h++)
#pragma unroll
        for (int j = 0; j < TRIPLES; j++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int row = blockIdx.z * ROWS + 8 * j + 2 * q + i % 2;
                const int at = feature + (warp * HALVES + h) * 16 + 2 * group + i / 2;
                const long long sum = g[h][DIGITS * j][i] + ((long long)g[h][DIGITS * j + 1][i] << 8) +
                                      ((long long)g[h][DIGITS * j + 2][i] << 16);
                if (row < rows && at < n_x) atomicAdd((u64*)&totals[row * stride + at], (u64)sum);
            }
}
#endif

// From the sums of integers to G (rows, n_x) and r (rows), and from the parts of the losses (runs, count) to their sums
// (runs). Where a loss is no number, so are they: residuals that are no numbers have no digits. The grid has
// (n_x / 256 + 1, rows) blocks of 256 threads.
extern "C" __global__ void __launch_bounds__(256)
finish(const long long* __restrict__ totals, const double* __restrict__ losses, const float* __restrict__ largest,
       float* __restrict__ loss, float* __restrict__ G, float* __restrict__ r, int count, int runs, int n_x, int finest,
       int weighted) {
    __shared__ double parts[256];
    const int thread = threadIdx.x, row = blockIdx.y, classes = gridDim.y / runs, run = row / classes;
    const int column = blockIdx.x * 256 + thread;
    double sum = 0.0;
    for (int i = thread; i < count; i += 256) sum += losses[(long long)run * count + i];
    parts[thread] = sum;
    for (int half = 128; half; half /= 2) {
        __syncthreads();
        if (thread < half) parts[thread] += parts[thread + half];
    }
    __syncthreads();
    sum = parts[0];
    if (column > n_x) return;
    const double inverse = 1.0 / (double)residual_scale(weighted ? largest : 0, finest);
    const double total = (double)totals[(long long)row * (n_x + 1) + column] * inverse;
    const float value = sum - sum == 0.0 ? (float)total : (float)(sum - sum);
    if (column == n_x) {
        r[row] = value;
        if (row % classes == 0) loss[run] = (float)sum;
    } else {
        G[(long long)row * n_x + column] = value;
    }
}
