// The pass backward over the heads of one sequence: in each segment, the last first, and for each
// head the states are computed again, then the chunks are gone through from the last to the first
// with the derivative D of the state. With G the derivatives by what the rows read and W the
// columns' values:
//     dW = pairs^T G + X D            dpairs = G W^T            dS_0 = E D + R^T G
//     drows = G S_0^T + dpairs X      dcolumns = W D^T + dpairs^T R
// (decays left out). The derivative by a decay at token t is the sum over all that passes token t:
// from the state to the rows t.., from the columns ..t to the state, between both, and through.
// It is summed as such: no difference of large sums.
#pragma once
#include "recurrence_chunk.h"

template <int C> struct backward_t {
    chunk_t<C> *chunks; // of one segment
    float *turned;      // [kp pair_row]
    float *read;        // [rows vr]
    float *g;           // [rows vr]
    float *d_values;    // [columns vr]
    float *values_turned;               // [vp pair_row]
    float *d_pairs;                     // [rows pair_row]
    float *state_turned, *d_state_turned; // [vp kr]
    float *d_states, *d_state;          // of the heads [heads kp vr], and of one
    float *from_state, *d_rows;         // [rows kr]
    float *to_state, *d_columns;        // [columns kr]
    float *d_decay;                     // [C] or [C kr]
    float *dots;                        // [C]

    void take(arena_t &arena, const sizes_t &s, int64_t heads) {
        turned = arena.take(s.kp * s.pair_row);
        read = arena.take(s.rows * s.vr);
        g = arena.take(s.rows * s.vr);
        d_values = arena.take(s.columns * s.vr);
        values_turned = arena.take(s.vp * s.pair_row);
        d_pairs = arena.take(s.rows * s.pair_row);
        state_turned = arena.take(s.vp * s.kr);
        d_state_turned = arena.take(s.vp * s.kr);
        d_states = arena.take(heads * s.kp * s.vr);
        from_state = arena.take(s.rows * s.kr);
        d_rows = arena.take(s.rows * s.kr);
        to_state = arena.take(s.columns * s.kr);
        d_columns = arena.take(s.columns * s.kr);
        d_decay = arena.take(C * (s.decay == CHANNEL_DECAY ? s.kr : 1));
        dots = arena.take(C);
    }
};

// Through a state that a whole chunk passes: sum over v of S_0 * D, by key channel, decayed.
static void through(const sizes_t &s, const float *state_turned, const float *d_state_turned,
                    const float *keep, float *to) {
    for (int64_t at = 0; at < s.kp; at += LANES) {
        vec first{}, second{};
        int64_t i = 0;
        for (; i + 2 <= s.v; i += 2) {
            first += load(state_turned + i * s.kr + at) * load(d_state_turned + i * s.kr + at);
            second += load(state_turned + (i + 1) * s.kr + at) *
                      load(d_state_turned + (i + 1) * s.kr + at);
        }
        if (i < s.v)
            first += load(state_turned + i * s.kr + at) * load(d_state_turned + i * s.kr + at);
        store(to + at, (first + second) * load(keep + at));
    }
}

// The derivative by a head's log decays. from_state, to_state and d_pairs are not decayed yet.
template <int C>
static void decay_head_backward(
    const sizes_t &s, const chunk_t<C> &chunk, backward_t<C> &room, bool first, bool last) {
    float whole = 0;
    if (!first && !last) {
        float *passing = room.turned;
        through(s, room.state_turned, room.d_state_turned, chunk.keep, passing);
        vec sums{};
        for (int64_t at = 0; at < s.kp; at += LANES) sums += load(passing + at);
        whole = sum(sums);
    }
    float out[C] = {}, into[C] = {};
    if (!first) {
        dot_rows<C>(s.kv, chunk.rows_start, room.from_state, s.kr, room.dots);
        for (int64_t i = s.exclusive; i < C; i++) out[i - s.exclusive] = room.dots[i];
        if (s.erase) {
            dot_rows<C>(s.kv, chunk.rows_start + C * s.kr, room.from_state + C * s.kr, s.kr,
                        room.dots);
            for (int64_t i = 0; i < C; i++) out[i] += room.dots[i];
        }
    }
    if (!last) {
        for (int64_t set = 0; set < s.columns; set += C) {
            dot_rows<C>(s.kv, chunk.columns_end + set * s.kr, room.to_state + set * s.kr, s.kr,
                        room.dots);
            for (int64_t i = 0; i < C; i++) into[i] += room.dots[i];
        }
    }
    for (int64_t i = 0; i < C; i++) room.d_decay[i] = whole;
    float later = 0, earlier = 0;
    for (int64_t i = C - 1; i >= 0; i--) later += out[i], room.d_decay[i] += later;
    for (int64_t i = 0; i < C; i++) room.d_decay[i] += earlier, earlier += into[i];

    // Between rows from t on and columns before t: rows are added from the last one on.
    const int64_t a = C * s.pair_row;
    vec x[C];
    UNROLL for (int i = 0; i < C; i++) x[i] = vec{};
    for (int64_t c = 0; c < C; c += LANES) {
        const ivec lanes = lanes_from((int)c);
        vec below{};
        UNROLL for (int t = C - 1; t > 0; t--) {
            for (int64_t set = c; set < s.columns; set += C) {
                const int64_t at = t * s.pair_row + set, q = at + s.exclusive * s.pair_row;
                if (t + s.exclusive < C) below += load(room.d_pairs + q) * load(chunk.pairs + q);
                if (s.erase) below += load(room.d_pairs + a + at) * load(chunk.pairs + a + at);
            }
            x[t] += lanes < t ? below : vec{};
        }
    }
    for (int64_t t = 0; t < C; t += LANES)
        store(room.d_decay + t, load(room.d_decay + t) + sums_of(x + t));
}

// The derivatives by columns and by channels' log decays, from weighted pairs, from_state and
// to_state: d_columns and d_decay.
template <int C>
static void decay_channels_backward(
    const sizes_t &s, const chunk_t<C> &chunk, backward_t<C> &room, bool first, bool last) {
    float *passing = room.turned;
    if (!first && !last)
        through(s, room.state_turned, room.d_state_turned, chunk.keep, passing);
    for (int64_t at = 0; at < s.kp; at += LANES) {
        vec decay[C];
        UNROLL for (int i = 0; i < C; i++) decay[i] = vec{};
        for (int64_t set = 0; set < s.columns; set += C) {
            vec below[C];
            UNROLL for (int j = 0; j < C; j++) below[j] = vec{};
            UNROLL for (int i = C - 1; i >= 0; i--) {
                const int64_t q = i + s.exclusive;
                if (q < C) {
                    vec x = load(chunk.rows_middle + q * s.kr + at);
                    const float *pair = room.d_pairs + q * s.pair_row + set;
                    UNROLL for (int j = 0; j <= i; j++) below[j] += x * pair[j];
                }
                if (s.erase) {
                    vec x = load(chunk.rows_middle + (C + i) * s.kr + at);
                    const float *pair = room.d_pairs + (C + i) * s.pair_row + set;
                    UNROLL for (int j = 0; j < i; j++) below[j] += x * pair[j];
                }
                UNROLL for (int j = 0; j < i; j++)
                    decay[i] += below[j] * load(chunk.columns_middle + (set + j) * s.kr + at);
            }
            vec earlier{};
            UNROLL for (int j = 0; j < C; j++) {
                const int64_t to = (set + j) * s.kr + at, from = j * s.kr + at;
                vec d = below[j] * load(chunk.down + from);
                if (!last) {
                    vec x = load(room.to_state + to);
                    decay[j] += earlier;
                    earlier += x * load(chunk.columns_end + to);
                    d += x * load(chunk.end + from);
                }
                store(room.d_columns + to, d);
            }
        }
        vec later{}, whole = first || last ? vec{} : load(passing + at);
        UNROLL for (int i = C - 1; i >= 0; i--) {
            const int64_t q = i + s.exclusive;
            if (!first && q < C)
                later += load(chunk.rows_start + q * s.kr + at) *
                         load(room.from_state + q * s.kr + at);
            if (!first && s.erase)
                later += load(chunk.rows_start + (C + i) * s.kr + at) *
                         load(room.from_state + (C + i) * s.kr + at);
            store(room.d_decay + i * s.kr + at, decay[i] + later + whole);
        }
    }
}

// The bonus' own part: o_i has q_i . (bonus k_i) v_i. d_own is dO_i . v_i.
template <int C>
static void bonus_backward(
    const call_t &call, const sizes_t &s, const chunk_t<C> &chunk, backward_t<C> &room) {
    const float *bonus =
        call.bonus.of(chunk.batch / (call.b / call.models), chunk.head, 0);
    float *d_bonus = call.d_bonus.of(chunk.batch, chunk.head, 0);
    const int64_t keys = chunk.key_column(s);
    for (int64_t i = 0; i < C; i++) {
        vec dots{};
        for (int64_t j = i * s.vr; j < i * s.vr + s.vp; j += LANES)
            dots += load(room.g + j) * load(chunk.present + j);
        const float d_own = sum(dots);
        const float *q = chunk.rows + i * s.kr, *key = chunk.columns + (keys + i) * s.kr;
        float *d_q = room.d_rows + i * s.kr, *d_key = room.d_columns + (keys + i) * s.kr;
        for (int64_t j = 0; j < s.k; j++) {
            d_q[j] += d_own * bonus[j] * key[j];
            d_key[j] += d_own * bonus[j] * q[j];
            d_bonus[j] += d_own * q[j] * key[j];
        }
    }
}

template <int C>
static void write_gradients(
    const call_t &call, const sizes_t &s, const chunk_t<C> &chunk, const backward_t<C> &room) {
    const int64_t b = chunk.batch, h = chunk.head, t = chunk.first, n = chunk.count;
    const int64_t keys = chunk.key_column(s);
    scale_rows(C, s.kv, chunk.scales, room.d_rows, room.d_rows, s.kr);
    // A head's gradient is added where earlier heads have theirs already.
#define WRITE(from, tensor)                                                                        \
    write_rows(from, s.kr, n, s.k, call.tensor.of(b, h, t), call.tensor.t, h && !call.tensor.h)
    WRITE(room.d_rows, d_q);
    WRITE(room.d_columns + keys * s.kr, d_key);
    if (call.a.at) WRITE(room.d_rows + C * s.kr, d_a);
    if (s.erase == BY_ITSELF) WRITE(room.d_columns, d_erased);
    if (s.decay == CHANNEL_DECAY && call.d_log_decay.at) WRITE(room.d_decay, d_log_decay);
#undef WRITE
    if (s.decay == HEAD_DECAY && call.d_log_decay.at)
        write_rows(room.d_decay, 1, n, 1, call.d_log_decay.of(b, h, t), call.d_log_decay.t,
                   h && !call.d_log_decay.h);
}

template <int C>
static void backward_chunk(const call_t &call, const sizes_t &s, const chunk_t<C> &chunk,
                           backward_t<C> &room, bool first, bool last) {
    const int64_t b = chunk.batch, h = chunk.head, t = chunk.first;
    const int64_t next = t - call.segment * C; // that `prepare` will see
    if (!first) fetch_rows<1>(call.d_value.of(b, h, t - C), call.d_value.t, C, s.v);
    const float *erasing = chunk.pairs + C * s.pair_row;
    float *g = room.g, *d_written = room.d_values;
    read_rows(call.d_o.of(b, h, t), call.d_o.t, chunk.count, s.v, g, s.vr, C);

    const term_t of_state{s.k, {chunk.columns_end, s.kr, 1}, room.d_state, s.vr};
    product(s.columns, s.vv, term_t{C, {chunk.pairs, 1, s.pair_row}, g, s.vr},
            last ? 0 : &of_state, room.d_values, 0, s.vr);
    foresee<C, 0>(call, s, b, h, next);
    if (s.erase)
        solve_turned<C>(erasing, s.pair_row, room.d_values, g + C * s.vr, s.vr, s.vv);
    if (s.erase == BY_KEY) memcpy(d_written, g + C * s.vr, C * s.vr * 4);
    if (s.erase == BY_ITSELF) {
        d_written += C * s.vr;
        product(C, s.vv, C, factor_t{erasing + C, 1, s.pair_row}, g + C * s.vr, s.vr, d_written,
                d_written, s.vr);
    }
    for (int64_t i = 0; s.exclusive && i < C; i++)
        for (int64_t j = i * s.vr; j < i * s.vr + s.vp; j += LANES)
            store(d_written + j, load(d_written + j) + load(g + j) * chunk.own[i]);
    if (call.write_rate.at) {
        dot_rows<C>(s.vv, d_written, chunk.given, s.vr, room.dots);
        write_rows(room.dots, 1, chunk.count, 1, call.d_write_rate.of(b, h, t),
                   call.d_write_rate.t, false);
        scale_rows(C, s.vv, chunk.write_rates, d_written, d_written, s.vr);
    }
    write_rows(d_written, s.vr, chunk.count, s.v, call.d_value.of(b, h, t), call.d_value.t, false);

    transpose(s.pair_row, s.vp, chunk.values, s.vr, room.values_turned, s.pair_row);
    product(s.rows, s.pair_vectors, s.v, factor_t{g, s.vr, 1}, room.values_turned, s.pair_row,
            room.d_pairs, 0, s.pair_row);
    foresee<C, 1>(call, s, b, h, next);
    if (!first) {
        transpose(s.kp, s.vp, chunk.state, s.vr, room.state_turned, s.kr);
        product(s.rows, s.kv, s.v, factor_t{g, s.vr, 1}, room.state_turned, s.kr, room.from_state,
                0, s.kr);
    }
    foresee<C, 2>(call, s, b, h, next);
    if (!last) {
        transpose(s.kp, s.vp, room.d_state, s.vr, room.d_state_turned, s.kr);
        product(s.columns, s.kv, s.v, factor_t{chunk.values, s.vr, 1}, room.d_state_turned, s.kr,
                room.to_state, 0, s.kr);
    }
    if (!first) fetch_rows<1>(call.d_q.of(b, h, t - C), call.d_q.t, C, s.k);
    if constexpr (C != CHANNEL_CHUNK)
        if (s.decay == HEAD_DECAY && call.d_log_decay.at)
            decay_head_backward<C>(s, chunk, room, first, last);
    if (!first) fetch_rows<1>(call.d_key.of(b, h, t - C), call.d_key.t, C, s.k);
    weigh(s, chunk.weights, room.d_pairs);
    const factor_t pairs{room.d_pairs, s.pair_row, 1}, pairs_turned{room.d_pairs, 1, s.pair_row};
    if constexpr (C == CHANNEL_CHUNK) {
        product(s.rows, s.kv, s.columns, pairs, chunk.columns_middle, s.kr, room.d_rows, 0, s.kr);
        for (int64_t r = 0; r < s.rows; r++) {
            const float *up = (r < C ? chunk.up_read : chunk.up) + r % C * s.kr;
            const float *start = (r < C ? chunk.start_read : chunk.start) + r % C * s.kr;
            for (int64_t at = 0; at < s.kp; at += LANES) {
                vec d = load(room.d_rows + r * s.kr + at) * load(up + at);
                if (!first) d += load(room.from_state + r * s.kr + at) * load(start + at);
                store(room.d_rows + r * s.kr + at, d);
            }
        }
        decay_channels_backward<C>(s, chunk, room, first, last);
    } else {
        const bool decays = s.decay == HEAD_DECAY;
        product(s.rows, s.kv, s.columns, pairs, chunk.columns, s.kr, room.d_rows,
                first ? 0 : room.from_state, s.kr, decays ? chunk.start_of : 0);
        product(s.columns, s.kv, s.rows, pairs_turned, chunk.rows, s.kr, room.d_columns,
                last ? 0 : room.to_state, s.kr, decays ? chunk.end_of : 0);
    }
    if (call.erase_rate.at) { // a = -rate k
        dot_rows<C>(s.kv, room.d_rows + C * s.kr, chunk.columns, s.kr, room.dots);
        float *to = call.d_erase_rate.of(b, h, t);
        for (int64_t i = 0; i < chunk.count; i++) {
            to[i * call.d_erase_rate.t] = -room.dots[i];
            for (int64_t j = i * s.kr; j < i * s.kr + s.kp; j += LANES)
                store(room.d_columns + j,
                      load(room.d_columns + j) +
                          load(room.d_rows + C * s.kr + j) * chunk.erase_rates[i]);
        }
    }
    foresee<C, 3>(call, s, b, h, next);
    if (s.exclusive) bonus_backward<C>(call, s, chunk, room);
    write_gradients<C>(call, s, chunk, room);
    if (!first) fetch_rows<0>(call.d_o.of(b, h, t - C), call.d_o.t, C, s.v);
    if (!first)
        product(s.state_rows, s.vv, s.rows, factor_t{chunk.rows_start, 1, s.kr}, g, s.vr,
                room.d_state, last ? 0 : room.d_state, s.vr,
                s.decay == NO_DECAY ? 0 : chunk.keep);
}

template <int C>
static void backward_segment(const call_t &call, const sizes_t &s, backward_t<C> &room,
                             int64_t batch, int64_t head, int64_t segment) {
    const int64_t chunks = (call.t + C - 1) / C, from = segment * call.segment;
    const int64_t to = from + call.segment < chunks ? from + call.segment : chunks;
    if (segment)
        read_rows(call.states.of(batch, head, segment - 1), s.v, s.k, s.v, room.chunks[0].state,
                  s.vr, s.k);
    for (int64_t n = from; n < to; n++) {
        chunk_t<C> &chunk = room.chunks[n - from];
        chunk.batch = batch, chunk.head = head, chunk.first = n * C;
        chunk.count = call.t - n * C < C ? call.t - n * C : C;
        prepare<C>(call, s, chunk, room.turned);
        if (n && s.erase)
            product(C, s.vv, s.k, factor_t{chunk.rows_start + C * s.kr, s.kr, 1}, chunk.state, s.vr,
                    room.read + C * s.vr, 0, s.vr);
        write_values<C>(s, chunk, n ? room.read : 0);
        if (n + 1 < to)
            advance<C>(s, chunk, n ? chunk.state : 0, room.chunks[n - from + 1].state);
    }
    for (int64_t n = to - 1; n >= from; n--)
        backward_chunk<C>(call, s, room.chunks[n - from], room, n == 0, n + 1 == chunks);
}

template <int C>
static void backward_heads(const call_t &call, const sizes_t &s, backward_t<C> &room, int64_t batch,
                           int64_t from, int64_t to) {
    const int64_t segments = up_to(call.t, call.segment * C) / (call.segment * C);
    for (int64_t head = from; s.exclusive && head < to; head++)
        memset(call.d_bonus.of(batch, head, 0), 0, s.k * 4);
    for (int64_t segment = segments - 1; segment >= 0; segment--)
        for (int64_t head = from; head < to; head++) {
            room.d_state = room.d_states + (head - from) * s.kp * s.vr;
            backward_segment<C>(call, s, room, batch, head, segment);
        }
}
