// One step of AdamW over all tensors of s models, behind a clip of each model's gradient norm.
// Sums of squares are taken in blocks of one fixed size, each by lanes, the blocks in double.
#include "vector.h"
#include <math.h>

#define BLOCK 1024

// torch.nn.utils.clip_grad_norm_ adds this to the norm.
static const double LEAST = 1e-6;

struct tensor_t {
    float *parameter;      // [s n]
    const float *gradient; // [s n]; null where the loss does not depend on the tensor
    float *first, *second; // moments [s n]
    int64_t n;             // of one model
    int64_t steps;         // that this tensor has taken
    double decay;          // weight decay
};

static double squares(const float *x, int64_t n) {
    double total = 0;
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t end = begin + BLOCK < n ? begin + BLOCK : n, i = begin;
        vec a = fill(0.0f), b = fill(0.0f);
        for (; i + 2 * LANES <= end; i += 2 * LANES) {
            vec p = load(x + i), q = load(x + i + LANES);
            a += p * p;
            b += q * q;
        }
        for (; i < end; i += LANES) {
            vec p = end - i < LANES ? load_part(x + i, (int)(end - i)) : load(x + i);
            a += p * p;
        }
        total += sum(a + b);
    }
    return total;
}

INLINE vec root(vec x) {
    vec y;
    for (int i = 0; i < LANES; i++) y[i] = __builtin_sqrtf(x[i]);
    return y;
}

struct scales_t {
    vec keep, clip, beta, gamma, rest_beta, rest_gamma, pace, widen, epsilon;
};

INLINE void update(vec &x, vec g, vec &m, vec &v, const scales_t &c) {
    g *= c.clip;
    m = c.beta * m + c.rest_beta * g;
    v = c.gamma * v + c.rest_gamma * g * g;
    x = x * c.keep - c.pace * m / (root(v) * c.widen + c.epsilon);
}

static void move(float *x, const float *g, float *m, float *v, int64_t n, const scales_t &given) {
    const scales_t c = given;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec p = load(x + i), first = load(m + i), second = load(v + i);
        update(p, load(g + i), first, second, c);
        store(x + i, p);
        store(m + i, first);
        store(v + i, second);
    }
    if (i < n) {
        int left = (int)(n - i);
        vec p = load_part(x + i, left), first = load_part(m + i, left);
        vec second = load_part(v + i, left);
        update(p, load_part(g + i, left), first, second, c);
        store_part(x + i, p, left);
        store_part(m + i, first, left);
        store_part(v + i, second, left);
    }
}

// rates [s] are learning rates, norms [s] are written. A norm that is not finite makes its model's
// parameters so too (or leaves them, if it is infinite), as in torch.
extern "C" void step(tensor_t *tensors, int64_t count, int64_t models, const double *rates,
                     double *norms, double clip, double beta, double gamma, double epsilon) {
    for (int64_t j = 0; j < count; j++)
        if (tensors[j].gradient) tensors[j].steps++;
    for (int64_t s = 0; s < models; s++) {
        double total = 0;
        for (int64_t j = 0; j < count; j++)
            if (tensors[j].gradient)
                total += squares(tensors[j].gradient + s * tensors[j].n, tensors[j].n);
        norms[s] = sqrt(total);
        double scale = clip / (norms[s] + LEAST);
        if (scale > 1) scale = 1;
        for (int64_t j = 0; j < count; j++) {
            const tensor_t &t = tensors[j];
            if (!t.gradient) continue;
            double first = 1 - pow(beta, (double)t.steps), second = 1 - pow(gamma, (double)t.steps);
            const scales_t c = {
                fill((float)(1 - rates[s] * t.decay)), fill((float)scale),
                fill((float)beta),                     fill((float)gamma),
                fill((float)(1 - beta)),               fill((float)(1 - gamma)),
                fill((float)(rates[s] / first)),       fill((float)(1 / sqrt(second))),
                fill((float)epsilon),
            };
            int64_t at = s * t.n;
            move(t.parameter + at, t.gradient + at, t.first + at, t.second + at, t.n, c);
        }
    }
}
