// The depthwise causal convolution through one token of each sequence.
#pragma once
#include "functions.h"

// One token of each sequence; `past` is what the filter still sees of those before, oldest first,
// and `after` the same with this token.
struct token_t {
    int64_t batch, channels, taps, dilation, silu;
    const float *x, *past, *weight, *bias; // past [batch, dilation (taps - 1), channels]
    float *y, *after;
    int64_t x_row;
};
static void convolution_step(const token_t *c) {
    int64_t n = c->channels, window = c->dilation * (c->taps - 1);
    for (int64_t sequence = 0; sequence < c->batch; sequence++) {
        const float *x = c->x + sequence * c->x_row, *past = c->past + sequence * window * n;
        float *after = c->after + sequence * window * n, *y = c->y + sequence * n;
        for (int64_t first = 0; first < n; first += LANES) {
            vec z = c->bias ? load_row(c->bias, first, n) : vec{};
            for (int64_t j = 0; j < c->taps; j++) {
                vec weight{};
                for (int64_t i = 0; i < smaller(LANES, n - first); i++)
                    weight[i] = c->weight[(first + i) * c->taps + j];
                const float *seen = j == c->taps - 1 ? x : past + j * c->dilation * n;
                z += weight * load_row(seen, first, n);
            }
            store_row(y, first, n, c->silu ? z * sigmoid(z) : z);
        }
        if (!window) continue;
        memcpy(after, past + n, 4 * (window - 1) * n);
        memcpy(after + (window - 1) * n, x, 4 * n);
    }
}
