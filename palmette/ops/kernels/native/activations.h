// Pointwise functions of channel mixers, and their derivatives, of whole vectors.
#pragma once
#include "functions.h"

enum activation_t { SIGMOID, SILU, GELU, RELU, RELU2 };

// e^x for x within 87 of zero, as in `exponential`, which takes every x; beyond, e^87 or e^-87.
INLINE vec exponential_near(vec x) {
    x = x < -87.0f ? fill(-87.0f) : x;
    x = x > 87.0f ? fill(87.0f) : x;
    vec shifted = x * 1.44269504f + 12582912.0f; // its last bits are the whole number
    vec n = shifted - 12582912.0f;
    vec r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vec p = fill(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return (vec)((ivec)p + ((ivec)shifted << 23));
}

// The normal density, and the share of the distribution that is below x. Beyond z = |x| / sqrt(2)
// lies erfc(z) / 2, where erfc(z) is e^(-z^2) times t and a polynomial in t = 1 / (1 + z / 2) (the
// form of Abramowitz and Stegun, 7.1.26); the polynomial was fitted to 4e-8 of it for z up to 9.4.
INLINE vec normal_below(vec x, vec *density) {
    vec fallen = exponential_near(-0.5f * x * x);
    *density = 0.39894228f * fallen;
    vec t = 1.0f / (1.0f + 0.35355339f * magnitude(x));
    vec p = fill(-0.0588488442f);
    p = p * t + 0.283495924f;
    p = p * t - 0.484953602f;
    p = p * t + 0.275481502f;
    p = p * t - 0.024831862f;
    p = p * t + 0.201921685f;
    p = p * t + 0.243298996f;
    p = p * t + 0.282348174f;
    p = p * t + 0.282087985f;
    vec beyond = 0.5f * fallen * t * p;
    return x < 0.0f ? beyond : 1.0f - beyond;
}

// f(x), and f'(x) where it is asked for.
template <int KIND>
INLINE vec activation(vec x, vec *slope) {
    if (KIND == SIGMOID || KIND == SILU) {
        vec e = exponential_near(-x), s = 1.0f / (1.0f + e), rest = e * s; // exactly 1 - s
        if (slope) *slope = KIND == SILU ? s + x * s * rest : s * rest;
        return KIND == SILU ? x * s : s;
    }
    if (KIND == GELU) {
        vec density, below = normal_below(x, &density);
        if (slope) *slope = below + x * density;
        return x * below;
    }
    vec above = x < 0.0f ? vec{} : x;
    if (slope) *slope = x > 0.0f ? (KIND == RELU ? fill(1.0f) : 2.0f * x) : vec{};
    return KIND == RELU ? above : above * above;
}
