// The terms of a token from its streams and gates: `prepare` computes what the way there and the way
// back need, `emit` writes the terms.
#pragma once
#include <stdlib.h>
#include "lin_terms.h"

struct work_space_t {
    int64_t padded, heads_padded, first_head_of_key; // of a key; of all scalars of a token
    float *beta, *strength, *step, *factor, *decay;  // [sub-step, head] or [head]
    float *dbeta, *dstrength, *dstep, *ddecay;
    float *rate, *share;               // e^A_log and the share of erasure, [head]
    float *decays, *ddecays;           // of channels: [head, padded], tied [sub-step, head, padded]
    float *steps, *dsteps;             // dt of channels
    float *gates;                      // [sub-step, head, padded]
    float *removed, *unit, *inverse;   // what is made a unit vector, that, 1 / its length
    float *dkeys, *dqueries, *dunit;   // [sub-step, key head, padded]
    way_t *queries, *keys;
    float *memory, *partial[PARAMETERS];
};

// Where the streams of a token are in its row.
INLINE int64_t key_at(const terms_t *c, int64_t j, int64_t g) {
    return (c->key_heads + j * c->key_heads + g) * c->key;
}
INLINE int64_t erase_key_at(const terms_t *c, int64_t j, int64_t g) {
    return key_at(c, j, g) + c->steps * c->key_heads * c->key;
}
INLINE int64_t value_at(const terms_t *c, int64_t j, int64_t h) {
    int64_t keys = (c->erase == FREE ? 2 : 1) * c->steps;
    return (1 + keys) * c->key_heads * c->key + (j * c->heads + h) * c->value;
}
INLINE int64_t key_head(const terms_t *c, int64_t h) { return c->key_heads == 1 ? 0 : h; }
INLINE const float *input(const terms_t *c, int which, int64_t n) {
    return c->inputs[which] + n * c->rows[which];
}
INLINE float *dinput(const terms_t *c, int which, int64_t n) {
    return c->dinputs[which] + n * c->drows[which];
}
INLINE bool unit_keys(const terms_t *c) { return c->erase != NO_ERASE && c->erase != REMOVAL; }
INLINE float query_scale(const terms_t *c) {
    return c->write == STEP ? 1.0f : 1.0f / root((float)c->key);
}
INLINE int64_t map_of_keys(const terms_t *c) {
    return tied(c) && c->feature != RMS ? (int64_t)IDENTITY : c->feature;
}
INLINE const float *parameter(const terms_t *c, int which, int64_t model) {
    return c->parameters[which] + model * c->sizes[which];
}

static float *take(float **memory, int64_t size) {
    float *start = *memory;
    *memory += size;
    return start;
}

static work_space_t *allocate(const terms_t *c) {
    int64_t padded = PADDED(c->key), scalars = PADDED(c->steps * c->heads);
    int64_t keys = c->steps * c->key_heads, all = c->steps * c->heads;
    int64_t size = 11 * scalars + padded * (4 * c->heads + 5 * all + 9 * keys + 5 * c->key_heads);
    work_space_t *w = (work_space_t *)calloc(1, sizeof(work_space_t));
    w->memory = (float *)calloc(size + 2 * keys + 64, 4);
    w->queries = (way_t *)calloc(keys + c->key_heads, sizeof(way_t));
    w->keys = w->queries + c->key_heads;
    w->padded = padded, w->heads_padded = scalars;
    float *m = w->memory;
    float **of_scalars[] = {&w->beta,  &w->strength,  &w->step,  &w->factor, &w->decay, &w->dbeta,
                            &w->dstrength, &w->dstep, &w->ddecay, &w->rate,   &w->share};
    for (float **field : of_scalars) *field = take(&m, scalars);
    w->steps = take(&m, c->heads * padded), w->dsteps = take(&m, c->heads * padded);
    w->decays = take(&m, all * padded), w->ddecays = take(&m, all * padded);
    w->gates = take(&m, all * padded);
    w->removed = take(&m, keys * padded), w->unit = take(&m, keys * padded);
    w->dunit = take(&m, keys * padded), w->dkeys = take(&m, keys * padded);
    w->dqueries = take(&m, c->key_heads * padded);
    for (int64_t i = 0; i < keys + c->key_heads; i++) {
        way_t *x = w->queries + i;
        int64_t map = i < c->key_heads ? c->feature : map_of_keys(c);
        x->input = take(&m, padded);
        x->mapped = map == IDENTITY ? x->input : take(&m, padded);
        x->turned = c->rotary ? take(&m, padded) : x->mapped;
        x->output = take(&m, padded);
    }
    w->inverse = take(&m, keys);
    return w;
}
static void release(work_space_t *w) {
    free(w->memory);
    free(w->queries);
    free(w);
}

static void read_row(const float *from, int64_t n, float *to) {
    for (int64_t i = 0; i < n; i += LANES) store(to + i, load_row(from, i, n));
}

// What does not depend on the token.
static void begin_model(const terms_t *c, int64_t model, work_space_t *w) {
    for (int64_t i = 0; i < c->heads; i += LANES) {
        if (c->parameters[RATE])
            store(w->rate + i, exponential(load_row(parameter(c, RATE, model), i, c->heads)));
        store(w->share + i, c->parameters[SHARE]
                                ? sigmoid(load_row(parameter(c, SHARE, model), i, c->heads))
                                : fill(1.0f));
    }
}

// Decay and step of each channel of one head, or of one tied key.
static void prepare_channels(const terms_t *c, int64_t n, int64_t model, int64_t h,
                             work_space_t *w) {
    const float *z = input(c, DECAYS, n) + h * c->key;
    int kind = c->decay == VECTOR_DT ? STEP_BIAS : DECAY_BIAS;
    const float *bias = parameter(c, kind, model) + h * c->key;
    for (int64_t i = 0; i < c->key; i += LANES) {
        vec x = load_row(z, i, c->key) + load_row(bias, i, c->key), decay;
        if (c->decay == VECTOR) {
            decay = larger(log_sigmoid(x) * (1.0f / 16), fill(-5.0f));
        } else if (c->decay == VECTOR_EXP) {
            decay = -exponential(x > 1.6094379124341003f ? fill(1.6094379124341003f) : x);
        } else if (c->decay == VECTOR_SIGMOID) {
            decay = -0.6065306597126334f * sigmoid(x);
        } else {
            vec step = softplus(x);
            store(w->steps + h * w->padded + i, step);
            decay = larger(-w->rate[h] * step, fill(-5.0f));
        }
        store(w->decays + h * w->padded + i, decay);
    }
}

static void prepare_tied(const terms_t *c, int64_t model, int64_t g, float *raw, float *decays) {
    const float *floors = c->decay == TIED_FLOOR ? parameter(c, DECAY_FLOOR, model) : 0;
    for (int64_t i = 0; i < c->key; i += LANES) {
        vec decay = log_sigmoid(load(raw + i));
        if (floors) {
            vec floor = load_row(floors + g * c->key, i, c->key);
            decay = log_sum(log_sigmoid(floor), log_sigmoid(-floor) + decay);
        }
        decay = larger(decay, fill(-5.0f));
        store(decays + i, decay);
        store(raw + i, inside(kept_from_one(decay), i, c->key));
    }
}

static void prepare_scalars(const terms_t *c, int64_t n, int64_t model, work_space_t *w) {
    int64_t all = c->steps * c->heads;
    float most = c->erase == ERASE_BETA2 ? 2.0f : 1.0f;
    for (int64_t i = 0; i < all; i += LANES) {
        if (c->inputs[BETAS])
            store(w->beta + i, most * sigmoid(load_row(input(c, BETAS, n), i, all)));
        if (c->inputs[STRENGTHS])
            store(w->strength + i, sigmoid(load_row(input(c, STRENGTHS, n), i, all)));
    }
    for (int64_t i = 0; i < c->heads; i += LANES) {
        if (c->inputs[STEPS])
            store(w->step + i, softplus(load_row(input(c, STEPS, n), i, c->heads) +
                                        load_row(parameter(c, STEP_BIAS, model), i, c->heads)));
        if (c->decay == CONSTANT)
            store(w->decay + i, load_row(parameter(c, RETENTION, model), i, c->heads));
        if (c->decay == SCALAR)
            store(w->decay + i, larger(-load(w->rate + i) * load(w->step + i), fill(-20.0f)));
    }
    for (int64_t j = 0; j < c->steps; j++)
        for (int64_t h = 0; h < c->heads; h++) {
            float *factor = w->factor + j * c->heads + h;
            *factor = 1.0f;
            if (c->inputs[STRENGTHS]) *factor = w->strength[j * c->heads + h];
            else if (c->write == RAW && erases_by_beta(c)) *factor = w->beta[j * c->heads + h];
            else if (c->write == STEP && c->decay != VECTOR_DT) *factor = w->step[h];
            else if (c->write == COMPLEMENT && by_head(c))
                *factor = kept_from_one(fill(w->decay[h]))[0];
        }
}

static void prepare(const terms_t *c, int64_t n, int64_t model, work_space_t *w) {
    int64_t key = c->key, padded = w->padded, position = n % c->length;
    const float *streams = input(c, STREAMS, n);
    prepare_scalars(c, n, model, w);
    if (by_channel(c))
        for (int64_t h = 0; h < c->heads; h++) prepare_channels(c, n, model, h, w);
    for (int64_t g = 0; g < c->key_heads; g++) {
        read_row(streams + g * key, key, w->queries[g].input);
        go(c, w->queries + g, c->feature, c->parameters[Q_SCALE] ? parameter(c, Q_SCALE, model) : 0,
           position, unit_keys(c), query_scale(c));
    }
    for (int64_t j = 0; j < c->steps; j++)
        for (int64_t g = 0; g < c->key_heads; g++) {
            int64_t at = j * c->key_heads + g;
            way_t *x = w->keys + at;
            float *removed = w->removed + at * padded;
            read_row(streams + key_at(c, j, g), key, x->input);
            if (tied(c)) prepare_tied(c, model, g, x->input, w->decays + at * padded);
            go(c, x, map_of_keys(c), c->parameters[K_SCALE] ? parameter(c, K_SCALE, model) : 0,
               position, unit_keys(c), 1.0f);
            if (c->erase == FREE) read_row(streams + erase_key_at(c, j, g), key, removed);
            if (c->erase == REMOVAL) {
                const float *scale = parameter(c, REMOVAL_SCALE, model) + g * key;
                for (int64_t i = 0; i < key; i += LANES)
                    store(removed + i, load(x->output + i) * load_row(scale, i, key));
            }
            if (c->erase == FREE || c->erase == REMOVAL)
                w->inverse[at] = to_unit_length(removed, w->unit + at * padded, padded, 1.0f);
        }
    if (c->inputs[ERASES])
        for (int64_t at = 0; at < c->steps * c->heads; at++)
            for (int64_t i = 0; i < key; i += LANES)
                store(w->gates + at * padded + i,
                      sigmoid(load_row(input(c, ERASES, n) + at * key, i, key) +
                              load_row(parameter(c, BIAS_OF_ERASE, model) + at * key, i, key)));
}

// One vector of the channels of a key, at sub-step j of head h: what is made of it.
struct channels_t {
    vec key, gate, unit, mix, before, strength, decay, a, b;
};
INLINE channels_t channels(const terms_t *c, int64_t model, int64_t j, int64_t h, int64_t i,
                           const work_space_t *w) {
    int64_t g = key_head(c, h), at = j * c->key_heads + g, here = j * c->heads + h;
    channels_t x{};
    x.key = load(w->keys[at].output + i);
    x.strength = fill(1.0f);
    if (c->inputs[ERASES]) x.gate = load(w->gates + here * w->padded + i);
    if (c->erase == FREE || c->erase == REMOVAL) x.unit = load(w->unit + at * w->padded + i);
    if (tied(c)) x.decay = load(w->decays + at * w->padded + i);
    else if (by_channel(c)) x.decay = load(w->decays + h * w->padded + i);
    else if (by_head(c)) x.decay = fill(w->decay[h]);
    if (strength_on_key(c))
        x.strength = c->write == STEP ? load(w->steps + h * w->padded + i) : kept_from_one(x.decay);
    if (!tied(c) && j > 0) x.decay = vec{}; // a token decays once
    x.before = x.key;
    if (c->erase == ERASE_CHANNEL) x.before = x.gate * x.key;
    if (c->erase == REMOVAL) {
        x.mix = load_row(parameter(c, REMOVAL_MIX, model) + g * c->key, i, c->key);
        x.before = x.key * (1.0f + (x.gate - 1.0f) * x.mix);
        x.a = -x.unit * exponential(-x.decay);
        x.b = x.gate * x.unit;
    } else {
        x.b = x.before;
        if (c->a && erases_by_beta(c)) x.a = -w->beta[here] * w->share[h] * x.key;
        if (c->erase == ERASE_CHANNEL) x.a = -x.before;
        if (c->erase == CHANNEL_READ) x.a = -x.gate * x.key;
        if (c->erase == FREE) x.b = x.gate * x.unit, x.a = -x.b;
    }
    return x;
}

INLINE vec query(const terms_t *c, int64_t model, int64_t h, int64_t i, const work_space_t *w) {
    int64_t g = key_head(c, h);
    vec q = load(w->queries[g].output + i);
    if (!c->parameters[CORRECTION]) return q;
    float share = query_scale(c) * parameter(c, CORRECTION, model)[h];
    return q - share * load(w->keys[(c->steps - 1) * c->key_heads + g].output + i);
}

INLINE vec write_gate(const terms_t *c, int64_t n, int64_t model, int64_t here, int64_t i) {
    if (!c->inputs[WRITES]) return fill(1.0f);
    return sigmoid(load_row(input(c, WRITES, n) + here * c->value, i, c->value) +
                   load_row(parameter(c, WRITE_BIAS, model) + here * c->value, i, c->value));
}

static void emit(const terms_t *c, int64_t n, int64_t model, const work_space_t *w) {
    int64_t key = c->key, value = c->value, wide = value + c->normalised;
    for (int64_t j = 0; j < c->steps; j++) {
        int64_t row = n * c->steps + j;
        bool last = j == c->steps - 1;
        for (int64_t h = 0; h < c->heads; h++) {
            int64_t here = j * c->heads + h;
            bool own_q = h < c->q_heads, own_k = h < c->k_heads, own_b = h < c->b_heads;
            float *q = c->q + (row * c->q_heads + h) * key, *k = c->k + (row * c->k_heads + h) * key;
            vec seen{};
            for (int64_t i = 0; i < key; i += LANES) {
                channels_t x = channels(c, model, j, h, i, w);
                vec written = x.before * x.strength;
                vec asked = last ? query(c, model, h, i, w) : vec{};
                if (own_q) store_row(q, i, key, asked);
                if (own_k) store_row(k, i, key, written);
                if (c->a) store_row(c->a + (row * c->heads + h) * key, i, key, x.a);
                if (c->b && own_b) store_row(c->b + (row * c->b_heads + h) * key, i, key, x.b);
                if (by_channel(c))
                    store_row(c->log_decay + (row * c->heads + h) * key, i, key, x.decay);
                if (tied(c) && h < c->key_heads)
                    store_row(c->log_decay + (row * c->key_heads + h) * key, i, key, x.decay);
                if (c->echo)
                    seen += asked * written *
                            load_row(parameter(c, ECHO, model) + h * key, i, key);
            }
            if (by_head(c)) c->log_decay[row * c->heads + h] = j ? 0.0f : w->decay[h];
            if (c->echo && last) c->echo[n * c->heads + h] = sum(seen);
            if (c->erase_rate)
                c->erase_rate[row * c->heads + h] = w->beta[here] * w->share[h];
            float factor = w->factor[here];
            if (c->write_rate) c->write_rate[row * c->heads + h] = factor, factor = 1.0f;
            if (!c->v) continue;
            const float *from = input(c, STREAMS, n) + value_at(c, j, h);
            float *v = c->v + (row * c->heads + h) * wide;
            for (int64_t i = 0; i < value; i += LANES)
                store_row(v, i, value,
                          load_row(from, i, value) * write_gate(c, n, model, here, i) * factor);
            if (c->normalised) v[value] = factor;
        }
    }
}
