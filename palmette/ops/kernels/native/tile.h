// Products of small matrices that lie in a core's cache, tile by tile in registers; transposition;
// powers of two for a softmax. Rows are whole vectors long: who packs a matrix pads them.
#pragma once
#include "vector.h"

#if LANES == 16
#define TILE_ROWS 8
#else
#define TILE_ROWS 6
#endif

// What is multiplied: a[m][k] at m * row + k * column, b and c in rows of whole vectors.
struct factor_t {
    const float *at;
    int64_t row, column;
};

template <int M, int N>
INLINE void tile(int64_t depth, factor_t a, const float *b, int64_t b_row, float *c, int64_t c_row,
                 bool add) {
    vec sums[M][N];
#pragma GCC unroll 8
    for (int m = 0; m < M; m++)
#pragma GCC unroll 2
        for (int n = 0; n < N; n++) sums[m][n] = add ? load(c + m * c_row + n * LANES) : vec{};
    for (int64_t k = 0; k < depth; k++) {
        vec right[N];
#pragma GCC unroll 2
        for (int n = 0; n < N; n++) right[n] = load(b + k * b_row + n * LANES);
#pragma GCC unroll 8
        for (int m = 0; m < M; m++) {
            vec left = fill(a.at[m * a.row + k * a.column]);
#pragma GCC unroll 2
            for (int n = 0; n < N; n++) sums[m][n] += left * right[n];
        }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; m++)
#pragma GCC unroll 2
        for (int n = 0; n < N; n++) store(c + m * c_row + n * LANES, sums[m][n]);
}

template <int N>
static void tile_column(int64_t rows, int64_t depth, factor_t a, const float *b, int64_t b_row,
                        float *c, int64_t c_row, bool add) {
    int64_t m = 0;
    for (; m + TILE_ROWS <= rows; m += TILE_ROWS) {
        factor_t part{a.at + m * a.row, a.row, a.column};
        tile<TILE_ROWS, N>(depth, part, b, b_row, c + m * c_row, c_row, add);
    }
    factor_t part{a.at + m * a.row, a.row, a.column};
    c += m * c_row;
    switch (rows - m) {
    case 7: tile<7, N>(depth, part, b, b_row, c, c_row, add); break;
    case 6: tile<6, N>(depth, part, b, b_row, c, c_row, add); break;
    case 5: tile<5, N>(depth, part, b, b_row, c, c_row, add); break;
    case 4: tile<4, N>(depth, part, b, b_row, c, c_row, add); break;
    case 3: tile<3, N>(depth, part, b, b_row, c, c_row, add); break;
    case 2: tile<2, N>(depth, part, b, b_row, c, c_row, add); break;
    case 1: tile<1, N>(depth, part, b, b_row, c, c_row, add); break;
    }
}

// c = a b, or c += a b: [rows x depth] times [depth x vectors * LANES], summed in the order of k.
static inline void multiply(int64_t rows, int64_t vectors, int64_t depth, factor_t a,
                            const float *b, int64_t b_row, float *c, int64_t c_row, bool add) {
    int64_t n = 0;
    for (; n + 2 <= vectors; n += 2)
        tile_column<2>(rows, depth, a, b + n * LANES, b_row, c + n * LANES, c_row, add);
    if (n < vectors)
        tile_column<1>(rows, depth, a, b + n * LANES, b_row, c + n * LANES, c_row, add);
}

// Two rows of a square of vectors exchange the lanes whose number has the bit `step` in one of them.
template <int step> INLINE void exchange(vec &a, vec &b) {
    vec first = a, second = b;
#ifdef __clang__
    for (int i = 0; i < LANES; i++) {
        a[i] = i & step ? second[i - step] : first[i];
        b[i] = i & step ? second[i] : first[i + step];
    }
#else
    ivec low{}, high{};
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) {
        low[i] = i & step ? LANES + i - step : i;
        high[i] = i & step ? LANES + i : i + step;
    }
    a = __builtin_shuffle(first, second, low);
    b = __builtin_shuffle(first, second, high);
#endif
}

template <int step> INLINE void exchange_all(vec *x) {
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        if (!(i & step)) exchange<step>(x[i], x[i + step]);
}

// to[c][r] = from[r][c] for a square of LANES by LANES.
static inline void transpose_square(const float *from, int64_t from_row, float *to, int64_t to_row) {
    vec x[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) x[i] = load(from + i * from_row);
    exchange_all<1>(x);
    exchange_all<2>(x);
#if LANES >= 8
    exchange_all<4>(x);
#endif
#if LANES >= 16
    exchange_all<8>(x);
#endif
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) store(to + i * to_row, x[i]);
}

// to[c][r] = from[r][c]; both numbers are multiples of LANES.
static inline void transpose(int64_t rows, int64_t columns, const float *from, int64_t from_row,
                             float *to, int64_t to_row) {
    for (int64_t r = 0; r < rows; r += LANES)
        for (int64_t c = 0; c < columns; c += LANES)
            transpose_square(from + r * from_row + c, from_row, to + c * to_row + r, to_row);
}

typedef uint32_t uvec __attribute__((vector_size(4 * LANES)));

// 2^x for x at most 0, to about 1e-7 of it; 1 at 0, 0 below -125. A polynomial of degree 5 over half
// a unit around 0, of least relative error, and the whole part added to the exponent.
INLINE vec power_of_two(vec x) {
    vec shifted = x + 12582912.0f; // rounds to a whole number
    vec r = x - (shifted - 12582912.0f);
    vec p = fill(1.3264727194e-03f);
    p = p * r + 9.6715126399e-03f;
    p = p * r + 5.5507337433e-02f;
    p = p * r + 2.4022242085e-01f;
    p = p * r + 6.9314697760e-01f;
    p = p * r + 1.0f;
    p = (vec)((uvec)p + ((uvec)shifted << 23)); // unsigned: where it is not used it may overflow
    return x < -125.0f ? vec{} : p;
}
