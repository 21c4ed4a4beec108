// Functions of vectors that gates and feature maps are made of, and rows whose length is no
// multiple of a vector's.
#pragma once
#include "vector.h"

#define PADDED(n) (((n) + LANES - 1) / LANES * LANES)

INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// The lanes of a row of n floats from its i-th on: those beyond it are not touched, and read as 0.
#if defined(__AVX512F__)
INLINE uint16_t lanes_inside(int64_t i, int64_t n) {
    return n - i < LANES ? (1u << (n - i)) - 1 : 0xffff;
}
INLINE vec load_row(const float *row, int64_t i, int64_t n) {
    return (vec)__builtin_ia32_loadups512_mask(row + i, vec{}, lanes_inside(i, n));
}
INLINE void store_row(float *row, int64_t i, int64_t n, vec x) {
    __builtin_ia32_storeups512_mask(row + i, x, lanes_inside(i, n));
}
#else
INLINE vec load_row(const float *row, int64_t i, int64_t n) {
    if (i + LANES <= n) return load(row + i);
    float x[LANES] = {};
    for (int j = 0; j < n - i; j++) x[j] = row[i + j];
    return load(x);
}
INLINE void store_row(float *row, int64_t i, int64_t n, vec x) {
    if (i + LANES <= n) return store(row + i, x);
    for (int j = 0; j < n - i; j++) row[i + j] = x[j];
}
#endif
INLINE void add_row(float *row, int64_t i, int64_t n, vec x) {
    store_row(row, i, n, load_row(row, i, n) + x);
}

// 0 in the lanes of a row of n floats that are beyond its end.
INLINE vec inside(vec x, int64_t i, int64_t n) {
    ivec lane;
    for (int j = 0; j < LANES; j++) lane[j] = j;
    return lane < (int32_t)(n - i < LANES ? n - i : LANES) ? x : vec{};
}

INLINE vec larger(vec x, vec y) { return x > y ? x : y; }
INLINE vec magnitude(vec x) { return (vec)((ivec)x & 0x7fffffff); }
INLINE float root(float x) { return __builtin_sqrtf(x); }

// e^x for x <= 0, the bits of `exponential` in two thirds of its time.
INLINE vec exponential_below(vec x) {
    const float least = -87.336544f;
    vec high = x < least ? fill(least) : x;
    vec shifted = high * 1.44269504f + 12582912.0f;
    vec n = shifted - 12582912.0f;
    vec r = high - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vec p = fill(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    // The whole number stands in the lowest bits of `shifted`.
    p *= (vec)(((ivec)shifted << 23) + (127 << 23));
    return x < least ? fill(0.0f) : p;
}

INLINE vec sigmoid(vec x) {
    vec small = exponential_below(-magnitude(x)); // at most 1: nothing overflows
    return (x < 0.0f ? small : fill(1.0f)) / (1.0f + small);
}

// log(1 + u) for u in [0, 1], by the series of 2 artanh(u / (2 + u)).
INLINE vec logarithm_above_one(vec u) {
    vec s = u / (2.0f + u), z = s * s;
    vec p = fill(1.0f / 17);
    p = p * z + 1.0f / 15;
    p = p * z + 1.0f / 13;
    p = p * z + 1.0f / 11;
    p = p * z + 1.0f / 9;
    p = p * z + 1.0f / 7;
    p = p * z + 1.0f / 5;
    p = p * z + 1.0f / 3;
    return 2.0f * (s + s * z * p);
}
INLINE vec softplus(vec x) {
    return larger(x, vec{}) + logarithm_above_one(exponential_below(-magnitude(x)));
}
INLINE vec log_sigmoid(vec x) { return -softplus(-x); }
// log(e^x + e^y)
INLINE vec log_sum(vec x, vec y) {
    return larger(x, y) + logarithm_above_one(exponential_below(-magnitude(x - y)));
}

// 1 - e^x for x <= 0, to the last digits also where x is near 0.
INLINE vec kept_from_one(vec x) {
    vec p = fill(1.0f / 40320);
    p = p * x + 1.0f / 5040;
    p = p * x + 1.0f / 720;
    p = p * x + 1.0f / 120;
    p = p * x + 1.0f / 24;
    p = p * x + 1.0f / 6;
    p = p * x + 0.5f;
    vec near = x + x * x * p;
    return x > -0.5f ? -near : 1.0f - exponential(x);
}
