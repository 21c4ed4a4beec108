// Vectors of floats at the width of the instructions that the file is built for, in the compiler's
// own vector extension; a loop over threads; sums and exponentials. No other header of ours.
#pragma once
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));

INLINE vec load(const float *p) {
    vec x;
    memcpy(&x, p, sizeof x);
    return x;
}
INLINE void store(float *p, vec x) { memcpy(p, &x, sizeof x); }
// x - 0 is x for every x, so nothing is computed; 0 + x would be an addition (0 for -0).
INLINE vec fill(float x) { return x - vec{}; }

// The first n lanes, zeros after them.
INLINE vec load_part(const float *p, int n) {
    vec x{};
    memcpy(&x, p, 4 * n);
    return x;
}
INLINE void store_part(float *p, vec x, int n) { memcpy(p, &x, 4 * n); }

// The sum of all lanes, halves first.
#if defined(__clang__)
INLINE float sum(vec x) {
    float s[LANES];
    memcpy(s, &x, sizeof x);
#pragma unroll
    for (int n = LANES / 2; n; n /= 2)
        for (int i = 0; i < n; i++) s[i] += s[i + n];
    return s[0];
}
#else
template <int HALF>
INLINE vec halves(vec x) {
    ivec other;
    for (int i = 0; i < LANES; i++) other[i] = i ^ HALF;
    return x + __builtin_shuffle(x, other);
}
INLINE float sum(vec x) {
#if LANES == 16
    x = halves<8>(x);
#endif
#if LANES >= 8
    x = halves<4>(x);
#endif
    return halves<1>(halves<2>(x))[0];
}
#endif

// e^x to about one unit in the last place; 0 below -87.3, infinite above 88.7.
// 2^n e^r with r within half a ln 2 (Cody and Waite), e^r by a polynomial (Cephes' expf).
INLINE vec exponential(vec x) {
    const float most = 88.722839f, least = -87.336544f;
    vec low = x < least ? fill(least) : x;
    vec high = low > most ? fill(most) : low;
    vec shifted = high * 1.44269504f + 12582912.0f; // rounds to a whole number
    vec n = shifted - 12582912.0f;
    vec r = high - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vec p = fill(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    ivec whole = __builtin_convertvector(n, ivec);
    ivec half = whole >> 1; // twice, for n = 128 is no exponent
    vec first = (vec)((half + 127) << 23), second = (vec)((whole - half + 127) << 23);
    p = p * first * second;
    p = x < least ? fill(0.0f) : p;
    p = x > most ? fill(__builtin_inff()) : p;
    return x != x ? x : p;
}

// work(first, last, data) over [0, n) in `threads` equal parts, one of them in this thread.
typedef void (*work_t)(int64_t first, int64_t last, const void *data);
struct part_t {
    work_t work;
    int64_t first, last;
    const void *data;
};
static void *run_part(void *given) {
    part_t *part = (part_t *)given;
    part->work(part->first, part->last, part->data);
    return 0;
}
static inline void parallel(int64_t n, int threads, work_t work, const void *data) {
    if (threads > 64) threads = 64;
    if (threads > n) threads = (int)n;
    if (threads <= 1) {
        if (n) work(0, n, data);
        return;
    }
    pthread_t handles[64];
    part_t parts[64];
    bool started[64];
    for (int i = 0; i < threads; i++)
        parts[i] = part_t{work, n * i / threads, n * (i + 1) / threads, data};
    for (int i = 1; i < threads; i++)
        started[i] = pthread_create(&handles[i], 0, run_part, &parts[i]) == 0;
    run_part(&parts[0]);
    for (int i = 1; i < threads; i++) {
        if (started[i])
            pthread_join(handles[i], 0);
        else
            run_part(&parts[i]); // no thread was to be had
    }
}
