// One token of the recurrence. `states` is the state before it, `d_o` that after it [b h k v].
#pragma once
#include "recurrence_chunk.h"

INLINE vec load_first(const float *from, int64_t n) {
    return n < LANES ? load_tail(from, n) : load(from);
}
INLINE void store_first(float *to, vec x, int64_t n) {
    n < LANES ? store_tail(to, x, n) : store(to, x);
}

static void step_head(const call_t &call, float *keep, int64_t b, int64_t h) {
    const float *q = call.q.of(b, h, 0), *key = call.key.of(b, h, 0);
    const float *value = call.value.of(b, h, 0);
    const bool rated = call.erase_rate.at;
    const float *a = rated ? key : call.erase ? call.a.of(b, h, 0) : 0;
    const float erase = rated ? -*call.erase_rate.of(b, h, 0) : 1.0f;
    const float write = call.write_rate.at ? *call.write_rate.of(b, h, 0) : 1.0f;
    const float scale = (float)call.scale;
    const float *x = call.erase == BY_ITSELF ? call.erased.of(b, h, 0) : key;
    const float *bonus = call.exclusive ? call.bonus.of(b / (call.b / call.models), h, 0) : 0;
    const float *before = call.states.of(b, h, 0);
    float *after = call.d_o.of(b, h, 0), *o = call.o.of(b, h, 0);
    const int64_t padded = up_to(call.k, LANES);
    for (int64_t i = 0; i < padded; i++) keep[i] = 0.0f;
    if (call.decay != NO_DECAY) {
        const float *g = call.log_decay.of(b, h, 0);
        for (int64_t i = 0; i < call.k; i++) keep[i] = g[call.decay == CHANNEL_DECAY ? i : 0];
    }
    for (int64_t i = 0; i < padded; i += LANES) store(keep + i, exponential(load(keep + i)));
    for (int64_t j = 0; j < call.v; j += LANES) {
        const int64_t n = call.v - j;
        vec erased{}, read{}, v = load_first(value + j, n) * write;
        for (int64_t i = 0; a && i < call.k; i++)
            erased += load_first(before + i * call.v + j, n) * (keep[i] * a[i]);
        erased *= erase;
        for (int64_t i = 0; i < call.k; i++) {
            vec was = load_first(before + i * call.v + j, n), written = v * key[i];
            vec is = was * keep[i] + written;
            if (a) is += erased * x[i];
            store_first(after + i * call.v + j, is, n);
            read += (bonus ? was + written * bonus[i] : is) * q[i];
        }
        store_first(o + j, read * scale, n);
    }
}
