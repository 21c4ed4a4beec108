// The depthwise causal convolution over time, a bias, and the SiLU after it: forward and backward.
//
//     z_t = bias + sum_j weight[j] x_{t - dilation (taps - 1 - j)},    y_t = z_t or z_t sigmoid(z_t)
//
// channel by channel. Rows are tokens; a sequence is `length` of them, a model `sequences` of those.
// Work is divided into blocks of BLOCK tokens of one sequence. The backward pass computes z again,
// and sums the weights' gradients of each block by themselves, then the blocks in order. Up to four
// taps without dilation, which is what most have, go over time once with all they see in registers.
#include <stdlib.h>
#include "convolution_step.h"

#define BLOCK 128
#define ROWS 16
#define TILE 64 // channels that are worked on at once: their rows stay in the first cache

struct convolution_t {
    int64_t models, sequences, length, channels, taps, dilation, silu, threads;
    const float *x, *weight, *bias, *dy; // weight [models, channels, taps], bias [models, channels]
    float *y, *dx, *dweight, *dbias;
    int64_t x_row, y_row, dy_row, dx_row; // floats from a token to the next one
    float *scratch;                       // a work space for each block
    int64_t blocks;                       // of a sequence
};

static int64_t partial_size(const convolution_t *c) { return c->channels * (c->taps + 1); }

// The weights of a tile with its channels side by side: w[j][TILE], and the bias as w[taps].
static void read_weights(const convolution_t *c, int64_t model, int64_t first, int64_t n, float *w) {
    memset(w, 0, 4 * TILE * (c->taps + 1));
    const float *weight = c->weight + (model * c->channels + first) * c->taps;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < c->taps; j++) w[j * TILE + i] = weight[i * c->taps + j];
    if (c->bias) memcpy(w + c->taps * TILE, c->bias + model * c->channels + first, 4 * n);
}

// z of one token at `at` within its sequence, for a vector of channels; x points to the token.
INLINE vec mixed(const convolution_t *c, const float *x, int64_t at, int64_t i, int64_t n,
                 const float *w) {
    vec z = load(w + c->taps * TILE + i);
    int64_t seen = smaller(c->taps, at / c->dilation + 1);
    for (int64_t back = seen - 1; back >= 0; back--)
        z += load(w + (c->taps - 1 - back) * TILE + i) *
             load_row(x - back * c->dilation * c->x_row, i, n);
    return z;
}

static void forward_block(const convolution_t *c, int64_t unit, float *w) {
    int64_t sequence = unit / c->blocks, start = unit % c->blocks * BLOCK;
    int64_t end = smaller(start + BLOCK, c->length);
    for (int64_t first = 0; first < c->channels; first += TILE) {
        int64_t n = smaller(TILE, c->channels - first);
        read_weights(c, sequence / c->sequences, first, n, w);
        for (int64_t t = start; t < end; t++) {
            const float *x = c->x + (sequence * c->length + t) * c->x_row + first;
            float *y = c->y + (sequence * c->length + t) * c->y_row + first;
            for (int64_t i = 0; i < n; i += LANES) {
                vec z = mixed(c, x, t, i, n, w);
                store_row(y, i, n, c->silu ? z * sigmoid(z) : z);
            }
        }
    }
}

// The weights of all channels side by side, as `mixed` has them of a tile: w[j][padded].
static void read_all_weights(const convolution_t *c, int64_t model, float *w) {
    int64_t n = c->channels, padded = PADDED(n);
    const float *weight = c->weight + model * n * c->taps;
    for (int64_t j = 0; j < c->taps; j++)
        for (int64_t i = 0; i < n; i++) w[j * padded + i] = weight[i * c->taps + j];
    if (c->bias) memcpy(w + c->taps * padded, c->bias + model * n, 4 * n);
}

// Rows that are far apart are asked for before they are needed, with what is between them if that is
// little: it is the gates, which are needed next.
static void ask(const float *row, int64_t stride, int64_t rows, int64_t n) {
    if (stride < 2 * n) n = stride;
    for (int64_t t = 0; t < rows; t++)
        for (int64_t i = 0; i < n; i += 16) __builtin_prefetch(row + t * stride + i);
}
static void ask_to_write(const float *row, int64_t stride, int64_t rows, int64_t n) {
    for (int64_t t = 0; t < rows; t++)
        for (int64_t i = 0; i < n; i += 16) __builtin_prefetch(row + t * stride + i, 1);
}

// As forward_block: vector by vector of channels through ROWS tokens at once.
template <int TAPS> static void forward_near(const convolution_t *c, int64_t unit, float *w) {
    int64_t sequence = unit / c->blocks, start = unit % c->blocks * BLOCK, n = c->channels;
    int64_t end = smaller(start + BLOCK, c->length), padded = PADDED(n);
    const float *x = c->x + sequence * c->length * c->x_row;
    float *y = c->y + sequence * c->length * c->y_row;
    read_all_weights(c, sequence / c->sequences, w);
    ask(x + start * c->x_row, c->x_row, smaller(ROWS, end - start), n);
    for (int64_t from = start; from < end; from += ROWS) {
        int64_t to = smaller(from + ROWS, end);
        ask(x + to * c->x_row, c->x_row, smaller(ROWS, end - to), n);
        for (int64_t i = 0; i < n; i += LANES) {
            vec weight[TAPS], seen[TAPS], bias = load(w + TAPS * padded + i);
            for (int j = 0; j < TAPS; j++) {
                int64_t at = from - TAPS + j;
                weight[j] = load(w + j * padded + i);
                seen[j] = at < 0 ? vec{} : load_row(x + at * c->x_row, i, n);
            }
            for (int64_t t = from; t < to; t++) {
                for (int j = 1; j < TAPS; j++) seen[j - 1] = seen[j];
                seen[TAPS - 1] = load_row(x + t * c->x_row, i, n);
                vec z = bias;
                for (int j = 0; j < TAPS; j++) z += weight[j] * seen[j];
                store_row(y + t * c->y_row, i, n, c->silu ? z * sigmoid(z) : z);
            }
        }
    }
}

static void forward_part(int64_t first, int64_t last, const void *data) {
    const convolution_t *c = (const convolution_t *)data;
    float *w = (float *)calloc((TILE + PADDED(c->channels)) * (c->taps + 1), 4);
    for (int64_t unit = first; unit < last; unit++) {
        if (c->dilation > 1 || c->taps > 4) forward_block(c, unit, w);
        else if (c->taps == 4) forward_near<4>(c, unit, w);
        else if (c->taps == 3) forward_near<3>(c, unit, w);
        else if (c->taps == 2) forward_near<2>(c, unit, w);
        else forward_near<1>(c, unit, w);
    }
    free(w);
}

// slopes: dL/dz of the block's tokens and of those after it that see them.
static void backward_block(const convolution_t *c, int64_t unit, float *w, float *dw,
                           float *slopes) {
    int64_t sequence = unit / c->blocks, start = unit % c->blocks * BLOCK;
    int64_t end = smaller(start + BLOCK, c->length);
    int64_t reach = smaller(end + c->dilation * (c->taps - 1), c->length);
    float *partial = c->scratch + unit * partial_size(c);
    for (int64_t first = 0; first < c->channels; first += TILE) {
        int64_t n = smaller(TILE, c->channels - first);
        read_weights(c, sequence / c->sequences, first, n, w);
        memset(dw, 0, 4 * TILE * (c->taps + 1));
        const float *x_start = c->x + sequence * c->length * c->x_row + first;
        for (int64_t t = start; t < reach; t++) {
            const float *x = x_start + t * c->x_row;
            const float *dy = c->dy + (sequence * c->length + t) * c->dy_row + first;
            for (int64_t i = 0; i < n; i += LANES) {
                vec slope = load_row(dy, i, n);
                if (c->silu) {
                    vec z = mixed(c, x, t, i, n, w), s = sigmoid(z);
                    slope *= s * (1.0f + z * (1.0f - s));
                }
                store(slopes + (t - start) * TILE + i, slope);
            }
        }
        for (int64_t t = start; t < end; t++) {
            const float *x = x_start + t * c->x_row;
            float *dx = c->dx + (sequence * c->length + t) * c->dx_row + first;
            int64_t seen = smaller(c->taps, t / c->dilation + 1);
            int64_t seers = smaller(c->taps, (c->length - 1 - t) / c->dilation + 1);
            for (int64_t i = 0; i < n; i += LANES) {
                vec slope = load(slopes + (t - start) * TILE + i), sum{};
                for (int64_t back = 0; back < seen; back++) {
                    float *to = dw + (c->taps - 1 - back) * TILE + i;
                    store(to, load(to) + slope * load_row(x - back * c->dilation * c->x_row, i, n));
                }
                store(dw + c->taps * TILE + i, load(dw + c->taps * TILE + i) + slope);
                for (int64_t on = 0; on < seers; on++)
                    sum += load(w + (c->taps - 1 - on) * TILE + i) *
                           load(slopes + (t + on * c->dilation - start) * TILE + i);
                store_row(dx, i, n, sum);
            }
        }
        for (int64_t i = 0; i < n; i++) // as the weights lie: taps of a channel together, bias last
            for (int64_t j = 0; j <= c->taps; j++)
                partial[(first + i) * (c->taps + 1) + j] = dw[j * TILE + i];
    }
}

// As backward_block, vector by vector of channels through ROWS tokens at once. What a token's slope
// gives to its inputs is complete TAPS - 1 tokens later, so a run of tokens begins with the slopes
// of the TAPS - 1 before it, which are kept; so are the sums of the weights' gradients.
template <int TAPS>
static void backward_near(const convolution_t *c, int64_t unit, float *w, float *kept) {
    int64_t sequence = unit / c->blocks, start = unit % c->blocks * BLOCK, n = c->channels;
    int64_t end = smaller(start + BLOCK, c->length), padded = PADDED(n), past = end + TAPS - 1;
    const float *x = c->x + sequence * c->length * c->x_row;
    const float *dy = c->dy + sequence * c->length * c->dy_row;
    float *dx = c->dx + sequence * c->length * c->dx_row;
    float *kept_sums = kept + TAPS * padded, *partial = c->scratch + unit * partial_size(c);
    read_all_weights(c, sequence / c->sequences, w);
    memset(kept, 0, 4 * (2 * TAPS + 1) * padded);
    ask(x + start * c->x_row, c->x_row, smaller(ROWS, end - start), n);
    for (int64_t from = start; from < past; from += ROWS) {
        int64_t to = smaller(from + ROWS, past);
        ask(x + to * c->x_row, c->x_row, smaller(ROWS, c->length - to), n);
        ask_to_write(dx + to * c->dx_row, c->dx_row, smaller(ROWS, end - to), n);
        for (int64_t i = 0; i < n; i += LANES) {
            vec weight[TAPS], seen[TAPS], sums[TAPS + 1], slopes[TAPS];
            vec bias = load(w + TAPS * padded + i);
            for (int j = 0; j < TAPS; j++) {
                int64_t at = from - TAPS + j;
                weight[j] = load(w + j * padded + i);
                seen[j] = at < 0 || at >= c->length ? vec{} : load_row(x + at * c->x_row, i, n);
                slopes[j] = load(kept + j * padded + i);
                sums[j] = load(kept_sums + j * padded + i);
            }
            sums[TAPS] = load(kept_sums + TAPS * padded + i);
            for (int64_t t = from; t < to; t++) {
                vec slope{};
                for (int j = 1; j < TAPS; j++) seen[j - 1] = seen[j], slopes[j - 1] = slopes[j];
                if (t < c->length) {
                    seen[TAPS - 1] = load_row(x + t * c->x_row, i, n);
                    slope = load_row(dy + t * c->dy_row, i, n);
                    if (c->silu) {
                        vec z = bias;
                        for (int j = 0; j < TAPS; j++) z += weight[j] * seen[j];
                        vec s = sigmoid(z);
                        slope *= s * (1.0f + z * (1.0f - s));
                    }
                    if (t < end) {
                        for (int j = 0; j < TAPS; j++) sums[j] += slope * seen[j];
                        sums[TAPS] += slope;
                    }
                }
                slopes[TAPS - 1] = slope;
                if (t - (TAPS - 1) < start) continue;
                vec sum{};
                for (int j = 0; j < TAPS; j++) sum += weight[TAPS - 1 - j] * slopes[j];
                store_row(dx + (t - (TAPS - 1)) * c->dx_row, i, n, sum);
            }
            for (int j = 0; j < TAPS; j++) {
                store(kept + j * padded + i, slopes[j]);
                store(kept_sums + j * padded + i, sums[j]);
            }
            store(kept_sums + TAPS * padded + i, sums[TAPS]);
        }
    }
    for (int j = 0; j <= TAPS; j++)
        for (int64_t i = 0; i < n; i++) partial[i * (TAPS + 1) + j] = kept_sums[j * padded + i];
}

static void backward_part(int64_t first, int64_t last, const void *data) {
    const convolution_t *c = (const convolution_t *)data;
    int64_t window = BLOCK + c->dilation * (c->taps - 1), padded = PADDED(c->channels);
    int64_t tiles = TILE * (2 * (c->taps + 1) + window), whole = padded * (3 * c->taps + 2);
    float *w = (float *)calloc(tiles > whole ? tiles : whole, 4);
    float *dw = w + TILE * (c->taps + 1), *slopes = dw + TILE * (c->taps + 1);
    float *kept = w + padded * (c->taps + 1);
    for (int64_t unit = first; unit < last; unit++) {
        if (c->dilation > 1 || c->taps > 4) backward_block(c, unit, w, dw, slopes);
        else if (c->taps == 4) backward_near<4>(c, unit, w, kept);
        else if (c->taps == 3) backward_near<3>(c, unit, w, kept);
        else if (c->taps == 2) backward_near<2>(c, unit, w, kept);
        else backward_near<1>(c, unit, w, kept);
    }
    free(w);
}

static void sum_blocks(const convolution_t *c) {
    int64_t blocks = c->sequences * c->blocks, size = partial_size(c);
    for (int64_t model = 0; model < c->models; model++) {
        float *total = c->scratch + model * blocks * size;
        for (int64_t block = 1; block < blocks; block++)
            for (int64_t i = 0; i < size; i++) total[i] += total[block * size + i];
        for (int64_t i = 0; i < c->channels; i++) {
            const float *row = total + i * (c->taps + 1);
            memcpy(c->dweight + (model * c->channels + i) * c->taps, row, 4 * c->taps);
            if (c->dbias) c->dbias[model * c->channels + i] = row[c->taps];
        }
    }
}

extern "C" int step(const token_t *c) {
    convolution_step(c);
    return 1;
}

// Both return whether there was memory.
extern "C" int forward(const convolution_t *given) {
    convolution_t c = *given;
    c.blocks = (c.length + BLOCK - 1) / BLOCK;
    parallel(c.models * c.sequences * c.blocks, (int)c.threads, forward_part, &c);
    return 1;
}

extern "C" int backward(const convolution_t *given) {
    convolution_t c = *given;
    c.blocks = (c.length + BLOCK - 1) / BLOCK;
    int64_t units = c.models * c.sequences * c.blocks;
    c.scratch = (float *)malloc(4 * units * partial_size(&c) + 4);
    if (!c.scratch) return 0;
    parallel(units, (int)c.threads, backward_part, &c);
    sum_blocks(&c);
    free(c.scratch);
    return 1;
}
