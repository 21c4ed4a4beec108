// The diagonal scan h_t = a_t h_{t-1} + x_t, forward and backward, and what makes a and x:
//
//     PLAIN   both are given
//     HGRN    taken = sigmoid(-floor) sigmoid(-z)    a = 1 - taken    x = taken u
//     RGLRU   r, i = sigmoid(gates + bias)    log a = -8 softplus(rate) r    x = sqrt(1 - a^2) i u
//
// (arXiv 2311.04823, 2402.19427). Lanes are channels, a token after another; h is the output, so the
// derivative has all states at hand and makes a and x again.
#include "functions.h"
#include <stdlib.h>

enum scan_kind { PLAIN, HGRN, RGLRU };

struct rows_t { // [b t ..] in memory
    const float *at;
    int64_t sequence, token;
    const float *row(int64_t b, int64_t t) const { return at + b * sequence + t * token; }
};

struct scan_t {
    rows_t gates, u;          // a, z or the gates [b t 2 d]; x or u
    const float *bias, *rate; // HGRN: floor [s d]; RGLRU: [s 2 d], [s d]; or 0
    float *h;                 // [b t d]
    int64_t s, b, t, d, kind, threads;
    // The derivative alone.
    const float *slope;
    float *by_gates, *by_u, *by_bias, *by_rate;
    mutable int64_t failed;
};

static const float LEAST_POWER = 1e-6f, SHARPNESS = 8.0f;

INLINE vec root(vec x) {
#if defined(__AVX512F__)
    return (vec)__builtin_ia32_sqrtps512_mask(x, x, 0xffff, 4); // 4: rounded as everything is
#elif defined(__AVX__)
    return __builtin_ia32_sqrtps256(x);
#else
    for (int i = 0; i < LANES; i++) x[i] = __builtin_sqrtf(x[i]);
    return x;
#endif
}

// A channel's parameters, in rows of whole vectors: HGRN what the floor leaves to take; RGLRU the two
// biases and the log of what an open gate keeps.
static void take_parameters(const scan_t &a, int64_t model, float *own, int64_t padded) {
    const int64_t d = a.d;
    for (int64_t c = 0; c < padded; c += LANES) {
        if (a.kind == HGRN) store(own + c, sigmoid(-load_row(a.bias + model * d, c, d)));
        if (a.kind != RGLRU) continue;
        store(own + c, load_row(a.bias + 2 * model * d, c, d));
        store(own + padded + c, load_row(a.bias + (2 * model + 1) * d, c, d));
        store(own + 2 * padded + c, -SHARPNESS * softplus(load_row(a.rate + model * d, c, d)));
    }
}

// What a token's channels from c on are made of.
struct terms_t {
    vec a, x, u, taken, r, i, log_a, power, scale;
};
template <int kind>
INLINE terms_t terms(const scan_t &a, const float *own, int64_t padded, const float *gates,
                     const float *u, int64_t c) {
    terms_t it{};
    it.u = load_row(u, c, a.d);
    if (kind == PLAIN) it.a = load_row(gates, c, a.d), it.x = it.u;
    if (kind == HGRN) {
        it.r = sigmoid(-load_row(gates, c, a.d));
        it.taken = load(own + c) * it.r;
        it.a = 1.0f - it.taken;
        it.x = it.taken * it.u;
    }
    if (kind == RGLRU) {
        it.r = sigmoid(load_row(gates, c, a.d) + load(own + c));
        it.i = sigmoid(load_row(gates + a.d, c, a.d) + load(own + padded + c));
        it.log_a = load(own + 2 * padded + c) * it.r;
        it.a = exponential(it.log_a);
        it.power = kept_from_one(2.0f * it.log_a);
        it.scale = root(larger(it.power, fill(LEAST_POWER)));
        it.x = it.scale * it.i * it.u;
    }
    return it;
}

template <int kind>
static void forward(const scan_t &a, const float *own, float *state, int64_t padded, int64_t b) {
    memset(state, 0, 4 * padded);
    for (int64_t t = 0; t < a.t; t++) {
        const float *gates = a.gates.row(b, t), *u = a.u.row(b, t);
        for (int64_t c = 0; c < padded; c += LANES) {
            terms_t it = terms<kind>(a, own, padded, gates, u, c);
            vec h = it.a * load(state + c) + it.x;
            store(state + c, h);
            store_row(a.h + (b * a.t + t) * a.d, c, a.d, h);
        }
    }
}

template <int kind>
static void backward(const scan_t &a, const float *own, float *by, float *state, int64_t padded,
                     int64_t b) {
    const int64_t d = a.d, width = kind == RGLRU ? 2 * d : d;
    memset(state, 0, 4 * padded);
    for (int64_t t = a.t - 1; t >= 0; t--) {
        const float *gates = a.gates.row(b, t), *u = a.u.row(b, t);
        const int64_t place = b * a.t + t;
        float *by_gates = a.by_gates + place * width, *by_u = a.by_u + place * d;
        for (int64_t c = 0; c < padded; c += LANES) {
            terms_t it = terms<kind>(a, own, padded, gates, u, c);
            vec slope = load_row(a.slope + place * d, c, d) + load(state + c);
            vec by_a = t ? slope * load_row(a.h + (place - 1) * d, c, d) : vec{};
            store(state + c, slope * it.a);
            if (kind == PLAIN) {
                store_row(by_gates, c, d, by_a);
                store_row(by_u, c, d, slope);
            }
            if (kind == HGRN) {
                vec by_log = (slope * it.u - by_a) * it.taken;
                store_row(by_gates, c, d, by_log * (it.r - 1.0f));
                store_row(by_u, c, d, slope * it.taken);
                store(by + c, load(by + c) - by_log);
            }
            if (kind == RGLRU) {
                vec by_power = slope * it.i * it.u * 0.5f / it.scale;
                by_power = it.power < LEAST_POWER ? vec{} : by_power;
                vec by_log = by_a * it.a - 2.0f * by_power * it.a * it.a;
                vec by_r = by_log * load(own + 2 * padded + c) * it.r * (1.0f - it.r);
                vec by_i = slope * it.scale * it.u * it.i * (1.0f - it.i);
                store_row(by_gates, c, d, by_r);
                store_row(by_gates + d, c, d, by_i);
                store_row(by_u, c, d, slope * it.scale * it.i);
                store(by + c, load(by + c) + by_r);
                store(by + padded + c, load(by + padded + c) + by_i);
                store(by + 2 * padded + c, load(by + 2 * padded + c) + by_log * it.r);
            }
        }
    }
}

struct work_space_t {
    const scan_t *a;
    float *parts; // [b 3 padded], or 0 forwards
};

static void run(int64_t first, int64_t last, const void *data) {
    const work_space_t &space = *(const work_space_t *)data;
    const scan_t &a = *space.a;
    const int64_t padded = PADDED(a.d);
    float *memory = (float *)aligned_alloc(64, 16 * padded);
    if (!memory) {
        a.failed = 1;
        return;
    }
    float *own = memory, *state = memory + 3 * padded;
    for (int64_t b = first; b < last; b++) {
        take_parameters(a, b * a.s / a.b, own, padded);
        float *by = space.parts + b * 3 * padded * (space.parts != 0);
        if (!space.parts)
            (a.kind == PLAIN ? forward<PLAIN> : a.kind == HGRN ? forward<HGRN> : forward<RGLRU>)(
                a, own, state, padded, b);
        else
            (a.kind == PLAIN ? backward<PLAIN> : a.kind == HGRN ? backward<HGRN> : backward<RGLRU>)(
                a, own, by, state, padded, b);
    }
    free(memory);
}

extern "C" int scan_forward(const scan_t *a) {
    work_space_t space{a, 0};
    parallel(a->b, (int)a->threads, run, &space);
    return !a->failed;
}

extern "C" int scan_backward(const scan_t *a) {
    const int64_t padded = PADDED(a->d), d = a->d, each = a->b / a->s;
    float *parts = (float *)calloc(3 * a->b * padded + 1, 4);
    if (!parts) return 0;
    work_space_t space{a, parts};
    parallel(a->b, (int)a->threads, run, &space);
    for (int64_t model = 0; a->kind != PLAIN && model < a->s; model++)
        for (int64_t c = 0; c < d; c++) {
            float total[3] = {};
            for (int64_t b = model * each; b < (model + 1) * each; b++)
                for (int row = 0; row < 3; row++) total[row] += parts[(3 * b + row) * padded + c];
            if (a->kind == HGRN) {
                float floor = a->bias[model * d + c];
                a->by_bias[model * d + c] = total[0] / (1.0f + __builtin_expf(-floor));
                continue;
            }
            a->by_bias[2 * model * d + c] = total[0];
            a->by_bias[(2 * model + 1) * d + c] = total[1];
            float rate = a->rate[model * d + c];
            a->by_rate[model * d + c] = -SHARPNESS * total[2] / (1.0f + __builtin_expf(-rate));
        }
    free(parts);
    return !a->failed;
}
