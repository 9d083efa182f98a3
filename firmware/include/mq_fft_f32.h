/* Complex FFT of mixed radix 2, 3, 4 and 5 in f32: the passes of mq_fft_passes.h.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FFT_F32_H
#define MQ_FFT_F32_H

#include "mq_fft_passes.h"

typedef struct {
    float re;
    float im;
} mq_complex;

static inline mq_complex mq_complex_sum(mq_complex a, mq_complex b) {
    const mq_complex c = {a.re + b.re, a.im + b.im};
    return c;
}

static inline mq_complex mq_complex_difference(mq_complex a, mq_complex b) {
    const mq_complex c = {a.re - b.re, a.im - b.im};
    return c;
}

static inline mq_complex mq_complex_product(mq_complex a, mq_complex b) {
    const mq_complex c = {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    return c;
}

/* a b* */
static inline mq_complex mq_complex_product_back(mq_complex a, mq_complex b) {
    const mq_complex c = {a.re * b.re + a.im * b.im, a.im * b.re - a.re * b.im};
    return c;
}

static inline mq_complex mq_complex_scaled(mq_complex a, float factor) {
    const mq_complex c = {a.re * factor, a.im * factor};
    return c;
}

/* -i a */
static inline mq_complex mq_complex_turned(mq_complex a) {
    const mq_complex c = {a.im, -a.re};
    return c;
}

/* The sums of one point, b[k] = sum_j x[step j] exp(-2 pi i j k / r). */
static inline void mq_f32_butterfly_2(const mq_complex *x, uint32_t step, mq_complex *b) {
    b[0] = mq_complex_sum(x[0], x[step]);
    b[1] = mq_complex_difference(x[0], x[step]);
}

static inline void mq_f32_butterfly_3(const mq_complex *x, uint32_t step, mq_complex *b) {
    const mq_complex sum = mq_complex_sum(x[step], x[2 * step]);
    const mq_complex middle = mq_complex_difference(x[0], mq_complex_scaled(sum, 0.5f));
    const mq_complex side =
        mq_complex_turned(mq_complex_scaled(mq_complex_difference(x[step], x[2 * step]), 0.866025404f));
    b[0] = mq_complex_sum(x[0], sum);
    b[1] = mq_complex_sum(middle, side);
    b[2] = mq_complex_difference(middle, side);
}

static inline void mq_f32_butterfly_4(const mq_complex *x, uint32_t step, mq_complex *b) {
    const mq_complex even = mq_complex_sum(x[0], x[2 * step]);
    const mq_complex even_odd = mq_complex_difference(x[0], x[2 * step]);
    const mq_complex odd = mq_complex_sum(x[step], x[3 * step]);
    const mq_complex odd_odd = mq_complex_turned(mq_complex_difference(x[step], x[3 * step]));
    b[0] = mq_complex_sum(even, odd);
    b[1] = mq_complex_sum(even_odd, odd_odd);
    b[2] = mq_complex_difference(even, odd);
    b[3] = mq_complex_difference(even_odd, odd_odd);
}

/* cos and sin of 72 and 144 degrees. */
static inline void mq_f32_butterfly_5(const mq_complex *x, uint32_t step, mq_complex *b) {
    const float c1 = 0.309016994f;
    const float c2 = -0.809016994f;
    const float s1 = 0.951056516f;
    const float s2 = 0.587785252f;
    const mq_complex near = mq_complex_sum(x[step], x[4 * step]);
    const mq_complex far = mq_complex_sum(x[2 * step], x[3 * step]);
    const mq_complex near_side = mq_complex_turned(mq_complex_difference(x[step], x[4 * step]));
    const mq_complex far_side = mq_complex_turned(mq_complex_difference(x[2 * step], x[3 * step]));
    const mq_complex first =
        mq_complex_sum(x[0], mq_complex_sum(mq_complex_scaled(near, c1), mq_complex_scaled(far, c2)));
    const mq_complex second =
        mq_complex_sum(x[0], mq_complex_sum(mq_complex_scaled(near, c2), mq_complex_scaled(far, c1)));
    const mq_complex first_side = mq_complex_sum(mq_complex_scaled(near_side, s1), mq_complex_scaled(far_side, s2));
    const mq_complex second_side =
        mq_complex_difference(mq_complex_scaled(near_side, s2), mq_complex_scaled(far_side, s1));
    b[0] = mq_complex_sum(x[0], mq_complex_sum(near, far));
    b[1] = mq_complex_sum(first, first_side);
    b[2] = mq_complex_sum(second, second_side);
    b[3] = mq_complex_difference(second, second_side);
    b[4] = mq_complex_difference(first, first_side);
}

#define MQ_TURNED_F32(k) y[k * s] = mq_complex_product(b[k], w[k - 1]);
MQ_FFT_PASS(mq_f32_pass_2, mq_complex, 2, mq_f32_butterfly_2, MQ_TURNED_F32)
MQ_FFT_PASS(mq_f32_pass_3, mq_complex, 3, mq_f32_butterfly_3, MQ_TURNED_F32)
MQ_FFT_PASS(mq_f32_pass_4, mq_complex, 4, mq_f32_butterfly_4, MQ_TURNED_F32)
MQ_FFT_PASS(mq_f32_pass_5, mq_complex, 5, mq_f32_butterfly_5, MQ_TURNED_F32)

#endif
