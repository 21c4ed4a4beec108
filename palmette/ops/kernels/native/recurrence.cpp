// K1, the linear recurrence with a matrix-valued state, forward and backward, fp32: see
// recurrence_chunk.h for what a chunk is, recurrence_sweep.h for what is done where nothing is
// erased, and recurrence.py for the equation. A library has chunks of TOKENS: 8 for decays that
// differ between channels, 16 for all others. A thread takes whole heads or whole sequences; heads
// that share a gradient are never apart, so that every sum has one order.
#include "recurrence_backward.h"
#include "recurrence_forward.h"
#include "recurrence_step.h"
#include "recurrence_sweeps.h"
#include <stdlib.h>

#define MOST_SEGMENT 16 // chunks

struct job_t {
    const call_t *call;
    bool failed;
};

// Cleared memory for all that `take` hands out; the second time it is handed out for good.
template <class T> static float *reserved(T take) {
    static float nowhere[1];
    arena_t arena{nowhere, 0};
    take(arena);
    const size_t bytes = ((size_t)arena.used * 4 + 63) / 64 * 64;
    float *memory = (float *)aligned_alloc(64, bytes);
    if (!memory) return 0;
    memset(memory, 0, bytes);
    arena = arena_t{memory, 0};
    take(arena);
    return memory;
}

static void forward_part(int64_t first, int64_t last, const void *data) {
    job_t &job = *(job_t *)data;
    const call_t &call = *job.call;
    const sizes_t s = sizes_of<TOKENS>(call);
    forward_t<TOKENS> room;
    float *memory = reserved([&](arena_t &arena) { room.take(arena, s, call.group); });
    if (!memory) return (void)(job.failed = true);
    settle<TOKENS>(call, s, room.chunk);
    for (int64_t i = first * call.group; i < last * call.group; i += call.group)
        forward_heads<TOKENS>(call, s, room, i / call.h, i % call.h, i % call.h + call.group);
    free(memory);
}

static void backward_part(int64_t first, int64_t last, const void *data) {
    job_t &job = *(job_t *)data;
    const call_t &call = *job.call;
    const sizes_t s = sizes_of<TOKENS>(call);
    chunk_t<TOKENS> chunks[MOST_SEGMENT];
    backward_t<TOKENS> room;
    room.chunks = chunks;
    float *memory = reserved([&](arena_t &arena) {
        room.take(arena, s, call.group);
        for (int64_t i = 0; i < call.segment; i++) {
            chunks[i].take(arena, s);
            chunks[i].state = arena.take(s.kp * s.vr);
        }
    });
    if (!memory) return (void)(job.failed = true);
    for (int64_t i = 0; i < call.segment; i++) settle<TOKENS>(call, s, chunks[i]);
    for (int64_t i = first * call.group; i < last * call.group; i += call.group)
        backward_heads<TOKENS>(call, s, room, i / call.h, i % call.h, i % call.h + call.group);
    free(memory);
}

template <bool backward> static void sweep_part(int64_t first, int64_t last, const void *data) {
    job_t &job = *(job_t *)data;
    const call_t &call = *job.call;
    sweeps_t s{};
    s.settle(call, call.segment * TOKENS);
    float *memory = reserved([&](arena_t &arena) { s.take(arena, call.group, backward); });
    if (!memory) return (void)(job.failed = true);
    for (int64_t i = first * call.group; i < last * call.group; i += call.group)
        (backward ? backward_swept : forward_swept)(
            call, s, i / call.h, i % call.h, i % call.h + call.group);
    free(memory);
}

// All return whether there was memory.
extern "C" int recurrence_forward(const call_t *call) {
    job_t job{call, false};
    parallel(call->b * call->h / call->group, (int)call->threads,
             sweeps(*call, false) ? sweep_part<false> : forward_part, &job);
    return !job.failed;
}

extern "C" int recurrence_backward(const call_t *call) {
    job_t job{call, false};
    parallel(call->b * call->h / call->group, (int)call->threads,
             sweeps(*call, true) ? sweep_part<true> : backward_part, &job);
    return !job.failed;
}

extern "C" int recurrence_step(const call_t *call) {
    const int64_t padded = up_to(call->k, LANES);
    float *keep = (float *)aligned_alloc(64, up_to(padded * 4, 64));
    if (!keep) return 0;
    for (int64_t b = 0; b < call->b; b++)
        for (int64_t h = 0; h < call->h; h++) step_head(*call, keep, b, h);
    free(keep);
    return 1;
}
