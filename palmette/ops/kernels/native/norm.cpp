// RMS norm and layer norm of rows of features, with a learned scale and shift, one after another of
// s models, and their derivatives. Rows are normalised again backwards.
#include "rows.h"

struct norm_args_t {
    int64_t models, rows, width;
    const float *x; // [models, rows, width], rows x_row apart
    int64_t x_row;
    const float *scale; // [models, width]
    const float *shift; // [models, width] or null
    int64_t norm;
    double epsilon;
    float *y;        // [models, rows, width]
    const float *dy; // the same, rows dy_row apart
    int64_t dy_row;
    float *dx, *dscale, *dshift;
    int64_t threads;
};
struct job_t : norm_args_t {
    chunks_t chunks;
    float *partial; // dscale and dshift of each chunk, [2, padded width]
};

// What a row is normalised by: (x - mean) * factor.
struct moments_t {
    float mean, factor;
};
INLINE vec centred(const float *x, int64_t j, int64_t d, float mean) {
    vec value = load_row(x, j, d) - mean;
    return j + LANES > d ? inside(value, j, d) : value;
}
INLINE moments_t moments(const float *x, const job_t &g) {
    vec s{}, squares{};
    if (g.norm == LAYER_NORM)
        for (int64_t j = 0; j < g.width; j += LANES) s += load_row(x, j, g.width);
    const float mean = g.norm == LAYER_NORM ? sum(s) / g.width : 0.0f;
    for (int64_t j = 0; j < g.width; j += LANES) {
        vec value = centred(x, j, g.width, mean);
        squares += value * value;
    }
    return moments_t{mean, 1.0f / root(sum(squares) / g.width + (float)g.epsilon)};
}

static void forward(int64_t first, int64_t last, const void *given) {
    const job_t &g = *(const job_t *)given;
    const int64_t d = g.width;
    for (int64_t item = first; item < last; item++) {
        const int64_t model = item / g.chunks.count, from = item % g.chunks.count * g.chunks.size;
        const int64_t to = least(from + g.chunks.size, g.rows);
        const float *scale = g.scale + model * d, *shift = g.shift ? g.shift + model * d : 0;
        for (int64_t i = from; i < to; i++) {
            const float *x = g.x + (model * g.rows + i) * g.x_row;
            float *y = g.y + (model * g.rows + i) * d;
            const moments_t by = moments(x, g);
            for (int64_t j = 0; j < d; j += LANES) {
                vec value = (load_row(x, j, d) - by.mean) * by.factor * load_row(scale, j, d);
                store_row(y, j, d, shift ? value + load_row(shift, j, d) : value);
            }
        }
    }
}

static void backward(int64_t first, int64_t last, const void *given) {
    const job_t &g = *(const job_t *)given;
    const int64_t d = g.width, width = padded(d);
    for (int64_t item = first; item < last; item++) {
        const int64_t model = item / g.chunks.count, from = item % g.chunks.count * g.chunks.size;
        const int64_t to = least(from + g.chunks.size, g.rows);
        const float *scale = g.scale + model * d;
        float *dscale = g.partial + item * 2 * width, *dshift = dscale + width;
        for (int64_t i = from; i < to; i++) {
            const float *x = g.x + (model * g.rows + i) * g.x_row;
            const float *dy = g.dy + (model * g.rows + i) * g.dy_row;
            float *dx = g.dx + (model * g.rows + i) * d;
            const moments_t by = moments(x, g);
            vec along{}, all{};
            for (int64_t j = 0; j < d; j += LANES) {
                vec normal = centred(x, j, d, by.mean) * by.factor, change = load_row(dy, j, d);
                store(dscale + j, load(dscale + j) + change * normal);
                if (g.dshift) store(dshift + j, load(dshift + j) + change);
                change *= load_row(scale, j, d);
                along += change * normal;
                all += change;
            }
            const float slope = sum(along) / d, mean = g.norm == LAYER_NORM ? sum(all) / d : 0.0f;
            for (int64_t j = 0; j < d; j += LANES) {
                vec normal = (load_row(x, j, d) - by.mean) * by.factor;
                vec change = load_row(dy, j, d) * load_row(scale, j, d);
                store_row(dx, j, d, (change - mean - normal * slope) * by.factor);
            }
        }
    }
}

static job_t job_of(const norm_args_t *given) { return job_t{*given, chunks_of(given->rows), 0}; }

extern "C" int norm_forward(const norm_args_t *given) {
    job_t g = job_of(given);
    const double work = 4.0 * g.models * g.rows * g.width;
    parallel(g.models * g.chunks.count, worthwhile(g.threads, work), forward, &g);
    return 1;
}

extern "C" int norm_backward(const norm_args_t *given) {
    job_t g = job_of(given);
    const int64_t items = g.models * g.chunks.count, d = g.width, width = padded(d);
    const double work = 8.0 * g.models * g.rows * d;
    room_t partial(items * 2 * width, true);
    g.partial = partial.at;
    parallel(items, worthwhile(g.threads, work), backward, &g);
    for (int64_t item = 0; item < items; item++) {
        const int64_t model = item / g.chunks.count;
        const bool start = item % g.chunks.count == 0;
        const float *from = g.partial + item * 2 * width;
        add_rows(1, d, from, g.dscale + model * d, start);
        if (g.dshift) add_rows(1, d, from + width, g.dshift + model * d, start);
    }
    return 1;
}
