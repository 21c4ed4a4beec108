// What the recurrence is made of: products of small matrices with sums held in registers, rows read
// and written with their tails, triangular systems, sums of many rows at once.
#pragma once
#include "tile.h"

#if LANES == 16
#define BLOCK 8
#else
#define BLOCK 4
#endif
#define UNROLL _Pragma("GCC unroll 16")
#ifdef __clang__
#define APART __attribute__((noinline))
#else
#define APART __attribute__((noinline, noclone)) // copies for each call build longer, run no faster
#endif

// A product a b: `depth` columns of a and rows of b, which are whole vectors.
struct term_t {
    int64_t depth;
    factor_t a;
    const float *b;
    int64_t row;
};

template <int M, int N>
INLINE void add_term(const term_t &term, int64_t m, int64_t n, vec (&sums)[M][N]) {
    const float *left = term.a.at + m * term.a.row, *b = term.b + n;
    const int64_t row = term.a.row;
    for (int64_t k = 0; k < term.depth; k++) {
        vec right[N];
        UNROLL for (int i = 0; i < N; i++) right[i] = load(b + i * LANES);
        UNROLL for (int j = 0; j < M; j++) {
            vec x = fill(left[j * row]);
            UNROLL for (int i = 0; i < N; i++) sums[j][i] += x * right[i];
        }
        left += term.a.column;
        b += term.row;
    }
}

// to [M x N vectors] = keep * from + one + two, at row m and column n. `from` may be absent, `keep`
// (a factor for each row) and `two`.
template <int M, int N>
static APART void product_block(
    const term_t &one, const term_t *two, int64_t m, int64_t n, float *to, const float *from,
    int64_t row, const float *keep) {
    vec sums[M][N];
    const int64_t at = m * row + n;
    UNROLL for (int j = 0; j < M; j++) UNROLL for (int i = 0; i < N; i++)
        sums[j][i] = from ? load(from + at + j * row + i * LANES) : vec{};
    if (from && keep)
        UNROLL for (int j = 0; j < M; j++) UNROLL for (int i = 0; i < N; i++)
            sums[j][i] *= keep[m + j];
    add_term<M, N>(one, m, n, sums);
    if (two) add_term<M, N>(*two, m, n, sums);
    UNROLL for (int j = 0; j < M; j++) UNROLL for (int i = 0; i < N; i++)
        store(to + at + j * row + i * LANES, sums[j][i]);
}

// The same for any number of vectors, and rows in multiples of BLOCK.
static void product(int64_t rows, int64_t vectors, const term_t &one, const term_t *two, float *to,
                    const float *from, int64_t row, const float *keep = 0) {
    for (int64_t n = 0; n < vectors;) {
        const int64_t left = vectors - n, at = n * LANES;
        int64_t m = 0;
#define BLOCKS(M, N)                                                                               \
    for (; m + M <= rows; m += M) product_block<M, N>(one, two, m, at, to, from, row, keep);
        if (left == 1) {
            BLOCKS(2 * BLOCK, 1)
            BLOCKS(BLOCK, 1)
            n += 1;
        } else if (LANES == 16 && left == 3) {
            BLOCKS(BLOCK, 3)
            n += 3;
        } else {
            BLOCKS(BLOCK, 2)
            n += 2;
        }
#undef BLOCKS
    }
}
static void product(int64_t rows, int64_t vectors, int64_t depth, factor_t a, const float *b,
                    int64_t b_row, float *to, const float *from, int64_t row,
                    const float *keep = 0) {
    product(rows, vectors, term_t{depth, a, b, b_row}, 0, to, from, row, keep);
}

// The first n < LANES floats and zeros after them, nothing beyond being touched. (load_part of
// vector.h goes through memory, and a vector read of what was just written in parts waits long.)
#if LANES == 16
INLINE vec load_tail(const float *from, int64_t n) {
    return __builtin_ia32_loadups512_mask(from, vec{}, (uint16_t)((1 << n) - 1));
}
INLINE void store_tail(float *to, vec x, int64_t n) {
    __builtin_ia32_storeups512_mask(to, x, (uint16_t)((1 << n) - 1));
}
#elif LANES == 8
INLINE ivec first_lanes(int64_t n) {
    return (ivec{0, 1, 2, 3, 4, 5, 6, 7} < (int)n) ? ivec{} - 1 : ivec{};
}
INLINE vec load_tail(const float *from, int64_t n) {
    return __builtin_ia32_maskloadps256((const vec *)from, first_lanes(n));
}
INLINE void store_tail(float *to, vec x, int64_t n) {
    __builtin_ia32_maskstoreps256((vec *)to, first_lanes(n), x);
}
#else
INLINE vec load_tail(const float *from, int64_t n) {
    vec x{};
    for (int64_t i = 0; i < n; i++) x[i] = from[i];
    return x;
}
INLINE void store_tail(float *to, vec x, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] = x[i];
}
#endif

// The first n of `rows` rows of any memory into padded rows, with zeros in place of the others;
// each times its factor, where there are factors.
static void read_rows(const float *from, int64_t from_row, int64_t n, int64_t width, float *to,
                      int64_t row, int64_t rows, const float *factors = 0) {
    const int64_t whole = width / LANES * LANES, tail = width - whole;
    for (int64_t i = 0; i < n; i++, from += from_row, to += row) {
        const float factor = factors ? factors[i] : 1.0f;
        for (int64_t j = 0; j < whole; j += LANES) store(to + j, load(from + j) * factor);
        if (tail) store(to + whole, load_tail(from + whole, tail) * factor);
    }
    for (int64_t i = n; i < rows; i++, to += row)
        for (int64_t j = 0; j < width; j += LANES) store(to + j, vec{});
}

// n numbers, one a row, with zeros in place of the others up to C.
template <int C> static void read_column(const float *from, int64_t step, int64_t n, float *to) {
    for (int64_t i = 0; i < C; i++) to[i] = i < n ? from[i * step] : 0.0f;
}

// Brings n rows of any memory nearer, to be read or (`write`) to be written soon. (Inline: g++ takes
// a function that only fetches for one that does nothing.)
template <int write>
INLINE void fetch_rows(const float *from, int64_t from_row, int64_t n, int64_t width) {
    for (int64_t j = 0; j < width; j += 16)
        for (int64_t i = 0; i < n; i++) __builtin_prefetch(from + i * from_row + j, write);
    if ((uintptr_t)from % 64 + width % 16 * 4 > 64 || (width % 16 == 0 && (uintptr_t)from % 64))
        for (int64_t i = 0; i < n; i++) __builtin_prefetch(from + i * from_row + width - 1, write);
}

// n padded rows into any memory, or added to it.
static void write_rows(const float *from, int64_t row, int64_t n, int64_t width, float *to,
                       int64_t to_row, bool add) {
    const int64_t whole = width / LANES * LANES, tail = width - whole;
    for (int64_t i = 0; i < n; i++, from += row, to += to_row) {
        for (int64_t j = 0; j < whole; j += LANES)
            store(to + j, add ? load(to + j) + load(from + j) : load(from + j));
        if (tail) {
            vec last = load(from + whole);
            if (add) last += load_tail(to + whole, tail);
            store_tail(to + whole, last, tail);
        }
    }
}

// to = factor * from, row by row.
static void scale_rows(int64_t rows, int64_t vectors, const float *factor, const float *from,
                       float *to, int64_t row) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < vectors; j++) {
            const int64_t at = i * row + j * LANES;
            store(to + at, load(from + at) * factor[i]);
        }
}

// to = (I - p)^-1 (x + y) for C rows; p is read below the diagonal alone, y may be absent.
template <int C>
static void solve(const float *p, int64_t p_row, const float *x, const float *y, float *to,
                  int64_t row, int64_t vectors) {
    for (int64_t n = 0; n < vectors * LANES; n += LANES) {
        vec rows[C];
        UNROLL for (int i = 0; i < C; i++) rows[i] = load(x + i * row + n);
        if (y)
            UNROLL for (int i = 0; i < C; i++) rows[i] += load(y + i * row + n);
        UNROLL for (int j = 0; j < C; j++) UNROLL for (int i = j + 1; i < C; i++)
            rows[i] += rows[j] * p[i * p_row + j];
        UNROLL for (int i = 0; i < C; i++) store(to + i * row + n, rows[i]);
    }
}

// to = (I - p)^-T x.
template <int C>
static void solve_turned(const float *p, int64_t p_row, const float *x, float *to, int64_t row,
                         int64_t vectors) {
    for (int64_t n = 0; n < vectors * LANES; n += LANES) {
        vec rows[C];
        UNROLL for (int i = 0; i < C; i++) rows[i] = load(x + i * row + n);
        UNROLL for (int j = C - 1; j > 0; j--) UNROLL for (int i = 0; i < j; i++)
            rows[i] += rows[j] * p[j * p_row + i];
        UNROLL for (int i = 0; i < C; i++) store(to + i * row + n, rows[i]);
    }
}

template <int step> INLINE void add_halves(vec *x) {
    UNROLL for (int i = 0; i < LANES; i += 2 * step) {
        exchange<step>(x[i], x[i + step]);
        x[i] += x[i + step];
    }
}

// Lane i is the sum of x[i]; x is used up.
INLINE vec sums_of(vec *x) {
    add_halves<1>(x);
    add_halves<2>(x);
#if LANES >= 8
    add_halves<4>(x);
#endif
#if LANES >= 16
    add_halves<8>(x);
#endif
    return x[0];
}

// dots[i] = x_i . y_i for R rows; room for whole vectors of dots.
template <int R>
static void dot_rows(int64_t vectors, const float *x, const float *y, int64_t row, float *dots) {
    for (int64_t i = 0; i < R; i += LANES) {
        vec products[LANES];
        UNROLL for (int l = 0; l < LANES; l++) {
            products[l] = vec{};
            if (l >= R) continue;
            const int64_t at = (i + l) * row;
            for (int64_t j = at; j < at + vectors * LANES; j += LANES)
                products[l] += load(x + j) * load(y + j);
        }
        store(dots + i, sums_of(products));
    }
}
