// Channel mixers on each token by itself, one after another of s models, and their derivatives:
//
//     y = down h + bias (+ x),   h = f(gate n + bias) * (up n)   or   h = f(gate n + bias)
//
// where n = x or a norm of x. A tile of tokens goes all the way through before the next one comes.
// Of what lies between x and y, the hidden layer before its activation is kept if there is room for
// it; the rest is computed again backwards.
#include "activations.h"
#include "rows.h"

#define FEW 4

struct gated_t {
    int64_t models, rows, width, hidden;
    const float *x; // [models, rows, width], rows x_row apart
    int64_t x_row;
    const float *gate;        // [models, hidden, width]
    const float *up;          // the same, or null
    const float *down;        // [models, width, hidden]
    const float *gate_bias;   // [models, hidden] or null
    const float *down_bias;   // [models, width] or null
    const float *scale;       // of the norm: [models, width] or null
    const float *shift;       // of the norm: [models, width] or null
    int64_t norm;
    double epsilon;
    int64_t activation, residual;
    float *kept;     // what gate and up gave, [1 or 2, models, rows, padded hidden], or null
    float *y;        // [models, rows, width]
    const float *dy; // the same, rows dy_row apart
    int64_t dy_row;
    float *dx, *dgate, *dup, *ddown, *dgate_bias, *ddown_bias, *dscale, *dshift;
    int64_t threads;
};
struct job_t : gated_t {
    chunks_t chunks;
    float *partial; // the sums over each chunk if `apart`, or over the chunk that is worked on
    bool apart;
    float *up_sums;       // [models, hidden]: the sums of the changes of up
    int64_t d, h;         // width and hidden, up to whole vectors
    int64_t partial_size; // dgate and dup in rows of d, ddown in rows of h, sums of their changes
};

// h from what gate and up gave.
template <int KIND>
OUTLINED void combine(int64_t size, const float *gate, const float *up, float *h) {
    for (int64_t i = 0; i < size; i += LANES) {
        vec f = activation<KIND>(load(gate + i), 0);
        store(h + i, up ? f * load(up + i) : f);
    }
}
// From what gate and up gave and the change of h, in place of which h comes, to the changes of both.
template <int KIND>
OUTLINED void separate(
    int64_t size, const float *gate, const float *up, float *h, float *dgate, float *dup) {
    for (int64_t i = 0; i < size; i += LANES) {
        vec slope, f = activation<KIND>(load(gate + i), &slope), dh = load(h + i);
        if (up) {
            vec u = load(up + i);
            store(h + i, f * u);
            store(dgate + i, dh * u * slope);
            store(dup + i, dh * f);
        } else {
            store(h + i, f);
            store(dgate + i, dh * slope);
        }
    }
}
#define OF_KIND(kind, function, ...)                                                               \
    switch (kind) {                                                                                \
    case SIGMOID: function<SIGMOID>(__VA_ARGS__); break;                                           \
    case SILU: function<SILU>(__VA_ARGS__); break;                                                 \
    case GELU: function<GELU>(__VA_ARGS__); break;                                                 \
    case RELU: function<RELU>(__VA_ARGS__); break;                                                 \
    default: function<RELU2>(__VA_ARGS__);                                                         \
    }

// What is packed of a model: the matrices into the hidden layer, with the norm's scale and shift.
struct inward_t {
    room_t gate, up, gate_bias, up_bias;
    bool gate_starts, up_starts; // from a bias
    explicit inward_t(const job_t &g)
        : gate(g.width * g.h), up(g.up ? g.width * g.h : 0), gate_bias(g.h), up_bias(g.h),
          gate_starts(g.gate_bias || g.shift), up_starts(g.shift) {}
    __attribute__((noinline)) void take(const job_t &g, int64_t model) {
        const int64_t d = g.width, n = g.hidden;
        const float *scale = g.norm ? g.scale + model * d : 0;
        const float *shift = g.shift ? g.shift + model * d : 0;
        const float *w = g.gate + model * n * d, *v = g.up ? g.up + model * n * d : 0;
        pack_turned(d, n, w, d, scale, gate.at);
        if (v) pack_turned(d, n, v, d, scale, up.at);
        memset(gate_bias.at, 0, 4 * g.h);
        memset(up_bias.at, 0, 4 * g.h);
        if (g.gate_bias) copy(gate_bias.at, g.gate_bias + model * n, n);
        if (!shift) return;
        room_t whole(g.d, true);
        copy(whole.at, shift, d);
        add_product(n, d, w, whole.at, gate_bias.at);
        if (v) add_product(n, d, v, whole.at, up_bias.at);
    }
};

OUTLINED void start_rows(int64_t rows, int64_t width, const float *bias, float *to) {
    for (int64_t r = 0; r < rows; r++) copy(to + r * width, bias, width);
}

// The hidden layer before its activation, of rows of n.
OUTLINED void go_in(
    const job_t &g, const inward_t &in, int64_t rows, const float *n, int64_t n_row, float *gate,
    float *up) {
    if (in.gate_starts) start_rows(rows, g.h, in.gate_bias.at, gate);
    multiply(rows, g.h, g.width, n, n_row, in.gate.at, gate, g.h, in.gate_starts);
    if (!g.up) return;
    if (in.up_starts) start_rows(rows, g.h, in.up_bias.at, up);
    multiply(rows, g.h, g.width, n, n_row, in.up.at, up, g.h, in.up_starts);
}

// Where the rows from `at` on are kept of what gate gave, or up; else the room for a tile of them.
static float *kept_at(const job_t &g, int64_t at, bool of_up, float *room) {
    return g.kept ? g.kept + ((of_up ? g.models * g.rows : 0) + at) * g.h : room;
}

// A tile of x, normalised.
OUTLINED void take_tile(const job_t &g, int64_t rows, const float *x, float *to, float *factors) {
    copy_rows(rows, g.width, x, g.x_row, to, g.d);
    for (int64_t r = 0; g.norm && r < rows; r++)
        factors[r] = normalise(to + r * g.d, g.width, (int)g.norm, (float)g.epsilon);
}

// A few rows, for which packing the matrices would cost more than the products.
static void forward_few(int64_t first, int64_t last, const void *given) {
    const job_t &g = *(const job_t *)given;
    const int64_t d = g.width, n = g.hidden;
    room_t input(g.d, true), gate(g.h), up(g.h), output(g.d);
    for (int64_t at = first; at < last; at++) {
        const int64_t model = at / g.rows, size = n * d;
        const float *x = g.x + at * g.x_row;
        copy(input.at, x, d);
        if (g.norm) {
            normalise(input.at, d, (int)g.norm, (float)g.epsilon);
            for (int64_t i = 0; i < d; i++) {
                input.at[i] *= g.scale[model * d + i];
                if (g.shift) input.at[i] += g.shift[model * d + i];
            }
        }
        memset(gate.at, 0, 4 * g.h);
        memset(up.at, 0, 4 * g.h);
        memset(output.at, 0, 4 * g.d);
        if (g.gate_bias) copy(gate.at, g.gate_bias + model * n, n);
        if (g.down_bias) copy(output.at, g.down_bias + model * d, d);
        add_product(n, d, g.gate + model * size, input.at, gate.at);
        if (g.up) add_product(n, d, g.up + model * size, input.at, up.at);
        OF_KIND(g.activation, combine, g.h, gate.at, g.up ? up.at : 0, gate.at)
        for (int64_t i = n; i < g.h; i++) gate.at[i] = 0; // sigmoid(0) is not
        add_product(d, n, g.down + model * size, gate.at, output.at);
        if (g.residual) add_to(output.at, x, d);
        copy(g.y + at * d, output.at, d);
    }
}

static void forward(int64_t first, int64_t last, const void *given) {
    const job_t &g = *(const job_t *)given;
    inward_t in(g);
    room_t down(g.hidden * g.d), inputs(TILE * g.d, true), outputs(TILE * g.d, true);
    room_t gate(TILE * g.h), up(g.up ? TILE * g.h : 0);
    const bool started = g.residual || g.down_bias;
    float factors[TILE];
    int64_t model = -1;
    for (int64_t item = first; item < last; item++) {
        if (item / g.chunks.count != model) {
            model = item / g.chunks.count;
            const float *w = g.down + model * g.width * g.hidden;
            in.take(g, model);
            pack_turned(g.hidden, g.width, w, g.hidden, 0, down.at);
        }
        int64_t from = item % g.chunks.count * g.chunks.size;
        int64_t to = least(from + g.chunks.size, g.rows);
        for (int64_t i = from; i < to; i += TILE) {
            const int64_t rows = least(TILE, to - i), at = model * g.rows + i;
            const float *x = g.x + at * g.x_row, *n = x;
            int64_t n_row = g.x_row;
            if (g.norm) {
                take_tile(g, rows, x, inputs.at, factors);
                n = inputs.at, n_row = g.d;
            }
            float *by_gate = kept_at(g, at, false, gate.at), *by_up = kept_at(g, at, true, up.at);
            go_in(g, in, rows, n, n_row, by_gate, by_up);
            OF_KIND(g.activation, combine, rows * g.h, by_gate, g.up ? by_up : 0, gate.at)
            for (int64_t r = 0; started && r < rows; r++) {
                float *y = outputs.at + r * g.d;
                if (g.residual)
                    copy(y, x + r * g.x_row, g.width);
                else
                    memset(y, 0, 4 * g.d);
                if (g.down_bias) add_to(y, g.down_bias + model * g.width, g.width);
            }
            multiply(rows, g.d, g.hidden, gate.at, g.h, down.at, outputs.at, g.d, started);
            copy_rows(rows, g.width, outputs.at, g.d, g.y + at * g.width, g.width);
        }
    }
}

// Takes the sums of a chunk into the derivatives by the parameters; chunks come in order.
static void fold(const job_t &g, int64_t item) {
    const int64_t model = item / g.chunks.count, chunk = item % g.chunks.count;
    const int64_t d = g.width, n = g.hidden, size = n * d;
    const float *from = g.partial + (g.apart ? item * g.partial_size : 0);
    float *dgate = g.dgate + model * size, *dup = g.up ? g.dup + model * size : 0;
    float *sums = g.dgate_bias ? g.dgate_bias + model * n : 0;
    add_rows(n, d, from, dgate, chunk == 0);
    if (g.up) add_rows(n, d, from + n * g.d, dup, chunk == 0);
    from += (g.up ? 2 : 1) * n * g.d;
    add_rows(d, n, from, g.ddown + model * size, chunk == 0);
    from += d * g.h;
    if (sums) add_rows(1, n, from, sums, chunk == 0);
    if (g.up && g.shift) add_rows(1, n, from + g.h, g.up_sums + model * n, chunk == 0);
    if (g.ddown_bias) add_rows(1, d, from + 2 * g.h, g.ddown_bias + model * d, chunk == 0);
    if (!g.norm || chunk + 1 < g.chunks.count) return;
    const float *scale = g.scale + model * d, *shift = g.shift ? g.shift + model * d : 0;
    float *dscale = g.dscale + model * d, *dshift = shift ? g.dshift + model * d : 0;
    memset(dscale, 0, 4 * d);
    if (shift) memset(dshift, 0, 4 * d);
    unfold_norm(n, d, g.gate + model * size, scale, shift, sums, dgate, dscale, dshift);
    if (g.up)
        unfold_norm(
            n, d, g.up + model * size, scale, shift, g.up_sums + model * n, dup, dscale, dshift);
}

static void backward(int64_t first, int64_t last, const void *given) {
    const job_t &g = *(const job_t *)given;
    const int64_t d = g.d, h = g.h, hidden = g.hidden;
    inward_t in(g);
    room_t gate_back(hidden * d), up_back(g.up ? hidden * d : 0), down_back(g.width * h);
    room_t inputs(TILE * d, true), changes(TILE * d, true);
    room_t gate(TILE * h), up(g.up ? TILE * h : 0), inner(TILE * h);
    float factors[TILE];
    int64_t model = -1;
    for (int64_t item = first; item < last; item++) {
        if (item / g.chunks.count != model) {
            model = item / g.chunks.count;
            const int64_t at = model * hidden * g.width;
            const float *scale = g.norm ? g.scale + model * g.width : 0;
            if (!g.kept) in.take(g, model);
            pack(hidden, g.width, g.gate + at, g.width, scale, gate_back.at);
            if (g.up) pack(hidden, g.width, g.up + at, g.width, scale, up_back.at);
            pack(g.width, hidden, g.down + at, hidden, 0, down_back.at);
        }
        float *dgate = g.partial + (g.apart ? item * g.partial_size : 0);
        float *dup = dgate + hidden * d, *ddown = g.up ? dup + hidden * d : dup;
        float *sums = ddown + g.width * h;
        memset(dgate, 0, 4 * g.partial_size);
        int64_t from = item % g.chunks.count * g.chunks.size;
        int64_t to = least(from + g.chunks.size, g.rows);
        for (int64_t i = from; i < to; i += TILE) {
            const int64_t rows = least(TILE, to - i), at = model * g.rows + i;
            const float *dy = g.dy + at * g.dy_row;
            take_tile(g, rows, g.x + at * g.x_row, inputs.at, factors);
            float *by_gate = kept_at(g, at, false, gate.at), *by_up = kept_at(g, at, true, up.at);
            if (!g.kept) go_in(g, in, rows, inputs.at, d, by_gate, by_up);
            multiply(rows, h, g.width, dy, g.dy_row, down_back.at, inner.at, h, false);
            OF_KIND(
                g.activation, separate, rows * h, by_gate, g.up ? by_up : 0, inner.at, gate.at,
                up.at)

            add_outer(g.width, h, rows, dy, g.dy_row, inner.at, h, ddown, h);
            add_outer(hidden, d, rows, gate.at, h, inputs.at, d, dgate, d);
            if (g.up) add_outer(hidden, d, rows, up.at, h, inputs.at, d, dup, d);
            if (g.dgate_bias) add_columns(rows, hidden, gate.at, h, sums);
            if (g.up && g.shift) add_columns(rows, hidden, up.at, h, sums + h);
            if (g.ddown_bias) add_columns(rows, g.width, dy, g.dy_row, sums + 2 * h);

            multiply(rows, d, hidden, gate.at, h, gate_back.at, changes.at, d, false);
            if (g.up) multiply(rows, d, hidden, up.at, h, up_back.at, changes.at, d, true);
            for (int64_t r = 0; r < rows; r++) {
                float *change = changes.at + r * d;
                if (g.norm)
                    unnormalise(change, inputs.at + r * d, g.width, (int)g.norm, factors[r]);
                if (g.residual) add_to(change, dy + r * g.dy_row, g.width);
            }
            copy_rows(rows, g.width, changes.at, d, g.dx + at * g.width, g.width);
        }
        if (!g.apart) fold(g, item);
    }
}

static job_t job_of(const gated_t *given) {
    const int64_t d = padded(given->width), h = padded(given->hidden);
    const int64_t inward = (given->up ? 2 : 1) * given->hidden * d;
    return job_t{
        *given, chunks_of(given->rows), 0, false, 0, d, h, inward + given->width * h + 2 * h + d};
}

extern "C" int gated_forward(const gated_t *given) {
    job_t g = job_of(given);
    double work = 3.0 * g.models * g.rows * g.width * g.hidden;
    if (g.rows <= FEW && !g.kept)
        parallel(g.models * g.rows, worthwhile(g.threads, work), forward_few, &g);
    else
        parallel(g.models * g.chunks.count, worthwhile(g.threads, work), forward, &g);
    return 1;
}

extern "C" int gated_backward(const gated_t *given) {
    job_t g = job_of(given);
    const int64_t items = g.models * g.chunks.count;
    const int threads = worthwhile(g.threads, 8.0 * g.models * g.rows * g.width * g.hidden);
    g.apart = threads > 1 && items > 1;
    room_t partial(g.partial_size * (g.apart ? items : 1)), up_sums(g.models * g.hidden);
    g.partial = partial.at, g.up_sums = up_sums.at;
    parallel(items, threads, backward, &g);
    for (int64_t item = 0; g.apart && item < items; item++) fold(g, item);
    return 1;
}
