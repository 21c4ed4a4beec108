// What follows a linear recurrence of the `lin` family: denominator, skip, norm of each head, echo,
// gate, norm of all heads; `_lin_module.py` has the meaning. Forward and backward, token by token.
// The backward pass computes all stages again; gradients of parameters are summed over BLOCK
// tokens, then over the blocks in order.
#include <stdlib.h>
#include "functions.h"

#define BLOCK 64
#define AHEAD 6
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

// The gradient of what is gated, in `slope`.
static void retract_norm_after(const output_t *c, int64_t n, int64_t model, token_t *w) {
    int64_t value = c->value;
    const float *dy = c->dy + n * inner(c), *scale = c->scale ? c->scale + model * scale_size(c) : 0;
    vec along{};
    for (int64_t h = 0; h < c->heads; h++)
        for (int64_t i = 0; i < value; i += LANES) {
            vec slope = load_row(dy + h * value, i, value);
            if (c->norm == NORM_AFTER) {
                vec x = load(w->gated + h * w->padded + i);
                add_row(w->dscale + h * value, i, value, slope * x * w->norm_after);
                slope *= load_row(scale + h * value, i, value);
                along += slope * x;
            }
            store(w->slope + h * w->padded + i, slope);
        }
    if (c->norm != NORM_AFTER) return;
    float share = sum(along) * w->norm_after * w->norm_after / inner(c);
    for (int64_t i = 0; i < c->heads * w->padded; i += LANES)
        store(w->slope + i, (load(w->slope + i) - load(w->gated + i) * share) * w->norm_after);
}

static void retract(const output_t *c, int64_t n, int64_t model, token_t *w) {
    int64_t value = c->value;
    const float *scale = c->scale ? c->scale + model * scale_size(c) : 0;
    float *dv_row = c->dv + n * c->dv_row;
    memset(dv_row, 0, 4 * c->steps * inner(c));
    retract_norm_after(c, n, model, w);
    for (int64_t h = 0; h < c->heads; h++) {
        const float *v = last_value(c, n, h), *gates = c->gates + n * c->gate_row + h * value;
        float *slopes = w->slope + h * w->padded, *summed = w->summed + h * w->padded;
        float *dv = dv_row + (c->steps - 1) * inner(c) + h * value;
        float *d_o = c->d_o + n * c->o_row + h * wide(c);
        float skip = c->skip ? c->skip[model * c->heads + h] : 0.0f;
        float echo = c->echo ? c->echo[n * c->heads + h] : 0.0f;
        vec decho{}, dskip{}, along{}, dfloor{};
        for (int64_t i = 0; i < value; i += LANES) {
            vec slope = load(slopes + i);
            if (c->gate_kind) {
                vec z = load_row(gates, i, value), s = load(w->sigmoids + h * value + i);
                vec steep = c->gate_kind == SILU ? s * (1.0f + z * (1.0f - s)) : s * (1.0f - s);
                store_row(c->dgates + n * c->dgate_row + h * value, i, value,
                          slope * load(w->echoed + h * w->padded + i) * steep);
                slope *= c->gate_kind == SILU ? z * s : s;
            }
            if (c->echo) {
                decho += slope * load_row(v, i, value);
                store_row(dv, i, value, slope * echo);
            }
            if (c->norm == NORM_OF_HEADS) {
                vec x = load(summed + i);
                add_row(w->dscale, i, value, slope * x * w->norm[h]);
                slope *= load_row(scale, i, value);
                along += slope * x;
            }
            store(slopes + i, slope);
        }
        float share = sum(along) * w->norm[h] * w->norm[h] / value;
        for (int64_t i = 0; i < value; i += LANES) {
            vec slope = load(slopes + i);
            if (c->norm == NORM_OF_HEADS) slope = (slope - load(summed + i) * share) * w->norm[h];
            if (c->skip) {
                dskip += slope * load_row(v, i, value);
                add_row(dv, i, value, slope * skip);
            }
            if (c->normalised) {
                slope /= w->floor[h];
                dfloor -= slope * load(w->divided + h * w->padded + i);
            }
            store_row(d_o, i, value, slope);
        }
        if (c->echo) c->decho[n * c->heads + h] = sum(decho);
        if (c->skip) w->dskip[h] += sum(dskip);
        if (c->normalised) {
            float below = c->o[n * c->o_row + h * wide(c) + value], least = c->positive ? 1e-6f : 1.0f;
            float slope = __builtin_fabsf(below) >= least ? sum(dfloor) : 0.0f;
            d_o[value] = below < 0.0f ? -slope : below > 0.0f ? slope : 0.0f;
        }
    }
}

// The gates lie far apart in longer rows: those of a token are asked for AHEAD tokens before it.
INLINE void ask(const output_t *c, int64_t n, bool back) {
    for (int64_t i = 0; i < inner(c) && c->gate_kind; i += 16) {
        __builtin_prefetch(c->gates + n * c->gate_row + i);
        if (back) __builtin_prefetch(c->dgates + n * c->dgate_row + i, 1);
    }
}

static void part(int64_t first, int64_t last, const output_t *c, bool back) {
    token_t w = {};
    w.padded = PADDED(c->value);
    int64_t size = c->heads * w.padded;
    float *memory = (float *)calloc(6 * size + 2 * c->heads + 2 * LANES, 4);
    w.divided = memory, w.summed = memory + size, w.echoed = memory + 2 * size;
    w.gated = memory + 3 * size, w.slope = memory + 4 * size;
    w.sigmoids = memory + 5 * size; // read and written past its end by less than a vector
    w.floor = memory + 6 * size + 2 * LANES, w.norm = w.floor + c->heads;
    for (int64_t unit = first; unit < last; unit++) {
        int64_t model = unit / c->blocks, start = unit % c->blocks * BLOCK;
        int64_t end = smaller(start + BLOCK, c->tokens);
        if (back) {
            w.dscale = c->partials + unit * partial_size(c);
            w.dskip = w.dscale + scale_size(c);
            memset(w.dscale, 0, 4 * partial_size(c));
        }
        for (int64_t n = model * c->tokens + start; n < model * c->tokens + end; n++) {
            if (n + AHEAD < model * c->tokens + end) ask(c, n + AHEAD, back);
            prepare(c, n, model, !back || c->norm == NORM_AFTER, &w);
            if (back) retract(c, n, model, &w);
            else emit(c, n, model, &w);
        }
    }
    free(memory);
}
static void forward_part(int64_t first, int64_t last, const void *data) {
    part(first, last, (const output_t *)data, false);
}
static void backward_part(int64_t first, int64_t last, const void *data) {
    part(first, last, (const output_t *)data, true);
}

static void sum_blocks(const output_t *c) {
    int64_t size = partial_size(c), scales = scale_size(c);
    for (int64_t model = 0; model < c->models; model++) {
        float *total = c->partials + model * c->blocks * size;
        for (int64_t block = 1; block < c->blocks; block++)
            for (int64_t i = 0; i < size; i++) total[i] += total[block * size + i];
        if (scales) memcpy(c->dscale + model * scales, total, 4 * scales);
        if (c->skip) memcpy(c->dskip + model * c->heads, total + scales, 4 * c->heads);
    }
}

// Both return whether there was memory.
extern "C" int forward(const output_t *given) {
    output_t c = *given;
    c.blocks = (c.tokens + BLOCK - 1) / BLOCK;
    parallel(c.models * c.blocks, (int)c.threads, forward_part, &c);
    return 1;
}
extern "C" int backward(const output_t *given) {
    output_t c = *given;
    c.blocks = (c.tokens + BLOCK - 1) / BLOCK;
    c.partials = (float *)malloc(4 * c.models * c.blocks * partial_size(&c) + 4);
    if (!c.partials) return 0;
    parallel(c.models * c.blocks, (int)c.threads, backward_part, &c);
    sum_blocks(&c);
    free(c.partials);
    return 1;
}
