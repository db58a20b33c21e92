// Loops of training for which NumPy needs several passes over memory, or a copy of the data in another type.
//
// This is plain C that a compiler can vectorize: without intrinsics, threads, allocation, or Python's C API. Most
// functions are compiled for float and for double. Where possible all are compiled for several levels of x86-64, and
// the program chooses one when it starts. on_native.py calls them through ctypes.
//
// The compiler may change the order of sums (-fassociative-math): otherwise it could not vectorize them. Where the
// order matters there is an fma, which the compiler does not change. NaN and infinities follow the standard.

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define EXPORT __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

// A checksum of this file and native_real.h: on_native.py checks that the library was compiled from them.
EXPORT uint32_t source(void) { return SOURCE; }

#ifdef _WIN32
// On Windows setuptools exports this function, as of every module of Python. This library is none: on_native.py loads
// it through ctypes.
EXPORT void *PyInit__native(void) { return NULL; }
#endif

// Add X X^T to the rows `first` to `last` - 1 of the lower triangle of G (m, m), in tiles of 4 x 4. X: (last, n), whose
// numbers are bytes. n is below 2^15, so that the sums of integers do not overflow.
EXPORT void gram(const int16_t *X, ptrdiff_t n, ptrdiff_t first, ptrdiff_t last, double *G, ptrdiff_t m) {
    for (ptrdiff_t i = first; i < last; i += 4)
        for (ptrdiff_t j = 0; j <= i; j += 4) {
            // At the end, the last row is read again for the rows that are missing. Its result is not stored.
            const int16_t *a[4], *b[4];
            for (ptrdiff_t t = 0; t < 4; t++) {
                a[t] = X + (i + t < last ? i + t : last - 1) * n;
                b[t] = X + (j + t < last ? j + t : last - 1) * n;
            }
            const int16_t *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3];
            const int16_t *b0 = b[0], *b1 = b[1], *b2 = b[2], *b3 = b[3];
            int32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
            int32_t s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
            for (ptrdiff_t k = 0; k < n; k++) {
                s00 += a0[k] * b0[k], s01 += a0[k] * b1[k], s02 += a0[k] * b2[k], s03 += a0[k] * b3[k];
                s10 += a1[k] * b0[k], s11 += a1[k] * b1[k], s12 += a1[k] * b2[k], s13 += a1[k] * b3[k];
                s20 += a2[k] * b0[k], s21 += a2[k] * b1[k], s22 += a2[k] * b2[k], s23 += a2[k] * b3[k];
                s30 += a3[k] * b0[k], s31 += a3[k] * b1[k], s32 += a3[k] * b2[k], s33 += a3[k] * b3[k];
            }
            const int32_t s[16] = {s00, s01, s02, s03, s10, s11, s12, s13, s20, s21, s22, s23, s30, s31, s32, s33};
            for (ptrdiff_t t = 0; t < 4 && i + t < last; t++)
                for (ptrdiff_t u = 0; u < 4 && j + u <= i + t; u++) G[(i + t) * m + j + u] += s[4 * t + u];
        }
}

// Every patch of some images (k, height, width, channels), less its mean and over the root of its variance + contrast,
// as a row of `out`, with a 1 at the end: see `patch_rows` in features/patches.py. Sums of bytes are exact.
EXPORT void patch_rows(const uint8_t *images, ptrdiff_t k, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels,
                       ptrdiff_t size, float contrast, float *restrict out) {
    const ptrdiff_t down = height - size + 1, across = width - size + 1, run = size * channels, d = size * run;
    for (ptrdiff_t i = 0; i < k * down * across; i++, out += d + 1) {
        const ptrdiff_t image = i / (down * across), y = i / across % down, x = i % across;
        const uint8_t *first = images + ((image * height + y) * width + x) * channels;
        uint32_t sum = 0, squares = 0; // at most 64 * 64 * 4 bytes
        for (ptrdiff_t r = 0; r < size; r++) {
            const uint8_t *line = first + r * width * channels;
            for (ptrdiff_t j = 0; j < run; j++) sum += line[j], squares += (uint32_t)line[j] * line[j];
        }
        const double mean = (double)sum / (double)d;
        const double variance = ((double)squares * (double)d - (double)sum * sum) / ((double)d * (double)d);
        const float less = (float)mean, factor = (float)(1 / sqrt(variance + contrast));
        for (ptrdiff_t r = 0; r < size; r++) {
            const uint8_t *line = first + r * width * channels;
            for (ptrdiff_t j = 0; j < run; j++) out[r * run + j] = (line[j] - less) * factor;
        }
        out[d] = 1;
    }
}

#define REAL float
#define NAME(name) name##_float
#define FMA fmaf
#include "native_real.h"
#undef REAL
#undef NAME
#undef FMA

#define REAL double
#define NAME(name) name##_double
#define FMA fma
#include "native_real.h"
