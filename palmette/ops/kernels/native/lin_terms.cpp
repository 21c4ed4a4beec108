// The terms of a linear recurrence of the `lin` family from a token's streams and gates, for every
// knob: queries, keys, values, log decays, and what is erased. `_lin_module.py` has the meaning.
//
// A token is a work of its own: lin_terms_forward.h writes the terms, `retract` here goes from their
// gradients to those of the inputs. The parameters' gradients are summed over BLOCK tokens, then
// over the blocks in order.
#include "lin_terms_forward.h"

#define BLOCK 64

// The values' share of the gradients; returns that of the factor.
static float retract_value(const terms_t *c, int64_t n, int64_t model, int64_t j, int64_t h,
                           work_space_t *w) {
    int64_t here = j * c->heads + h, value = c->value, wide = value + c->normalised;
    const float *dv = c->v + ((n * c->steps + j) * c->heads + h) * wide;
    const float *from = input(c, STREAMS, n) + value_at(c, j, h);
    float *dfrom = dinput(c, STREAMS, n) + value_at(c, j, h);
    float factor = c->write_rate ? 1.0f : w->factor[here];
    vec dfactor{};
    for (int64_t i = 0; i < value; i += LANES) {
        vec slope = load_row(dv, i, value);
        if (c->write_rate && !c->inputs[WRITES]) {
            add_row(dfrom, i, value, slope);
            continue;
        }
        vec v = load_row(from, i, value), gate = write_gate(c, n, model, here, i);
        dfactor += slope * v * gate;
        add_row(dfrom, i, value, slope * gate * factor);
        if (!c->inputs[WRITES]) continue;
        vec dgate = slope * v * factor * gate * (1.0f - gate);
        store_row(dinput(c, WRITES, n) + here * value, i, value, dgate);
        add_row(w->partial[WRITE_BIAS] + here * value, i, value, dgate);
    }
    if (c->write_rate) return c->write_rate[(n * c->steps + j) * c->heads + h];
    return sum(dfactor) + (c->normalised ? dv[value] : 0.0f);
}

static void retract_factor(const terms_t *c, int64_t j, int64_t h, float slope, work_space_t *w) {
    int64_t here = j * c->heads + h;
    if (c->inputs[STRENGTHS]) w->dstrength[here] += slope;
    else if (c->write == RAW && erases_by_beta(c)) w->dbeta[here] += slope;
    else if (c->write == STEP && c->decay != VECTOR_DT) w->dstep[h] += slope;
    else if (c->write == COMPLEMENT && by_head(c))
        w->ddecay[h] -= slope * exponential(fill(w->decay[h]))[0];
}

static void retract_head(const terms_t *c, int64_t n, int64_t model, int64_t j, int64_t h,
                         work_space_t *w) {
    int64_t key = c->key, row = n * c->steps + j, g = key_head(c, h);
    int64_t at = j * c->key_heads + g, here = j * c->heads + h;
    bool last = j == c->steps - 1;
    const float *dq = c->q + (row * c->q_heads + h) * key;
    const float *dk = c->k + (row * c->k_heads + h) * key;
    float decho = c->echo && last ? c->echo[n * c->heads + h] : 0.0f;
    vec dbeta{}, ddecay{}, dcorrection{};
    for (int64_t i = 0; i < key; i += LANES) {
        channels_t x = channels(c, model, j, h, i, w);
        vec written = h < c->k_heads ? load_row(dk, i, key) : vec{};
        vec a{}, b{}, dkey{}, dgate{}, dunit{}, dstrength, before;
        if (last) {
            vec asked = h < c->q_heads ? load_row(dq, i, key) : vec{};
            if (c->echo) {
                vec q = query(c, model, h, i, w), k = x.before * x.strength;
                vec weight = load_row(parameter(c, ECHO, model) + h * key, i, key);
                written += decho * q * weight;
                asked += decho * k * weight;
                add_row(w->partial[ECHO] + h * key, i, key, decho * q * k);
            }
            store(w->dqueries + g * w->padded + i,
                  load(w->dqueries + g * w->padded + i) + asked);
            if (c->parameters[CORRECTION]) {
                dkey -= query_scale(c) * parameter(c, CORRECTION, model)[h] * asked;
                dcorrection -= query_scale(c) * asked * x.key;
            }
        }
        if (c->a) a = load_row(c->a + (row * c->heads + h) * key, i, key);
        if (c->b && h < c->b_heads) b = load_row(c->b + (row * c->b_heads + h) * key, i, key);
        before = written * x.strength;
        dstrength = written * x.before;
        vec ddecay_here = vec{};
        if (c->erase == REMOVAL) {
            vec grown = exponential(-x.decay);
            dunit = x.gate * b - grown * a;
            ddecay_here = x.unit * grown * a;
            dgate = x.unit * b + before * x.key * x.mix;
            dkey += before * (1.0f + (x.gate - 1.0f) * x.mix);
            add_row(w->partial[REMOVAL_MIX] + g * key, i, key, before * x.key * (x.gate - 1.0f));
        } else if (c->erase == FREE) {
            dgate = (b - a) * x.unit;
            dunit = (b - a) * x.gate;
            dkey += before;
        } else {
            before += b; // without a direction of its own, b is the key before its strength
            if (c->erase == ERASE_CHANNEL) {
                before -= a;
                dgate = before * x.key;
                dkey += before * x.gate;
            } else {
                dkey += before;
            }
            if (c->a && erases_by_beta(c)) {
                dkey -= w->beta[here] * w->share[h] * a;
                dbeta -= x.key * a;
            }
            if (c->erase == CHANNEL_READ) dkey -= x.gate * a, dgate = -x.key * a;
        }
        if (c->erase == FREE || c->erase == REMOVAL)
            store(w->dunit + at * w->padded + i, load(w->dunit + at * w->padded + i) + dunit);
        store(w->dkeys + at * w->padded + i, load(w->dkeys + at * w->padded + i) + dkey);
        if (c->inputs[ERASES]) {
            dgate *= x.gate * (1.0f - x.gate);
            store_row(dinput(c, ERASES, n) + here * key, i, key, dgate);
            add_row(w->partial[BIAS_OF_ERASE] + here * key, i, key, dgate);
        }
        if (!tied(c) && j > 0) ddecay_here = vec{};
        if (strength_on_key(c)) {
            if (c->write == STEP)
                store(w->dsteps + h * w->padded + i, load(w->dsteps + h * w->padded + i) + dstrength);
            else
                ddecay_here -= dstrength * (1.0f - x.strength); // e^g is 1 - its complement
        }
        if (by_head(c)) ddecay += ddecay_here;
        if (by_channel(c) || tied(c)) {
            int64_t of = tied(c) ? at : h;
            bool written_here = tied(c) ? h < c->key_heads : j == 0;
            int64_t heads = tied(c) ? c->key_heads : c->heads;
            if (written_here)
                ddecay_here += load_row(c->log_decay + (row * heads + h) * key, i, key);
            store(w->ddecays + of * w->padded + i, load(w->ddecays + of * w->padded + i) + ddecay_here);
        }
    }
    if (erases_by_beta(c)) {
        float slope = c->erase_rate ? c->erase_rate[row * c->heads + h] : sum(dbeta);
        w->dbeta[here] += slope * w->share[h];
        if (c->parameters[SHARE])
            w->partial[SHARE][h] += slope * w->beta[here] * w->share[h] * (1.0f - w->share[h]);
    }
    if (by_head(c)) {
        w->ddecay[h] += sum(ddecay);
        if (j == 0) w->ddecay[h] += c->log_decay[row * c->heads + h];
    }
    if (c->parameters[CORRECTION] && last) w->partial[CORRECTION][h] += sum(dcorrection);
}

static void retract_channels(const terms_t *c, int64_t n, int64_t model, int64_t h,
                             work_space_t *w) {
    int64_t key = c->key;
    const float *z = input(c, DECAYS, n) + h * key;
    int kind = c->decay == VECTOR_DT ? STEP_BIAS : DECAY_BIAS;
    const float *bias = parameter(c, kind, model) + h * key;
    vec drate{};
    for (int64_t i = 0; i < key; i += LANES) {
        vec x = load_row(z, i, key) + load_row(bias, i, key);
        vec slope = load(w->ddecays + h * w->padded + i), decay = load(w->decays + h * w->padded + i);
        vec dx;
        if (c->decay == VECTOR) {
            dx = log_sigmoid(x) * (1.0f / 16) >= -5.0f ? slope * sigmoid(-x) * (1.0f / 16) : vec{};
        } else if (c->decay == VECTOR_EXP) {
            dx = x <= 1.6094379124341003f ? slope * decay : vec{};
        } else if (c->decay == VECTOR_SIGMOID) {
            dx = slope * decay * sigmoid(-x);
        } else {
            vec rest = -w->rate[h] * load(w->steps + h * w->padded + i);
            slope = rest >= -5.0f ? slope : vec{};
            drate += inside(slope * rest, i, key);
            dx = (load(w->dsteps + h * w->padded + i) - w->rate[h] * slope) * sigmoid(x);
        }
        store_row(dinput(c, DECAYS, n) + h * key, i, key, dx);
        add_row(w->partial[kind] + h * key, i, key, dx);
    }
    if (c->decay == VECTOR_DT) w->partial[RATE][h] += sum(drate);
}

// From the gradients of a tied key and of its decay to that of the stream, in `slope`. What is kept
// is e^g = s(f) + s(-f) s(x), s being the sigmoid and f the floor; without a floor it is s(x).
static void retract_tied(const terms_t *c, int64_t model, int64_t g, const float *raw,
                         const float *decays, const float *ddecays, float *slope,
                         work_space_t *w) {
    const float *floors = c->decay == TIED_FLOOR ? parameter(c, DECAY_FLOOR, model) : 0;
    for (int64_t i = 0; i < c->key; i += LANES) {
        vec x = load_row(raw, i, c->key), s = sigmoid(x), rest = sigmoid(-x);
        vec floor{}, above = fill(1.0f);
        if (floors) {
            vec f = load_row(floors + g * c->key, i, c->key);
            floor = sigmoid(f), above = sigmoid(-f);
        }
        vec kept = larger(floor + above * s, fill(6.737946999e-3f)); // e^-5, where the decay stops
        vec d = load(ddecays + i) - load(slope + i) * kept;
        d = load(decays + i) > -5.0f ? d * above * rest / kept : vec{};
        if (floors) add_row(w->partial[DECAY_FLOOR] + g * c->key, i, c->key, d * floor);
        store(slope + i, d * s);
    }
}

static void retract_scalars(const terms_t *c, int64_t n, int64_t model, work_space_t *w) {
    int64_t all = c->steps * c->heads;
    float most = c->erase == ERASE_BETA2 ? 2.0f : 1.0f;
    for (int64_t i = 0; i < all; i += LANES) {
        vec beta = load(w->beta + i), strength = load(w->strength + i);
        if (c->inputs[BETAS])
            store_row(dinput(c, BETAS, n), i, all, load(w->dbeta + i) * beta * (1.0f - beta / most));
        if (c->inputs[STRENGTHS])
            store_row(dinput(c, STRENGTHS, n), i, all,
                      load(w->dstrength + i) * strength * (1.0f - strength));
    }
    if (!c->inputs[STEPS]) return;
    for (int64_t i = 0; i < c->heads; i += LANES) {
        vec x = load_row(input(c, STEPS, n), i, c->heads) +
                load_row(parameter(c, STEP_BIAS, model), i, c->heads);
        vec slope = load(w->dstep + i);
        if (c->decay == SCALAR) {
            vec rate = load(w->rate + i), rest = -rate * load(w->step + i);
            vec passed = rest >= -20.0f ? load(w->ddecay + i) : vec{};
            slope -= passed * rate;
            add_row(w->partial[RATE], i, c->heads, passed * rest);
        }
        slope *= sigmoid(x);
        store_row(dinput(c, STEPS, n), i, c->heads, slope);
        add_row(w->partial[STEP_BIAS], i, c->heads, slope);
    }
}

static void retract(const terms_t *c, int64_t n, int64_t model, work_space_t *w) {
    int64_t key = c->key, padded = w->padded, position = n % c->length;
    int64_t keys = c->steps * c->key_heads;
    float *dstreams = dinput(c, STREAMS, n);
    memset(w->dbeta, 0, 4 * 4 * w->heads_padded); // and dstrength, dstep, ddecay
    memset(w->dkeys, 0, 4 * keys * padded);
    memset(w->dqueries, 0, 4 * c->key_heads * padded);
    if (c->erase == FREE || c->erase == REMOVAL) memset(w->dunit, 0, 4 * keys * padded);
    if (by_channel(c) || tied(c)) memset(w->ddecays, 0, 4 * c->steps * c->heads * padded);
    if (by_channel(c)) memset(w->dsteps, 0, 4 * c->heads * padded);
    for (int64_t j = 0; j < c->steps; j++)
        for (int64_t h = 0; h < c->heads; h++) {
            retract_factor(c, j, h, retract_value(c, n, model, j, h, w), w);
            retract_head(c, n, model, j, h, w);
        }
    retract_scalars(c, n, model, w);
    if (by_channel(c))
        for (int64_t h = 0; h < c->heads; h++) retract_channels(c, n, model, h, w);
    for (int64_t at = 0; at < keys; at++) {
        int64_t j = at / c->key_heads, g = at % c->key_heads;
        float *slope = w->dkeys + at * padded, *dunit = w->dunit + at * padded;
        const way_t *x = w->keys + at;
        if (c->erase == FREE || c->erase == REMOVAL)
            from_unit_length(w->removed + at * padded, w->inverse[at], 1.0f, dunit, padded);
        for (int64_t i = 0; i < key && c->erase == FREE; i += LANES)
            store_row(dstreams + erase_key_at(c, j, g), i, key, load(dunit + i));
        for (int64_t i = 0; i < key && c->erase == REMOVAL; i += LANES) {
            vec scale = load_row(parameter(c, REMOVAL_SCALE, model) + g * key, i, key);
            add_row(w->partial[REMOVAL_SCALE] + g * key, i, key,
                    load(dunit + i) * load(x->output + i));
            store(slope + i, load(slope + i) + load(dunit + i) * scale);
        }
        go_back(c, x, map_of_keys(c), c->parameters[K_SCALE] ? parameter(c, K_SCALE, model) : 0,
                w->partial[K_SCALE], position, unit_keys(c), 1.0f, slope);
        if (tied(c))
            retract_tied(c, model, g, input(c, STREAMS, n) + key_at(c, j, g),
                         w->decays + at * padded, w->ddecays + at * padded, slope, w);
        for (int64_t i = 0; i < key; i += LANES)
            store_row(dstreams + key_at(c, j, g), i, key, load(slope + i));
    }
    for (int64_t g = 0; g < c->key_heads; g++) {
        float *slope = w->dqueries + g * padded;
        go_back(c, w->queries + g, c->feature,
                c->parameters[Q_SCALE] ? parameter(c, Q_SCALE, model) : 0, w->partial[Q_SCALE],
                position, unit_keys(c), query_scale(c), slope);
        for (int64_t i = 0; i < key; i += LANES) store_row(dstreams + g * key, i, key, load(slope + i));
    }
}

static int64_t partial_size(const terms_t *c) {
    int64_t size = 0;
    for (int p = 0; p < PARAMETERS; p++) size += c->sizes[p];
    return size;
}

static void part(int64_t first, int64_t last, const terms_t *c, bool back) {
    work_space_t *w = allocate(c);
    for (int64_t unit = first; unit < last; unit++) {
        int64_t model = unit / c->blocks, start = unit % c->blocks * BLOCK;
        int64_t end = smaller(start + BLOCK, c->tokens);
        if (back) {
            float *partial = c->partials + unit * partial_size(c);
            memset(partial, 0, 4 * partial_size(c));
            for (int p = 0; p < PARAMETERS; p++) w->partial[p] = partial, partial += c->sizes[p];
        }
        begin_model(c, model, w);
        for (int64_t n = model * c->tokens + start; n < model * c->tokens + end; n++) {
            prepare(c, n, model, w);
            if (back) retract(c, n, model, w);
            else emit(c, n, model, w);
        }
    }
    release(w);
}
static void forward_part(int64_t first, int64_t last, const void *data) {
    part(first, last, (const terms_t *)data, false);
}
static void backward_part(int64_t first, int64_t last, const void *data) {
    part(first, last, (const terms_t *)data, true);
}

static void sum_blocks(const terms_t *c) {
    int64_t size = partial_size(c);
    for (int64_t model = 0; model < c->models; model++) {
        float *total = c->partials + model * c->blocks * size;
        for (int64_t block = 1; block < c->blocks; block++)
            for (int64_t i = 0; i < size; i++) total[i] += total[block * size + i];
        for (int p = 0; p < PARAMETERS; p++) {
            if (c->dparameters[p])
                memcpy(c->dparameters[p] + model * c->sizes[p], total, 4 * c->sizes[p]);
            total += c->sizes[p];
        }
    }
}

// Both return whether there was memory.
extern "C" int forward(const terms_t *given) {
    terms_t c = *given;
    c.blocks = (c.tokens + BLOCK - 1) / BLOCK;
    parallel(c.models * c.blocks, (int)c.threads, forward_part, &c);
    return 1;
}
extern "C" int backward(const terms_t *given) {
    terms_t c = *given;
    c.blocks = (c.tokens + BLOCK - 1) / BLOCK;
    c.partials = (float *)malloc(4 * c.models * c.blocks * partial_size(&c) + 4);
    if (!c.partials) return 0;
    parallel(c.models * c.blocks, (int)c.threads, backward_part, &c);
    sum_blocks(&c);
    free(c.partials);
    return 1;
}
