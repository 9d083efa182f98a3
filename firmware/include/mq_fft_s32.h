/* Complex FFT of mixed radix 2, 3, 4 and 5 in 32-bit integers: the passes of mq_fft_f32.h, factors in Q31.
 *
 * A product with a factor w is rounded once per part: mulhr(2 a, w), half up. Nothing is scaled on the way: the caller
 * leaves room for the growth: the magnitudes of all values together stay below 2^29.5. No factor is -2^31. A factor of
 * 1 is stored as 1 - 2^-31. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FFT_S32_H
#define MQ_FFT_S32_H

#include "mq_fixed.h"

typedef struct {
    int32_t re;
    int32_t im;
} mq_pair_s32;

static inline mq_pair_s32 mq_pair_sum(mq_pair_s32 a, mq_pair_s32 b) {
    const mq_pair_s32 c = {a.re + b.re, a.im + b.im};
    return c;
}

static inline mq_pair_s32 mq_pair_difference(mq_pair_s32 a, mq_pair_s32 b) {
    const mq_pair_s32 c = {a.re - b.re, a.im - b.im};
    return c;
}

static inline mq_pair_s32 mq_pair_product(mq_pair_s32 a, mq_pair_s32 w) {
    const int32_t re = 2 * a.re;
    const int32_t im = 2 * a.im;
    const mq_pair_s32 c = {mq_mulhr(re, w.re) - mq_mulhr(im, w.im), mq_mulhr(re, w.im) + mq_mulhr(im, w.re)};
    return c;
}

/* a times a real factor in Q31. */
static inline mq_pair_s32 mq_pair_scaled(mq_pair_s32 a, int32_t factor) {
    const mq_pair_s32 c = {mq_mulhr(2 * a.re, factor), mq_mulhr(2 * a.im, factor)};
    return c;
}

/* -i a */
static inline mq_pair_s32 mq_pair_turned(mq_pair_s32 a) {
    const mq_pair_s32 c = {a.im, -a.re};
    return c;
}

static inline void mq_butterfly_s32_2(const mq_pair_s32 *a, mq_pair_s32 *b) {
    b[0] = mq_pair_sum(a[0], a[1]);
    b[1] = mq_pair_difference(a[0], a[1]);
}

static inline void mq_butterfly_s32_3(const mq_pair_s32 *a, mq_pair_s32 *b) {
    const mq_pair_s32 sum = mq_pair_sum(a[1], a[2]);
    const mq_pair_s32 half = {mq_rshr(sum.re, 1), mq_rshr(sum.im, 1)};
    const mq_pair_s32 middle = mq_pair_difference(a[0], half);
    const mq_pair_s32 side = mq_pair_turned(mq_pair_scaled(mq_pair_difference(a[1], a[2]), 1859775393));
    b[0] = mq_pair_sum(a[0], sum);
    b[1] = mq_pair_sum(middle, side);
    b[2] = mq_pair_difference(middle, side);
}

static inline void mq_butterfly_s32_4(const mq_pair_s32 *a, mq_pair_s32 *b) {
    const mq_pair_s32 even = mq_pair_sum(a[0], a[2]);
    const mq_pair_s32 even_odd = mq_pair_difference(a[0], a[2]);
    const mq_pair_s32 odd = mq_pair_sum(a[1], a[3]);
    const mq_pair_s32 odd_odd = mq_pair_turned(mq_pair_difference(a[1], a[3]));
    b[0] = mq_pair_sum(even, odd);
    b[1] = mq_pair_sum(even_odd, odd_odd);
    b[2] = mq_pair_difference(even, odd);
    b[3] = mq_pair_difference(even_odd, odd_odd);
}

/* cos and sin of 72 and 144 degrees in Q31. */
static inline void mq_butterfly_s32_5(const mq_pair_s32 *a, mq_pair_s32 *b) {
    const int32_t c1 = 663608942;
    const int32_t c2 = -1737350766;
    const int32_t s1 = 2042378317;
    const int32_t s2 = 1262259218;
    const mq_pair_s32 near = mq_pair_sum(a[1], a[4]);
    const mq_pair_s32 far = mq_pair_sum(a[2], a[3]);
    const mq_pair_s32 near_side = mq_pair_turned(mq_pair_difference(a[1], a[4]));
    const mq_pair_s32 far_side = mq_pair_turned(mq_pair_difference(a[2], a[3]));
    const mq_pair_s32 first = mq_pair_sum(a[0], mq_pair_sum(mq_pair_scaled(near, c1), mq_pair_scaled(far, c2)));
    const mq_pair_s32 second = mq_pair_sum(a[0], mq_pair_sum(mq_pair_scaled(near, c2), mq_pair_scaled(far, c1)));
    const mq_pair_s32 first_side = mq_pair_sum(mq_pair_scaled(near_side, s1), mq_pair_scaled(far_side, s2));
    const mq_pair_s32 second_side = mq_pair_difference(mq_pair_scaled(near_side, s2), mq_pair_scaled(far_side, s1));
    b[0] = mq_pair_sum(a[0], mq_pair_sum(near, far));
    b[1] = mq_pair_sum(first, first_side);
    b[2] = mq_pair_sum(second, second_side);
    b[3] = mq_pair_difference(second, second_side);
    b[4] = mq_pair_difference(first, first_side);
}

#define MQ_FFT_S32_PASS(radix)                                                                                         \
    static inline void mq_fft_s32_pass_##radix(const mq_pair_s32 *x, mq_pair_s32 *y, const mq_pair_s32 *w, uint32_t n, \
                                               uint32_t s) {                                                           \
        const uint32_t m = n / radix;                                                                                  \
        for (uint32_t p = 0; p < m; p++) {                                                                             \
            for (uint32_t q = 0; q < s; q++) {                                                                         \
                mq_pair_s32 a[radix];                                                                                  \
                mq_pair_s32 b[radix];                                                                                  \
                for (uint32_t j = 0; j < radix; j++) {                                                                 \
                    a[j] = x[q + s * (p + m * j)];                                                                     \
                }                                                                                                      \
                mq_butterfly_s32_##radix(a, b);                                                                        \
                y[q + s * radix * p] = b[0];                                                                           \
                for (uint32_t k = 1; k < radix; k++) {                                                                 \
                    y[q + s * (radix * p + k)] = p > 0 ? mq_pair_product(b[k], w[k - 1]) : b[k];                       \
                }                                                                                                      \
            }                                                                                                          \
            w += radix - 1;                                                                                            \
        }                                                                                                              \
    }
MQ_FFT_S32_PASS(2)
MQ_FFT_S32_PASS(3)
MQ_FFT_S32_PASS(4)
MQ_FFT_S32_PASS(5)

/* All passes, as mq_fft: the result of an even number of passes is in x, of an odd number in y. */
static inline void mq_fft_s32(mq_pair_s32 *x, mq_pair_s32 *y, const mq_pair_s32 *w, const uint8_t *radices,
                              uint32_t length) {
    uint32_t s = 1;
    for (uint32_t n = length; *radices; radices++) {
        const uint32_t radix = *radices;
        mq_pair_s32 *const from = x;
        if (radix == 2) {
            mq_fft_s32_pass_2(x, y, w, n, s);
        } else if (radix == 3) {
            mq_fft_s32_pass_3(x, y, w, n, s);
        } else if (radix == 4) {
            mq_fft_s32_pass_4(x, y, w, n, s);
        } else {
            mq_fft_s32_pass_5(x, y, w, n, s);
        }
        x = y;
        y = from;
        n /= radix;
        w += n * (radix - 1);
        s *= radix;
    }
}

#endif
