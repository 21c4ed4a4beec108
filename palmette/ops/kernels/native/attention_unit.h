// One worker's share of attention, a group of heads of one sequence, and the memory it works in.
#pragma once
#include "attention_scores.h"

struct scratch_t {
    float *memory, *keys, *values, *seen, *queries, *natural, *weights, *sums, *by_keys, *by_values,
        *slopes, *natural_slopes, *by_weights, *by_seen;
    double *kept, *by_kept;

    // All of it at once; memory is 0 if there is none to be had.
    scratch_t(const attention_t &a, const sizes_t &sizes, bool backward) {
        int64_t t = sizes.length, whole = t * sizes.padded, block = QUERIES * sizes.padded;
        int64_t square = KEYS * QUERIES, numbers = 2 * whole + 2 * t + 3 * block + square;
        if (backward) numbers += 2 * whole + 2 * t + 2 * block + square;
        if (a.forget) numbers += 4 * t;
        memory = (float *)aligned_alloc(64, (4 * numbers + 63) / 64 * 64);
        float *next = memory;
        auto part = [&](int64_t n) { return next += n, next - n; };
        keys = part(whole), values = part(whole), seen = part(2 * t);
        queries = part(block), natural = part(block), sums = part(block), weights = part(square);
        if (backward) {
            by_keys = part(whole), by_values = part(whole), by_seen = part(2 * t);
            slopes = part(block), natural_slopes = part(block), by_weights = part(square);
        }
        if (a.forget) kept = (double *)part(2 * t), by_kept = (double *)part(2 * t);
    }
    ~scratch_t() { free(memory); }
};

struct unit_t { // what one worker does at a time: a group of heads of one sequence
    const attention_t &a;
    const sizes_t &sizes;
    scratch_t &scratch;
    int64_t b, group, model;

    unit_t(const attention_t &call, const sizes_t &all, scratch_t &memory, int64_t number)
        : a(call), sizes(all), scratch(memory), b(number / a.g), group(number % a.g),
          model(b * a.models / a.n) {}

    const float *token(int64_t i) const { return a.projected + b * a.sequence + i * a.token; }
    float *by_token(int64_t i) const { return a.by_projected + (b * a.t + i) * sizes.width; }
    int64_t place(int64_t i, int64_t head) const { return ((b * a.t + i) * a.h + head) * a.k; }
    float *rows(int64_t head) const { return a.rows + (b * a.h + head) * 2 * a.t; }
    const float *query_scale(int64_t head) const {
        return a.query_scale ? a.query_scale + (model * a.h + head) * a.k : 0;
    }
    const float *key_scale() const {
        return a.key_scale ? a.key_scale + (model * a.g + group) * a.k : 0;
    }
    float factor() const { return BITS / sqrtf((float)a.k); }

    void take_keys() const {
        for (int64_t i = 0; i < a.t; i++) {
            const float *x = token(i), *later = token(smaller(i + AHEAD, a.t - 1));
            foresee(later + sizes.keys(a, group), a.k);
            foresee(later + sizes.values(a, group), a.k);
            int64_t at = i * sizes.padded;
            take(a, x + sizes.keys(a, group), key_scale(), i, 1.0f, scratch.keys + at, sizes.padded);
            const float *v = x + sizes.values(a, group);
            for (int64_t c = 0; c < sizes.padded; c += LANES)
                store(scratch.values + at + c, load_row(v, c, a.k));
        }
    }
    head_t head(int64_t number) const {
        const float *bias = a.by_distance ? a.by_distance + (model * a.h + number) * a.reach : 0;
        lay_out(a, sizes, bias, scratch.seen);
        if (a.forget) sum_gates(a, token(0) + sizes.forget(a, number), scratch.kept);
        return head_t{a, sizes, scratch.keys, scratch.values, scratch.seen,
                      a.forget ? scratch.kept : 0, {}, 0};
    }
    // The block's queries, one in a row and one in a lane; zeros behind the last.
    void take_queries(int64_t number, int64_t first) const {
        int64_t padded = sizes.padded;
        for (int64_t i = 0; i < QUERIES; i++) {
            float *to = scratch.natural + i * padded;
            foresee(token(smaller(first + i + AHEAD, a.t - 1)) + number * a.k, a.k);
            if (first + i < a.t)
                take(a, token(first + i) + number * a.k, query_scale(number), first + i, factor(),
                     to, padded);
            else
                memset(to, 0, 4 * padded);
        }
        transpose(QUERIES, padded, scratch.natural, padded, scratch.queries, QUERIES);
    }
};

// What the gates let through of a row.
static void pass_gates(const attention_t &a, const float *gates, float *row) {
    vec one = a.gate == 1 ? sigmoid(fill(gates[0])) : vec{};
    for (int64_t c = 0; c < a.k; c += LANES) {
        vec open = a.gate == 1 ? one : sigmoid(load_row(gates, c, a.k));
        store(row + c, load(row + c) * open);
    }
}

// The gates' derivative, from the gated output and its slope.
static void give_gates(const attention_t &a, const float *gates, const float *out,
                       const float *slope, float *by_gates) {
    vec along{};
    for (int64_t c = 0; c < a.k; c += LANES) {
        vec x = load_row(slope, c, a.k) * load_row(out, c, a.k);
        if (a.gate == 2) store_row(by_gates, c, a.k, x * sigmoid(-load_row(gates, c, a.k)));
        along += x;
    }
    if (a.gate == 1) by_gates[0] = sum(along * sigmoid(fill(-gates[0])));
}
