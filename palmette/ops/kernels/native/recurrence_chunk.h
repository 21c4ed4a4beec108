// A chunk of C tokens of the recurrence: its rows (queries, and what erases), its columns (what is
// written), the pairs of both under the decays between them, and the values that are written.
//
// With E_i the decay from the chunk's start up to token i and E_ij that after token j, S_0 the
// state before the chunk and x_j w_j^T what token j adds to the state,
//     o_i = E_i q_i^T S_0 + sum_{j <= i} (q_i E_ij x_j) w_j^T
// and alike for what a_i reads, j < i. No product of decays is ever divided by another one unless
// both belong to a channel; there the pairs are products around the chunk's middle.
#pragma once
#include "recurrence_product.h"

enum decay_t { NO_DECAY, HEAD_DECAY, CHANNEL_DECAY };
enum erase_t { NO_ERASURE, BY_KEY, BY_ITSELF };
#define CHANNEL_CHUNK 8        // tokens, where decays differ between channels
#define LEAST_LOG_DECAY -20.0f // of a channel: four of them still have a reciprocal in fp32
#define MIDDLE 3               // the token that a channel's decays are counted from

// A tensor [b h t .]: its address, and floats from one to the next.
struct tensor_t {
    float *at;
    int64_t b, h, t;
    float *of(int64_t i, int64_t j, int64_t k) const { return at + i * b + j * h + k * t; }
};

// What all is called with: a thread takes `group` heads of a sequence at a time.
struct call_t {
    int64_t b, h, t, k, v, decay, erase, exclusive, models, group, segment, threads;
    double scale; // of the queries
    tensor_t q, key, value, log_decay, a, erased, bonus, erase_rate, write_rate;
    tensor_t o, states, d_o;
    tensor_t d_q, d_key, d_value, d_log_decay, d_a, d_erased, d_bonus, d_erase_rate, d_write_rate;
};

// Memory that is handed out once, in lines of the cache; to count only, it may lie anywhere.
struct arena_t {
    float *base;
    int64_t used;
    float *take(int64_t count) {
        float *at = base + used;
        used += (count + 15) / 16 * 16;
        return at;
    }
};

INLINE int64_t up_to(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
// The length of rows of n floats; not a power of two that would put all rows in few cache sets.
INLINE int64_t row_length(int64_t n) { return n % 64 ? n : n + LANES; }

struct sizes_t {
    int64_t k, v, kv, vv; // sizes of key and value, in floats and in vectors
    int64_t kp, vp;       // whole vectors, in floats; kp also whole blocks of rows
    int64_t kr, vr;       // lengths of rows
    int64_t state_rows;
    int64_t rows, columns, pair_vectors, pair_row;
    int64_t erase, decay, exclusive;
    bool strict(int64_t row, int C) const { return row >= C || exclusive; }
};

template <int C> static sizes_t sizes_of(const call_t &call) {
    sizes_t s{};
    s.k = call.k, s.v = call.v;
    s.state_rows = up_to(s.k, BLOCK);
    s.kp = up_to(s.state_rows, LANES), s.vp = up_to(s.v, LANES);
    s.kv = s.kp / LANES, s.vv = s.vp / LANES;
    s.kr = row_length(s.kp), s.vr = row_length(s.vp);
    s.rows = call.erase ? 2 * C : C;
    s.columns = call.erase == BY_ITSELF ? 2 * C : C;
    s.pair_row = up_to(s.columns, LANES);
    s.pair_vectors = s.pair_row / LANES;
    s.erase = call.erase, s.decay = call.decay, s.exclusive = call.exclusive;
    return s;
}

template <int C> struct chunk_t {
    int64_t batch, head, first, count; // the tokens first to first + count; C at most
    // rows: C queries, then C that erase; columns: C that are erased (if they differ), then C keys
    float *rows, *rows_middle, *rows_start; // as given, to the middle, from the start
    float *columns, *columns_middle, *columns_end;
    float *values; // what the columns write [columns vr]
    float *given;  // the values as given [C vr], for their rates
    float *erase_rates, *write_rates, *scales; // [C]
    float *pairs;  // rows x columns
    float *weights; // of the pairs: decays, or 1 and 0
    float *up, *down, *start, *end; // of channels [C kr]: around the middle, from start, to end
    float *up_read, *start_read;    // those of the queries
    float *start_of, *end_of;       // of heads [2C], by row and by column
    float *keep;                    // of the whole chunk [kp]
    float *decays;                  // e^g [C kr], or [C]
    float *state;                   // before the chunk
    float *present;                 // the values before the erasure, if the read is exclusive
    float *own;                     // q . (bonus k) [C]

    void take(arena_t &arena, const sizes_t &s) {
        const int64_t columns_padded = up_to(s.columns, LANES), wide = columns_padded * s.kr;
        rows = rows_middle = rows_start = arena.take(s.rows * s.kr);
        columns = columns_middle = columns_end = arena.take(wide);
        values = arena.take(columns_padded * s.vr);
        given = arena.take(C * s.vr);
        erase_rates = arena.take(C), write_rates = arena.take(C);
        scales = arena.take(C);
        pairs = arena.take(s.rows * s.pair_row);
        weights = arena.take(s.rows * s.pair_row);
        keep = arena.take(s.kp);
        decays = arena.take(C * (s.decay == CHANNEL_DECAY ? s.kr : 1));
        if (s.decay != NO_DECAY) {
            rows_start = arena.take(s.rows * s.kr);
            columns_end = arena.take(wide);
        }
        if (s.decay == HEAD_DECAY) start_of = arena.take(2 * C), end_of = arena.take(2 * C);
        if (s.decay == CHANNEL_DECAY) {
            rows_middle = arena.take(s.rows * s.kr);
            columns_middle = arena.take(wide);
            up = arena.take((C + 1) * s.kr) + s.kr, start = arena.take((C + 1) * s.kr) + s.kr;
            down = arena.take(C * s.kr), end = arena.take(C * s.kr);
            up_read = up - (s.exclusive ? s.kr : 0);
            start_read = start - (s.exclusive ? s.kr : 0);
        }
        if (s.exclusive) present = arena.take(C * s.vr), own = arena.take(C);
    }
    // What is erased by: rows C to 2C, and the columns of the keys.
    int64_t key_column(const sizes_t &s) const { return s.erase == BY_ITSELF ? C : 0; }
};

// What stays: the queries' scale, and which pairs are seen, as weights of 1 and 0: all columns j up
// to the row's own i, or before it.
template <int C> static void settle(const call_t &call, const sizes_t &s, chunk_t<C> &chunk) {
    for (int64_t i = 0; i < C; i++) chunk.scales[i] = (float)call.scale;
    for (int64_t r = 0; r < s.rows; r++)
        for (int64_t c = 0; c < s.columns; c++) {
            const int64_t last = s.strict(r, C) ? r % C - 1 : r % C;
            chunk.weights[r * s.pair_row + c] = c % C <= last ? 1.0f : 0.0f;
        }
}

// The numbers of a vector's lanes, from `first` on.
INLINE ivec lanes_from(int first) {
    ivec lanes;
    UNROLL for (int i = 0; i < LANES; i++) lanes[i] = first + i;
    return lanes;
}

// A head's decays: e^g, from the start, to the end, and between all pairs.
template <int C>
static void decay_head(const call_t &call, const sizes_t &s, chunk_t<C> &chunk) {
    float *decays = chunk.decays;
    read_column<C>(call.log_decay.of(chunk.batch, chunk.head, chunk.first), call.log_decay.t,
                   chunk.count, decays);
    for (int64_t i = 0; i < C; i += LANES) store(decays + i, exponential(load(decays + i)));
    float from_start = 1.0f, to_end = 1.0f;
    for (int64_t i = 0; i < C; i++) {
        if (s.exclusive) chunk.start_of[i] = from_start;
        from_start *= decays[i];
        if (!s.exclusive) chunk.start_of[i] = from_start;
        chunk.start_of[C + i] = from_start;
    }
    for (int64_t j = C - 1; j >= 0; j--) {
        chunk.end_of[j] = chunk.end_of[C + j] = to_end;
        to_end *= decays[j];
    }
    for (int64_t i = 0; i < s.state_rows; i += LANES) store(chunk.keep + i, fill(from_start));
    for (int64_t c = 0; c < C; c += LANES) {
        const ivec lanes = lanes_from((int)c);
        vec between{}; // of columns c.. and token i
        for (int64_t i = 0; i < C; i++) {
            vec before = between, strict = between * decays[i];
            between = lanes == (int)i ? fill(1.0f) : strict;
            for (int64_t set = 0; set < s.columns; set += C) {
                float *q = chunk.weights + i * s.pair_row + set + c, *a = q + C * s.pair_row;
                store(q, s.exclusive ? before : between);
                if (s.erase) store(a, strict);
            }
        }
    }
    scale_rows(s.rows, s.kv, chunk.start_of, chunk.rows, chunk.rows_start, s.kr);
    scale_rows(s.columns, s.kv, chunk.end_of, chunk.columns, chunk.columns_end, s.kr);
}

// The decays of channels: products away from the middle, which never overflow, and reciprocals
// towards it, of MIDDLE + 1 decays at most.
template <int C>
static void decay_channels(const call_t &call, const sizes_t &s, chunk_t<C> &chunk) {
    read_rows(call.log_decay.of(chunk.batch, chunk.head, chunk.first), call.log_decay.t,
              chunk.count, s.k, chunk.decays, s.kr, C);
    for (int64_t at = 0; at < s.kp; at += LANES) {
        vec decays[C], inverses[C];
        UNROLL for (int i = 0; i < C; i++) {
            vec g = load(chunk.decays + i * s.kr + at);
            decays[i] = exponential(g < LEAST_LOG_DECAY ? fill(LEAST_LOG_DECAY) : g);
            inverses[i] = 1.0f / decays[i];
            store(chunk.decays + i * s.kr + at, decays[i]);
        }
        vec up = fill(1.0f), down = up;
        UNROLL for (int i = MIDDLE; i >= -1; i--) {
            store(chunk.up + i * s.kr + at, up);
            if (i >= 0) {
                store(chunk.down + i * s.kr + at, down);
                up *= inverses[i], down *= decays[i];
            }
        }
        up = down = fill(1.0f);
        UNROLL for (int i = MIDDLE + 1; i < C; i++) {
            up *= decays[i], down *= inverses[i];
            store(chunk.up + i * s.kr + at, up);
            store(chunk.down + i * s.kr + at, down);
        }
        vec start = fill(1.0f), end = start;
        store(chunk.start - s.kr + at, start);
        UNROLL for (int i = 0; i < C; i++) {
            start *= decays[i];
            store(chunk.start + i * s.kr + at, start);
        }
        store(chunk.keep + at, start);
        UNROLL for (int j = C - 1; j >= 0; j--) {
            store(chunk.end + j * s.kr + at, end);
            end *= decays[j];
        }
        for (int64_t r = 0; r < s.rows; r++) {
            const int64_t to = r * s.kr + at, from = r % C * s.kr + at;
            vec x = load(chunk.rows + to);
            store(chunk.rows_middle + to, x * load((r < C ? chunk.up_read : chunk.up) + from));
            store(chunk.rows_start + to, x * load((r < C ? chunk.start_read : chunk.start) + from));
        }
        for (int64_t c = 0; c < s.columns; c++) {
            const int64_t to = c * s.kr + at, from = c % C * s.kr + at;
            vec x = load(chunk.columns + to);
            store(chunk.columns_middle + to, x * load(chunk.down + from));
            store(chunk.columns_end + to, x * load(chunk.end + from));
        }
    }
}

// Pairs that are not seen become 0, whatever they were; the others are weighted.
static void weigh(const sizes_t &s, const float *weights, float *pairs) {
    for (int64_t at = 0; at < s.rows * s.pair_row; at += LANES) {
        vec weight = load(weights + at), pair = load(pairs + at) * weight;
        store(pairs + at, weight == 0.0f ? vec{} : pair);
    }
}

// What is read of the chunk at token t, and its outputs, are brought nearer in five parts:
// rows that are far apart are not foreseen by the processor, and it can wait for few lines at once.
template <int C, int part>
INLINE void foresee(const call_t &call, const sizes_t &s, int64_t b, int64_t h, int64_t t) {
    if (t < 0 || t >= call.t) return;
    const int64_t n = call.t - t < C ? call.t - t : C;
    if (part == 0) fetch_rows<0>(call.q.of(b, h, t), call.q.t, n, s.k);
    if (part == 1) fetch_rows<0>(call.key.of(b, h, t), call.key.t, n, s.k);
    if (part == 2) fetch_rows<0>(call.value.of(b, h, t), call.value.t, n, s.v);
    if (part == 3 && s.decay == CHANNEL_DECAY)
        fetch_rows<0>(call.log_decay.of(b, h, t), call.log_decay.t, n, s.k);
    if (part == 3 && call.a.at) fetch_rows<0>(call.a.of(b, h, t), call.a.t, n, s.k);
    if (part == 3 && s.erase == BY_ITSELF)
        fetch_rows<0>(call.erased.of(b, h, t), call.erased.t, n, s.k);
    if (part == 4) fetch_rows<1>(call.o.of(b, h, t), call.o.t, n, s.v);
}

// Reads a chunk and computes all that does not depend on the state. `turned` is room for the
// transposed columns [kp pair_row].
template <int C>
static void prepare(const call_t &call, const sizes_t &s, chunk_t<C> &chunk, float *turned) {
    const int64_t b = chunk.batch, h = chunk.head, t = chunk.first, n = chunk.count;
    const int64_t keys = chunk.key_column(s);
    read_rows(call.q.of(b, h, t), call.q.t, n, s.k, chunk.rows, s.kr, C, chunk.scales);
    if (call.erase_rate.at) { // a = -rate k
        read_column<C>(call.erase_rate.of(b, h, t), call.erase_rate.t, n, chunk.erase_rates);
        for (int64_t i = 0; i < C; i++) chunk.erase_rates[i] = -chunk.erase_rates[i];
        read_rows(call.key.of(b, h, t), call.key.t, n, s.k, chunk.rows + C * s.kr, s.kr, C,
                  chunk.erase_rates);
    } else if (s.erase) {
        read_rows(call.a.of(b, h, t), call.a.t, n, s.k, chunk.rows + C * s.kr, s.kr, C);
    }
    if (s.erase == BY_ITSELF)
        read_rows(call.erased.of(b, h, t), call.erased.t, n, s.k, chunk.columns, s.kr, C);
    read_rows(call.key.of(b, h, t), call.key.t, n, s.k, chunk.columns + keys * s.kr, s.kr, C);
    if (call.write_rate.at) {
        read_column<C>(call.write_rate.of(b, h, t), call.write_rate.t, n, chunk.write_rates);
        read_rows(call.value.of(b, h, t), call.value.t, n, s.v, chunk.given, s.vr, C);
        scale_rows(C, s.vv, chunk.write_rates, chunk.given, chunk.values + keys * s.vr, s.vr);
    } else {
        read_rows(call.value.of(b, h, t), call.value.t, n, s.v, chunk.values + keys * s.vr, s.vr,
                  C);
    }
    if constexpr (C == CHANNEL_CHUNK) {
        if (s.decay == CHANNEL_DECAY) decay_channels<C>(call, s, chunk);
    } else {
        if (s.decay == HEAD_DECAY) decay_head<C>(call, s, chunk);
    }
    transpose(s.pair_row, s.kp, chunk.columns_middle, s.kr, turned, s.pair_row);
    product(s.rows, s.pair_vectors, s.k, factor_t{chunk.rows_middle, s.kr, 1}, turned, s.pair_row,
            chunk.pairs, 0, s.pair_row);
    weigh(s, chunk.weights, chunk.pairs);
    if (s.exclusive) {
        const float *bonus = call.bonus.of(b / (call.b / call.models), h, 0);
        for (int64_t i = 0; i < C; i++) {
            const float *q = chunk.rows + i * s.kr, *key = chunk.columns + (keys + i) * s.kr;
            float dot = 0;
            for (int64_t j = 0; j < s.k; j++) dot += q[j] * key[j] * bonus[j];
            chunk.own[i] = dot;
        }
        memcpy(chunk.present, chunk.values + keys * s.vr, C * s.vr * 4);
    }
}

// The values that are written, given what the rows read of the state before the chunk [rows vr]:
// nothing, if `read` is absent.
template <int C>
static void write_values(const sizes_t &s, chunk_t<C> &chunk, const float *read) {
    if (s.erase == NO_ERASURE) return;
    const float *pairs = chunk.pairs + C * s.pair_row; // of the rows that erase
    const float *erased = read ? read + C * s.vr : 0;
    if (s.erase == BY_KEY)
        return solve<C>(pairs, s.pair_row, chunk.values, erased, chunk.values, s.vr, s.vv);
    product(C, s.vv, C, factor_t{pairs + C, s.pair_row, 1}, chunk.values + C * s.vr, s.vr,
            chunk.values, erased, s.vr);
    solve<C>(pairs, s.pair_row, chunk.values, 0, chunk.values, s.vr, s.vv);
}

// The state after a chunk; `before` is absent if that is zero.
template <int C>
static void advance(
    const sizes_t &s, const chunk_t<C> &chunk, const float *before, float *after) {
    product(s.state_rows, s.vv, s.columns, factor_t{chunk.columns_end, 1, s.kr}, chunk.values, s.vr,
            after, before, s.vr, s.decay == NO_DECAY ? 0 : chunk.keep);
}
