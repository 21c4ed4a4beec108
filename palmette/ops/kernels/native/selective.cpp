// Diagonal scans with n states a channel, read as soon as they are made, forward and backward.
//
// Selective (Mamba, arXiv 2312.00752), each token saying how long its step is, what it writes into
// the states and what it reads from them:
//
//     dt = softplus(up low + bias)    h_n = exp(-exp(log_rate_n) dt) h_n + dt u write_n
//     y = sum_n read_n h_n + skip u
//
// Constant (S4D-Real, arXiv 2206.11893), all of it the channel's own:
//
//     h_n = decay_n h_n + u    y = sum_n reading_n h_n + skip u
//
// Lanes are channels. What is kept are the states before every CHUNK tokens; those between are made
// again, a vector of channels and a chunk at a time, in a core's cache.
#include "functions.h"
#include "tile.h"
#include <stdlib.h>

#define CHUNK 16

struct selective_t {
    const float *u; // [b t d]
    int64_t u_sequence, u_token;
    const float *gates; // [b t r + 2 n]: low, write, read
    int64_t gates_sequence, gates_token;
    const float *up, *bias;       // [s d r], [s d]
    const float *rate, *reading;  // [s d n]: the log rate, or the decay and the reading
    const float *skip;            // [s d], or 0
    float *y, *kept;              // [b t d], [b chunks n padded]
    int64_t s, b, t, d, n, r, constant, threads;
    // The derivative alone.
    const float *slope; // [b t d]
    float *by_u, *by_gates, *by_up, *by_bias, *by_rate, *by_reading, *by_skip;
    mutable int64_t failed;
};

static const float BITS = 1.44269504f; // log2 e

struct sizes_t {
    int64_t padded, chunks, width, parameters; // of channels; of a token's gates; rows of them
    sizes_t(const selective_t &a)
        : padded(PADDED(a.d)), chunks((a.t + CHUNK - 1) / CHUNK),
          width(a.constant ? 0 : a.r + 2 * a.n), parameters(2 * a.n + a.r + 2) {}
};

// A channel's parameters in a row each, and as many rows for their slopes: rates (or decays),
// readings, up, bias, skip.
struct rows_t {
    float *rate, *reading, *up, *bias, *skip;
    rows_t(const selective_t &a, const sizes_t &sizes, float *at)
        : rate(at), reading(rate + a.n * sizes.padded), up(reading + a.n * sizes.padded),
          bias(up + a.r * sizes.padded), skip(bias + sizes.padded) {}
};

static void turn(const float *from, int64_t channels, int64_t n, float *to, int64_t padded) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < padded; c++)
            to[i * padded + c] = from && c < channels ? from[c * n + i] : 0.0f;
}

static void take_parameters(const selective_t &a, const sizes_t &sizes, int64_t model, rows_t to) {
    int64_t first = model * a.d, padded = sizes.padded;
    turn(a.rate + first * a.n, a.d, a.n, to.rate, padded);
    if (!a.constant)
        for (int64_t i = 0; i < a.n * padded; i += LANES)
            store(to.rate + i, -exponential(load(to.rate + i)) * BITS);
    turn(a.reading ? a.reading + first * a.n : 0, a.d, a.n, to.reading, padded);
    turn(a.up ? a.up + first * a.r : 0, a.d, a.r, to.up, padded);
    turn(a.bias ? a.bias + first : 0, a.d, 1, to.bias, padded);
    turn(a.skip ? a.skip + first : 0, a.d, 1, to.skip, padded);
}

// The lengths of a chunk's steps in the channels from c on, all at once: none waits for another.
static void take_steps(const selective_t &a, const rows_t &own, int64_t padded, int64_t b,
                       int64_t first, int64_t last, int64_t c, float *steps) {
    const int64_t r = a.r;
    for (int64_t t = first; t < last; t++) {
        const float *low = a.gates + b * a.gates_sequence + t * a.gates_token;
        vec x = load(own.bias + c);
        for (int64_t i = 0; i < r; i++) x += load(own.up + i * padded + c) * low[i];
        store(steps + (t - first) * LANES, softplus(x));
    }
}

template <int N, bool constant>
static void forward_sequence(const selective_t &a, const sizes_t &sizes, const rows_t &own,
                             float *states, int64_t b) {
    const int64_t n = N ? N : a.n, padded = sizes.padded, d = a.d, r = a.r;
    memset(states, 0, 4 * n * padded);
    for (int64_t first = 0; first < a.t; first += CHUNK) {
        const int64_t last = smaller(first + CHUNK, a.t);
        memcpy(a.kept + (b * sizes.chunks + first / CHUNK) * n * padded, states, 4 * n * padded);
        for (int64_t c = 0; c < padded; c += LANES) {
            vec state[N ? N : 1], skip = load(own.skip + c);
            float steps[CHUNK * LANES];
            if (!constant) take_steps(a, own, padded, b, first, last, c, steps);
            for (int64_t i = 0; i < N; i++) state[i] = load(states + i * padded + c);
            for (int64_t t = first; t < last; t++) {
                const float *u_row = a.u + b * a.u_sequence + t * a.u_token;
                const float *low = a.gates + b * a.gates_sequence + t * a.gates_token;
                const float *write = low + r, *read = write + n;
                vec u = load_row(u_row, c, d), step{}, fed = u, y = skip * u;
                if (!constant) step = load(steps + (t - first) * LANES), fed = step * u;
#pragma GCC unroll 16
                for (int64_t i = 0; i < n; i++) {
                    vec decay = load(own.rate + i * padded + c);
                    if (!constant) decay = power_of_two(decay * step);
                    vec h = N ? state[N ? i : 0] : load(states + i * padded + c);
                    h = decay * h + (constant ? fed : fed * write[i]);
                    y += h * (constant ? load(own.reading + i * padded + c) : fill(read[i]));
                    if (N)
                        state[N ? i : 0] = h;
                    else
                        store(states + i * padded + c, h);
                }
                store_row(a.y + (b * a.t + t) * d, c, d, y);
            }
            for (int64_t i = 0; i < N; i++) store(states + i * padded + c, state[i]);
        }
    }
}

// A chunk of one vector of channels as it was forwards: n vectors a token.
struct again_t {
    float *states, *decays, *steps; // [CHUNK + 1 n], [CHUNK n], [CHUNK]
};

template <int N, bool constant>
static void make_again(const selective_t &a, const sizes_t &sizes, const rows_t &own,
                       const again_t &again, int64_t b, int64_t first, int64_t last, int64_t c) {
    const int64_t n = N ? N : a.n, padded = sizes.padded;
    const float *kept = a.kept + (b * sizes.chunks + first / CHUNK) * n * padded + c;
    for (int64_t i = 0; i < n; i++) store(again.states + i * LANES, load(kept + i * padded));
    if (!constant) take_steps(a, own, padded, b, first, last, c, again.steps);
    for (int64_t t = first; t < last; t++) {
        const float *write = a.gates + b * a.gates_sequence + t * a.gates_token + a.r;
        vec fed = load_row(a.u + b * a.u_sequence + t * a.u_token, c, a.d), step{};
        if (!constant) step = load(again.steps + (t - first) * LANES), fed *= step;
        float *before = again.states + (t - first) * n * LANES, *after = before + n * LANES;
        float *decays = again.decays + (t - first) * n * LANES;
#pragma GCC unroll 4
        for (int64_t i = 0; i < n; i++) {
            vec decay = load(own.rate + i * padded + c);
            if (!constant) {
                decay = power_of_two(decay * step);
                store(decays + i * LANES, decay);
            }
            vec h = decay * load(before + i * LANES);
            store(after + i * LANES, h + (constant ? fed : fed * write[i]));
        }
    }
}

// The slopes of a chunk's tokens in the channels from c on. `slopes` [n padded] are those by the
// states after the chunk, then before it; `sums` [CHUNK width] vectors are added to, as is `by`.
template <int N, bool constant>
static void return_chunk(const selective_t &a, const sizes_t &sizes, const rows_t &own,
                         const rows_t &by, const again_t &again, float *slopes, float *sums,
                         int64_t b, int64_t first, int64_t last, int64_t c) {
    const int64_t n = N ? N : a.n, padded = sizes.padded, d = a.d, r = a.r;
    vec skip = load(own.skip + c);
    for (int64_t t = last - 1; t >= first; t--) {
        const float *low = a.gates + b * a.gates_sequence + t * a.gates_token;
        const float *write = low + r, *read = write + n;
        float *by_low = sums + (t - first) * sizes.width * LANES;
        float *by_write = by_low + r * LANES, *by_read = by_write + n * LANES;
        const float *before = again.states + (t - first) * n * LANES, *after = before + n * LANES;
        const float *decays = again.decays + (t - first) * n * LANES;
        vec u = load_row(a.u + b * a.u_sequence + t * a.u_token, c, d);
        vec slope = load_row(a.slope + (b * a.t + t) * d, c, d);
        vec step = constant ? vec{} : load(again.steps + (t - first) * LANES);
        vec fed = step * u, by_fed{}, by_step{};
#pragma GCC unroll 4
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = i * padded + c;
            vec rate = load(own.rate + at), reading = load(own.reading + at);
            vec by_state = load(slopes + at) + slope * (constant ? reading : fill(read[i]));
            vec seen = slope * load(after + i * LANES);
            if (constant) {
                store(by.reading + at, load(by.reading + at) + seen);
                store(by.rate + at, load(by.rate + at) + by_state * load(before + i * LANES));
                by_fed += by_state;
                store(slopes + at, by_state * rate);
                continue;
            }
            store(by_read + i * LANES, load(by_read + i * LANES) + seen);
            store(by_write + i * LANES, load(by_write + i * LANES) + fed * by_state);
            by_fed += by_state * write[i];
            vec earlier = by_state * load(decays + i * LANES);
            vec by_exponent = earlier * load(before + i * LANES);
            by_step += by_exponent * rate;
            store(by.rate + at, load(by.rate + at) + by_exponent * step);
            store(slopes + at, earlier);
        }
        vec by_u = skip * slope + (constant ? by_fed : by_fed * step);
        store_row(a.by_u + (b * a.t + t) * d, c, d, by_u);
        store(by.skip + c, load(by.skip + c) + slope * u);
        if (constant) continue;
        // The softplus has the slope 1 - exp(-step).
        vec by_x = (by_step * (1.0f / BITS) + by_fed * u) * kept_from_one(-step);
        store(by.bias + c, load(by.bias + c) + by_x);
        for (int64_t i = 0; i < r; i++) {
            float *up = by.up + i * padded + c;
            store(up, load(up) + by_x * low[i]);
            store(by_low + i * LANES, load(by_low + i * LANES) + by_x * load(own.up + i * padded + c));
        }
    }
}

// to[i] = the sum of the lanes of vector i.
static void add_lanes(const float *vectors, int64_t n, float *to) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        float square[LANES * LANES];
        transpose_square(vectors + i * LANES, LANES, square, LANES);
        vec all = load(square);
        for (int row = 1; row < LANES; row++) all += load(square + row * LANES);
        store(to + i, all);
    }
    for (; i < n; i++) to[i] = sum(load(vectors + i * LANES));
}

template <int N, bool constant>
static void backward_sequence(const selective_t &a, const sizes_t &sizes, const rows_t &own,
                              const rows_t &by, const again_t &again, float *slopes, float *sums,
                              int64_t b) {
    memset(slopes, 0, 4 * a.n * sizes.padded);
    for (int64_t chunk = sizes.chunks - 1; chunk >= 0; chunk--) {
        const int64_t first = chunk * CHUNK, last = smaller(first + CHUNK, a.t);
        memset(sums, 0, 4 * CHUNK * sizes.width * LANES);
        for (int64_t c = 0; c < sizes.padded; c += LANES) {
            make_again<N, constant>(a, sizes, own, again, b, first, last, c);
            return_chunk<N, constant>(a, sizes, own, by, again, slopes, sums, b, first, last, c);
        }
        if (!constant)
            add_lanes(sums, (last - first) * sizes.width,
                      a.by_gates + (b * a.t + first) * sizes.width);
    }
}

struct work_space_t {
    const selective_t *a;
    float *parts; // [b parameters padded], or 0 forwards
};

static void run(int64_t begin, int64_t end, const void *data) {
    const work_space_t &space = *(const work_space_t *)data;
    const selective_t &a = *space.a;
    sizes_t sizes(a);
    const int64_t whole = a.n * sizes.padded, inner = CHUNK * LANES;
    int64_t numbers = sizes.parameters * sizes.padded + whole;
    numbers += inner * (2 * a.n + 1 + sizes.width) + a.n * LANES;
    float *memory = (float *)aligned_alloc(64, (4 * numbers + 63) / 64 * 64);
    if (!memory) {
        a.failed = 1;
        return;
    }
    float *states = memory + sizes.parameters * sizes.padded;
    rows_t own(a, sizes, memory);
    again_t again{states + whole, states + whole + inner * a.n + a.n * LANES, 0};
    again.steps = again.decays + inner * a.n;
    float *sums = again.steps + inner;
    int64_t taken = -1;
    for (int64_t b = begin; b < end; b++) {
        int64_t model = b * a.s / a.b;
        if (model != taken) take_parameters(a, sizes, taken = model, own);
        if (!space.parts) {
            auto forward = a.constant ? forward_sequence<0, true>
                           : a.n == 16 ? forward_sequence<16, false>
                           : a.n == 4  ? forward_sequence<4, false>
                                       : forward_sequence<0, false>;
            if (a.constant && a.n == 16) forward = forward_sequence<16, true>;
            if (a.constant && a.n == 4) forward = forward_sequence<4, true>;
            forward(a, sizes, own, states, b);
            continue;
        }
        rows_t by(a, sizes, space.parts + b * sizes.parameters * sizes.padded);
        auto backward = a.constant ? a.n == 16 ? backward_sequence<16, true> : backward_sequence<0, true>
                        : a.n == 16 ? backward_sequence<16, false>
                                    : backward_sequence<0, false>;
        backward(a, sizes, own, by, again, states, sums, b);
    }
    free(memory);
}

// to [channels n] of each model = the sum of its sequences' rows, in their order.
static void add_up(const selective_t &a, const sizes_t &sizes, const float *rows, int64_t n,
                   float *to) {
    if (!to) return;
    const int64_t each = a.b / a.s, step = sizes.parameters * sizes.padded;
    for (int64_t model = 0; model < a.s; model++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t c = 0; c < a.d; c++) {
                float total = 0;
                for (int64_t b = model * each; b < (model + 1) * each; b++)
                    total += rows[b * step + i * sizes.padded + c];
                to[(model * a.d + c) * n + i] = total;
            }
}

extern "C" int selective_forward(const selective_t *a) {
    work_space_t space{a, 0};
    parallel(a->b, (int)a->threads, run, &space);
    return !a->failed;
}

extern "C" int selective_backward(const selective_t *a) {
    sizes_t sizes(*a);
    float *parts = (float *)calloc(a->b * sizes.parameters * sizes.padded + 1, 4);
    if (!parts) return 0;
    work_space_t space{a, parts};
    parallel(a->b, (int)a->threads, run, &space);
    rows_t by(*a, sizes, parts);
    add_up(*a, sizes, by.rate, a->n, a->by_rate);
    if (!a->constant) // from the rate in the exponent to its logarithm
        for (int64_t i = 0; i < a->s * a->d * a->n; i++)
            a->by_rate[i] *= -__builtin_expf(a->rate[i]);
    add_up(*a, sizes, by.reading, a->n, a->by_reading);
    add_up(*a, sizes, by.up, a->r, a->by_up);
    add_up(*a, sizes, by.bias, 1, a->by_bias);
    add_up(*a, sizes, by.skip, 1, a->by_skip);
    free(parts);
    return !a->failed;
}

