// The recurrence where nothing is erased, token by token: a block of the state, at most LANES rows
// of one vector each, stays in registers over a whole segment. At each token, forward or backward,
//     s_i = decay s_i + write_i x        y += read_i s_i
// and that is all that is needed, whatever the lanes are:
//     lanes   goes      s                         write  x    read  y
//     values  forward   the state S               k      v    q     o
//     keys    forward   S turned                  v      k    do    dq
//     values  backward  its derivative D          q      do   k     dv
//     keys    backward  D turned                  do     q    v     dk
// The derivative by a decay is the sum over the values of D S, S decayed and not written to yet:
// those of a segment are kept on the way forward, so no difference of large sums is taken.
//
// A read before the write (`exclusive`) is the one after the write of the token before: rows of
// writes then lie one row later, after one that writes nothing.
#pragma once
#include "recurrence_chunk.h"

#define FEW (LANES / 8) // columns of values that are no block: vectors over the keys, one by one

enum by_t { BY_NOTHING, BY_LANES, BY_ROWS }; // what decays: all alike, or a number for each
enum keep_t { KEEP_NOTHING, KEEP, MEET };

// Rows that will be needed soon, one brought nearer at each token.
struct ahead_t {
    const float *at;
    int64_t row;
};

// Where a sweep reads and writes at its first token. All go on by `row` floats from token to token.
struct sweep_t {
    ahead_t read_ahead[4], write_ahead[2];
    int64_t tokens, row;
    const float *write, *x, *read, *decay;
    float *y;
    bool add; // to y
    float *kept;
    float *through; // the derivative by the decays
    bool add_through;
    const float *seen; // of a single row: another vector to read by, its products apart
    float *products;
    bool add_products;
};

template <int BY, int R, int K>
static APART void sweep(const sweep_t &at, float *state, int64_t state_row) {
    vec s[R];
    UNROLL for (int i = 0; i < R; i++) s[i] = load(state + i * state_row);
    const int64_t kept_row = at.row < 0 ? -R * LANES : R * LANES;
    ahead_t in[4], out[2];
    UNROLL for (int i = 0; i < 4; i++) in[i] = at.read_ahead[i];
    UNROLL for (int i = 0; i < 2; i++) out[i] = at.write_ahead[i];
    for (int64_t t = 0, to = 0; t < at.tokens; t++, to += at.row) {
        float *kept = K == KEEP_NOTHING ? 0 : at.kept + t * kept_row;
        const float *write = at.write + to, *read = at.read + to, *decay = at.decay + to;
        UNROLL for (ahead_t &rows : in) __builtin_prefetch(rows.at, 0), rows.at += rows.row;
        UNROLL for (ahead_t &rows : out) __builtin_prefetch(rows.at, 1), rows.at += rows.row;
        const vec x = load(at.x + to);
        vec y[2] = {at.add ? load(at.y + to) : vec{}, vec{}}, through[2] = {};
        vec all = BY == BY_LANES ? load(decay) : vec{};
        if (K == MEET && at.add_through) through[0] = load(at.through + to);
        UNROLL for (int i = 0; i < R; i++) {
            if (BY == BY_LANES) s[i] *= all;
            if (BY == BY_ROWS) s[i] *= decay[i];
            if (K == KEEP) store(kept + i * LANES, s[i]);
            s[i] += x * write[i];
            y[i % 2] += s[i] * read[i];
            if (K == MEET) through[i % 2] += s[i] * load(kept + i * LANES);
        }
        store(at.y + to, y[0] + y[1]);
        if (K == MEET) store(at.through + to, through[0] + through[1]);
        if (R == 1 && at.products) {
            vec product = s[0] * load(at.seen + to);
            store(at.products + to, at.add_products ? load(at.products + to) + product : product);
        }
    }
    UNROLL for (int i = 0; i < R; i++) store(state + i * state_row, s[i]);
}

// Rows of a block from `at` on.
INLINE int64_t block_rows(int64_t rows, int64_t at) {
    return rows - at <= LANES / 2 ? LANES / 2 : LANES;
}
template <int BY, int K>
INLINE void sweep_block(int64_t rows, const sweep_t &at, float *state, int64_t row) {
    if (rows == 1)
        sweep<BY, 1, K>(at, state, row);
    else if (rows == LANES / 2)
        sweep<BY, LANES / 2, K>(at, state, row);
    else
        sweep<BY, LANES, K>(at, state, row);
}

// A segment of one head: tokens' rows, padded; one row more than tokens, where a read is exclusive,
// and one of decays more, of the segment after it.
struct sweeps_t {
    int64_t k, v, kp, vp, row, many; // many: columns of values in blocks; the others are few
    int64_t tokens, decay, exclusive;
    int64_t batch, head, first, count, rows;
    int64_t next_batch, next_head, next; // what is gone through after it
    float scale;
    float *q, *key, *value, *decays, *d_o; // [rows row]
    float *o, *d_q, *d_key, *d_value, *through, *products;
    float *nothing;             // where a sweep writes what is not wanted
    float *kept, *bonus, *own;  // own: q . (bonus k) [rows]
    float *gates;               // [tokens]
    float *states, *columns;    // [heads kp vp], and of few columns [heads vp kp]
    float *d_states, *d_turned; // [heads kp vp], [heads vp kp]
    float *turned, *later;      // [vp kp], [heads kp]

    void settle(const call_t &call, int64_t a_segment) {
        k = call.k, v = call.v, kp = up_to(k, LANES), vp = up_to(v, LANES);
        row = kp > vp ? kp : vp;
        many = v % LANES <= FEW ? v - v % LANES : v;
        tokens = a_segment, decay = call.decay, exclusive = call.exclusive;
        scale = (float)call.scale;
    }
    void take(arena_t &arena, int64_t heads, bool backward) {
        const int64_t all = (tokens + 2) * row;
        q = arena.take(all), key = arena.take(all), value = arena.take(all);
        decays = arena.take(all), products = arena.take(all + LANES * row);
        nothing = arena.take(all);
        bonus = arena.take(kp), own = arena.take(tokens), gates = arena.take(tokens + LANES);
        if (!backward) {
            o = arena.take(all);
            states = arena.take(heads * kp * vp), columns = arena.take(heads * vp * kp);
            return;
        }
        d_o = arena.take(all), d_q = arena.take(all), d_key = arena.take(all);
        d_value = arena.take(all), through = arena.take(all + LANES * row);
        kept = arena.take((tokens + 1) * LANES * LANES);
        states = arena.take(kp * vp), turned = arena.take(vp * kp);
        d_states = arena.take(heads * kp * vp), d_turned = arena.take(heads * vp * kp);
        later = arena.take(heads * kp);
    }
    void settle_next(const call_t &call, int64_t from, int64_t to, int64_t step, int64_t start) {
        next_batch = batch, next_head = head + 1, next = first;
        if (next_head < to) return;
        next_head = from, next += step;
        if (next >= 0 && next < call.t) return;
        next = start, next_head = to;
        if (to == call.h) next_head = 0, next_batch++;
        if (next_batch == call.b) next_batch = batch, next_head = head, next = first;
    }
    int64_t decay_at(int64_t channel) const { return decay == CHANNEL_DECAY ? channel : 0; }
};

INLINE ahead_t ahead(const tensor_t &x, int64_t b, int64_t h, int64_t t, int64_t at) {
    return ahead_t{x.of(b, h, t) + at, x.t};
}

static void clear_row(float *row, int64_t width) { memset(row, 0, width * 4); }

// Decays of the rows of writes.
static void read_decays(const call_t &call, const sweeps_t &s) {
    if (s.decay == NO_DECAY) return;
    const float *from = call.log_decay.of(s.batch, s.head, s.first);
    const int64_t width = s.decay == CHANNEL_DECAY ? s.kp : LANES;
    float *to = s.decays;
    if (s.exclusive) {
        for (int64_t j = 0; j < width; j += LANES) store(to + j, fill(1.0f));
        to += s.row;
    }
    if (s.decay == CHANNEL_DECAY) {
        read_rows(from, call.log_decay.t, s.count, s.k, to, s.row, s.count);
        for (int64_t i = 0; i < s.count; i++, to += s.row)
            for (int64_t j = 0; j < s.kp; j += LANES) store(to + j, exponential(load(to + j)));
        return;
    }
    for (int64_t i = 0; i < s.count; i++) s.gates[i] = from[i * call.log_decay.t];
    for (int64_t i = 0; i < s.count; i += LANES)
        store(s.gates + i, exponential(load(s.gates + i)));
    for (int64_t i = 0; i < s.count; i++, to += s.row) store(to, fill(s.gates[i]));
}

static void read_segment(const call_t &call, sweeps_t &s) {
    const int64_t b = s.batch, h = s.head, t = s.first, n = s.count, late = s.exclusive * s.row;
    s.rows = n + s.exclusive;
    read_rows(call.q.of(b, h, t), call.q.t, n, s.k, s.q, s.row, n);
    for (int64_t i = 0; i < n * s.row; i += s.row)
        for (int64_t j = 0; j < s.kp; j += LANES) store(s.q + i + j, load(s.q + i + j) * s.scale);
    read_rows(call.key.of(b, h, t), call.key.t, n, s.k, s.key + late, s.row, n);
    read_rows(call.value.of(b, h, t), call.value.t, n, s.v, s.value + late, s.row, n);
    read_decays(call, s);
    if (!s.exclusive) return;
    clear_row(s.key, s.kp), clear_row(s.value, s.vp), clear_row(s.q + n * s.row, s.kp);
    read_rows(call.bonus.of(b / (call.b / call.models), h, 0), 0, 1, s.k, s.bonus, s.kp, 1);
    for (int64_t i = 0; i < n; i++) {
        vec dots{};
        for (int64_t j = 0, at = i * s.row; j < s.kp; j += LANES)
            dots += load(s.q + at + j) * load(s.key + late + at + j) * load(s.bonus + j);
        s.own[i] = sum(dots);
    }
}

// to [n] at column j: the sums over the lanes of the products.
static void sum_products(int64_t n, const float *products, int64_t row, float *to, int64_t step) {
    for (int64_t i = 0; i < n; i += LANES) {
        vec x[LANES];
        UNROLL for (int l = 0; l < LANES; l++) x[l] = load(products + (i + l) * row);
        const vec sums = sums_of(x);
        for (int64_t l = 0; l < LANES && i + l < n; l++) to[(i + l) * step] = sums[l];
    }
}

// to [n row] += factors * from.
static void add_scaled(int64_t n, int64_t row, int64_t width, const float *factors,
                       const float *from, float *to) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i * row; j < i * row + width; j += LANES)
            store(to + j, load(to + j) + load(from + j) * factors[i]);
}
