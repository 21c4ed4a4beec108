// Softmax attention, forward and backward, without a matrix of t by t.
//
// Scores stand with a key in each row and a query in each lane: then the greatest score and the sum
// of the weights are taken over rows, whole vectors at once, and keys and values are read as they
// lie, number by number. A block of queries meets the keys block by block; a greater score found
// later scales down what was summed before (arXiv 1805.02867). Kept for the derivative are the
// output, and for each query its greatest score and one over its sum of weights; weights are made
// again from them (arXiv 2205.14135).
#include "attention_unit.h"

static void forward_block(const unit_t &unit, head_t &head, int64_t number, int64_t first) {
    const attention_t &a = unit.a;
    scratch_t &scratch = unit.scratch;
    int64_t padded = unit.sizes.padded;
    head.begin_block(first);
    unit.take_queries(number, first);
    float sink = a.sink ? a.sink[unit.model * a.h + number] * BITS : -1e30f;
    vec most[2] = {fill(sink), fill(sink)}, total[2];
    total[0] = total[1] = fill(a.sink ? 1.0f : 0.0f);
    int64_t begin = head.begin(), end = head.end();
    for (int64_t j = begin; j < end; j += KEYS) {
        int64_t rows = end - j < KEYS ? end - j : KEYS;
        scores(head, j, rows, scratch.queries, scratch.weights);
        for (int n = 0; n < 2; n++) {
            float *column = scratch.weights + n * LANES;
            vec before = most[n];
            for (int64_t r = 0; r < rows; r++) most[n] = larger(most[n], load(column + r * QUERIES));
            vec shrunk = power_of_two(before - most[n]), sum = total[n] * shrunk;
            for (int64_t r = 0; r < rows; r++) {
                vec weight = power_of_two(load(column + r * QUERIES) - most[n]);
                store(column + r * QUERIES, weight);
                sum += weight;
            }
            total[n] = sum;
            if (j > begin)
                for (int64_t c = 0; c < a.k; c++) {
                    float *at = scratch.sums + c * QUERIES + n * LANES;
                    store(at, load(at) * shrunk);
                }
        }
        along_keys(head, head.values, j, rows, scratch.weights, scratch.sums, j > begin);
    }
    float over[2][QUERIES];
    for (int n = 0; n < 2; n++) {
        store(over[0] + n * LANES, most[n]);
        store(over[1] + n * LANES, 1.0f / total[n]);
        for (int64_t c = 0; c < a.k; c++) {
            float *at = scratch.sums + c * QUERIES + n * LANES;
            store(at, load(at) * load(over[1] + n * LANES));
        }
    }
    transpose(padded, QUERIES, scratch.sums, QUERIES, scratch.natural, padded);
    int64_t there = a.t - first < QUERIES ? a.t - first : QUERIES;
    for (int row = 0; row < 2; row++)
        memcpy(unit.rows(number) + row * a.t + first, over[row], 4 * there);
    for (int64_t i = 0; i < there; i++) {
        float *row = scratch.natural + i * padded;
        foresee_written(a.out + unit.place(smaller(first + i + AHEAD, a.t - 1), number), a.k);
        if (a.gate)
            pass_gates(a, unit.token(first + i) + unit.sizes.gate(a, number), row);
        float *out = a.out + unit.place(first + i, number);
        for (int64_t c = 0; c < a.k; c += LANES) store_row(out, c, a.k, load(row + c));
    }
}

static void forward(int64_t first, int64_t last, const void *data) {
    const attention_t &a = *(const attention_t *)data;
    sizes_t sizes(a);
    scratch_t scratch(a, sizes, false);
    if (!scratch.memory) {
        a.failed = 1;
        return;
    }
    memset(scratch.sums, 0, 4 * QUERIES * sizes.padded); // rows behind the head size stay zero
    for (int64_t number = first; number < last; number++) {
        unit_t unit(a, sizes, scratch, number);
        unit.take_keys();
        for (int64_t h = unit.group * sizes.shared; h < (unit.group + 1) * sizes.shared; h++) {
            head_t head = unit.head(h);
            for (int64_t i = 0; i < a.t; i += QUERIES) forward_block(unit, head, h, i);
        }
    }
}

// The sums over a worker's share: of a sequence's heads, to be added up in the order of sequences.
struct parts_t {
    float *memory, *query_scale, *key_scale, *by_distance, *sink;
    int64_t size;
    parts_t(const attention_t &a, float *all, int64_t b) {
        int64_t scales = a.query_scale ? a.h * a.k : 0, others = a.key_scale ? a.g * a.k : 0;
        int64_t distances = a.by_distance ? a.h * a.reach : 0;
        size = scales + others + distances + (a.sink ? a.h : 0);
        if (!all) return;
        memory = all + b * size;
        query_scale = memory, key_scale = query_scale + scales;
        by_distance = key_scale + others, sink = by_distance + distances;
    }
};

struct backward_t {
    const attention_t *a;
    float *parts;
};

// The block's slopes, one query in a row and one in a lane; `along` is each one's product with the
// output, which is what all its weights' slopes have in common.
static void take_slopes(const unit_t &unit, int64_t number, int64_t first, float *along) {
    const attention_t &a = unit.a;
    int64_t padded = unit.sizes.padded;
    for (int64_t i = 0; i < QUERIES; i++) {
        float *row = unit.scratch.natural_slopes + i * padded;
        if (first + i >= a.t) {
            memset(row, 0, 4 * padded);
            along[i] = 0;
            continue;
        }
        int64_t later = unit.place(smaller(first + i + AHEAD, a.t - 1), number);
        foresee(a.slope + later, a.k);
        foresee(a.out + later, a.k);
        const float *slope = a.slope + unit.place(first + i, number);
        const float *out = a.out + unit.place(first + i, number);
        vec sums{};
        for (int64_t c = 0; c < a.k; c += LANES) {
            vec x = load_row(slope, c, a.k);
            store(row + c, x);
            sums += x * load_row(out, c, a.k);
        }
        along[i] = sum(sums);
        if (!a.gate) continue;
        int64_t gate = unit.sizes.gate(a, number);
        const float *gates = unit.token(first + i) + gate;
        give_gates(a, gates, out, slope, unit.by_token(first + i) + gate);
        pass_gates(a, gates, row);
    }
    transpose(QUERIES, padded, unit.scratch.natural_slopes, padded, unit.scratch.slopes, QUERIES);
}

// Weights from scores, and from the slopes by the weights those by the scores.
static void weigh(const head_t &head, scratch_t &scratch, int64_t j, int64_t rows,
                  const float *most, const float *inverse, const float *along) {
    int64_t both = head.both(j, rows);
    for (int n = 0; n < QUERIES; n += LANES) {
        vec high = load(most + n), over = load(inverse + n), common = load(along + n);
        float *weights = scratch.weights + n, *slopes = scratch.by_weights + n;
        for (int64_t r = 0; r < (n ? rows : both); r++) {
            vec weight = power_of_two(load(weights + r * QUERIES) - high) * over;
            store(weights + r * QUERIES, weight);
            store(slopes + r * QUERIES, weight * (load(slopes + r * QUERIES) - common));
        }
    }
}

static void add_by_distance(const head_t &head, scratch_t &scratch, int64_t j, int64_t rows) {
    int64_t both = head.both(j, rows);
    for (int64_t r = 0; r < rows; r++) {
        float *to = scratch.by_seen + head.a.t + head.first - (j + r);
        for (int n = r < both ? 0 : LANES; n < QUERIES; n += LANES)
            store(to + n, load(to + n) + load(scratch.by_weights + r * QUERIES + n));
    }
}

static void add_by_kept(const head_t &head, scratch_t &scratch, int64_t j, int64_t rows,
                        float *by_query) {
    int64_t both = head.both(j, rows);
    for (int64_t r = 0; r < rows; r++) {
        vec by_key{}, key = fill((float)(head.kept[j + r] - head.kept[head.first]));
        for (int n = r < both ? 0 : LANES; n < QUERIES; n += LANES) {
            vec slope = load(scratch.by_weights + r * QUERIES + n);
            if (head.a.both_ways) slope = load(head.at_query + n) > key ? -slope : slope;
            store(by_query + n, load(by_query + n) + slope);
            by_key += slope;
        }
        scratch.by_kept[j + r] -= sum(by_key);
    }
}

static void backward_block(const unit_t &unit, head_t &head, const parts_t &parts, int64_t number,
                           int64_t first) {
    const attention_t &a = unit.a;
    scratch_t &scratch = unit.scratch;
    int64_t padded = unit.sizes.padded, there = a.t - first < QUERIES ? a.t - first : QUERIES;
    float over[2][QUERIES], along[QUERIES];
    head.begin_block(first);
    unit.take_queries(number, first);
    take_slopes(unit, number, first, along);
    for (int64_t i = 0; i < QUERIES; i++) { // a query that is not there weighs nothing
        over[0][i] = i < there ? unit.rows(number)[first + i] : 1e30f;
        over[1][i] = i < there ? unit.rows(number)[a.t + first + i] : 0.0f;
    }
    if (a.sink) {
        float sink = a.sink[unit.model * a.h + number] * BITS;
        for (int64_t i = 0; i < there; i++)
            parts.sink[number] -= exp2f(sink - over[0][i]) * over[1][i] * along[i];
    }
    int64_t begin = head.begin(), end = head.end();
    float by_query[QUERIES] = {};
    for (int64_t j = begin; j < end; j += KEYS) {
        int64_t rows = end - j < KEYS ? end - j : KEYS;
        scores(head, j, rows, scratch.queries, scratch.weights);
        against(head, scratch.values, j, rows, scratch.slopes, scratch.by_weights);
        weigh(head, scratch, j, rows, over[0], over[1], along);
        if (a.by_distance) add_by_distance(head, scratch, j, rows);
        if (a.forget) add_by_kept(head, scratch, j, rows, by_query);
        along_queries(head, j, rows, scratch.weights, scratch.natural_slopes, scratch.by_values);
        along_queries(head, j, rows, scratch.by_weights, scratch.natural, scratch.by_keys);
        along_keys(head, head.keys, j, rows, scratch.by_weights, scratch.sums, j > begin);
    }
    transpose(padded, QUERIES, scratch.sums, QUERIES, scratch.natural, padded);
    for (int64_t i = 0; i < there; i++) {
        if (a.forget) scratch.by_kept[first + i] += by_query[i];
        foresee_written(unit.by_token(smaller(first + i + AHEAD, a.t - 1)) + number * a.k, a.k);
        give(a, unit.token(first + i) + number * a.k, unit.query_scale(number), first + i,
             unit.factor() / BITS, scratch.natural + i * padded,
             unit.by_token(first + i) + number * a.k, parts.query_scale + number * a.k, padded);
    }
}

// What was summed over a head: the biases by distance, the forget gate.
static void finish_head(const unit_t &unit, const parts_t &parts, int64_t number) {
    const attention_t &a = unit.a;
    if (a.by_distance) {
        const float *by_seen = unit.scratch.by_seen + a.t;
        float *to = parts.by_distance + number * a.reach;
        for (int64_t i = 0; i < a.t; i++) to[i] = by_seen[i] + (i ? by_seen[-i] : 0.0f);
    }
    if (a.forget) {
        int64_t column = unit.sizes.forget(a, number);
        double total = 0;
        for (int64_t i = a.t - 1; i >= 0; i--) {
            total += unit.scratch.by_kept[i];
            unit.by_token(i)[column] = (float)total / (1.0f + expf(unit.token(i)[column]));
        }
    }
}

static void backward(int64_t first, int64_t last, const void *data) {
    const backward_t &whole = *(const backward_t *)data;
    const attention_t &a = *whole.a;
    sizes_t sizes(a);
    scratch_t scratch(a, sizes, true);
    if (!scratch.memory) {
        a.failed = 1;
        return;
    }
    memset(scratch.sums, 0, 4 * QUERIES * sizes.padded);
    for (int64_t number = first; number < last; number++) {
        unit_t unit(a, sizes, scratch, number);
        parts_t parts(a, whole.parts, unit.b);
        unit.take_keys();
        memset(scratch.by_keys, 0, 4 * a.t * sizes.padded);
        memset(scratch.by_values, 0, 4 * a.t * sizes.padded);
        for (int64_t h = unit.group * sizes.shared; h < (unit.group + 1) * sizes.shared; h++) {
            head_t head = unit.head(h);
            if (a.by_distance) memset(scratch.by_seen, 0, 8 * sizes.length);
            if (a.forget) memset(scratch.by_kept, 0, 8 * a.t);
            for (int64_t i = 0; i < a.t; i += QUERIES) backward_block(unit, head, parts, h, i);
            finish_head(unit, parts, h);
        }
        for (int64_t i = 0; i < a.t; i++) {
            float *to = unit.by_token(i), *later = unit.by_token(smaller(i + AHEAD, a.t - 1));
            foresee_written(later + sizes.keys(a, unit.group), a.k);
            foresee_written(later + sizes.values(a, unit.group), a.k);
            give(a, unit.token(i) + sizes.keys(a, unit.group), unit.key_scale(), i, 1.0f / BITS,
                 scratch.by_keys + i * sizes.padded, to + sizes.keys(a, unit.group),
                 parts.key_scale + unit.group * a.k, sizes.padded);
            for (int64_t c = 0; c < a.k; c += LANES)
                store_row(to + sizes.values(a, unit.group), c, a.k,
                          load(scratch.by_values + i * sizes.padded + c));
        }
    }
}

// to[model] = the sum of its sequences' parts, in their order.
static void add_up(const attention_t &a, const float *part, int64_t step, int64_t n, float *to) {
    int64_t each = a.n / a.models;
    if (to)
        for (int64_t b = 0; b < a.n; b++)
            for (int64_t i = 0; i < n; i++) {
                float *at = to + b / each * n + i;
                *at = (b % each ? *at : 0.0f) + part[b * step + i];
            }
}

extern "C" int lanes() { return LANES; }

extern "C" int attention_forward(const attention_t *a) {
    parallel(a->n * a->g, (int)a->threads, forward, a);
    return !a->failed;
}

extern "C" int attention_backward(const attention_t *a) {
    parts_t sizes(*a, 0, 0);
    float *parts = (float *)calloc(a->n * sizes.size + 1, 4);
    if (!parts) return 0;
    backward_t whole{a, parts};
    parallel(a->n * a->g, (int)a->threads, backward, &whole);
    parts_t all(*a, parts, 0);
    add_up(*a, all.query_scale, all.size, a->h * a->k, a->by_query_scale);
    add_up(*a, all.key_scale, all.size, a->g * a->k, a->by_key_scale);
    add_up(*a, all.by_distance, all.size, a->h * a->reach, a->by_by_distance);
    add_up(*a, all.sink, all.size, a->h, a->by_sink);
    free(parts);
    return !a->failed;
}
