/* Complex FFT of mixed radix 2, 3, 4 and 5 in 32-bit integers: the passes of mq_fft_passes.h, factors in Q31.
 *
 * A product with a factor w is rounded once per part: mulhr(2 a, w), half up. Nothing is scaled on the way: the caller
 * leaves room for the growth: the magnitudes of all values together stay below 2^29.5. No factor is -2^31. A factor of
 * 1 is stored as 1 - 2^-31. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FFT_S32_H
#define MQ_FFT_S32_H

#include "mq_fft_passes.h"
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

/* a w* */
static inline mq_pair_s32 mq_pair_product_back(mq_pair_s32 a, mq_pair_s32 w) {
    const int32_t re = 2 * a.re;
    const int32_t im = 2 * a.im;
    const mq_pair_s32 c = {mq_mulhr(re, w.re) + mq_mulhr(im, w.im), mq_mulhr(im, w.re) - mq_mulhr(re, w.im)};
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

static inline void mq_s32_butterfly_2(const mq_pair_s32 *x, uint32_t step, mq_pair_s32 *b) {
    b[0] = mq_pair_sum(x[0], x[step]);
    b[1] = mq_pair_difference(x[0], x[step]);
}

static inline void mq_s32_butterfly_3(const mq_pair_s32 *x, uint32_t step, mq_pair_s32 *b) {
    const mq_pair_s32 sum = mq_pair_sum(x[step], x[2 * step]);
    const mq_pair_s32 half = {mq_rshr(sum.re, 1), mq_rshr(sum.im, 1)};
    const mq_pair_s32 middle = mq_pair_difference(x[0], half);
    const mq_pair_s32 side = mq_pair_turned(mq_pair_scaled(mq_pair_difference(x[step], x[2 * step]), 1859775393));
    b[0] = mq_pair_sum(x[0], sum);
    b[1] = mq_pair_sum(middle, side);
    b[2] = mq_pair_difference(middle, side);
}

static inline void mq_s32_butterfly_4(const mq_pair_s32 *x, uint32_t step, mq_pair_s32 *b) {
    const mq_pair_s32 even = mq_pair_sum(x[0], x[2 * step]);
    const mq_pair_s32 even_odd = mq_pair_difference(x[0], x[2 * step]);
    const mq_pair_s32 odd = mq_pair_sum(x[step], x[3 * step]);
    const mq_pair_s32 odd_odd = mq_pair_turned(mq_pair_difference(x[step], x[3 * step]));
    b[0] = mq_pair_sum(even, odd);
    b[1] = mq_pair_sum(even_odd, odd_odd);
    b[2] = mq_pair_difference(even, odd);
    b[3] = mq_pair_difference(even_odd, odd_odd);
}

/* cos and sin of 72 and 144 degrees in Q31. */
static inline void mq_s32_butterfly_5(const mq_pair_s32 *x, uint32_t step, mq_pair_s32 *b) {
    const int32_t c1 = 663608942;
    const int32_t c2 = -1737350766;
    const int32_t s1 = 2042378317;
    const int32_t s2 = 1262259218;
    const mq_pair_s32 near = mq_pair_sum(x[step], x[4 * step]);
    const mq_pair_s32 far = mq_pair_sum(x[2 * step], x[3 * step]);
    const mq_pair_s32 near_side = mq_pair_difference(x[step], x[4 * step]);
    const mq_pair_s32 far_side = mq_pair_difference(x[2 * step], x[3 * step]);
    const mq_pair_s32 first = mq_pair_sum(x[0], mq_pair_sum(mq_pair_scaled(near, c1), mq_pair_scaled(far, c2)));
    const mq_pair_s32 second = mq_pair_sum(x[0], mq_pair_sum(mq_pair_scaled(near, c2), mq_pair_scaled(far, c1)));
    const mq_pair_s32 first_side =
        mq_pair_turned(mq_pair_sum(mq_pair_scaled(near_side, s1), mq_pair_scaled(far_side, s2)));
    const mq_pair_s32 second_side =
        mq_pair_turned(mq_pair_difference(mq_pair_scaled(near_side, s2), mq_pair_scaled(far_side, s1)));
    b[0] = mq_pair_sum(x[0], mq_pair_sum(near, far));
    b[1] = mq_pair_sum(first, first_side);
    b[2] = mq_pair_sum(second, second_side);
    b[3] = mq_pair_difference(second, second_side);
    b[4] = mq_pair_difference(first, first_side);
}

#define MQ_TURNED_S32(k) y[k * s] = mq_pair_product(b[k], w[k - 1]);
MQ_FFT_PASS(mq_s32_pass_2, mq_pair_s32, 2, mq_s32_butterfly_2, MQ_TURNED_S32)
MQ_FFT_PASS(mq_s32_pass_3, mq_pair_s32, 3, mq_s32_butterfly_3, MQ_TURNED_S32)
MQ_FFT_PASS(mq_s32_pass_4, mq_pair_s32, 4, mq_s32_butterfly_4, MQ_TURNED_S32)
MQ_FFT_PASS(mq_s32_pass_5, mq_pair_s32, 5, mq_s32_butterfly_5, MQ_TURNED_S32)

#endif
