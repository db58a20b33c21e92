// Elementwise formulas that are exact at both tails, for float and double. Each is the one-pass text of the
// portable function of that name, which costs four to seven passes over memory where each step is a kernel.

template <typename T> __device__ T xpnet_sigmoid(T z) {
    const T e = exp(-fabs(z));
    return (z < T(0) ? e : T(1)) / (T(1) + e);
}

template <typename T> __device__ T xpnet_positive_part(T z) {  // unlike fmax, NaN stays NaN
    return z > T(0) || z != z ? z : T(0);
}

template <typename T> __device__ T xpnet_softplus(T z) {
    return xpnet_positive_part(z) + log1p(exp(-fabs(z)));
}

template <typename T> __device__ T xpnet_sigmoid_pullback(T grad, T a) {
    return grad * a * (T(1) - a);
}

template <typename T> __device__ T xpnet_tanh_pullback(T grad, T a) {
    return grad * (T(1) - a * a);
}

template <typename T> __device__ T xpnet_logistic_loss(T z, T y) {
    // In this order: the large terms cancel before the small one is added.
    return (xpnet_positive_part(z) - z * y) + log1p(exp(-fabs(z)));
}

template <typename T> __device__ T xpnet_logistic_loss_pullback(T grad, T z, T y) {
    return grad * (xpnet_sigmoid(z) - y);
}
