// The weighted cross-entropy of rows of logits and its derivative, each in one pass over them.
//
//     loss = sum_b weights[b] sum_t (log sum_v exp(x_v) - x_target)
//
// Rows without a target (a negative one) count for nothing. Kept of a row are its greatest logit and
// one over its sum of exponentials. A sequence is summed in double from its first token to its last,
// then the sequences in their order.
#include "functions.h"
#include "tile.h"
#include <math.h>

static const float BITS = 1.44269504f; // log2 e

struct loss_t {
    const float *logits; // [s b t v], rows `row` apart
    const int64_t *targets; // [s b t]
    const float *weights;   // [s b]
    float *kept;            // [s b t 2] the greatest logit, one over the sum of exponentials
    float *nats;            // [s b]
    float *loss;            // [s]
    const float *slope;     // [s]
    float *by_logits;       // [s b t v]
    int64_t s, b, t, v, row, threads;
    int64_t *wrong; // set to 1 by a target that is no place of a row
};

INLINE float largest(vec x) {
    float y = x[0];
    for (int lane = 1; lane < LANES; lane++) y = x[lane] > y ? x[lane] : y;
    return y;
}

// The greatest of a row of n logits; the sum of the exponentials of what they are below it.
INLINE float weigh(const float *x, int64_t n, float *sum_of_all) {
    const int64_t whole = n / LANES * LANES;
    vec most = fill(-INFINITY), total[2] = {};
    for (int64_t c = 0; c < whole; c += LANES) most = larger(most, load(x + c));
    float high = largest(most);
    for (int64_t c = whole; c < n; c++) high = x[c] > high ? x[c] : high;
    int64_t c = 0;
    for (; c + LANES < whole; c += 2 * LANES) {
        total[0] += power_of_two((load(x + c) - high) * BITS);
        total[1] += power_of_two((load(x + c + LANES) - high) * BITS);
    }
    if (c < whole) total[0] += power_of_two((load(x + c) - high) * BITS);
    if (whole < n)
        total[1] += inside(power_of_two((load_row(x, whole, n) - high) * BITS), whole, n);
    *sum_of_all = sum(total[0] + total[1]);
    return high;
}

static void forward(int64_t first, int64_t last, const void *data) {
    const loss_t a = *(const loss_t *)data;
    for (int64_t sequence = first; sequence < last; sequence++) {
        double nats = 0;
        for (int64_t i = sequence * a.t; i < (sequence + 1) * a.t; i++) {
            if (a.targets[i] < 0 || a.targets[i] >= a.v) {
                if (a.targets[i] >= a.v) *a.wrong = 1;
                a.kept[2 * i] = a.kept[2 * i + 1] = 0;
                continue;
            }
            const float *x = a.logits + i * a.row;
            float all, high = weigh(x, a.v, &all);
            a.kept[2 * i] = high;
            a.kept[2 * i + 1] = 1.0f / all;
            nats += (double)(high - x[a.targets[i]]) + logf(all);
        }
        a.nats[sequence] = (float)nats;
    }
}

static void backward(int64_t first, int64_t last, const void *data) {
    const loss_t a = *(const loss_t *)data;
    const int64_t whole = a.v / LANES * LANES;
    for (int64_t sequence = first; sequence < last; sequence++) {
        float weight = a.slope[sequence / a.b] * a.weights[sequence];
        for (int64_t i = sequence * a.t; i < (sequence + 1) * a.t; i++) {
            float *to = a.by_logits + i * a.v;
            if (a.targets[i] < 0 || weight == 0) {
                memset(to, 0, 4 * a.v);
                continue;
            }
            const float *x = a.logits + i * a.row;
            float high = a.kept[2 * i], share = a.kept[2 * i + 1] * weight;
            for (int64_t c = 0; c < whole; c += LANES)
                store(to + c, power_of_two((load(x + c) - high) * BITS) * share);
            if (whole < a.v)
                store_row(to, whole, a.v,
                          power_of_two((load_row(x, whole, a.v) - high) * BITS) * share);
            to[a.targets[i]] -= weight;
        }
    }
}

extern "C" int cross_entropy_forward(const loss_t *a) {
    parallel(a->s * a->b, (int)a->threads, forward, a);
    for (int64_t model = 0; model < a->s; model++) {
        double total = 0;
        for (int64_t i = model * a->b; i < (model + 1) * a->b; i++)
            total += (double)a->weights[i] * a->nats[i];
        a->loss[model] = (float)total;
    }
    return 1;
}

extern "C" int cross_entropy_backward(const loss_t *a) {
    parallel(a->s * a->b, (int)a->threads, backward, a);
    return 1;
}
