// Rows of a table by number, times a factor, plus a row for each place; and the sums of their slopes,
// token after token.
#include "functions.h"

struct embedding_t {
    const int64_t *ids;   // [s b t]
    const float *table;   // [s v d]
    const float *places;  // [s t d], or 0
    float *to;            // [s b t d]
    double factor;
    int64_t s, b, t, v, d, threads;
    int64_t *wrong; // set to 1 by a number that is no row's
    // The derivative alone.
    const float *slope; // [s b t d]
    float *by_table, *by_places;
};

static void forward(int64_t first, int64_t last, const void *data) {
    const embedding_t a = *(const embedding_t *)data;
    const float factor = (float)a.factor;
    for (int64_t sequence = first; sequence < last; sequence++) {
        const int64_t model = sequence / a.b;
        for (int64_t i = 0; i < a.t; i++) {
            const int64_t id = a.ids[sequence * a.t + i];
            if (id < 0 || id >= a.v) {
                *a.wrong = 1;
                continue;
            }
            const float *row = a.table + (model * a.v + id) * a.d;
            const float *place = a.places ? a.places + (model * a.t + i) * a.d : 0;
            float *to = a.to + (sequence * a.t + i) * a.d;
            for (int64_t c = 0; c < a.d; c += LANES) {
                vec x = load_row(row, c, a.d) * factor;
                store_row(to, c, a.d, place ? x + load_row(place, c, a.d) : x);
            }
        }
    }
}

static void backward(int64_t first, int64_t last, const void *data) {
    const embedding_t a = *(const embedding_t *)data;
    for (int64_t model = first; model < last; model++) {
        float *table = a.by_table + model * a.v * a.d;
        float *places = a.places ? a.by_places + model * a.t * a.d : 0;
        memset(table, 0, 4 * a.v * a.d);
        if (places) memset(places, 0, 4 * a.t * a.d);
        for (int64_t i = model * a.b * a.t; i < (model + 1) * a.b * a.t; i++) {
            const float *slope = a.slope + i * a.d;
            float *row = table + a.ids[i] * a.d, *place = places ? places + i % a.t * a.d : 0;
            for (int64_t c = 0; c < a.d; c += LANES) {
                vec x = load_row(slope, c, a.d);
                add_row(row, c, a.d, x);
                if (place) add_row(place, c, a.d, x);
            }
        }
        for (int64_t i = 0; i < a.v * a.d; i++) table[i] *= (float)a.factor;
    }
}

extern "C" int embedding_forward(const embedding_t *a) {
    parallel(a->s * a->b, (int)a->threads, forward, a);
    return 1;
}

extern "C" int embedding_backward(const embedding_t *a) {
    parallel(a->s, (int)a->threads, backward, a);
    return 1;
}
