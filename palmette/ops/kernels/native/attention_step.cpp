// Softmax attention for one token more: what is kept of the tokens before it is copied, the token's
// keys and values are set behind, and its queries read them all.
#include "attention.h"

struct attention_step_t {
    attention_t token;    // t is 1, its strides those of the projections [b e]; no slopes
    const float *turn;    // [2 padded] of the token's position, or 0
    const float *keys, *values, *kept;  // [b g n k], [b g n k], [b h n]
    float *new_keys, *new_values, *new_kept; // with m = n - first + 1 for n
    int64_t n, first;
};

static void copy_behind(const float *from, int64_t n, int64_t first, int64_t k, const float *last,
                        float *to) {
    if (n > first) memcpy(to, from + first * k, 4 * (n - first) * k);
    memcpy(to + (n - first) * k, last, 4 * k);
}

// The weighted mean of m values by the head's query [padded], of which the scores are [m].
static void read_one(const attention_step_t &step, int64_t b, int64_t head, int64_t group, int64_t m,
                     const float *query, float *scores, float *out) {
    const attention_t &a = step.token;
    const int64_t k = a.k, at = (b * a.g + group) * m;
    const float *bias = a.by_distance ? a.by_distance + head * a.reach : 0;
    const float *kept = a.forget ? step.new_kept + (b * a.h + head) * m : 0;
    float most = a.sink ? a.sink[head] : -INFINITY, total = 0;
    for (int64_t j = 0; j < m; j++) {
        const float *key = step.new_keys + (at + j) * k;
        vec sums{};
        for (int64_t c = 0; c < k; c += LANES) sums += load(query + c) * load_row(key, c, k);
        scores[j] = sum(sums) + (bias ? bias[m - 1 - j] : 0.0f) + (kept ? kept[j] : 0.0f);
        most = scores[j] > most ? scores[j] : most;
    }
    for (int64_t c = 0; c < k; c++) out[c] = 0;
    for (int64_t j = 0; j < m; j++) {
        float weight = expf(scores[j] - most);
        const float *value = step.new_values + (at + j) * k;
        for (int64_t c = 0; c < k; c += LANES) add_row(out, c, k, load_row(value, c, k) * weight);
        total += weight;
    }
    if (a.sink) total += expf(a.sink[head] - most);
    const sizes_t sizes(a);
    const float *gates = a.projected + b * a.sequence + sizes.gate(a, head);
    for (int64_t c = 0; c < k; c++) {
        float open = a.gate == 0 ? 1.0f : 1.0f / (1.0f + expf(-gates[a.gate == 1 ? 0 : c]));
        out[c] *= open / total;
    }
}

static void run(int64_t begin, int64_t end, const void *data) {
    const attention_step_t &step = *(const attention_step_t *)data;
    attention_t a = step.token;
    a.turns = step.turn;
    const sizes_t sizes(a);
    const int64_t m = step.n - step.first + 1, k = a.k;
    float *memory = (float *)aligned_alloc(64, (4 * (sizes.padded + m) + 63) / 64 * 64);
    if (!memory) {
        step.token.failed = 1;
        return;
    }
    float *row = memory, *scores = memory + sizes.padded;
    for (int64_t number = begin; number < end; number++) {
        const int64_t b = number / a.g, group = number % a.g;
        const float *x = a.projected + b * a.sequence;
        const float *scale = a.key_scale ? a.key_scale + group * k : 0;
        take(a, x + sizes.keys(a, group), scale, 0, 1.0f, row, sizes.padded);
        copy_behind(step.keys + number * step.n * k, step.n, step.first, k, row,
                    step.new_keys + number * m * k);
        copy_behind(step.values + number * step.n * k, step.n, step.first, k,
                    x + sizes.values(a, group), step.new_values + number * m * k);
        for (int64_t h = group * sizes.shared; h < (group + 1) * sizes.shared; h++) {
            if (a.forget) {
                float logit = x[sizes.forget(a, h)], zero = 0;
                float log_kept = (logit < 0 ? logit : 0) - log1pf(expf(-fabsf(logit)));
                float *kept = step.new_kept + (b * a.h + h) * m;
                copy_behind(step.kept + (b * a.h + h) * step.n, step.n, step.first, 1, &zero, kept);
                for (int64_t j = 0; j < m - 1; j++) kept[j] += log_kept;
            }
            scale = a.query_scale ? a.query_scale + h * k : 0;
            take(a, x + h * k, scale, 0, 1.0f / root((float)k), row, sizes.padded);
            read_one(step, b, h, group, m, row, scores, a.out + (b * a.h + h) * k);
        }
    }
    free(memory);
}

extern "C" int lanes() { return LANES; }

extern "C" int attention_step(const attention_step_t *step) {
    parallel(step->token.n * step->token.g, (int)step->token.threads, run, step);
    return !step->token.failed;
}
