// y = norm(x) w^T + bias + residual, one after another of s models, and its derivatives. The norm's
// scale is folded into the packed weights, its shift into the bias; x is normalised a tile of rows
// at a time, forwards and again backwards.
#include "rows.h"

struct linear_t {
    int64_t models, rows, n, k; // w [models, n, k]
    const float *x;             // [models, rows, k], rows x_row apart
    int64_t x_row;
    const float *w;
    const float *bias;       // [models, n] or null
    const float *scale;      // of the norm: [models, k]
    const float *shift;      // of the norm: [models, k] or null
    const float *residual;   // [models, rows, n], rows residual_row apart, or null
    int64_t residual_row;
    int64_t norm;
    double epsilon;
    float *y;        // [models, rows, n]
    const float *dy; // the same, rows dy_row apart
    int64_t dy_row;
    float *dx; // [models, rows, k]
    float *dw; // [models, n, k]
    float *db;     // [models, n], the sum of dy; null if there is neither bias nor shift
    float *dscale; // [models, k] or null
    float *dshift; // [models, k] or null
    int64_t threads;
};
struct job_t : linear_t {
    chunks_t chunks;
    float *partial; // the sums over each chunk if `apart`, or over the chunk that is worked on
    bool apart;
};

// A tile of x as the product reads it, and its rows' distance.
OUTLINED const float *tile_of(
    const job_t &g, const float *x, int64_t rows, float *room, float *factors, int64_t *row) {
    const int64_t width = padded(g.k);
    copy_rows(rows, g.k, x, g.x_row, room, width);
    if (g.norm != NO_NORM)
        for (int64_t r = 0; r < rows; r++)
            factors[r] = normalise(room + r * width, g.k, (int)g.norm, (float)g.epsilon);
    *row = width;
    return room;
}

static void forward(int64_t first, int64_t last, const void *given) {
    const job_t &g = *(const job_t *)given;
    const int64_t k = g.k, n = g.n, k_width = padded(k), n_width = padded(n);
    const bool started = g.bias || g.shift || g.residual; // y does not start from zero
    const bool direct = !started && n == n_width;
    room_t packed(k * n_width), bias(n_width), inputs(TILE * k_width, true);
    room_t outputs(TILE * n_width, true);
    float factors[TILE];
    int64_t model = -1;
    for (int64_t item = first; item < last; item++) {
        if (item / g.chunks.count != model) {
            model = item / g.chunks.count;
            const float *w = g.w + model * n * k, *scale = g.norm ? g.scale + model * k : 0;
            pack_turned(k, n, w, k, scale, packed.at);
            memset(bias.at, 0, 4 * n_width);
            if (g.bias) copy(bias.at, g.bias + model * n, n);
            if (g.shift) {
                copy(inputs.at, g.shift + model * k, k); // zeros are after it
                add_product(n, k, w, inputs.at, bias.at);
            }
        }
        int64_t from = item % g.chunks.count * g.chunks.size;
        int64_t to = least(from + g.chunks.size, g.rows);
        for (int64_t i = from; i < to; i += TILE) {
            const int64_t rows = least(TILE, to - i), at = model * g.rows + i;
            const float *x = g.x + at * g.x_row;
            int64_t x_row = g.x_row;
            if (g.norm) x = tile_of(g, x, rows, inputs.at, factors, &x_row);
            if (direct) {
                multiply(rows, n, k, x, x_row, packed.at, g.y + at * n, n, false);
                continue;
            }
            if (started)
                for (int64_t r = 0; r < rows; r++) {
                    float *y = outputs.at + r * n_width;
                    if (g.residual) {
                        copy(y, g.residual + (at + r) * g.residual_row, n);
                        for (int64_t j = 0; j < n_width; j += LANES)
                            store(y + j, load(y + j) + load(bias.at + j));
                    } else {
                        copy(y, bias.at, n_width);
                    }
                }
            multiply(rows, n_width, k, x, x_row, packed.at, outputs.at, n_width, started);
            copy_rows(rows, n, outputs.at, n_width, g.y + at * n, n);
        }
    }
}

// The sums of a chunk: dw as rows of padded(k), then the sum of dy.
static int64_t partial_size(const job_t &g) { return g.n * padded(g.k) + padded(g.n); }

// Takes the sums of a chunk into the derivatives by the parameters; chunks come in order.
static void fold(const job_t &g, int64_t item) {
    const int64_t k = g.k, n = g.n, model = item / g.chunks.count, chunk = item % g.chunks.count;
    const float *from = g.partial + (g.apart ? item * partial_size(g) : 0);
    float *dw = g.dw + model * n * k, *db = g.db ? g.db + model * n : 0;
    add_rows(n, k, from, dw, chunk == 0);
    if (db) add_rows(1, n, from + n * padded(k), db, chunk == 0);
    if (!g.norm || chunk + 1 < g.chunks.count) return;
    const float *shift = g.shift ? g.shift + model * k : 0;
    float *dscale = g.dscale + model * k, *dshift = shift ? g.dshift + model * k : 0;
    memset(dscale, 0, 4 * k);
    if (shift) memset(dshift, 0, 4 * k);
    unfold_norm(n, k, g.w + model * n * k, g.scale + model * k, shift, db, dw, dscale, dshift);
}

static void backward(int64_t first, int64_t last, const void *given) {
    const job_t &g = *(const job_t *)given;
    const int64_t k = g.k, n = g.n, k_width = padded(k);
    const bool direct = !g.norm && k == k_width;
    room_t packed(n * k_width), inputs(TILE * k_width, true), changes(TILE * k_width, true);
    float factors[TILE];
    int64_t model = -1;
    for (int64_t item = first; item < last; item++) {
        if (item / g.chunks.count != model) {
            model = item / g.chunks.count;
            pack(n, k, g.w + model * n * k, k, g.norm ? g.scale + model * k : 0, packed.at);
        }
        float *dw = g.partial + (g.apart ? item * partial_size(g) : 0), *sums = dw + n * k_width;
        memset(dw, 0, 4 * partial_size(g));
        int64_t from = item % g.chunks.count * g.chunks.size;
        int64_t to = least(from + g.chunks.size, g.rows);
        for (int64_t i = from; i < to; i += TILE) {
            const int64_t rows = least(TILE, to - i), at = model * g.rows + i;
            const float *x = g.x + at * g.x_row, *dy = g.dy + at * g.dy_row;
            int64_t x_row = g.x_row;
            float *dx = g.dx + at * k;
            if (!direct) x = tile_of(g, x, rows, inputs.at, factors, &x_row);
            add_outer(n, k_width, rows, dy, g.dy_row, x, x_row, dw, k_width);
            if (g.db) add_columns(rows, n, dy, g.dy_row, sums);
            if (direct) {
                multiply(rows, k, n, dy, g.dy_row, packed.at, dx, k, false);
                continue;
            }
            multiply(rows, k_width, n, dy, g.dy_row, packed.at, changes.at, k_width, false);
            if (g.norm)
                for (int64_t r = 0; r < rows; r++)
                    unnormalise(
                        changes.at + r * k_width, x + r * x_row, k, (int)g.norm, factors[r]);
            copy_rows(rows, k, changes.at, k_width, dx, k);
        }
        if (!g.apart) fold(g, item);
    }
}

static job_t job_of(const linear_t *given) {
    return job_t{*given, chunks_of(given->rows), 0, false};
}

extern "C" int linear_forward(const linear_t *given) {
    job_t g = job_of(given);
    double work = (double)g.models * g.rows * g.n * g.k;
    parallel(g.models * g.chunks.count, worthwhile(g.threads, work), forward, &g);
    return 1;
}

extern "C" int linear_backward(const linear_t *given) {
    job_t g = job_of(given);
    const int64_t items = g.models * g.chunks.count;
    const int threads = worthwhile(g.threads, 2.0 * g.models * g.rows * g.n * g.k);
    g.apart = threads > 1 && items > 1;
    room_t partial(partial_size(g) * (g.apart ? items : 1));
    g.partial = partial.at;
    parallel(items, threads, backward, &g);
    for (int64_t item = 0; g.apart && item < items; item++) fold(g, item);
    return 1;
}
