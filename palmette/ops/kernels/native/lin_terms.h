// What the terms of the `lin` family are computed from, and the way of a query or a key through
// its feature map, its rotation and its length, there and back.
#pragma once
#include "functions.h"

enum { IDENTITY, SILU, RELU, ELU1, SOFTMAX, RMS };
enum { NO_DECAY, CONSTANT, SCALAR, VECTOR, VECTOR_DT, VECTOR_EXP, VECTOR_SIGMOID, TIED, TIED_FLOOR };
enum { RAW, BETA, STEP, COMPLEMENT, CHANNEL };
enum { NO_ERASE, ERASE_BETA, ERASE_BETA2, ERASE_SHARE, ERASE_CHANNEL, FREE, CHANNEL_READ, REMOVAL };
enum { // parameters that are vectors, in the order of the table
    Q_SCALE, K_SCALE, DECAY_BIAS, DECAY_FLOOR, RATE, STEP_BIAS, BIAS_OF_ERASE, SHARE, REMOVAL_SCALE,
    REMOVAL_MIX, WRITE_BIAS, ECHO, CORRECTION, RETENTION, PARAMETERS
};
enum { STREAMS, BETAS, STRENGTHS, STEPS, DECAYS, ERASES, WRITES, INPUTS };

// Inputs are rows, one for each token; outputs [token, sub-step, head, size] in one piece. On the
// way back the outputs' fields hold their gradients. The rates of erasing and writing, [token,
// sub-step, head], are what the recurrence multiplies by itself: where there is one of erasing,
// there is no a; where values go to the recurrence as they are, v is written only on the way back.
struct terms_t {
    int64_t models, tokens, length, steps, heads, key_heads, key, value, threads;
    int64_t feature, decay, write, erase, rotary, normalised;
    int64_t q_heads, k_heads, b_heads; // for how many heads they are written
    const float *inputs[INPUTS];
    float *dinputs[INPUTS];
    int64_t rows[INPUTS], drows[INPUTS]; // floats from a token to the next one
    const float *cosine, *sine;          // [length, key / 2]
    float *q, *k, *v, *log_decay, *a, *b, *echo, *erase_rate, *write_rate;
    const float *parameters[PARAMETERS];
    float *dparameters[PARAMETERS];
    int64_t sizes[PARAMETERS]; // of a model
    float *partials;           // sums of the parameters' gradients, for each block of tokens
    int64_t blocks;            // of a model
};

INLINE bool tied(const terms_t *c) { return c->decay >= TIED; }
INLINE bool by_channel(const terms_t *c) { return c->decay >= VECTOR && c->decay <= VECTOR_SIGMOID; }
INLINE bool by_head(const terms_t *c) { return c->decay == CONSTANT || c->decay == SCALAR; }
INLINE bool strength_on_key(const terms_t *c) {
    return (c->write == STEP && c->decay == VECTOR_DT) ||
           (c->write == COMPLEMENT && c->decay >= VECTOR);
}
INLINE bool erases_by_beta(const terms_t *c) {
    return c->erase >= ERASE_BETA && c->erase <= ERASE_SHARE;
}
INLINE bool has_b(const terms_t *c) {
    return c->erase == FREE || c->erase == REMOVAL || (c->erase != NO_ERASE && strength_on_key(c));
}

INLINE float dot(const float *x, const float *y, int64_t padded) {
    vec s{};
    for (int64_t i = 0; i < padded; i += LANES) s += load(x + i) * load(y + i);
    return sum(s);
}

// y = scale x / |x|, less than that near 0; returns what x is multiplied by, without the scale.
static float to_unit_length(const float *x, float *y, int64_t padded, float scale) {
    float inverse = 1.0f / root(dot(x, x, padded) + 1e-6f);
    for (int64_t i = 0; i < padded; i += LANES) store(y + i, load(x + i) * (inverse * scale));
    return inverse;
}
// From the gradient of y to that of x, in place.
static void from_unit_length(const float *x, float inverse, float scale, float *slope,
                             int64_t padded) {
    float along = dot(x, slope, padded) * inverse * inverse;
    for (int64_t i = 0; i < padded; i += LANES)
        store(slope + i, (load(slope + i) - load(x + i) * along) * (inverse * scale));
}

// Features 2i and 2i + 1 turned by the token's angles, or back.
static void turn(const terms_t *c, int64_t position, float way, float *x) {
    int64_t pairs = c->key / 2;
    const float *cosine = c->cosine + position * pairs, *sine = c->sine + position * pairs;
    for (int64_t i = 0; i < pairs; i++) {
        float real = x[2 * i], imaginary = x[2 * i + 1], s = way * sine[i];
        x[2 * i] = real * cosine[i] - imaginary * s;
        x[2 * i + 1] = imaginary * cosine[i] + real * s;
    }
}

// A query or a key on its way, each stage [padded] with zeros after the head's size. A stage that
// changes nothing is the one before it.
struct way_t {
    float *input, *mapped, *turned, *output;
    float norm, inverse; // of the feature map's norm, and of the last one
};

static void map_features(const terms_t *c, way_t *x, int64_t map, const float *scales) {
    int64_t n = c->key, padded = PADDED(n);
    if (map == IDENTITY) return;
    if (map == RMS) {
        x->norm = 1.0f / root(dot(x->input, x->input, padded) + 1e-6f);
        for (int64_t i = 0; i < padded; i += LANES)
            store(x->mapped + i, load(x->input + i) * load_row(scales, i, n) * (x->norm * root(n)));
        return;
    }
    float most = 0.0f, total = 0.0f;
    if (map == SOFTMAX) {
        most = x->input[0];
        for (int64_t i = 1; i < n; i++) most = x->input[i] > most ? x->input[i] : most;
    }
    for (int64_t i = 0; i < padded; i += LANES) {
        vec z = load(x->input + i), y = z;
        if (map == SILU) y = z * sigmoid(z);
        if (map == RELU) y = larger(z, vec{});
        if (map == ELU1) y = inside(z > 0.0f ? z + 1.0f : exponential(z), i, n);
        if (map == SOFTMAX) y = inside(exponential(z - most), i, n), total += sum(y);
        store(x->mapped + i, y);
    }
    if (map == SOFTMAX)
        for (int64_t i = 0; i < padded; i += LANES)
            store(x->mapped + i, load(x->mapped + i) / total);
}

static void map_features_back(const terms_t *c, const way_t *x, int64_t map, const float *scales,
                              float *dscales, float *slope) {
    int64_t n = c->key, padded = PADDED(n);
    if (map == IDENTITY) return;
    if (map == RMS) {
        for (int64_t i = 0; i < padded; i += LANES) {
            vec s = load(slope + i);
            add_row(dscales, i, n, s * load(x->input + i) * (x->norm * root(n)));
            store(slope + i, s * load_row(scales, i, n));
        }
        return from_unit_length(x->input, x->norm, root(n), slope, padded);
    }
    float mean = map == SOFTMAX ? dot(x->mapped, slope, padded) : 0.0f;
    for (int64_t i = 0; i < padded; i += LANES) {
        vec z = load(x->input + i), s = load(slope + i);
        if (map == SILU) {
            vec g = sigmoid(z);
            s *= g * (1.0f + z * (1.0f - g));
        }
        if (map == RELU) s = z > 0.0f ? s : vec{};
        if (map == ELU1) s = z > 0.0f ? s : s * load(x->mapped + i);
        if (map == SOFTMAX) s = load(x->mapped + i) * (s - mean);
        store(slope + i, s);
    }
}

static void go(const terms_t *c, way_t *x, int64_t map, const float *scales, int64_t position,
               bool unit, float scale) {
    int64_t padded = PADDED(c->key);
    map_features(c, x, map, scales);
    if (c->rotary) {
        memcpy(x->turned, x->mapped, 4 * padded);
        turn(c, position, 1.0f, x->turned);
    }
    if (unit)
        x->inverse = to_unit_length(x->turned, x->output, padded, scale);
    else
        for (int64_t i = 0; i < padded; i += LANES)
            store(x->output + i, load(x->turned + i) * scale);
}

// From the gradient of the output to that of the input, in place; the scales' is added.
static void go_back(const terms_t *c, const way_t *x, int64_t map, const float *scales,
                    float *dscales, int64_t position, bool unit, float scale, float *slope) {
    int64_t padded = PADDED(c->key);
    if (unit)
        from_unit_length(x->turned, x->inverse, scale, slope, padded);
    else
        for (int64_t i = 0; i < padded; i += LANES) store(slope + i, load(slope + i) * scale);
    if (c->rotary) turn(c, position, -1.0f, slope);
    map_features_back(c, x, map, scales, dscales, slope);
}
