// Formulas that are exact for large positive and negative numbers, for float and double. Each computes the portable
// function of its name in one pass over memory. The portable functions take four to seven passes, one for each
// operation.

template <typename T> __device__ T xpnet_sigmoid(T z) {
    const T e = exp(-fabs(z));
    return (z < T(0) ? e : T(1)) / (T(1) + e);
}

template <typename T> __device__ T xpnet_positive_part(T z) {  // NaN stays NaN, unlike with fmax
    return z > T(0) || z != z ? z : T(0);
}

template <typename T> __device__ T xpnet_softplus(T z) {
    return xpnet_positive_part(z) + log1p(exp(-fabs(z)));
}

template <typename T> __device__ T xpnet_sigmoid_pullback(T grad, T a) {
    return grad * a * (T(1) - a);
}

template <typename T> __device__ T xpnet_tanh_pullback(T grad, T a) {
    return grad * ((T(1) - a) * (T(1) + a));  // 1 - a * a would lose digits where |a| is nearly 1
}

template <typename T> __device__ T xpnet_logistic_loss(T z, T y) {
    // The large terms are added first, because they cancel.
    return (xpnet_positive_part(z) - z * y) + log1p(exp(-fabs(z)));
}

template <typename T> __device__ T xpnet_logistic_loss_pullback(T grad, T z, T y) {
    return grad * (xpnet_sigmoid(z) - y);
}

// A column of logits is Z[c * columns + column] for each class c. Its peak is its largest logit, or NaN if it has a
// NaN. Its total is the sum of the exponentials of (logit - peak).
template <typename T, typename Logits>
__device__ T xpnet_peak(const Logits& Z, long long column, long long classes, long long columns) {
    T peak = Z[column];
    for (long long c = 1; c < classes; c++) {
        const T z = Z[c * columns + column];
        if (z > peak || z != z) peak = z;
    }
    return peak;
}

template <typename T, typename Logits>
__device__ T xpnet_total(const Logits& Z, long long column, long long classes, long long columns, T peak) {
    T total = T(0);
    for (long long c = 0; c < classes; c++) total += exp(T(Z[c * columns + column]) - peak);
    return total;
}

template <typename T, typename Logits>
__device__ T xpnet_softmax_cross_entropy(const Logits& Z, long long column, long long classes, long long columns,
                                         long long label) {
    const T peak = xpnet_peak<T>(Z, column, classes, columns);
    const T total = xpnet_total<T>(Z, column, classes, columns, peak);
    if (label < 0 || label >= classes) return T(0) / T(0);
    return log(total) - (T(Z[label * columns + column]) - peak);
}

template <typename T, typename Logits, typename Gradients>
__device__ void xpnet_softmax_cross_entropy_pullback(T grad, const Logits& Z, long long column, long long classes,
                                                     long long columns, long long label, Gradients& dZ) {
    const T peak = xpnet_peak<T>(Z, column, classes, columns);
    const T total = xpnet_total<T>(Z, column, classes, columns, peak);
    const T known = label < 0 || label >= classes ? T(0) / T(0) : T(0);
    for (long long c = 0; c < classes; c++) {
        const T a = exp(T(Z[c * columns + column]) - peak) / total;
        dZ[c * columns + column] = grad * (a - (c == label ? T(1) : T(0)) + known);
    }
}

// For several runs, whose rows of Z are stacked: column i % columns of run i / columns. The runs share the labels Y,
// one-hot columns.
template <typename T, typename Logits, typename Labels, typename Residuals>
__device__ T xpnet_softmax_residual(const Logits& Z, const Labels& Y, long long i, long long classes,
                                    long long columns, Residuals& dZ) {
    const long long column = i % columns, start = i / columns * classes * columns + column;
    const T peak = xpnet_peak<T>(Z, start, classes, columns);
    const T total = xpnet_total<T>(Z, start, classes, columns, peak);
    T picked = T(0);
    for (long long c = 0; c < classes; c++) {
        const T shifted = T(Z[c * columns + start]) - peak, y = Y[c * columns + column];
        picked += shifted * y;
        dZ[c * columns + start] = exp(shifted) / total - y;
    }
    return log(total) - picked;
}
