// What is done to rows of features in the cache: norms and their derivatives, sums of columns. Rows
// are padded to whole vectors, with zeros.
#pragma once
#include "dense.h"

enum norm_t { NO_NORM, RMS_NORM, LAYER_NORM };

INLINE float sum_of(const float *x, int64_t width) {
    vec s{};
    for (int64_t i = 0; i < width; i += LANES) s += load(x + i);
    return sum(s);
}
INLINE float dot(const float *x, const float *y, int64_t width) {
    vec s{};
    for (int64_t i = 0; i < width; i += LANES) s += load(x + i) * load(y + i);
    return sum(s);
}
INLINE void clear_pads(float *x, int64_t n, int64_t width) {
    for (int64_t i = n; i < width; i++) x[i] = 0;
}

// Normalises a row of n features in place, without a learned scale; the factor that it took.
OUTLINED float normalise(float *x, int64_t n, int norm, float epsilon) {
    const int64_t width = padded(n);
    if (norm == LAYER_NORM) {
        float mean = sum_of(x, width) / n;
        for (int64_t i = 0; i < width; i += LANES) store(x + i, load(x + i) - mean);
        clear_pads(x, n, width);
    }
    float factor = 1.0f / __builtin_sqrtf(dot(x, x, width) / n + epsilon);
    for (int64_t i = 0; i < width; i += LANES) store(x + i, load(x + i) * factor);
    clear_pads(x, n, width); // a factor that is no number would stay in them for the next row
    return factor;
}

// From the derivative by the normalised row y to that by the row itself, in place.
OUTLINED void unnormalise(float *dy, const float *y, int64_t n, int norm, float factor) {
    const int64_t width = padded(n);
    float along = dot(dy, y, width) / n;
    float mean = norm == LAYER_NORM ? sum_of(dy, width) / n : 0.0f;
    for (int64_t i = 0; i < width; i += LANES)
        store(dy + i, (load(dy + i) - mean - load(y + i) * along) * factor);
}

// to [n] += from; neither needs to be padded.
OUTLINED void add_to(float *to, const float *from, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES)
        store_row(to, i, n, load_row(to, i, n) + load_row(from, i, n));
}

// sums [n] += the rows of y, one after another.
OUTLINED void add_columns(
    int64_t rows, int64_t n, const float *y, int64_t y_row, float *sums) {
    for (int64_t j = 0; j < n; j += LANES) {
        vec s = load_row(sums, j, n);
        for (int64_t r = 0; r < rows; r++) s += load_row(y + r * y_row, j, n);
        store_row(sums, j, n, s);
    }
}

// y [n] += w [n, k] x; x is padded to whole vectors.
OUTLINED void add_product(int64_t n, int64_t k, const float *w, const float *x, float *y) {
    for (int64_t j = 0; j < n; j++, w += k) {
        vec s{};
        int64_t i = 0;
        for (; i + LANES <= k; i += LANES) s += load(w + i) * load(x + i);
        if (i < k) s += load_row(w, i, k) * load(x + i);
        y[j] += sum(s);
    }
}

// to [rows, n] = from, of padded rows, or to + from if it is not the `first`.
OUTLINED void add_rows(int64_t rows, int64_t n, const float *from, float *to, bool first) {
    const int64_t width = padded(n);
    if (first) return copy_rows(rows, n, from, width, to, n);
    for (int64_t r = 0; r < rows; r++) add_to(to + r * n, from + r * width, n);
}

// What a norm that was folded into w [n, k] leaves to do: dw is the derivative by w with its columns
// times scale, sums [n] the derivative by the bias. dscale and dshift [k] are added to.
OUTLINED void unfold_norm(
    int64_t n, int64_t k, const float *w, const float *scale, const float *shift,
    const float *sums, float *dw, float *dscale, float *dshift) {
    for (int64_t i = 0; i < k; i += LANES) {
        const vec factor = load_row(scale, i, k), moved = shift ? load_row(shift, i, k) : vec{};
        vec by_scale{}, by_shift{};
        for (int64_t j = 0; j < n; j++) {
            const vec weight = load_row(w + j * k, i, k), change = load_row(dw + j * k, i, k);
            const float sum_of_row = shift ? sums[j] : 0.0f;
            by_scale += change * weight;
            by_shift += sum_of_row * weight;
            store_row(dw + j * k, i, k, change * factor + sum_of_row * moved);
        }
        add_row(dscale, i, k, by_scale);
        if (shift) add_row(dshift, i, k, by_shift);
    }
}
