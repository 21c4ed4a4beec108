// What softmax attention is called with, and how its queries, keys and slopes come from memory and go
// back: a norm, a scale and a turn by position (RoPE, arXiv 2104.09864) on the way in, their
// derivatives on the way out.
#pragma once
#include "functions.h"
#include "tile.h"
#include <math.h>
#include <stdlib.h>

#define QUERIES (2 * LANES) // at once, in the lanes of two vectors
#define KEYS 128            // at once, one in each row

// Every field has 8 bytes; attention.py fills them in this order. A token of `projected` holds
// q [h k], k [g k], v [g k], the gate's [0], [h] or [h k], the forget gate's [0] or [h].
struct attention_t {
    const float *projected;
    int64_t sequence, token; // how far one is from the next
    float *out;              // [n t h k]
    float *rows;             // [n h 2 t] the greatest score (in bits), one over the sum of weights
    const float *turns;      // [t 2 padded] cosines and sines of each feature, or 0
    const float *query_scale, *key_scale; // [s h k], [s g k], or 0 for no norm
    const float *by_distance;             // [s h reach], or 0
    const float *sink;                    // [s h], or 0
    int64_t reach, models, n, t, h, g, k, window, both_ways, gate, forget, threads;
    mutable int64_t failed; // set to 1 where there was no memory to be had
    // The derivative alone.
    const float *slope; // [n t h k]
    float *by_projected;
    float *by_query_scale, *by_key_scale, *by_by_distance, *by_sink;
};

static const float BITS = 1.44269504f; // log2 e: scores are kept in bits
static const float UNIT_EPSILON = 1e-6f;

struct sizes_t {
    int64_t padded, length, gates, width, shared; // of a head, of the queries, of columns; h / g
    sizes_t(const attention_t &a)
        : padded(PADDED(a.k)),
          length((a.t + QUERIES - 1) / QUERIES * QUERIES),
          gates(a.gate == 0 ? 0 : a.gate == 1 ? a.h : a.h * a.k),
          width((a.h + 2 * a.g) * a.k + gates + (a.forget ? a.h : 0)), shared(a.h / a.g) {}
    // Where a token's parts begin.
    int64_t keys(const attention_t &a, int64_t group) const { return (a.h + group) * a.k; }
    int64_t values(const attention_t &a, int64_t group) const { return (a.h + a.g + group) * a.k; }
    int64_t gate(const attention_t &a, int64_t head) const {
        return (a.h + 2 * a.g) * a.k + (a.gate == 1 ? head : head * a.k);
    }
    int64_t forget(const attention_t &a, int64_t head) const {
        return (a.h + 2 * a.g) * a.k + gates + head;
    }
};

// Neighbours change places: features 2i and 2i + 1.
INLINE vec swap_pairs(vec x) {
#ifdef __clang__
    vec y;
    for (int i = 0; i < LANES; i++) y[i] = x[i ^ 1];
    return y;
#else
    ivec other{};
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) other[i] = i ^ 1;
    return __builtin_shuffle(x, other);
#endif
}

// Lanes c to c + LANES of a head of k features turned by an angle; back if the sign is -1.
INLINE vec turned(vec x, const float *turns, int64_t padded, int64_t c, float sign) {
    return x * load(turns + c) + swap_pairs(x) * load(turns + padded + c) * sign;
}

INLINE float norm_factor(const float *x, int64_t k) {
    vec power{};
    for (int64_t c = 0; c < k; c += LANES) {
        vec y = load_row(x, c, k);
        power += y * y;
    }
    return 1.0f / root(sum(power) / k + UNIT_EPSILON);
}

#define AHEAD 12 // tokens: their rows are too far apart for the processor to foresee the next

// Asks for a row that is soon read.
INLINE void foresee(const float *x, int64_t k) {
    for (int64_t c = 0; c < k; c += 16) __builtin_prefetch(x + c);
}
INLINE void foresee_written(float *x, int64_t k) {
    for (int64_t c = 0; c < k; c += 16) __builtin_prefetch(x + c, 1);
}

// One token's head: factor * turn(norm(x) * scale), zeros behind it.
INLINE void take(const attention_t &a, const float *x, const float *scale, int64_t place,
                 float factor, float *to, int64_t padded) {
    const int64_t k = a.k;
    const float *turns = a.turns ? a.turns + place * 2 * padded : 0;
    if (scale) factor *= norm_factor(x, k);
    for (int64_t c = 0; c < padded; c += LANES) {
        vec y = load_row(x, c, k) * factor;
        if (scale) y *= load_row(scale, c, k);
        if (turns) y = turned(y, turns, padded, c, 1.0f);
        store(to + c, y);
    }
}

// The derivative of `take` by x (written) and by scale (added to); spoils the slope.
INLINE void give(const attention_t &a, const float *x, const float *scale, int64_t place,
                 float factor, float *slope, float *by_x, float *by_scale, int64_t padded) {
    const int64_t k = a.k;
    const float *turns = a.turns ? a.turns + place * 2 * padded : 0;
    float norm = scale ? norm_factor(x, k) : 1.0f;
    vec along{};
    for (int64_t c = 0; c < padded; c += LANES) {
        vec y = load(slope + c) * factor;
        if (turns) y = turned(y, turns, padded, c, -1.0f);
        if (scale) {
            vec given = load_row(x, c, k);
            add_row(by_scale, c, k, y * given * norm);
            y *= load_row(scale, c, k);
            along += y * given;
            store(slope + c, y);
        } else
            store_row(by_x, c, k, y);
    }
    if (!scale) return;
    float less = sum(along) * norm * norm * norm / k;
    for (int64_t c = 0; c < padded; c += LANES)
        store_row(by_x, c, k, load(slope + c) * norm - load_row(x, c, k) * less);
}

// seen[t + i - j] is what is added to the score of key j for query i, in bits; -inf if it is unseen.
static void lay_out(const attention_t &a, const sizes_t &sizes, const float *by_distance,
                    float *seen) {
    int64_t last = a.window ? a.window - 1 : a.t + sizes.length;
    for (int64_t i = -a.t; i < sizes.length; i++) {
        int64_t distance = i < 0 ? -i : i;
        bool out = distance > last || (i < 0 && !a.both_ways);
        float bias = by_distance && distance < a.t ? by_distance[distance] * BITS : 0.0f;
        seen[a.t + i] = out ? -INFINITY : bias;
    }
}

// The running sum of the logs of what a head keeps, in bits: kept [t].
static void sum_gates(const attention_t &a, const float *logits, double *kept) {
    double total = 0;
    for (int64_t i = 0; i < a.t; i++) {
        float x = logits[i * a.token];
        total += (x < 0 ? x : 0) - log1pf(expf(x < 0 ? x : -x));
        kept[i] = total * BITS;
    }
}
