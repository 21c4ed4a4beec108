// What follows a linear recurrence of the `lin` family: denominator, skip, norm of each head, echo,
// gate, norm of all heads; `_lin_module.py` has the meaning. Forward and backward, token by token.
// The backward pass computes all stages again; gradients of parameters are summed over BLOCK
// tokens, then over the blocks in order.
#include <stdlib.h>
#include "lin_output_forward.h"

#define BLOCK 64
#define AHEAD 6
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
    int64_t size = 6 * c->heads * PADDED(c->value) + 2 * (c->heads + LANES);
    float *memory = (float *)calloc(size, 4);
    token_t w = stages(c, memory);
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
