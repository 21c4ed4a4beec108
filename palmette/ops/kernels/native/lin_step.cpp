// One token of each sequence through a layer of the `lin` family between its two projections:
// convolution, terms, recurrence and output in one call. Decoding is calls more than arithmetic.
#include <stdlib.h>
#include "convolution_step.h"
namespace terms {
#include "lin_terms_forward.h"
}
namespace output {
#include "lin_output_forward.h"
}

struct step_t {
    terms::terms_t terms;
    output::output_t output;
    token_t convolution; // without taps where there is none
    const float *state;  // [sequence, head, key, value (+ 1)]
    float *after, *o;    // o [sequence, head, value (+ 1)]
    const float *bonus;  // [head, key]
};

// A head's row of x, which is written for `heads` heads, or for one that all share.
INLINE const float *head_of(const float *x, int64_t row, int64_t heads, int64_t h, int64_t size) {
    return x ? x + (row * heads + (heads == 1 ? 0 : h)) * size : 0;
}

// The recurrence at sub-step j of one head: from `state` to `after`, which may be the same.
static void recur(const step_t *s, int64_t n, int64_t j, int64_t h, const float *state,
                  float *kept) {
    const terms::terms_t *c = &s->terms;
    int64_t key = c->key, wide = c->value + c->normalised, row = n * c->steps + j;
    const float *q = head_of(c->q, row, c->q_heads, h, key);
    const float *k = head_of(c->k, row, c->k_heads, h, key);
    const float *a = head_of(c->a, row, c->heads, h, key);
    const float *b = head_of(c->b, row, c->b_heads, h, key);
    const float *v = c->v ? head_of(c->v, row, c->heads, h, wide)
                          : c->inputs[terms::STREAMS] + n * c->rows[terms::STREAMS] +
                                terms::value_at(c, j, h);
    const float *bonus = s->bonus ? s->bonus + h * key : 0;
    float *after = s->after + (n * c->heads + h) * key * wide;
    float *o = s->o + (n * c->heads + h) * wide;
    float rate = c->write_rate ? c->write_rate[row * c->heads + h] : 1.0f;
    float erased = c->erase_rate ? c->erase_rate[row * c->heads + h] : 0.0f;
    bool erases = a || c->erase_rate;
    if (terms::by_head(c) || !c->log_decay) {
        vec decay = c->log_decay ? exponential(fill(c->log_decay[row * c->heads + h])) : fill(1.0f);
        for (int64_t i = 0; i < key; i++) kept[i] = decay[0];
    } else {
        int64_t heads = terms::tied(c) ? c->key_heads : c->heads;
        const float *decays = head_of(c->log_decay, row, heads, h, key);
        for (int64_t i = 0; i < key; i += LANES)
            store_row(kept, i, key, exponential(load_row(decays, i, key)));
    }
    for (int64_t at = 0; at < wide; at += LANES) {
        vec written = load_row(v, at, wide) * rate, gone{}, seen{};
        for (int64_t i = 0; i < key; i++) {
            vec before = load_row(state + i * wide, at, wide), now = before * kept[i];
            if (bonus) seen += q[i] * (before + bonus[i] * k[i] * written);
            if (erases) gone += (a ? a[i] : -erased * k[i]) * now;
            store_row(after + i * wide, at, wide, now);
        }
        for (int64_t i = 0; i < key; i++) {
            vec now = load_row(after + i * wide, at, wide) + k[i] * written;
            if (erases) now += (b ? b[i] : k[i]) * gone;
            if (!bonus) seen += q[i] * now;
            store_row(after + i * wide, at, wide, now);
        }
        store_row(o, at, wide, seen);
    }
}

extern "C" int step(const step_t *s) {
    const terms::terms_t *c = &s->terms;
    int64_t state_size = c->key * (c->value + c->normalised), padded = PADDED(c->value);
    if (s->convolution.taps) convolution_step(&s->convolution);
    terms::work_space_t *w = terms::allocate(c);
    terms::begin_model(c, 0, w);
    float *memory = (float *)calloc(6 * c->heads * padded + 2 * (c->heads + LANES) + c->key, 4);
    output::token_t t = output::stages(&s->output, memory);
    float *kept = t.norm + c->heads;
    for (int64_t n = 0; n < c->tokens; n++) {
        terms::prepare(c, n, 0, w);
        terms::emit(c, n, 0, w);
        for (int64_t h = 0; h < c->heads; h++)
            for (int64_t j = 0; j < c->steps; j++) {
                int64_t at = (n * c->heads + h) * state_size;
                recur(s, n, j, h, j ? s->after + at : s->state + at, kept);
            }
        output::prepare(&s->output, n, 0, true, &t);
        output::emit(&s->output, n, 0, &t);
    }
    free(memory);
    terms::release(w);
    return 1;
}
