// The pass forward over the heads of one sequence, all of them chunk by chunk: memory is gone
// through in its own order.
#pragma once
#include "recurrence_chunk.h"

template <int C> struct forward_t {
    chunk_t<C> chunk;
    float *states; // of the heads [heads kp vr]
    float *turned; // [kp pair_row]
    float *read;   // what the rows read [rows vr]

    void take(arena_t &arena, const sizes_t &s, int64_t heads) {
        chunk.take(arena, s);
        states = arena.take(heads * s.kp * s.vr);
        turned = arena.take(s.kp * s.pair_row);
        read = arena.take(s.rows * s.vr);
    }
};

template <int C>
static void forward_chunk(
    const call_t &call, const sizes_t &s, chunk_t<C> &chunk, forward_t<C> &room) {
    const int64_t b = chunk.batch, h = chunk.head, t = chunk.first;
    const bool first = t == 0, last = t + C >= call.t;
    foresee<C, 0>(call, s, b, h, t + C);
    prepare<C>(call, s, chunk, room.turned);
    foresee<C, 1>(call, s, b, h, t + C);
    if (!first && s.erase)
        product(C, s.vv, s.k, factor_t{chunk.rows_start + C * s.kr, s.kr, 1}, chunk.state, s.vr,
                room.read + C * s.vr, 0, s.vr);
    foresee<C, 2>(call, s, b, h, t + C);
    write_values<C>(s, chunk, first ? 0 : room.read);
    const term_t of_state{s.k, {chunk.rows_start, s.kr, 1}, chunk.state, s.vr};
    product(C, s.vv, term_t{s.columns, {chunk.pairs, s.pair_row, 1}, chunk.values, s.vr},
            first ? 0 : &of_state, room.read, 0, s.vr);
    for (int64_t i = 0; s.exclusive && i < C; i++)
        for (int64_t j = i * s.vr; j < i * s.vr + s.vp; j += LANES)
            store(room.read + j, load(room.read + j) + load(chunk.present + j) * chunk.own[i]);
    foresee<C, 3>(call, s, b, h, t + C);
    write_rows(room.read, s.vr, chunk.count, s.v, call.o.of(b, h, t), call.o.t, false);
    foresee<C, 4>(call, s, b, h, t + C);
    if (!last) advance<C>(s, chunk, first ? 0 : chunk.state, chunk.state);
}

// Keeps the state before every `segment` chunks but the first, if there is room for it (`states`).
template <int C>
static void forward_heads(const call_t &call, const sizes_t &s, forward_t<C> &room, int64_t batch,
                          int64_t from, int64_t to) {
    chunk_t<C> &chunk = room.chunk;
    for (int64_t t = 0, n = 0; t < call.t; t += C, n++)
        for (int64_t head = from; head < to; head++) {
            chunk.batch = batch, chunk.head = head, chunk.first = t;
            chunk.count = call.t - t < C ? call.t - t : C;
            chunk.state = room.states + (head - from) * s.kp * s.vr;
            if (call.states.at && n && n % call.segment == 0)
                write_rows(chunk.state, s.vr, s.k, s.v,
                           call.states.of(batch, head, n / call.segment - 1), s.v, false);
            forward_chunk<C>(call, s, chunk, room);
        }
}
