// The pass forward over one sequence and head, and one token of it.
#pragma once
#include "recurrence_chunk.h"

template <int C> struct forward_t {
    chunk_t<C> chunk;
    float *turned; // [kp pair_row]
    float *read;   // what the rows read [rows vr]

    void take(arena_t &arena, const sizes_t &s) {
        chunk.take(arena, s);
        turned = arena.take(s.kp * s.pair_row);
        read = arena.take(s.rows * s.vr);
    }
};

// Keeps the state before every `segment` chunks but the first, if there is room for it (`states`).
template <int C>
static void forward_head(
    const call_t &call, const sizes_t &s, forward_t<C> &room, int64_t batch, int64_t head) {
    chunk_t<C> &chunk = room.chunk;
    chunk.batch = batch, chunk.head = head;
    const int64_t chunks = (call.t + C - 1) / C;
    for (int64_t n = 0; n < chunks; n++) {
        chunk.first = n * C;
        chunk.count = call.t - n * C < C ? call.t - n * C : C;
        if (call.states.at && n && n % call.segment == 0)
            write_rows(chunk.state, s.vr, s.k, s.v, call.states.of(batch, head, n / call.segment - 1),
                       s.v, false);
        fetch<C>(call, s, batch, head, chunk.first + C);
        fetch_rows<1>(call.o.of(batch, head, chunk.first), call.o.t, chunk.count, s.v);
        prepare<C>(call, s, chunk, room.turned);
        if (n)
            product(s.rows, s.vv, s.k, factor_t{chunk.rows_start, s.kr, 1}, chunk.state, s.vr,
                    room.read, 0, s.vr);
        write_values<C>(s, chunk, n ? room.read : 0);
        product(C, s.vv, s.columns, factor_t{chunk.pairs, s.pair_row, 1}, chunk.values, s.vr,
                room.read, n ? room.read : 0, s.vr);
        for (int64_t i = 0; s.exclusive && i < C; i++)
            for (int64_t j = i * s.vr; j < i * s.vr + s.vp; j += LANES)
                store(room.read + j, load(room.read + j) + load(chunk.present + j) * chunk.own[i]);
        write_rows(room.read, s.vr, chunk.count, s.v, call.o.of(batch, head, chunk.first), call.o.t,
                   false);
        if (n + 1 < chunks) advance<C>(s, chunk, n ? chunk.state : 0, chunk.state);
    }
}
