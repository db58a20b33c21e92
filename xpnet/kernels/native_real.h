// The functions of native.c that exist for float and for double. native.c defines REAL, NAME and FMA for each.

// e^x for x <= 0, with an error of a few units in the last place; 0 where the result is smaller than the normal
// numbers. With x = k log 2 + r, e^x = 2^k e^r. Since |r| <= log(2) / 2, a few terms of the series of e^r are enough.
static inline REAL NAME(exponential)(REAL x) {
    const int wide = sizeof(REAL) == 8;
    const REAL least = wide ? -708 : -87;
    const REAL bounded = x >= least ? x : least;
    const REAL k = (REAL)(wide ? rint(bounded * 1.4426950408889634) : rintf((float)bounded * 1.44269504f));
    // log 2 is split in two parts, so that k times the first part is exact.
    REAL r = FMA(-k, (REAL)(wide ? 0.693145751953125 : 0.693359375), bounded);
    r = FMA(-k, (REAL)(wide ? 1.4286068203094172e-6 : -2.1219444005469057e-4), r);
    REAL p = 0;
    if (wide) {
        p = p * r + (REAL)(1.0 / 6227020800);
        p = p * r + (REAL)(1.0 / 479001600);
        p = p * r + (REAL)(1.0 / 39916800);
        p = p * r + (REAL)(1.0 / 3628800);
        p = p * r + (REAL)(1.0 / 362880);
        p = p * r + (REAL)(1.0 / 40320);
    }
    p = p * r + (REAL)(1.0 / 5040);
    p = p * r + (REAL)(1.0 / 720);
    p = p * r + (REAL)(1.0 / 120);
    p = p * r + (REAL)(1.0 / 24);
    p = p * r + (REAL)(1.0 / 6);
    p = p * r + (REAL)0.5;
    p = p * r + 1;
    p = p * r + 1;
    REAL power;  // 2^k, made from its bits
    if (wide) {
        const union { int64_t bits; double value; } u = {(int64_t)((int32_t)k + 1023) << 52};
        power = (REAL)u.value;
    } else {
        const union { int32_t bits; float value; } u = {((int32_t)k + 127) << 23};
        power = (REAL)u.value;
    }
    return x >= least ? p * power : x < least ? 0 : x;  // NaN stays NaN
}

// log(1 + e) for 0 <= e <= 1, as 2 atanh(s) with s = e / (2 + e) <= 1/3.
static inline REAL NAME(log_one_plus)(REAL e) {
    const REAL s = e / (2 + e), q = s * s;
    REAL p = 0;
    if (sizeof(REAL) == 8) {
        p = p * q + (REAL)(1.0 / 33);
        p = p * q + (REAL)(1.0 / 31);
        p = p * q + (REAL)(1.0 / 29);
        p = p * q + (REAL)(1.0 / 27);
        p = p * q + (REAL)(1.0 / 25);
        p = p * q + (REAL)(1.0 / 23);
        p = p * q + (REAL)(1.0 / 21);
        p = p * q + (REAL)(1.0 / 19);
        p = p * q + (REAL)(1.0 / 17);
    }
    p = p * q + (REAL)(1.0 / 15);
    p = p * q + (REAL)(1.0 / 13);
    p = p * q + (REAL)(1.0 / 11);
    p = p * q + (REAL)(1.0 / 9);
    p = p * q + (REAL)(1.0 / 7);
    p = p * q + (REAL)(1.0 / 5);
    p = p * q + (REAL)(1.0 / 3);
    p = p * q + 1;
    return 2 * s * p;
}

// The logistic loss of a logit z and a label y, and dz = a - y: as logistic_residual in linear/fused.py.
static inline REAL NAME(logistic)(REAL z, REAL y, REAL *dz) {
    const REAL e = NAME(exponential)(z < 0 ? z : -z);
    *dz = (z < 0 ? e : 1) / (1 + e) - y;
    return FMA(-z, y, z > 0 ? z : 0) + NAME(log_one_plus)(e);  // the large terms are added first, because they cancel
}

// Losses and residuals of logits z (runs, k). The runs share the labels y (k,). Results: loss and dz, both (runs, k).
EXPORT void NAME(logistic_residual)(const REAL *z, const REAL *restrict y, ptrdiff_t runs, ptrdiff_t k, REAL *loss,
                                    REAL *dz) {
    for (ptrdiff_t r = 0; r < runs; r++) {
        const REAL *own = z + r * k;
        REAL *restrict lost = loss + r * k, *restrict rest = dz + r * k;
        for (ptrdiff_t i = 0; i < k; i++) lost[i] = NAME(logistic)(own[i], y[i], &rest[i]);
    }
}

// One pass of logistic regression over raw examples X (m, n). Each example is multiplied by w, and added to the
// gradient while it is still in the cache. weights (m,): of the examples. G (n,): memory for the gradient of some
// examples. Results: total (n,), the gradient; sums (2,), the sums of the losses and of dz.
EXPORT void NAME(logistic_pass)(const uint8_t *X, ptrdiff_t m, ptrdiff_t n, const REAL *y, const REAL *weights,
                                const REAL *restrict w, REAL b, REAL *restrict G, double *restrict total,
                                double *sums) {
    for (ptrdiff_t first = 0; first < m; first += 256) {
        const ptrdiff_t last = first + 256 < m ? first + 256 : m;
        for (ptrdiff_t j = 0; j < n; j++) G[j] = 0;
        for (ptrdiff_t i = first; i < last; i += 4) {
            // If fewer than four examples are left, the last one is read again, with dz = 0.
            const ptrdiff_t k = last - i < 4 ? last - i : 4;
            const uint8_t *x0 = X + i * n, *x1 = k > 1 ? x0 + n : x0, *x2 = k > 2 ? x1 + n : x1;
            const uint8_t *x3 = k > 3 ? x2 + n : x2;
            REAL z0 = 0, z1 = 0, z2 = 0, z3 = 0;
            for (ptrdiff_t j = 0; j < n; j++) {
                z0 += w[j] * x0[j];
                z1 += w[j] * x1[j];
                z2 += w[j] * x2[j];
                z3 += w[j] * x3[j];
            }
            const REAL z[4] = {z0 + b, z1 + b, z2 + b, z3 + b};
            REAL dz[4] = {0};
            for (ptrdiff_t t = 0; t < k; t++) {
                sums[0] += weights[i + t] * NAME(logistic)(z[t], y[i + t], &dz[t]);
                dz[t] *= weights[i + t];
                sums[1] += dz[t];
            }
            const REAL d0 = dz[0], d1 = dz[1], d2 = dz[2], d3 = dz[3];
            for (ptrdiff_t j = 0; j < n; j++) G[j] += d0 * x0[j] + d1 * x1[j] + d2 * x2[j] + d3 * x3[j];
        }
        for (ptrdiff_t j = 0; j < n; j++) total[j] += G[j];
    }
}

// z (m,) += G c for four columns of G, beginning with column `first`. G is symmetric: its rows are its columns.
static inline void NAME(add_columns)(const REAL *G, ptrdiff_t m, ptrdiff_t first, const REAL *c, REAL *restrict z) {
    const REAL *g0 = G + first * m, *g1 = g0 + m, *g2 = g1 + m, *g3 = g2 + m;
    const REAL c0 = c[first], c1 = c[first + 1], c2 = c[first + 2], c3 = c[first + 3];
    for (ptrdiff_t j = 0; j < m; j++) z[j] += c0 * g0[j] + c1 * g1[j] + c2 * g2[j] + c3 * g3[j];
}

// The same for four runs at a time, to read G once for all. C and Z: (4, m).
static inline void NAME(add_columns_of_four)(const REAL *G, ptrdiff_t m, ptrdiff_t first, const REAL *C,
                                             REAL *restrict Z) {
    const REAL *g0 = G + first * m, *g1 = g0 + m, *g2 = g1 + m, *g3 = g2 + m;
    const REAL *a = C + first, *b = a + m, *c = b + m, *d = c + m;
    const REAL a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3], b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3];
    const REAL c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3], d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
    REAL *restrict za = Z, *restrict zb = Z + m, *restrict zc = Z + 2 * m, *restrict zd = Z + 3 * m;
    for (ptrdiff_t j = 0; j < m; j++) {
        za[j] += a0 * g0[j] + a1 * g1[j] + a2 * g2[j] + a3 * g3[j];
        zb[j] += b0 * g0[j] + b1 * g1[j] + b2 * g2[j] + b3 * g3[j];
        zc[j] += c0 * g0[j] + c1 * g1[j] + c2 * g2[j] + c3 * g3[j];
        zd[j] += d0 * g0[j] + d1 * g1[j] + d2 * g2[j] + d3 * g3[j];
    }
}

// One step of one run, given z = G C; returns the cost before the step.
static inline REAL NAME(gram_step)(ptrdiff_t m, const REAL *restrict z, const REAL *restrict z0,
                                   const REAL *restrict y, const REAL *restrict weights, REAL rate, REAL l2,
                                   REAL square0, REAL *restrict C, REAL *c, REAL *b) {
    const REAL step = rate / m, kept = 1 - rate * l2 / m, c0 = *c, b0 = *b;
    REAL cost = 0, moved = 0;
    if (l2 != 0) {
        REAL crossed = 0, square = 0;
        for (ptrdiff_t i = 0; i < m; i++) crossed += C[i] * z0[i], square += C[i] * z[i];
        cost = l2 / 2 * (c0 * c0 * square0 + 2 * c0 * crossed + square);
    }
    for (ptrdiff_t i = 0; i < m; i++) {
        REAL dz;
        cost += weights[i] * NAME(logistic)(z[i] + c0 * z0[i] + b0, y[i], &dz);
        dz *= weights[i];
        C[i] = C[i] * kept - step * dz;
        moved += dz;
    }
    *c = c0 * kept, *b = b0 - step * moved;
    return cost / m;
}

// Steps of logistic regressions on the Gram matrix G (m, m): see linear/gram.py. The runs share G, the labels y and the
// weights (m,) of the examples. Each run has its C, Z0 (runs, m), rate, l2, square0, c and b (runs,). Z (4, m): memory
// for logits. Results: C, c and b after the last step; costs (runs, steps), each before its step.
EXPORT void NAME(gram_steps)(const REAL *G, ptrdiff_t m, const REAL *y, const REAL *weights, ptrdiff_t runs,
                             const REAL *Z0, const REAL *rate, const REAL *l2, const REAL *square0, REAL *C,
                             REAL *c, REAL *b, REAL *Z, ptrdiff_t steps, REAL *costs) {
    const ptrdiff_t whole = m / 4 * 4;
    for (ptrdiff_t r = 0; r < runs;) {
        const ptrdiff_t together = runs - r < 4 ? 1 : 4;
        for (ptrdiff_t s = 0; s < steps; s++) {
            for (ptrdiff_t j = 0; j < together * m; j++) Z[j] = 0;
            for (ptrdiff_t i = 0; i < whole; i += 4)
                if (together == 4)
                    NAME(add_columns_of_four)(G, m, i, C + r * m, Z);
                else
                    NAME(add_columns)(G, m, i, C + r * m, Z);
            for (ptrdiff_t t = 0; t < together; t++) {
                REAL *own = C + (r + t) * m, *z = Z + t * m;
                for (ptrdiff_t i = whole; i < m; i++) {
                    const REAL *g = G + i * m, ci = own[i];
                    for (ptrdiff_t j = 0; j < m; j++) z[j] += ci * g[j];
                }
                costs[(r + t) * steps + s] = NAME(gram_step)(m, z, Z0 + (r + t) * m, y, weights, rate[r + t],
                                                             l2[r + t], square0[r + t], own, c + r + t, b + r + t);
            }
        }
        r += together;
    }
}

// Standardize k examples of X (m, n): out = (x - mean) * scale. rows (k,): the indices of the examples, or NULL for the
// first k. mean (n,), or NULL for 0. scales (n,), or NULL to use `scale` for all features.
EXPORT void NAME(gather)(const uint8_t *X, ptrdiff_t n, const int64_t *rows, ptrdiff_t k, const REAL *mean,
                         const REAL *scales, REAL scale, REAL *restrict out) {
    for (ptrdiff_t i = 0; i < k; i++) {
        const uint8_t *x = X + (rows ? rows[i] : i) * n;
        REAL *restrict o = out + i * n;
        if (mean && scales)
            for (ptrdiff_t j = 0; j < n; j++) o[j] = (x[j] - mean[j]) * scales[j];
        else
            for (ptrdiff_t j = 0; j < n; j++) o[j] = x[j] * scale;
    }
}

// Add to above and below (count,) how far n <= 4 pixels z (n, count) are above a and below -a, one after the other.
static inline void NAME(pool_pixels)(const REAL *z, ptrdiff_t n, ptrdiff_t count, REAL a, REAL *restrict above,
                                     REAL *restrict below) {
    for (ptrdiff_t c = 0; c < count; c++) {
        REAL over = above[c], under = below[c];
        for (ptrdiff_t i = 0; i < n; i++) {
            const REAL value = z[i * count + c];
            over += value > a ? value - a : 0;
            under += value < -a ? -a - value : 0;
        }
        above[c] = over, below[c] = under;
    }
}

// How far Z (k, down, across, count) is above a and below -a, on average in each cell of a grid. rows (n_rows, 2) and
// columns (n_columns, 2): first and last + 1 of each cell. out: (k, n_rows, n_columns, 2, count). Four pixels are
// added at a time, so that the sums are read and written less often.
EXPORT void NAME(pool_cells)(const REAL *Z, ptrdiff_t k, ptrdiff_t down, ptrdiff_t across, ptrdiff_t count,
                             const int64_t *rows, ptrdiff_t n_rows, const int64_t *columns, ptrdiff_t n_columns,
                             REAL a, REAL *out) {
    for (ptrdiff_t cell = 0; cell < k * n_rows * n_columns; cell++) {
        const REAL *image = Z + cell / (n_rows * n_columns) * down * across * count;
        const int64_t *row = rows + 2 * (cell / n_columns % n_rows), *column = columns + 2 * (cell % n_columns);
        REAL *restrict above = out + 2 * cell * count, *restrict below = above + count;
        for (ptrdiff_t c = 0; c < count; c++) above[c] = below[c] = 0;
        for (ptrdiff_t y = row[0]; y < row[1]; y++) {
            const REAL *z = image + (y * across + column[0]) * count;
            ptrdiff_t left = column[1] - column[0];
            for (; left >= 4; left -= 4, z += 4 * count) NAME(pool_pixels)(z, 4, count, a, above, below);
            for (; left > 0; left--, z += count) NAME(pool_pixels)(z, 1, count, a, above, below);
        }
        const REAL area = (REAL)((row[1] - row[0]) * (column[1] - column[0]));
        for (ptrdiff_t c = 0; c < count; c++) above[c] /= area, below[c] /= area;
    }
}

// The steps of the optimizers, see nn/optimizers.py. n parameters p, their gradients g, and the optimizer's v and s.
EXPORT void NAME(descend)(REAL *restrict p, const REAL *restrict g, ptrdiff_t n, REAL rate) {
    for (ptrdiff_t i = 0; i < n; i++) p[i] -= rate * g[i];
}

EXPORT void NAME(momentum)(REAL *restrict p, const REAL *restrict g, REAL *restrict v, ptrdiff_t n, REAL rate,
                           REAL beta, int nesterov) {
    for (ptrdiff_t i = 0; i < n; i++) {
        v[i] = beta * v[i] + g[i];
        p[i] -= rate * (nesterov ? g[i] + beta * v[i] : v[i]);
    }
}

EXPORT void NAME(rmsprop)(REAL *restrict p, const REAL *restrict g, REAL *restrict s, ptrdiff_t n, REAL rate,
                          REAL rho, REAL epsilon) {
    const REAL rest = 1 - rho;
    for (ptrdiff_t i = 0; i < n; i++) {
        s[i] = rho * s[i] + rest * (g[i] * g[i]);
        p[i] -= rate * (g[i] / ((REAL)sqrt(s[i]) + epsilon));
    }
}

// rate: the learning rate / (1 - beta1^t); corrected: the square root of 1 - beta2^t.
EXPORT void NAME(adam)(REAL *restrict p, const REAL *restrict g, REAL *restrict v, REAL *restrict s, ptrdiff_t n,
                       REAL rate, REAL beta1, REAL beta2, REAL rest1, REAL rest2, REAL corrected, REAL epsilon) {
    for (ptrdiff_t i = 0; i < n; i++) {
        v[i] = beta1 * v[i] + rest1 * g[i];
        s[i] = beta2 * s[i] + rest2 * (g[i] * g[i]);
        p[i] -= rate * (v[i] / ((REAL)sqrt(s[i]) / corrected + epsilon));
    }
}
