// One head's scores against a block of queries, and the three products that attention is made of.
//
// Scores and weights stand with a key in each row and a query in each lane. A causal block's last
// LANES keys are seen by the second vector of queries alone, and the products leave out the first.
#pragma once
#include "attention.h"

// One head of one sequence, its keys and values, and the block of queries that is at hand.
struct head_t {
    const attention_t &a;
    const sizes_t &sizes;
    const float *keys, *values; // [t padded]
    const float *seen;          // [t + length], or 0 if no key is hidden and nothing is added
    const double *kept;         // [t], or 0
    float at_query[QUERIES];    // what is kept at the block's queries over what is at the first
    int64_t first;              // query

    int64_t begin() const { // of the keys that the block sees
        return a.window && first + 1 > a.window ? first + 1 - a.window : 0;
    }
    int64_t end() const {
        int64_t last = first + QUERIES;
        if (a.both_ways) last = a.window ? last - 1 + a.window : a.t;
        return last < a.t ? last : a.t;
    }
    // How many keys from key j on the first vector of queries sees; none of the others.
    int64_t both(int64_t j, int64_t rows) const {
        int64_t n = first + LANES - j;
        if (a.both_ways || n > rows) return rows;
        return n < 0 ? 0 : n;
    }
    bool hidden(int64_t j) const { // from a query of the block, or with a bias
        if (a.by_distance) return true;
        int64_t low = first - j, high = low + QUERIES - 1;
        if (!a.both_ways && low < 0) return true;
        return a.window && (high >= a.window || -low >= a.window);
    }
    void begin_block(int64_t query) {
        first = query;
        if (!kept) return;
        for (int64_t i = 0; i < QUERIES; i++) {
            int64_t place = first + i < a.t ? first + i : a.t - 1;
            at_query[i] = (float)(kept[place] - kept[first]);
        }
    }
};

// to[j][i] = rows of keys (or values) times a block of columns [k QUERIES], where a query sees a key.
static void against(const head_t &head, const float *keys, int64_t j, int64_t rows,
                    const float *columns, float *to) {
    int64_t padded = head.sizes.padded, both = head.both(j, rows), k = head.a.k;
    keys += j * padded;
    multiply(both, 2, k, {keys, padded, 1}, columns, QUERIES, to, QUERIES, false);
    multiply(rows - both, 1, k, {keys + both * padded, padded, 1}, columns + LANES, QUERIES,
             to + both * QUERIES + LANES, QUERIES, false);
}

// to[v][i] += values (or keys) transposed times weights [rows QUERIES].
static void along_keys(const head_t &head, const float *values, int64_t j, int64_t rows,
                       const float *weights, float *to, bool add) {
    int64_t padded = head.sizes.padded, both = head.both(j, rows), k = head.a.k;
    values += j * padded;
    if (both || !add) multiply(k, 2, both, {values, 1, padded}, weights, QUERIES, to, QUERIES, add);
    if (rows > both)
        multiply(k, 1, rows - both, {values + both * padded, 1, padded},
                 weights + both * QUERIES + LANES, QUERIES, to + LANES, QUERIES, true);
}

// to[j][v] += weights [rows QUERIES] times a block's rows [QUERIES padded].
static void along_queries(const head_t &head, int64_t j, int64_t rows, const float *weights,
                          const float *block, float *to) {
    int64_t padded = head.sizes.padded, both = head.both(j, rows), vectors = padded / LANES;
    to += j * padded;
    multiply(both, vectors, QUERIES, {weights, QUERIES, 1}, block, padded, to, padded, true);
    multiply(rows - both, vectors, LANES, {weights + both * QUERIES + LANES, QUERIES, 1},
             block + LANES * padded, padded, to + both * padded, padded, true);
}

// The scores of keys j and after for the block's queries [k QUERIES], in bits.
static void scores(const head_t &head, int64_t j, int64_t rows, const float *queries, float *to) {
    against(head, head.keys, j, rows, queries, to);
    int64_t both = head.both(j, rows);
    for (int64_t r = 0; r < rows; r++) {
        float *row = to + r * QUERIES;
        if (r >= both) store(row, fill(-INFINITY));
        bool hidden = head.hidden(j + r);
        if (!hidden && !head.kept) continue;
        const float *seen = head.seen + head.a.t + head.first - (j + r);
        float key = head.kept ? (float)(head.kept[j + r] - head.kept[head.first]) : 0.0f;
        for (int64_t n = r >= both ? LANES : 0; n < QUERIES; n += LANES) {
            vec x = load(row + n);
            if (head.kept) {
                vec kept = load(head.at_query + n) - key;
                if (head.a.both_ways) kept = kept > 0.0f ? -kept : kept;
                x += kept;
            }
            if (hidden) x += load(seen + n);
            store(row + n, x);
        }
    }
}
