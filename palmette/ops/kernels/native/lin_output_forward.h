// What follows a linear recurrence of the `lin` family, token by token: `prepare` computes all stages,
// `emit` writes the last one.
#pragma once
#include "functions.h"

#define EPSILON 1e-5f

enum { NO_NORM, NORM_OF_HEADS, NORM_AFTER };
enum { NO_GATE, SILU, SIGMOID };

struct output_t {
    int64_t models, tokens, steps, heads, value, norm, gate_kind, normalised, positive, threads;
    const float *o;     // the last sub-step of the first token, [head, value (+ 1)]
    const float *v;     // the values of the first token as they were, [sub-step, head, value]
    const float *gates; // [head, value]
    const float *echo;  // [token, head]
    const float *skip, *scale;
    float *y; // [token, head, value]
    const float *dy;
    float *d_o, *dv, *dgates, *decho, *dskip, *dscale;
    int64_t o_row, v_row, gate_row, dv_row, dgate_row; // floats from a token to the next one
    float *partials;
    int64_t blocks;
};

struct token_t {
    int64_t padded;
    float *divided, *summed, *echoed, *gated, *slope; // stages, [head, padded]
    float *sigmoids;                                  // of the gates, [head, value]
    float *floor, *norm;                              // [head]: the denominator, 1 / root
    float norm_after;
    float *dskip, *dscale;
};

INLINE int64_t inner(const output_t *c) { return c->heads * c->value; }
INLINE int64_t wide(const output_t *c) { return c->value + c->normalised; }
INLINE int64_t scale_size(const output_t *c) {
    return c->norm == NO_NORM ? 0 : c->norm == NORM_OF_HEADS ? c->value : inner(c);
}
INLINE int64_t partial_size(const output_t *c) {
    return scale_size(c) + (c->skip ? c->heads : 0);
}
INLINE const float *last_value(const output_t *c, int64_t n, int64_t h) {
    return c->v + n * c->v_row + (c->steps - 1) * inner(c) + h * c->value;
}

// The stages up to what is `gated`, which the way back wants only where a norm follows.
static void prepare(const output_t *c, int64_t n, int64_t model, bool gated_too, token_t *w) {
    int64_t value = c->value;
    const float *scale = c->scale ? c->scale + model * scale_size(c) : 0;
    const float *gates = c->gates + n * c->gate_row;
    vec power_after{};
    for (int64_t i = 0; i < inner(c) && c->gate_kind; i += LANES)
        store(w->sigmoids + i, sigmoid(load_row(gates, i, inner(c))));
    for (int64_t h = 0; h < c->heads; h++) {
        const float *o = c->o + n * c->o_row + h * wide(c), *v = last_value(c, n, h);
        float skip = c->skip ? c->skip[model * c->heads + h] : 0.0f;
        float echo = c->echo ? c->echo[n * c->heads + h] : 0.0f, below = 1.0f;
        if (c->normalised) {
            float least = c->positive ? 1e-6f : 1.0f, size = __builtin_fabsf(o[value]);
            below = size < least ? least : size;
        }
        w->floor[h] = below;
        float *divided = w->divided + h * w->padded, *summed = w->summed + h * w->padded;
        float *echoed = w->echoed + h * w->padded, *gated = w->gated + h * w->padded;
        vec power{};
        for (int64_t i = 0; i < value; i += LANES) {
            vec x = load_row(o, i, value);
            if (c->normalised) x /= below;
            store(divided + i, x);
            if (c->skip) x += skip * load_row(v, i, value);
            store(summed + i, x);
            power += x * x;
        }
        if (c->norm == NORM_OF_HEADS) w->norm[h] = 1.0f / root(sum(power) / value + EPSILON);
        for (int64_t i = 0; i < value; i += LANES) {
            vec x = load(summed + i);
            if (c->norm == NORM_OF_HEADS) x *= w->norm[h] * load_row(scale, i, value);
            if (c->echo) x += echo * load_row(v, i, value);
            store(echoed + i, x);
            if (!gated_too) continue;
            if (c->gate_kind) x *= load(w->sigmoids + h * value + i);
            if (c->gate_kind == SILU) x *= load_row(gates + h * value, i, value);
            x = inside(x, i, value);
            store(gated + i, x);
            power_after += x * x;
        }
    }
    if (c->norm == NORM_AFTER) w->norm_after = 1.0f / root(sum(power_after) / inner(c) + EPSILON);
}

static void emit(const output_t *c, int64_t n, int64_t model, const token_t *w) {
    const float *scale = c->scale ? c->scale + model * scale_size(c) : 0;
    for (int64_t h = 0; h < c->heads; h++)
        for (int64_t i = 0; i < c->value; i += LANES) {
            vec x = load(w->gated + h * w->padded + i);
            if (c->norm == NORM_AFTER)
                x *= w->norm_after * load_row(scale + h * c->value, i, c->value);
            store_row(c->y + n * inner(c) + h * c->value, i, c->value, x);
        }
}

// A token's stages in memory of 6 heads of padded values, 2 vectors and 2 numbers a head, all 0.
static token_t stages(const output_t *c, float *memory) {
    token_t w = {};
    w.padded = PADDED(c->value);
    int64_t size = c->heads * w.padded;
    w.divided = memory, w.summed = memory + size, w.echoed = memory + 2 * size;
    w.gated = memory + 3 * size, w.slope = memory + 4 * size;
    w.sigmoids = memory + 5 * size; // read and written past its end by less than a vector
    w.floor = memory + 6 * size + 2 * LANES, w.norm = w.floor + c->heads;
    return w;
}
