// What softmax attention is called with, and how its queries, keys and slopes come from memory and go
// back: a norm, a scale and a turn by position (RoPE, arXiv 2104.09864) on the way in, their
// derivatives on the way out.
#pragma once
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
    const float *turns;      // [t 2 k / 2] cosines and sines, or 0
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
        : padded((a.k + LANES - 1) / LANES * LANES),
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

INLINE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// Features 2i and 2i + 1 turned by an angle, or back.
static void turn(float *__restrict x, const float *__restrict turns, int64_t pairs, float back) {
    for (int64_t i = 0; i < pairs; i++) {
        float a = x[2 * i], b = x[2 * i + 1], c = turns[i], s = turns[pairs + i] * back;
        x[2 * i] = a * c - b * s;
        x[2 * i + 1] = a * s + b * c;
    }
}

INLINE float norm_factor(const float *x, int64_t k) {
    float power = 0;
    for (int64_t i = 0; i < k; i++) power += x[i] * x[i];
    return 1.0f / sqrtf(power / k + UNIT_EPSILON);
}

// One token's head: factor * turn(norm(x) * scale), zeros behind it.
static void take(const attention_t &a, const float *__restrict x, const float *__restrict scale,
                 int64_t place, float factor, float *__restrict to, int64_t padded) {
    if (scale) {
        float norm = norm_factor(x, a.k) * factor;
        for (int64_t i = 0; i < a.k; i++) to[i] = x[i] * norm * scale[i];
    } else
        for (int64_t i = 0; i < a.k; i++) to[i] = x[i] * factor;
    for (int64_t i = a.k; i < padded; i++) to[i] = 0;
    int64_t pairs = a.k / 2;
    if (a.turns) turn(to, a.turns + place * 2 * pairs, pairs, 1.0f);
}

// The derivative of `take` by x (written) and by scale (added to); spoils the slope.
static void give(const attention_t &a, const float *__restrict x, const float *__restrict scale,
                 int64_t place, float factor, float *__restrict slope, float *__restrict by_x,
                 float *__restrict by_scale) {
    int64_t pairs = a.k / 2;
    if (a.turns) turn(slope, a.turns + place * 2 * pairs, pairs, -1.0f);
    if (!scale) {
        for (int64_t i = 0; i < a.k; i++) by_x[i] = slope[i] * factor;
        return;
    }
    float norm = norm_factor(x, a.k), along = 0;
    for (int64_t i = 0; i < a.k; i++) {
        float by_scaled = slope[i] * factor;
        by_scale[i] += by_scaled * x[i] * norm;
        by_x[i] = by_scaled * scale[i];
        along += by_x[i] * x[i];
    }
    along *= norm * norm * norm / a.k;
    for (int64_t i = 0; i < a.k; i++) by_x[i] = by_x[i] * norm - x[i] * along;
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
