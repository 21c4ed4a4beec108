// Products of small matrices. The right matrix lies in panels of two vectors of columns (packed, or
// rows of memory that are padded to whole vectors), the left one is read where it stands, an element
// at a time, and a block of ROWS x 2 vectors of the result stays in registers all along the depth.
// What is summed, is summed in the order of the depth: a result does not depend on how rows or
// columns are divided.
#pragma once
#include "functions.h"
#include <stdlib.h>

#if LANES == 16
#define ROWS 12
#else
#define ROWS 6
#endif
#define PANEL (2 * LANES)
#define OUTLINED static __attribute__((noinline, unused)) // a library builds faster
#define TILE 48 // rows that are worked on at a time: a multiple of ROWS

// Room for floats, at the start of a line of the cache; zeros at first if `cleared`.
struct room_t {
    float *at;
    explicit room_t(int64_t count, bool cleared = false) {
        size_t bytes = ((size_t)count * 4 + 127) / 64 * 64;
        at = (float *)aligned_alloc(64, bytes);
        if (!at) abort();
        if (cleared) memset(at, 0, bytes);
    }
    room_t(const room_t &) = delete;
    ~room_t() { free(at); }
};

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
// n, up to whole vectors.
INLINE int64_t padded(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

// n floats; where there is a vector of them, the last vector overlaps the one before.
INLINE void copy(float *to, const float *from, int64_t n) {
    if (n < LANES) {
        for (int64_t i = 0; i < n; i++) to[i] = from[i];
        return;
    }
    for (int64_t i = 0; i + LANES <= n; i += LANES) store(to + i, load(from + i));
    store(to + n - LANES, load(from + n - LANES));
}
OUTLINED void copy_rows(
    int64_t rows, int64_t n, const float *from, int64_t from_row, float *to, int64_t to_row) {
    for (int64_t i = 0; i < rows; i++) copy(to + i * to_row, from + i * from_row, n);
}

// c [R, V vectors] = a b, or c + a b if `add`. Element (r, i) of a is a[r * a_row + i * a_step],
// one of which is 1: a_step, or a_row if TURNED.
template <int R, int V, bool TURNED>
OUTLINED void block(
    int64_t depth, const float *a, int64_t a_stride, const float *b, int64_t b_row, float *c,
    int64_t c_row, bool add) {
    const int64_t a_row = TURNED ? 1 : a_stride, a_step = TURNED ? a_stride : 1;
    vec sums[R][V];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) sums[r][v] = add ? load(c + r * c_row + v * LANES) : vec{};
    for (int64_t i = 0; i < depth; i++) {
        vec right[V];
        for (int v = 0; v < V; v++) right[v] = load(b + v * LANES);
        for (int r = 0; r < R; r++) {
            vec left = fill(a[r * a_row]);
            for (int v = 0; v < V; v++) sums[r][v] += left * right[v];
        }
        a += a_step;
        b += b_row;
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) store(c + r * c_row + v * LANES, sums[r][v]);
}

// One panel of the result, all its rows.
template <int V, bool TURNED>
OUTLINED void panel(
    int64_t rows, int64_t depth, const float *a, int64_t a_stride, const float *b, int64_t b_row,
    float *c, int64_t c_row, bool add) {
    const int64_t a_row = TURNED ? 1 : a_stride;
    int64_t r = 0;
#define BLOCKS(R)                                                                                  \
    for (; r + R <= rows; r += R)                                                                  \
        block<R, V, TURNED>(depth, a + r * a_row, a_stride, b, b_row, c + r * c_row, c_row, add);
    BLOCKS(ROWS)
#if ROWS == 12
    BLOCKS(8)
#endif
    BLOCKS(4)
    BLOCKS(2)
    BLOCKS(1)
#undef BLOCKS
}

template <bool TURNED>
OUTLINED void panels(
    int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t a_stride, const float *b,
    int64_t b_row, float *c, int64_t c_row, bool add) {
    for (int64_t j = 0; j < columns; j += PANEL) {
        bool whole = columns - j >= PANEL;
        const float *at = b_row ? b + j : b + j * depth;
        int64_t step = b_row ? b_row : whole ? PANEL : LANES;
        if (whole)
            panel<2, TURNED>(rows, depth, a, a_stride, at, step, c + j, c_row, add);
        else
            panel<1, TURNED>(rows, depth, a, a_stride, at, step, c + j, c_row, add);
    }
}

// c [rows, columns] = a [rows, depth] b, or c + a b if `add`; b is packed; columns are whole vectors.
OUTLINED void multiply(
    int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t a_row, const float *b,
    float *c, int64_t c_row, bool add) {
    panels<false>(rows, columns, depth, a, a_row, b, 0, c, c_row, add);
}

// c [rows, columns] += the transpose of a [depth, rows], times b [depth, columns], in rows of memory.
OUTLINED void add_outer(
    int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t a_row, const float *b,
    int64_t b_row, float *c, int64_t c_row) {
    panels<true>(rows, columns, depth, a, a_row, b, b_row, c, c_row, true);
}

// The packed form of w [depth, columns], columns padded with zeros; column j times scale[j].
OUTLINED void pack(
    int64_t depth, int64_t columns, const float *w, int64_t w_row, const float *scale, float *to) {
    for (int64_t j = 0; j < columns; j += PANEL) {
        int64_t width = padded(least(columns - j, PANEL)), n = least(columns - j, width);
        float factors[PANEL];
        for (int64_t c = 0; c < PANEL; c++) factors[c] = scale && c < n ? scale[j + c] : 1.0f;
        for (int64_t i = 0; i < depth; i++, to += width) {
            const float *from = w + i * w_row + j;
            if (n == PANEL) {
                store(to, load(from) * load(factors));
                store(to + LANES, load(from + LANES) * load(factors + LANES));
                continue;
            }
            for (int64_t c = 0; c < n; c++) to[c] = from[c] * factors[c];
            for (int64_t c = n; c < width; c++) to[c] = 0;
        }
    }
}

// A square of LANES rows, turned. Blocks off the diagonal change places: halves, quarters, ...
#if defined(__clang__)
INLINE void turn(vec *rows) {
    float from[LANES][LANES];
    memcpy(from, rows, sizeof from);
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < LANES; j++) ((float *)rows)[i * LANES + j] = from[j][i];
}
#else
template <int SIZE>
INLINE void exchange(vec *rows) {
    ivec upper, lower;
    for (int i = 0; i < LANES; i++) {
        upper[i] = i & SIZE ? LANES + i - SIZE : i;
        lower[i] = i & SIZE ? LANES + i : i + SIZE;
    }
    for (int i = 0; i < LANES; i++) {
        if (i & SIZE) continue;
        vec a = rows[i], b = rows[i + SIZE];
        rows[i] = __builtin_shuffle(a, b, upper);
        rows[i + SIZE] = __builtin_shuffle(a, b, lower);
    }
}
INLINE void turn(vec *rows) {
#if LANES == 16
    exchange<8>(rows);
#endif
#if LANES >= 8
    exchange<4>(rows);
#endif
    exchange<2>(rows);
    exchange<1>(rows);
}
#endif

// The packed form of the transpose of w [columns, depth], row i of the transpose times scale[i].
OUTLINED void pack_turned(
    int64_t depth, int64_t columns, const float *w, int64_t w_row, const float *scale, float *to) {
    for (int64_t j = 0; j < columns; j += LANES) {
        int64_t within = j % PANEL, width = padded(least(columns - j + within, PANEL));
        int64_t n = least(columns - j, LANES);
        const float *from = w + j * w_row;
        float *at = to + (j - within) * depth + within;
        for (int64_t i = 0; i < depth; i += LANES) {
            vec rows[LANES];
            for (int r = 0; r < LANES; r++)
                rows[r] = r < n ? load_row(from + r * w_row, i, depth) : vec{};
            turn(rows);
            for (int r = 0; r < LANES; r++)
                if (i + r < depth)
                    store(at + (i + r) * width, rows[r] * (scale ? scale[i + r] : 1.0f));
        }
    }
}

// Tokens are worked through in chunks of the same bounds whatever the number of threads: what is
// summed over tokens is summed within each chunk, then over chunks in order.
struct chunks_t {
    int64_t rows, size, count; // of all chunks; of one; how many
};
static inline chunks_t chunks_of(int64_t rows) {
    int64_t size = (rows + 15) / 16;
    if (size < 512) size = 512;
    size = (size + TILE - 1) / TILE * TILE;
    return chunks_t{rows, size, rows ? (rows + size - 1) / size : 1};
}

// No more threads than there are 2^21 multiplications for.
static inline int worthwhile(int64_t threads, double multiplications) {
    double most = 1 + multiplications / 2097152.0;
    return threads < most ? (int)threads : (int)most;
}
