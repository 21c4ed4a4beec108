// The passes of recurrence_sweep.h over the heads of one sequence, segment by segment: forward,
// with the state before each segment but the first kept; backward from the last segment to the
// first, each of them forward once more from its state.
#pragma once
#include "recurrence_sweep.h"

#define MOST_SWEPT 64    // of the sizes of key and value
#define MOST_BACKWARD 768 // of numbers of a state with a head's decays

// What decays are to lanes of values and to lanes of keys.
#if TOKENS == CHANNEL_CHUNK
#define TO_VALUES BY_ROWS
#else
#define TO_VALUES BY_LANES
#endif

// Whether a pass goes token by token: chunks take fewer products where the state is large, sooner
// with a head's decays, which cost sweeps as much as a channel's and chunks next to nothing.
static bool sweeps(const call_t &call, bool backward) {
    if (call.erase || call.write_rate.at) return false;
    if (call.k > MOST_SWEPT || call.v > MOST_SWEPT) return false;
    return !backward || call.decay != HEAD_DECAY || call.k * call.v <= MOST_BACKWARD;
}

template <int K>
INLINE void sweep_keys(const sweeps_t &s, int64_t rows, const sweep_t &at, float *state) {
#if TOKENS != CHANNEL_CHUNK
    if (s.decay == NO_DECAY) return sweep_block<BY_NOTHING, KEEP_NOTHING>(rows, at, state, s.kp);
#endif
    sweep_block<BY_LANES, K>(rows, at, state, s.kp);
}
INLINE void sweep_values(const sweeps_t &s, int64_t rows, const sweep_t &at, float *state) {
#if TOKENS != CHANNEL_CHUNK
    if (s.decay == NO_DECAY) return sweep_block<BY_NOTHING, KEEP_NOTHING>(rows, at, state, s.vp);
#endif
    if (rows == LANES / 2)
        sweep<TO_VALUES, LANES / 2, KEEP_NOTHING>(at, state, s.vp);
    else
        sweep<TO_VALUES, LANES, KEEP_NOTHING>(at, state, s.vp);
}

static void forward_sweeps(const call_t &call, const sweeps_t &s, float *state, float *columns) {
    sweep_t at{};
    at.tokens = s.rows, at.row = s.row;
    const int64_t b = s.next_batch, h = s.next_head, t = s.next;
    for (ahead_t &x : at.read_ahead) x = ahead_t{s.q, 0};
    for (ahead_t &x : at.write_ahead) x = ahead_t{s.o, 0};
    const sweep_t none = at;
    for (int64_t j = 0; j < s.many; j += LANES)
        for (int64_t i = 0, rows; i < s.k; i += rows) {
            rows = block_rows(s.k, i);
            at = none;
            if (j == 0) {
                at.read_ahead[0] = ahead(call.q, b, h, t, i);
                at.read_ahead[1] = ahead(call.key, b, h, t, i);
                if (s.decay == CHANNEL_DECAY) at.read_ahead[2] = ahead(call.log_decay, b, h, t, i);
            }
            if (i == 0) {
                at.read_ahead[3] = ahead(call.value, b, h, t, j);
                at.write_ahead[0] = ahead(call.o, s.batch, s.head, s.first, j);
            }
            at.write = s.key + i, at.x = s.value + j, at.read = s.q + i;
            at.decay = s.decays + s.decay_at(i), at.y = s.o + j, at.add = i;
            sweep_values(s, rows, at, state + i * s.vp + j);
        }
    at = none;
    for (int64_t j = s.many; j < s.v; j++) {
        for (int64_t i = 0; i < s.k; i += LANES) {
            at.write = s.value + j, at.x = s.key + i, at.read = s.value + j;
            at.decay = s.decays + s.decay_at(i), at.y = s.nothing;
            at.seen = s.q + i, at.products = s.products, at.add_products = i;
            sweep_keys<KEEP_NOTHING>(s, 1, at, columns + j * s.kp + i);
        }
        sum_products(s.count, s.products, s.row, s.o + j, s.row);
    }
}

// Goes through segments as `forward_heads` does.
static void forward_swept(const call_t &call, sweeps_t &s, int64_t batch, int64_t from,
                          int64_t to) {
    const int64_t all = s.kp * s.vp;
    memset(s.states, 0, (to - from) * all * 4), memset(s.columns, 0, (to - from) * all * 4);
    for (int64_t t = 0; t < call.t; t += s.tokens)
        for (int64_t head = from; head < to; head++) {
            float *state = s.states + (head - from) * all;
            float *columns = s.columns + (head - from) * all;
            s.batch = batch, s.head = head, s.first = t;
            s.count = call.t - t < s.tokens ? call.t - t : s.tokens;
            if (call.states.at && t) {
                for (int64_t j = s.many; j < s.v; j++)
                    for (int64_t i = 0; i < s.k; i++) state[i * s.vp + j] = columns[j * s.kp + i];
                write_rows(state, s.vp, s.k, s.v, call.states.of(batch, head, t / s.tokens - 1),
                           s.v, false);
            }
            s.settle_next(call, from, to, s.tokens, 0);
            read_segment(call, s);
            forward_sweeps(call, s, state, columns);
            if (s.exclusive)
                add_scaled(s.count, s.row, s.vp, s.own, s.value + s.row, s.o);
            write_rows(s.o, s.row, s.count, s.v, call.o.of(batch, head, t), call.o.t, false);
        }
}

static void backward_sweeps(const call_t &call, const sweeps_t &s, int64_t head) {
    const int64_t b = s.next_batch, h = s.next_head, t = s.next;
    sweep_t none{};
    for (ahead_t &x : none.read_ahead) x = ahead_t{s.q, 0};
    for (ahead_t &x : none.write_ahead) x = ahead_t{s.d_q, 0};
    const int64_t last = (s.rows - 1) * s.row;
    float *d_state = s.d_states + head * s.kp * s.vp, *d_turned = s.d_turned + head * s.kp * s.vp;
    for (int64_t j = 0, rows; j < s.v; j += rows) {
        rows = j < s.many ? block_rows(s.many, j) : 1;
        for (int64_t i = 0; i < s.k; i += LANES) {
            sweep_t at = none;
            if (j == 0) {
                at.read_ahead[0] = ahead(call.q, b, h, t, i);
                at.read_ahead[1] = ahead(call.key, b, h, t, i);
                at.write_ahead[0] = ahead(call.d_q, s.batch, s.head, s.first, i);
                at.write_ahead[1] = ahead(call.d_key, s.batch, s.head, s.first, i);
            }
            if (i == 0) at.read_ahead[2] = ahead(call.value, b, h, t, j);
            at.tokens = s.rows, at.row = s.row, at.kept = s.kept;
            at.write = s.value + j, at.x = s.key + i, at.read = s.d_o + j;
            at.decay = s.decays + s.decay_at(i), at.y = s.d_q + i, at.add = j;
            sweep_keys<KEEP>(s, rows, at, s.turned + j * s.kp + i);

            const ahead_t no_reads = none.read_ahead[0], no_writes = none.write_ahead[0];
            at.read_ahead[0] = i ? no_reads : ahead(call.d_o, b, h, t, j);
            at.write_ahead[0] =
                i ? no_writes : ahead(call.d_value, s.batch, s.head, s.first, j);
            at.read_ahead[1] = at.read_ahead[2] = no_reads, at.write_ahead[1] = no_writes;
            if (j == 0 && s.decay == CHANNEL_DECAY) {
                at.read_ahead[1] = ahead(call.log_decay, b, h, t, i);
                at.write_ahead[1] = ahead(call.d_log_decay, s.batch, s.head, s.first, i);
            }
            at.row = -s.row, at.kept = s.kept + (s.rows - 1) * rows * LANES;
            at.write = s.d_o + last + j, at.x = s.q + last + i, at.read = s.value + last + j;
            at.decay = s.decays + last + s.row + s.decay_at(i), at.y = s.d_key + last + i;
            at.through = s.through + last + s.decay_at(i);
            at.add_through = j || (i && s.decay == HEAD_DECAY);
            if (rows == 1 && j >= s.many) {
                at.seen = s.key + last + i, at.products = s.products + last, at.add_products = i;
            }
            sweep_keys<MEET>(s, rows, at, d_turned + j * s.kp + i);
        }
        if (j >= s.many)
            sum_products(s.rows, s.products, s.row, s.d_value + j, s.row);
    }
    sweep_t at = none;
    at.tokens = s.rows, at.row = -s.row;
    for (int64_t j = 0; j < s.many; j += LANES)
        for (int64_t i = 0, rows; i < s.k; i += rows) {
            rows = block_rows(s.k, i);
            at.write = s.q + last + i, at.x = s.d_o + last + j, at.read = s.key + last + i;
            at.decay = s.decays + last + s.row + s.decay_at(i), at.y = s.d_value + last + j;
            at.add = i;
            sweep_values(s, rows, at, d_state + i * s.vp + j);
        }
}

// The bonus' own part: o_i has q_i . (bonus k_i) v_i.
static void bonus_backward(const call_t &call, const sweeps_t &s) {
    float *d_bonus = call.d_bonus.of(s.batch, s.head, 0);
    const float *key = s.key + s.row, *value = s.value + s.row;
    float *d_key = s.d_key + s.row;
    add_scaled(s.count, s.row, s.vp, s.own, s.d_o, s.d_value + s.row);
    for (int64_t i = 0; i < s.count; i++) {
        vec dots{};
        for (int64_t j = i * s.row; j < i * s.row + s.vp; j += LANES)
            dots += load(s.d_o + j) * load(value + j);
        s.own[i] = sum(dots);
    }
    for (int64_t j = 0; j < s.k; j += LANES) {
        const vec bonus = load(s.bonus + j);
        vec sums{};
        for (int64_t i = 0, at = j; i < s.count; i++, at += s.row) {
            const vec q = load(s.q + at), k = load(key + at), d_own = fill(s.own[i]);
            store(s.d_q + at, load(s.d_q + at) + d_own * bonus * k);
            store(d_key + at, load(d_key + at) + d_own * bonus * q);
            sums += d_own * q * k;
        }
        const int64_t n = s.k - j < LANES ? s.k - j : LANES;
        if (n < LANES)
            store_tail(d_bonus + j, load_tail(d_bonus + j, n) + sums, n);
        else
            store(d_bonus + j, load(d_bonus + j) + sums);
    }
}

static void write_swept(const call_t &call, const sweeps_t &s) {
    const int64_t b = s.batch, h = s.head, t = s.first, n = s.count, late = s.exclusive * s.row;
    for (int64_t i = 0; i < n * s.row; i += s.row)
        for (int64_t j = i; j < i + s.kp; j += LANES) store(s.d_q + j, load(s.d_q + j) * s.scale);
    // A head's gradient is added where earlier heads have theirs already.
    write_rows(s.d_q, s.row, n, s.k, call.d_q.of(b, h, t), call.d_q.t, h && !call.d_q.h);
    write_rows(s.d_key + late, s.row, n, s.k, call.d_key.of(b, h, t), call.d_key.t,
               h && !call.d_key.h);
    write_rows(s.d_value + late, s.row, n, s.v, call.d_value.of(b, h, t), call.d_value.t, false);
    if (!call.d_log_decay.at) return;
    float *to = call.d_log_decay.of(b, h, t);
    const bool add = h && !call.d_log_decay.h;
    if (s.decay == CHANNEL_DECAY)
        return write_rows(s.through + late, s.row, n, s.k, to, call.d_log_decay.t, add);
    sum_products(n, s.through + late, s.row, s.gates, 1);
    write_rows(s.gates, 1, n, 1, to, call.d_log_decay.t, add);
}

static void backward_swept(const call_t &call, sweeps_t &s, int64_t batch, int64_t from,
                           int64_t to) {
    const int64_t all = s.kp * s.vp, segments = (call.t + s.tokens - 1) / s.tokens;
    memset(s.d_states, 0, (to - from) * all * 4), memset(s.d_turned, 0, (to - from) * all * 4);
    memset(s.later, 0, (to - from) * s.kp * 4);
    for (int64_t head = from; s.exclusive && head < to; head++)
        memset(call.d_bonus.of(batch, head, 0), 0, s.k * 4);
    for (int64_t n = segments - 1; n >= 0; n--)
        for (int64_t head = from; head < to; head++) {
            s.batch = batch, s.head = head, s.first = n * s.tokens;
            s.count = call.t - s.first < s.tokens ? call.t - s.first : s.tokens;
            if (n)
                read_rows(call.states.of(batch, head, n - 1), s.v, s.k, s.v, s.states, s.vp, s.k);
            else
                memset(s.states, 0, all * 4);
            transpose(s.kp, s.vp, s.states, s.vp, s.turned, s.kp);
            s.settle_next(call, from, to, -s.tokens, (segments - 1) * s.tokens);
            read_segment(call, s);
            read_rows(call.d_o.of(batch, head, s.first), call.d_o.t, s.count, s.v, s.d_o, s.row,
                      s.count);
            if (s.exclusive) clear_row(s.d_o + s.count * s.row, s.vp);
            float *later = s.later + (head - from) * s.kp;
            memcpy(s.decays + s.rows * s.row, later, s.kp * 4);
            memcpy(later, s.decays, s.kp * 4);
            backward_sweeps(call, s, head - from);
            if (s.exclusive) bonus_backward(call, s);
            write_swept(call, s);
        }
}
