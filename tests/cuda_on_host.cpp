// Runs CUDA kernels on the CPU, compiled by a host compiler. The threads of a cluster of blocks are fibers of one thread:
// when one waits for the others, the next one runs. Where a GPU would hang or compute nonsense, the process ends with a
// message. What it cannot show: how copies overlap with arithmetic, races between warps that take turns in another order,
// functions that a device rounds in another way, such as expf, and the products of four warps, which only sm_90a has.
#include "cuda_on_host.h"

#include <setjmp.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

uint3_on_host threadIdx, blockIdx, blockDim, gridDim;

namespace on_host {

bool early;
void** given;

struct Copy { void* to; const void* from; size_t size; };

struct Meeting {  // where all threads of a warp, of a block or of a cluster wait for each other
    unsigned size = 0, arrived = 0, ended = 0;
    long times = 0;
};

struct Fiber {
    ucontext_t context;
    jmp_buf place;  // where it goes on. Unlike swapcontext, jumps need no system call
    std::vector<char> stack;
    unsigned index = 0, thread = 0, rank = 0;  // index: in the cluster; rank: of its block there
    bool started = false, finished = false;
    long at_warp = 0;  // how often its warp has met
    std::vector<std::vector<Copy>> groups{1};
};

struct Barrier {  // in shared memory: an mbarrier
    unsigned count, missing;
    long bytes = 0;  // that are expected, less those that came
    unsigned phase = 0;
    std::vector<std::function<void()>> coming;  // copies that complete on it, as late as possible
};

static std::vector<std::unique_ptr<Fiber>> fibers;
static std::vector<Meeting> warps, blocks;
static Meeting cluster_of_blocks;
static std::vector<std::vector<uint4>> shared;  // of each block of the cluster
static std::map<unsigned, Barrier> barriers;
static std::vector<double> exchanged;  // two of each thread, used in turn
static Fiber* current;
static jmp_buf scheduler;
static void (*body)();

[[noreturn]] static void fail(const char* reason) {
    std::fprintf(stderr, "cuda_on_host: block %u %u %u: %s\n", blockIdx.x, blockIdx.y, blockIdx.z, reason);
    std::abort();
}

static void take_turns() {
    if (!_setjmp(current->place)) _longjmp(scheduler, 1);
}

__attribute__((noinline)) static void enter(Fiber* fiber) {
    if (_setjmp(scheduler)) return;
    if (fiber->started) _longjmp(fiber->place, 1);
    fiber->started = true;
    setcontext(&fiber->context);
}

static void wait_at(Meeting& meeting) {
    const long before = meeting.times;
    if (++meeting.arrived == meeting.size) {
        meeting.arrived = 0;
        meeting.times++;
    }
    while (meeting.times == before) {
        if (meeting.ended) fail("a thread ended, and others wait for it");
        take_turns();
    }
}

static unsigned first_of_warp() { return current->index - current->thread % 32; }
static Meeting& own_warp() { return warps[first_of_warp() / 32]; }
static Meeting& own_block() { return blocks[current->rank]; }
static void wait_for_warp() {
    current->at_warp++;
    wait_at(own_warp());
}

static void run_fiber() {
    body();
    current->finished = true;
    for (Meeting* meeting : {&own_warp(), &own_block(), &cluster_of_blocks}) meeting->ended++;
    for (;;) take_turns();
}

void launch(const unsigned* grid, const unsigned* block, size_t shared_bytes, unsigned cluster, void (*kernel)()) {
    const unsigned count = block[0] * block[1] * block[2];
    if (count == 0 || count > 1024 || (count > 32 && count % 32) || block[1] != 1 || block[2] != 1) fail("a block of an impossible shape");
    if (!grid[0] || !grid[1] || !grid[2] || grid[1] > 65535 || grid[2] > 65535) fail("an impossible grid");
    if (grid[0] % cluster) fail("a grid that is no multiple of the cluster");
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], 1, 1};
    body = kernel;
    for (unsigned z = 0; z < grid[2]; z++)
        for (unsigned y = 0; y < grid[1]; y++)
            for (unsigned x = 0; x < grid[0]; x += cluster) {
                const uint4 unknown = make_uint4(0xABABABAB, 0xABABABAB, 0xABABABAB, 0xABABABAB);
                shared.assign(cluster, std::vector<uint4>(shared_bytes / 16 + 1, unknown));
                exchanged.assign(2 * count * cluster, NAN);
                barriers.clear();
                fibers.clear();
                warps.assign((count + 31) / 32 * cluster, Meeting{min(count, 32u)});
                blocks.assign(cluster, Meeting{count});
                cluster_of_blocks = Meeting{count * cluster};
                for (unsigned i = 0; i < count * cluster; i++) {
                    fibers.push_back(std::make_unique<Fiber>());
                    Fiber& fiber = *fibers.back();
                    fiber.index = i;
                    fiber.thread = i % count;
                    fiber.rank = i / count;
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
                        threadIdx = {fiber->thread, 0, 0};
                        blockIdx = {x + fiber->rank, y, z};
                        enter(current);
                    }
                    if (all) break;
                    if (turns > 1000000) fail("it does not end");
                }
            }
    fibers.clear();
}

uint4* ring() { return shared[current->rank].data(); }

// Addresses of shared memory: the rank of the block in the cluster, and an offset of 20 bits.
static unsigned char* pointer_to(unsigned address, size_t size) {
    auto& memory = shared.at(address >> 20);
    const size_t offset = address & 0xfffff;
    if (offset + size > memory.size() * 16) fail("an address outside of shared memory");
    if (offset % min(size, (size_t)16)) fail("an address in shared memory that is not aligned");
    return (unsigned char*)memory.data() + offset;
}

static void check_phase(Barrier& barrier) {
    if (barrier.missing || barrier.bytes) return;
    barrier.missing = barrier.count;
    barrier.phase++;
}

// Something that completes on a barrier: at once if `early` is set, otherwise when a thread waits for the barrier.
static void complete(unsigned address, size_t bytes, std::function<void()> work) {
    const auto done = [=] {
        work();
        barriers.at(address).bytes -= (long)bytes;
        check_phase(barriers.at(address));
    };
    if (early) done();
    else barriers.at(address).coming.push_back(done);
}

void shuffle(unsigned mask, void* value, size_t size, int other) {
    if (mask != 0xffffffffu || current->thread / 32 * 32 + 32 > blockDim.x) fail("a shuffle without all lanes of a warp");
    const size_t turn = current->at_warp % 2 * fibers.size();
    std::memcpy(&exchanged[turn + current->index], value, size);
    wait_for_warp();
    std::memcpy(value, &exchanged[turn + (current->index ^ other)], size);
}

// Asynchronous copies run when they are begun, if `early` is set; otherwise when they are waited for.
void wait_for_groups(int newer) {
    auto& groups = current->groups;  // the last group is not complete yet
    while ((int)groups.size() - 1 > newer) {
        for (const auto& copy : groups.front()) std::memcpy(copy.to, copy.from, copy.size);
        groups.erase(groups.begin());
    }
}

}  // namespace on_host

void __syncthreads() { on_host::wait_at(on_host::own_block()); }
void __syncwarp() { on_host::wait_for_warp(); }

unsigned shared_address(const void* pointer) {
    using namespace on_host;
    const size_t offset = (const char*)pointer - (const char*)ring();
    if (offset >= shared[current->rank].size() * 16) fail("a pointer that is not into shared memory");
    return current->rank << 20 | (unsigned)offset;
}

// The product of 16 x 32 bytes and 32 x 8 signed bytes by a warp: each lane has parts of both, and gets a part of it.
__attribute__((optimize("O3"))) void multiply(int* sums, const unsigned* left, unsigned right, unsigned right_end) {
    using namespace on_host;
    static unsigned given[2][128][32][6];  // by turn, warp and lane
    const unsigned warp = first_of_warp() / 32, lane = current->thread % 32;
    auto& lanes = given[current->at_warp % 2][warp];
    std::copy(left, left + 4, lanes[lane]);
    lanes[lane][4] = right;
    lanes[lane][5] = right_end;
    wait_for_warp();
    for (int i = 0; i < 4; i++) {
        const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
        int products = 0;
        for (int word = 0; word < 8; word++) {
            const unsigned of_left = lanes[row % 8 * 4 + word % 4][word / 4 * 2 + row / 8];
            const unsigned of_right = lanes[column * 4 + word % 4][4 + word / 4];
            products += (int)(of_left & 255) * (signed char)of_right +
                        (int)(of_left >> 8 & 255) * (signed char)(of_right >> 8) +
                        (int)(of_left >> 16 & 255) * (signed char)(of_right >> 16) +
                        (int)(of_left >> 24) * (signed char)(of_right >> 24);
        }
        if (__builtin_add_overflow(sums[i], products, &sums[i])) fail("a sum of int32 overflows");
    }
}

static inline void exchange_rows(unsigned address, unsigned (*rows)[32][4]) {  // 16 bytes from each lane's address
    using namespace on_host;
    static unsigned given[2][128][32][4];
    auto& lanes = given[current->at_warp % 2][first_of_warp() / 32];
    std::memcpy(lanes[current->thread % 32], pointer_to(address, 16), 16);
    wait_for_warp();
    std::memcpy(*rows, lanes, sizeof lanes);
}
static inline unsigned pair_at(const unsigned* row, int column) { return row[column / 2] >> (16 * (column % 2)) & 0xffff; }
void load_matrices(unsigned* to, unsigned address) {
    unsigned rows[32][4], lane = threadIdx.x % 32;
    exchange_rows(address, &rows);
    for (int i = 0; i < 4; i++) to[i] = rows[8 * i + lane / 4][lane % 4];
}
void load_transposed(unsigned* to, unsigned address) {
    unsigned rows[32][4], lane = threadIdx.x % 32;
    exchange_rows(address, &rows);
    for (int i = 0; i < 4; i++) {
        const unsigned(*matrix)[4] = rows + 8 * i + 2 * (lane % 4);
        to[i] = pair_at(matrix[0], lane / 4) | pair_at(matrix[1], lane / 4) << 16;
    }
}
unsigned transposed(unsigned pairs) {
    using namespace on_host;
    static unsigned given[2][128][32];
    auto& lanes = given[current->at_warp % 2][first_of_warp() / 32];
    const unsigned lane = current->thread % 32;
    lanes[lane] = pairs;
    wait_for_warp();
    const unsigned column = lane / 4, row = 2 * (lane % 4);
    return pair_at(lanes + 4 * row, column) | pair_at(lanes + 4 * (row + 1), column) << 16;
}

void begin_copy(unsigned to, const void* from, bool valid) {
    static const uint4 zeros = {0, 0, 0, 0};
    void* const target = on_host::pointer_to(to, 16);
    if ((size_t)from % 16) on_host::fail("a copy from an address it cannot use");
    if (on_host::early)
        std::memcpy(target, valid ? from : &zeros, 16);
    else
        on_host::current->groups.back().push_back({target, valid ? from : &zeros, 16});
}
void end_group() { on_host::current->groups.emplace_back(); }
void barrier_init(unsigned barrier, unsigned count) {
    on_host::pointer_to(barrier, 8);
    on_host::barriers[barrier] = {count, count};
}
void barrier_expect(unsigned barrier, unsigned bytes) {
    auto& found = on_host::barriers.at(barrier);
    if (!found.missing--) on_host::fail("more arrivals at a barrier than it counts");
    found.bytes += bytes;
    on_host::check_phase(found);
}
void barrier_wait(unsigned barrier, unsigned parity) {
    for (;;) {
        auto& found = on_host::barriers.at(barrier);
        const auto coming = std::move(found.coming);
        found.coming.clear();
        for (const auto& work : coming) work();
        if (found.phase % 2 != parity) return;
        on_host::take_turns();
    }
}
void bulk_copy(unsigned to, const void* from, unsigned bytes, unsigned barrier) {
    if ((size_t)from % 16 || bytes % 16) on_host::fail("a bulk copy of what is no multiple of 16 bytes");
    void* const target = on_host::pointer_to(to, 16);
    on_host::pointer_to(to + bytes - 16, 16);
    on_host::complete(barrier, bytes, [=] { std::memcpy(target, from, bytes); });
}
unsigned in_block(unsigned address, unsigned rank) { return rank << 20 | (address & 0xfffff); }
void send(unsigned address, unsigned barrier, int4 value) {
    if (address >> 20 != barrier >> 20) on_host::fail("a store that completes on a barrier of another block");
    void* const target = on_host::pointer_to(address, 16);
    on_host::complete(barrier, 16, [=] { std::memcpy(target, &value, 16); });
}
void cluster_sync() { on_host::wait_at(on_host::cluster_of_blocks); }
