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

// The normal distribution function, to 1.2e-7 of itself: W. J. Cody's rational function is one
// way, this is the Chebyshev fit of erfc in Press et al., Numerical Recipes, 6.2.
INLINE vec normal_below(vec x) {
    vec z = magnitude(x) * 0.70710678f;
    vec t = 1.0f / (1.0f + 0.5f * z);
    vec p = fill(0.17087277f);
    p = p * t - 0.82215223f;
    p = p * t + 1.48851587f;
    p = p * t - 1.13520398f;
    p = p * t + 0.27886807f;
    p = p * t - 0.18628806f;
    p = p * t + 0.09678418f;
    p = p * t + 0.37409196f;
    p = p * t + 1.00002368f;
    p = p * t - 1.26551223f;
    vec beyond = 0.5f * t * exponential_near(p - z * z);
    return x < 0.0f ? beyond : 1.0f - beyond;
}
INLINE vec normal_density(vec x) { return 0.39894228f * exponential_near(-0.5f * x * x); }

// f(x), and f'(x) where it is asked for.
template <int KIND>
INLINE vec activation(vec x, vec *slope) {
    if (KIND == SIGMOID || KIND == SILU) {
        vec e = exponential_near(-x), s = 1.0f / (1.0f + e), rest = e * s; // exactly 1 - s
        if (slope) *slope = KIND == SILU ? s + x * s * rest : s * rest;
        return KIND == SILU ? x * s : s;
    }
    if (KIND == GELU) {
        vec below = normal_below(x);
        if (slope) *slope = below + x * normal_density(x);
        return x * below;
    }
    vec above = x < 0.0f ? vec{} : x;
    if (slope) *slope = x > 0.0f ? (KIND == RELU ? fill(1.0f) : 2.0f * x) : vec{};
    return KIND == RELU ? above : above * above;
}
