// What the answers of a trained model are worth: for each row of logits the nats of its target, and
// whether the target is what the model says (the first of the largest logits). One pass over memory.
#include "vector.h"
#include <math.h>

static float largest(const float *x, int64_t n) {
    vec most = fill(-__builtin_inff());
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec v = load(x + i);
        most = v > most ? v : most;
    }
    float top = most[0];
    for (int j = 1; j < LANES; j++) top = most[j] > top ? most[j] : top;
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    return top;
}

static double exponentials(const float *x, int64_t n, float top) {
    vec total = fill(0.0f), shift = fill(top);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) total += exponential(load(x + i) - shift);
    float rest = 0;
    if (i < n) {
        float last[LANES];
        store(last, exponential(load_part(x + i, (int)(n - i)) - shift));
        for (int j = 0; j < (int)(n - i); j++) rest += last[j];
    }
    return (double)sum(total) + rest;
}

// logits [rows n], targets [rows], of which those below 0 ask nothing; right [rows] is written.
// Returns the sum of the nats, row after row in double; not a number where a logit is none.
extern "C" double answers(const float *logits, const int64_t *targets, int64_t rows, int64_t n,
                          unsigned char *right) {
    double nats = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t target = targets[row];
        right[row] = 0;
        if (target < 0) continue;
        const float *x = logits + row * n;
        float top = largest(x, n);
        nats += log(exponentials(x, n, top)) + top - x[target];
        int64_t first = 0;
        while (first < target && x[first] != top) first++;
        right[row] = first == target && x[target] == top;
    }
    return nats;
}
