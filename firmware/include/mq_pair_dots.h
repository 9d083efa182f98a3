/* Dot products of s8 with two vectors at once on cores that multiply 32 by 32 bits into 32 and nothing more.
 *
 * Two values a, b of two vectors lie in one word, P = a 2^16 + b: a product w P is that of both. Over two columns
 * T = w P + w' P' = h 2^16 + l holds two sums h and l in [-2^15, 2^15). So T + 2^15 has h in its upper half; H = sum h
 * in 32 bits and S = sum T modulo 2^32 have everything: sum l = S - 2^16 H. Two products, four values: two
 * multiplications and five additions and shifts.
 *
 * Only where all are -128 a sum would be 2^15. mq_dots_of_pairs takes -P instead and returns sums with the sign turned,
 * which fit; taps of windows keep weights of -128 apart.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_PAIR_DOTS_H
#define MQ_PAIR_DOTS_H

#include "mq_fixed.h"

static inline uint32_t mq_pair(int32_t a, int32_t b) {
    return ((uint32_t)a << 16) + (uint32_t)b;
}

static inline uint32_t mq_turned_pair(int32_t a, int32_t b) {
    return 0u - mq_pair(a, b);
}

/* A tap of a window: how many bytes behind its beginning the pair lies that it reads, and its weight. */
typedef struct {
    uint32_t place;
    int32_t weight;
} mq_tap;

/* The taps of a window with weights w, [height, width], for pairs `row_step` and `step` apart: an even number, of which
 * two at a time are added, a weight of -128 only to one of 0. Returns the end; there is room for twice as many taps. */
MQ_OUT_OF_LINE mq_tap *mq_pair_taps(mq_tap *tap, const int8_t *w, int32_t height, int32_t width, int32_t row_step,
                                    int32_t step) {
    const mq_tap *const begin = tap;
    const mq_tap none = {0, 0};
    for (int32_t a = 0; a < height; a++) {
        for (int32_t d = 0; d < width; d++) {
            const mq_tap found = {4u * (uint32_t)(a * row_step + d * step), *w++};
            if (found.weight == -128 && ((tap - begin) & 1)) {
                *tap++ = none;
            }
            *tap++ = found;
            if (found.weight == -128) {
                *tap++ = none;
            }
        }
    }
    if ((tap - begin) & 1) {
        *tap++ = none;
    }
    return tap;
}

/* Two values of 32 bits, as functions return them in registers. */
typedef uint64_t mq_two_values;

static inline mq_two_values mq_two_values_of(int32_t a, int32_t b) {
    return (uint64_t)(uint32_t)b << 32 | (uint32_t)a;
}

static inline int32_t mq_value_a(mq_two_values v) {
    return (int32_t)(uint32_t)v;
}

static inline int32_t mq_value_b(mq_two_values v) {
    return (int32_t)(uint32_t)(v >> 32);
}

/* What outputs of windows share: taps, and S and H with the bias, which is a pair as others are. */
typedef struct {
    const mq_tap *taps;
    const mq_tap *end;
    uint32_t s;
    int32_t h;
    mq_requantiser scale;
    int32_t multiplier;
    int32_t shift;
    int32_t zero;
} mq_windows;

/* The outputs of the two windows that begin at `pairs`. */
typedef mq_two_values (*mq_window_function)(const uint32_t *pairs, const mq_windows *w);

#if defined(__ARM_ARCH_6M__) && defined(__GNUC__)

#include "mq_pair_dots_armv6m.h"

#else

typedef struct {
    uint32_t s;
    int32_t h;
} mq_pair_sums;

static inline mq_pair_sums mq_add_pair(mq_pair_sums acc, uint32_t t) {
    acc.s += t;
    acc.h += (int32_t)(t + 0x8000u) >> 16;
    return acc;
}

/* -sum_k w[k] x[k] of four vectors, whose pairs lie side by side: two words for each column. */
MQ_OUT_OF_LINE void mq_dots_of_pairs(const uint32_t *pairs, const int8_t *w, uint32_t n, int32_t *sums) {
    mq_pair_sums a = {0, 0};
    mq_pair_sums b = {0, 0};
    const int8_t *const end = w + n;
    if (n & 1u) {
        const uint32_t first = (uint32_t)*w++;
        a = mq_add_pair(a, pairs[0] * first);
        b = mq_add_pair(b, pairs[1] * first);
        pairs += 2;
    }
    for (; w != end; w += 2, pairs += 4) {
        const uint32_t first = (uint32_t)w[0], second = (uint32_t)w[1];
        a = mq_add_pair(a, pairs[0] * first + pairs[2] * second);
        b = mq_add_pair(b, pairs[1] * first + pairs[3] * second);
    }
    sums[0] = a.h;
    sums[1] = (int32_t)(a.s - ((uint32_t)a.h << 16));
    sums[2] = b.h;
    sums[3] = (int32_t)(b.s - ((uint32_t)b.h << 16));
}

#endif

/* The bias and what both windows add to it. */
MQ_OUT_OF_LINE mq_two_values mq_two_sums(const uint32_t *pairs, const mq_windows *w) {
    uint32_t s = w->s;
    int32_t h = w->h;
    for (const mq_tap *tap = w->taps; tap != w->end; tap += 2) {
        const uint32_t first = pairs[tap[0].place / 4u], second = pairs[tap[1].place / 4u];
        const uint32_t t = first * (uint32_t)tap[0].weight + second * (uint32_t)tap[1].weight;
        s += t;
        h += (int32_t)(t + 0x8000u) >> 16;
    }
    return mq_two_values_of(h, (int32_t)(s - ((uint32_t)h << 16)));
}

static inline int32_t mq_scaled_up(int32_t acc, const mq_windows *w) {
    return mq_clamp(w->zero + mq_requantise_up(acc, w->multiplier, w->shift), w->scale.least, w->scale.most);
}

/* With a shift that is not negative. */
MQ_OUT_OF_LINE mq_two_values mq_two_outputs_up(const uint32_t *pairs, const mq_windows *w) {
    const mq_two_values sums = mq_two_sums(pairs, w);
    return mq_two_values_of(mq_scaled_up(mq_value_a(sums), w), mq_scaled_up(mq_value_b(sums), w));
}

#if !(defined(__ARM_ARCH_6M__) && defined(__GNUC__))

/* With a negative shift. */
MQ_OUT_OF_LINE mq_two_values mq_two_outputs_down(const uint32_t *pairs, const mq_windows *w) {
    const mq_two_values sums = mq_two_sums(pairs, w);
    return mq_two_values_of(mq_requantised(mq_value_a(sums), &w->scale), mq_requantised(mq_value_b(sums), &w->scale));
}

#endif

#endif
